//go:build !accept

package daemon_test

// kills is how many there are in the ordinary tests, killSeed what they are
// drawn from.
const (
	kills    = 10
	killSeed = 1
)
