//go:build accept

package daemon_test

import "time"

// pauseFor is how long a leader is paused at least: until another has taken
// over in any case.
const pauseFor = time.Minute
