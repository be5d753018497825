//go:build realservers && accept

package authority

// What the comparison with NSD and BIND asks in full.
const (
	differentialQueries = 100000
	differentialZones   = 100
)
