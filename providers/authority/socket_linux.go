//go:build linux && (amd64 || arm64)

package authority

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendPatience is how long answers wait for room in a socket.
const sendPatience = 100 * time.Millisecond

// takeOver takes a socket out of the runtime's poller: conn is closed, and what
// is returned is the same socket.
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

// A doorbell waits, in the runtime's poller, until a socket can be read. It is
// an epoll of its own: a socket in the poller itself would wake somebody for
// each packet and each answer, also while nobody waits.
type doorbell struct {
	socket int
	epoll  *os.File
	raw    syscall.RawConn
	loud   bool // the socket is in it
}

func newDoorbell(socket int) (*doorbell, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	// The runtime waits for what does not block.
	err = unix.SetNonblock(epoll, true)
	b := &doorbell{socket: socket, epoll: os.NewFile(uintptr(epoll), "epoll")} // #nosec G115 -- a descriptor
	if err == nil {
		b.raw, err = b.epoll.SyscallConn()
	}
	if err != nil {
		b.close()
		return nil, fmt.Errorf("wait for an epoll: %w", err)
	}
	return b, nil
}

// wait calls take until it returns true, at first and whenever there may be
// something. close ends it with an error.
func (b *doorbell) wait(take func() bool) error {
	if !b.loud {
		if err := b.control(unix.EPOLL_CTL_ADD); err != nil {
			return fmt.Errorf("wait for a socket: %w", err)
		}
		b.loud = true
	}
	return b.raw.Read(func(uintptr) bool { return take() })
}

// mute has nobody told of what comes.
func (b *doorbell) mute() {
	if b.loud {
		b.loud = b.control(unix.EPOLL_CTL_DEL) != nil
	}
}

func (b *doorbell) control(op int) error {
	var err error
	closed := b.raw.Control(func(epoll uintptr) {
		err = unix.EpollCtl(int(epoll), op, b.socket, &unix.EpollEvent{Events: unix.EPOLLIN})
	})
	return errors.Join(closed, err)
}

func (b *doorbell) close() { b.epoll.Close() } //nolint:errcheck // it is closed already, then

// nap lets queries gather. The thread keeps its P: to give it back and to have
// others look for work costs more than the nap spares. Who waits for the P goes
// first.
func nap() {
	runtime.Gosched()
	d := unix.NsecToTimespec(gatherFor.Nanoseconds())
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&d)), 0, 0) //nolint:errcheck // it may be short
}
