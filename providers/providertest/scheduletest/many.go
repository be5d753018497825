//go:build accept

package scheduletest

// Long enough for what is rare; it takes hours.
const (
	schedules = 10_000
	without   = 300
)
