package cluster

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot returns which boot of this machine it is, and the time since, which
// goes on while the machine sleeps. Its readings can be compared between the
// processes of one boot; a time namespace (time_namespaces(7)) counts as one of
// its own.
func sinceBoot() (id string, at time.Duration, ok bool) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0, false
	}
	space, err := os.Readlink("/proc/self/ns/time") // from Linux 5.6 on
	if err != nil {
		space = "one"
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return "", 0, false
	}
	return strings.TrimSpace(string(raw)) + " " + space, time.Duration(ts.Nano()), true
}

// sleepless is the time since boot, which goes on while the machine sleeps; 0
// where it cannot be read. Go's monotonic clock stands still then.
func sleepless() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
