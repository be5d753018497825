//go:build !accept

package daemon_test

// pauseFor is how long a leader is paused at least: until another has taken
// over in any case.
const pauseFor = 0
