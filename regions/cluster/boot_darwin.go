package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot returns which boot of this machine it is, and the time since, which
// goes on while the machine sleeps (clock_gettime(3): CLOCK_MONOTONIC).
func sinceBoot() (id string, at time.Duration, ok bool) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil || id == "" {
		return "", 0, false
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return "", 0, false
	}
	return id, time.Duration(ts.Nano()), true
}

// sleepless is the time since boot, which goes on while the machine sleeps; 0
// where it cannot be read. Go's monotonic clock stands still then.
func sleepless() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
