//go:build realservers && !accept

package authority

// What the comparison with NSD and BIND asks in CI.
const (
	differentialQueries = 4000
	differentialZones   = 20
)
