package icmpcheck

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// tries is how often a call is made that may fail for another one's sake.
const tries = 3

// linuxSocket is a connected ICMP socket with an error queue: the kernel
// hands it what the one address sends, and the ICMP errors of whoever about
// what was sent there (ip(7), IP_RECVERR; icmp(7)).
type linuxSocket struct {
	file *os.File
	raw  bool
	v6   bool
	id   uint16
	oob  [512]byte
}

// open is the opener of real sockets.
func open(kind string, to netip.Addr) (socket, error) {
	s := &linuxSocket{raw: kind == "raw", v6: to.Is6()}
	family, protocol, sort := unix.AF_INET, protocolICMP, unix.SOCK_DGRAM
	if s.v6 {
		family, protocol = unix.AF_INET6, protocolICMPv6
	}
	if s.raw {
		sort = unix.SOCK_RAW
	}
	fd, err := unix.Socket(family, sort|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, &openError{err}
	}
	if err := s.prepare(fd, to); err != nil {
		_ = unix.Close(fd) // It was never used.
		return nil, err
	}
	s.file = os.NewFile(uintptr(fd), "icmp")
	return s, nil
}

// prepare filters, connects, and learns the identifier.
func (s *linuxSocket) prepare(fd int, to netip.Addr) error {
	level, option := unix.SOL_IP, unix.IP_RECVERR
	if s.v6 {
		level, option = unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return fmt.Errorf("asking for ICMP errors: %w", err)
	}
	if s.raw {
		if err := s.filter(fd); err != nil {
			return fmt.Errorf("asking for echo replies alone: %w", err)
		}
	}
	address, err := sockaddr(to)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, address); err != nil {
		return fmt.Errorf("connecting to %s: %w", to, err)
	}
	if s.raw {
		var random [2]byte
		if _, err := rand.Read(random[:]); err != nil {
			return err
		}
		s.id = binary.BigEndian.Uint16(random[:])
		return nil
	}
	local, err := unix.Getsockname(fd)
	switch local := local.(type) {
	case *unix.SockaddrInet4:
		s.id = uint16(local.Port)
	case *unix.SockaddrInet6:
		s.id = uint16(local.Port)
	}
	return err
}

// filter lets only echo replies in: a raw socket gets every ICMP message of
// its peer otherwise.
func (s *linuxSocket) filter(fd int) error {
	if !s.v6 {
		const reply = 0
		return unix.SetsockoptInt(fd, unix.SOL_RAW, unix.ICMP_FILTER, ^(1 << reply))
	}
	const reply = 129
	block := &unix.ICMPv6Filter{Data: [8]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0)}}
	block.Data[reply/32] &^= 1 << (reply % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, block)
}

func sockaddr(to netip.Addr) (unix.Sockaddr, error) {
	if to.Is4() {
		return &unix.SockaddrInet4{Addr: to.As4()}, nil
	}
	address := &unix.SockaddrInet6{Addr: to.As16()}
	if to.Zone() == "" {
		return address, nil
	}
	if index, err := strconv.ParseUint(to.Zone(), 10, 32); err == nil {
		address.ZoneId = uint32(index)
		return address, nil
	}
	link, err := net.InterfaceByName(to.Zone())
	if err != nil {
		return nil, fmt.Errorf("the zone of %s: %w", to, err)
	}
	address.ZoneId = uint32(link.Index)
	return address, nil
}

// ID implements socket.
func (s *linuxSocket) ID() uint16 { return s.id }

// SetReadDeadline implements socket.
func (s *linuxSocket) SetReadDeadline(t time.Time) error { return s.file.SetReadDeadline(t) }

// Close implements socket.
func (s *linuxSocket) Close() error { return s.file.Close() }

// Send implements socket. An error about an earlier message is reported by
// the next call, whichever that is, and stays in the queue. So only what
// repeats itself is about this message.
func (s *linuxSocket) Send(message []byte) error {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Control(func(fd uintptr) {
		for range tries {
			if sent = unix.Send(int(fd), message, unix.MSG_NOSIGNAL); sent == nil || errors.Is(sent, unix.EAGAIN) {
				return
			}
		}
	})
	if errors.Is(sent, unix.EAGAIN) {
		sent = nil // What was sent before still waits for a neighbour: this echo is lost.
	}
	return errors.Join(err, sent)
}

// Receive implements socket.
func (s *linuxSocket) Receive(into []byte) (n int, about *fault, err error) {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	var received error
	err = conn.Read(func(fd uintptr) bool {
		n, about, received = s.next(int(fd), into)
		return !errors.Is(received, unix.EAGAIN)
	})
	return n, about, errors.Join(err, received)
}

// next takes what is there, an error first; EAGAIN is nothing. An error that
// comes between the two calls is in the queue at the next try.
func (s *linuxSocket) next(fd int, into []byte) (n int, about *fault, err error) {
	for range tries {
		if n, about := s.queued(fd, into); about != nil {
			return n, about, nil
		}
		n, _, err = unix.Recvfrom(fd, into, 0)
		if err == nil && s.raw && !s.v6 {
			n = copy(into, headless(into[:n]))
		}
		if err == nil || errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	return n, nil, err
}

// queued takes an ICMP error from the queue, and the message it is about.
func (s *linuxSocket) queued(fd int, into []byte) (int, *fault) {
	for {
		n, oobn, _, _, err := unix.Recvmsg(fd, into, s.oob[:], unix.MSG_ERRQUEUE)
		if err != nil {
			return 0, nil // The queue is empty.
		}
		if about := faultOf(s.oob[:oobn]); about != nil {
			return n, about
		}
	}
}

// faultOf finds the ICMP error in the control messages.
func faultOf(oob []byte) *fault {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !v4 && !v6 {
			continue
		}
		if f, ok := parseFault(m.Data); ok {
			return f
		}
	}
	return nil
}
