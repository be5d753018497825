//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// dial opens a TCP connection from an address of 127/8.
func dial(from [4]byte, to netip.AddrPort, room int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a TCP socket: %w", err)
	}
	if room > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room) // more is milder, not wrong
	}
	// A port is chosen at connecting, so that each source has all of them.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: from})
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("connect from %s: %w", netip.AddrFrom4(from), err), unix.Close(fd))
	}
	return fd, nil
}

// readers are clients that ask for large answers over TCP, one query after the
// other, and read none.
type readers struct {
	server  netip.AddrPort
	sources [][4]byte
	queries []byte // many, behind their lengths

	fds    []int
	offset []int // what was written of the queries
	next   int
	due    time.Duration

	written, anew uint64 // bytes, and connections that were opened again
}

func newReaders(server netip.AddrPort, n int) (*readers, error) {
	var m dns.Msg
	m.SetQuestion(largeName+"."+zone+".", dns.TypeTXT)
	p, err := m.Pack()
	if err != nil {
		return nil, err
	}
	r := &readers{server: server, sources: inBlocks(220, n, 1)}
	for range 64 {
		r.queries = append(binary.BigEndian.AppendUint16(r.queries, uint16(len(p))), p...) // #nosec G115 -- a short query
	}
	for i := range n {
		fd, err := dial(r.sources[i], server, 4096)
		if err != nil {
			r.close()
			return nil, err
		}
		r.fds, r.offset = append(r.fds, fd), append(r.offset, 0)
	}
	return r, nil
}

// step writes to one connection what it takes, and opens it anew when the server
// has closed it.
func (r *readers) step(now time.Duration) error {
	if now < r.due {
		return nil
	}
	r.due = now + 200*time.Microsecond
	i := r.next
	if r.next++; r.next == len(r.fds) {
		r.next = 0
	}
	n, err := unix.SendmsgN(r.fds[i], r.queries[r.offset[i]:], nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	switch {
	case err == nil:
		r.offset[i] = (r.offset[i] + n) % len(r.queries)
		r.written += uint64(n) // #nosec G115 -- not negative
	case errors.Is(err, unix.EAGAIN):
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		_ = unix.Close(r.fds[i]) // it is over
		r.offset[i] = 0
		r.anew++
		if r.fds[i], err = dial(r.sources[i], r.server, 4096); err != nil {
			return err
		}
	default:
		return fmt.Errorf("write to a connection: %w", err)
	}
	return nil
}

func (r *readers) close() {
	for _, fd := range r.fds {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing is lost with it
		}
	}
}

// idle are connections that nothing is asked on.
type idle struct{ fds []int }

// openIdle opens n connections, 5 from each source.
func openIdle(server netip.AddrPort, n int) (*idle, error) {
	out := &idle{}
	sources := inBlocks(230, (n+4)/5, 250)
	for i := range n {
		fd, err := dial(sources[i/5], server, 0)
		if err != nil {
			out.close()
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
		out.fds = append(out.fds, fd)
	}
	return out, nil
}

// open is how many the server has not closed.
func (c *idle) open() int {
	n := 0
	var b [1]byte
	for _, fd := range c.fds {
		if _, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT); errors.Is(err, unix.EAGAIN) {
			n++
		}
	}
	return n
}

func (c *idle) close() {
	for _, fd := range c.fds {
		_ = unix.Close(fd) // nothing is lost with it
	}
}

// connections is how many this process can have, beside its other files.
func connections(want int) (int, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	const others = 200
	if l.Cur < others {
		return 0, fmt.Errorf("found %d open files allowed; expected %d at least", l.Cur, others)
	}
	return int(min(uint64(want), l.Cur-others)), nil // #nosec G115 -- at most want
}

// answersTCP reports whether a client who comes now is answered over TCP.
func answersTCP(server netip.AddrPort) error {
	m := new(dns.Msg)
	m.SetQuestion(label(1)+"."+zone+".", dns.TypeA)
	c := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	r, _, err := c.Exchange(m, server.String())
	if err == nil && len(r.Answer) != 1 {
		err = fmt.Errorf("found %d records; expected 1", len(r.Answer))
	}
	return err
}
