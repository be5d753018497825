//go:build !accept && race

package scheduletest

// The race detector sees in few what it can see; CI runs the others without.
const (
	schedules = 30
	without   = 20
)
