//go:build !race

package authority

// idleBytes bounds what an idle TCP connection holds.
const idleBytes = 8 << 10
