//go:build linux && (amd64 || arm64)

package authority

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// sendPatience is how long answers wait for room in a socket.
const sendPatience = 100 * time.Millisecond

// takeOver takes a socket out of the runtime's hands: conn is closed, and what
// is returned is the same socket, which waits in the system.
func takeOver(conn *net.UDPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	ctlErr := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = ctlErr
	}
	if closeErr := conn.Close(); err != nil {
		return 0, fmt.Errorf("take over a socket: %w", err)
	} else if closeErr != nil {
		unix.Close(fd) //nolint:errcheck // the error before says more
		return 0, fmt.Errorf("take over a socket: %w", closeErr)
	}
	wait := unix.NsecToTimeval(sendPatience.Nanoseconds())
	if err = unix.SetNonblock(fd, false); err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait)
	}
	if err != nil {
		unix.Close(fd) //nolint:errcheck // the error before says more
		return 0, fmt.Errorf("let a socket wait: %w", err)
	}
	return fd, nil
}

// inOnePiece lets no answer over IPv4 be cut into fragments, which others can
// forge (RFC 9715, section 3.1), and takes no notice of who says that a path is
// narrow, since anybody can say so. The system need not number the packets then,
// which is dear.
func inOnePiece(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { //nolint:errcheck // it is as it was, then
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE) //nolint:errcheck // the same
	})
}
