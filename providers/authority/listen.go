package authority

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// listener is one address, over both transports.
type listener struct {
	// udp are sockets of one address, among which the system shares out the
	// clients. There is at least one, but for an address of DNS over TLS.
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

func (l listener) addrs() []net.Addr {
	if len(l.udp) == 0 {
		return []net.Addr{tlsAddr{l.tcp.Addr()}}
	}
	return []net.Addr{l.udp[0].LocalAddr(), l.tcp.Addr()}
}

// listenAll opens every address, or none, those of DNS over TLS last.
func (s *Server) listenAll() ([]listener, error) {
	b := binder{sockets: s.sockets(), free: s.config.Freebind, small: s.config.UDPSize <= defaultUDPSize}
	var open []listener
	for i, a := range append(slices.Clone(s.config.Listen), s.config.TLS.Listen...) {
		bind := b.listenOn
		if i >= len(s.config.Listen) {
			bind = b.listenTLS
		}
		l, err := listen(a, bind)
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.close())
			}
			return nil, err
		}
		open = append(open, l)
	}
	return open, nil
}

// binder is how addresses are bound: each with so many UDP sockets, and free:
// also one that no interface has yet. small says that no answer is larger than
// what passes any path in one piece.
type binder struct {
	sockets     int
	free, small bool
}

func (b binder) config() *net.ListenConfig {
	lc := new(net.ListenConfig)
	lc.SetMultipathTCP(false) // nobody asks over several paths at once
	if b.free {
		lc.Control = freebind
	}
	return lc
}

// tcp listens over TCP. A connection's memory in the system is bounded.
func (b binder) tcp(network string, at netip.AddrPort) (*net.TCPListener, error) {
	// The context bounds the resolving of names, of which there is none.
	l, err := b.config().Listen(context.Background(), network, at.String())
	if err != nil {
		return nil, fmt.Errorf("listen over TCP: %w", err)
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err == nil {
		boundStreams(raw)
	}
	return l.(*net.TCPListener), nil
}

// listenTLS opens an address for DNS over TLS.
func (b binder) listenTLS(want netip.AddrPort) (l listener, err error) {
	l.tcp, err = b.tcp("tcp"+familyOf(want), want)
	return l, err
}

// familyOf: an IPv6 address must not take the port of IPv4 as well: "0.0.0.0:53"
// and "[::]:53" stand side by side.
func familyOf(at netip.AddrPort) string {
	if at.Addr().Is6() {
		return "6"
	}
	return "4"
}

// portTries is how often a free port is taken for UDP before TCP has it too.
const portTries = 20

func listen(address string, bind func(netip.AddrPort) (listener, error)) (listener, error) {
	want, err := netip.ParseAddrPort(address)
	if err != nil {
		return listener{}, fmt.Errorf("listen on %q: %w", address, err)
	}
	for try := 1; ; try++ {
		l, err := bind(want)
		if err == nil {
			return l, nil
		}
		if want.Port() != 0 || try == portTries {
			return listener{}, blame(want, err)
		}
	}
}

func (b binder) listenOn(want netip.AddrPort) (l listener, err error) {
	family := familyOf(want)
	l.any = want.Addr().IsUnspecified()
	conn, err := b.config().ListenPacket(context.Background(), "udp"+family, want.String())
	if err != nil {
		return listener{}, fmt.Errorf("listen over UDP: %w", err)
	}
	first := conn.(*net.UDPConn)
	at := netip.AddrPortFrom(want.Addr(), first.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	l.udp, err = shared(first, "udp"+family, at, b)
	for _, u := range l.udp {
		if l.any && err == nil {
			err = wantDestination(u)
		}
		widen(u)
		if b.small {
			inOnePiece(u)
		}
	}
	if err == nil {
		l.tcp, err = b.tcp("tcp"+family, at)
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
		return fmt.Errorf("%s is not an address of this host: choose one of its own, or 0.0.0.0 for all, or set freebind where it is to have it later: %w", want, err)
	}
	return fmt.Errorf("%s: %w", want, err)
}
