//go:build !accept && !race

package scheduletest

// schedules are run with the fence, without when it is switched off.
const (
	schedules = 300
	without   = 50
)
