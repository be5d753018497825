package authority

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// canFreebind says whether an address can be bound that no interface has.
const canFreebind = true

// freebind lets the socket be bound to an address that no interface has yet.
func freebind(network, _ string, c syscall.RawConn) error {
	level, option := unix.IPPROTO_IP, unix.IP_FREEBIND
	if network[len(network)-1] == '6' {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
	}
	var err error
	ctlErr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }) // #nosec G115 -- a descriptor
	return errors.Join(err, ctlErr)
}
