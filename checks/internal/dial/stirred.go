package dial

import (
	"net"
	"syscall"
)

// Stirred reports whether something came on an idle connection of Dial without
// TLS, or it was closed: what was not asked for must not be read as an answer.
func Stirred(conn net.Conn) bool {
	if b, ok := conn.(*bound); ok {
		conn = b.Conn
	}
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	fd, err := raw.SyscallConn()
	if err != nil {
		return true
	}
	quiet := false
	err = fd.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN || err == syscall.EINTR
		return true
	})
	return err != nil || !quiet
}
