//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package execcheck

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitEnd waits until the process has ended, and leaves it to be reaped. A
// process that has ended already is not found (ESRCH), which ends the wait.
func awaitEnd(pid int) {
	queue, err := unix.Kqueue()
	if err != nil {
		return
	}
	defer unix.Close(queue)
	var event unix.Kevent_t
	unix.SetKevent(&event, pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	event.Fflags = unix.NOTE_EXIT
	changes := []unix.Kevent_t{event}
	for {
		_, err := unix.Kevent(queue, changes, make([]unix.Kevent_t, 1), nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
