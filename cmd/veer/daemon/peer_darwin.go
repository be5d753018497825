package daemon

import "golang.org/x/sys/unix"

// peerUID is the user at the other end of a unix socket (LOCAL_PEERCRED).
func peerUID(fd int) (uid int, known bool) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, false
	}
	return int(cred.Uid), true
}
