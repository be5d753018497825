//go:build accept

package daemon_test

// kills is how many there are in the acceptance test, killSeed what they are
// drawn from.
const (
	kills    = 100
	killSeed = 2
)
