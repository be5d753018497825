//go:build race

package authority

// idleBytes bounds what an idle TCP connection holds: under the race detector
// stacks are larger.
const idleBytes = 16 << 10
