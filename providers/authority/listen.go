package authority

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// listener is one address, over both transports.
type listener struct {
	// udp are sockets of one address, among which the system shares out the
	// clients; there is at least one.
	udp []*net.UDPConn
	tcp *net.TCPListener
	// any says that the address is that of no interface, so that each query
	// tells which one it came to.
	any bool
}

func (l listener) close() error {
	err := l.tcp.Close()
	for _, u := range l.udp {
		err = errors.Join(err, u.Close())
	}
	return err
}

// listenAll opens every address, or none, each with so many UDP sockets. small
// says that no answer is larger than what passes any path in one piece.
func listenAll(addresses []string, sockets int, small bool) ([]listener, error) {
	var open []listener
	for _, a := range addresses {
		l, err := listen(a, sockets)
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.close())
			}
			return nil, err
		}
		for _, u := range l.udp {
			if small {
				inOnePiece(u)
			}
		}
		open = append(open, l)
	}
	return open, nil
}

// portTries is how often a free port is taken for UDP before TCP has it too.
const portTries = 20

func listen(address string, sockets int) (listener, error) {
	want, err := netip.ParseAddrPort(address)
	if err != nil {
		return listener{}, fmt.Errorf("listen on %q: %w", address, err)
	}
	for try := 1; ; try++ {
		l, err := listenOn(want, sockets)
		if err == nil {
			return l, nil
		}
		if want.Port() != 0 || try == portTries {
			return listener{}, blame(want, err)
		}
	}
}

func listenOn(want netip.AddrPort, sockets int) (l listener, err error) {
	// An IPv6 address must not take the port of IPv4 as well: "0.0.0.0:53"
	// and "[::]:53" stand side by side.
	family := "4"
	if want.Addr().Is6() {
		family = "6"
	}
	l.any = want.Addr().IsUnspecified()
	first, err := net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(want))
	if err != nil {
		return listener{}, fmt.Errorf("listen over UDP: %w", err)
	}
	at := netip.AddrPortFrom(want.Addr(), first.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	l.udp, err = shared(first, "udp"+family, at, sockets)
	for _, u := range l.udp {
		if l.any && err == nil {
			err = wantDestination(u)
		}
		widen(u)
	}
	if err == nil {
		if l.tcp, err = net.ListenTCP("tcp"+family, net.TCPAddrFromAddrPort(at)); err != nil {
			err = fmt.Errorf("listen over TCP: %w", err)
		}
	}
	if err != nil {
		for _, u := range l.udp {
			err = errors.Join(err, u.Close())
		}
		return listener{}, err
	}
	return l, nil
}

// Room for what arrives while a loop is busy, and for what it sends at once:
// with the system's default, packets are lost long before the CPU is full.
const (
	readRoom  = 4 << 20
	writeRoom = 1 << 20
)

// widen gives the socket room, as much as the system allows.
func widen(conn *net.UDPConn) {
	conn.SetReadBuffer(readRoom)   //nolint:errcheck // less is slower, not wrong
	conn.SetWriteBuffer(writeRoom) //nolint:errcheck // the same
	widenPast(conn)
}

// wantDestination makes the socket tell the address that each query came to,
// so that the answer leaves from it on a host with several (RFC 2181, 4.1).
func wantDestination(conn *net.UDPConn) error {
	err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	err4 := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	if err4 != nil && err6 != nil {
		return fmt.Errorf("ask for the destination of queries: %w", err4)
	}
	return nil
}

// blame says what to do about an address that can't be had.
func blame(want netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		by := "another process"
		if names := holders(want.Port()); len(names) > 0 {
			by = strings.Join(names, ", ")
		}
		return fmt.Errorf("%s is in use by %s: stop it, or choose another address for the authority's listen: %w", want, by, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s needs a privilege: run as root, give the binary CAP_NET_BIND_SERVICE, or choose a port above 1023: %w", want, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this host: choose one of its own, or 0.0.0.0 for all: %w", want, err)
	}
	return fmt.Errorf("%s: %w", want, err)
}
