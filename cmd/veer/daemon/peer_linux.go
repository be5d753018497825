package daemon

import "golang.org/x/sys/unix"

// peerUID is the user at the other end of a unix socket (unix(7), SO_PEERCRED).
func peerUID(fd int) (uid int, known bool) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, false
	}
	return int(cred.Uid), true
}
