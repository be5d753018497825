package authority

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// serve starts the loops of one address; group waits for them. All end soon
// after ctx does.
func (s *Server) serve(ctx context.Context, group *errgroup.Group, l listener) {
	if s.batched() {
		for _, conn := range l.udp {
			c := s.counter()
			group.Go(func() error { return s.serveBatches(ctx, conn, l.any, c) })
		}
		l.udp = nil // each loop closes its own
	} else {
		for range runtime.GOMAXPROCS(0) {
			c := s.counter()
			group.Go(func() error { return s.serveUDP(ctx, l.udp[0], c) })
		}
	}
	group.Go(func() error {
		<-ctx.Done()
		return l.close()
	})
	group.Go(func() error { return s.serveTCP(ctx, l.tcp) })
}

func (s *Server) batched() bool { return batches && s.config.Fast == FastAuto }

// Loops returns how many goroutines wait in system calls for most of the time,
// each of which can hold a P for 10 ms (sysmon takes it back then). Where the
// whole process has few, it is to raise GOMAXPROCS by them.
func (s *Server) Loops() int {
	if s.batched() {
		return s.config.Sockets * len(s.config.Listen)
	}
	return 0
}

// counter makes the counter of one more loop.
func (s *Server) counter() *counter {
	c := &counter{codes: s.rcodes.block()}
	s.counters = append(s.counters, c)
	return c
}

// Answered returns how many queries over UDP were answered on the fast path
// and on the general one. It is to be called after Ready.
func (s *Server) Answered() (fast, general uint64) {
	for _, c := range s.counters {
		fast += c.fast.Load()
		general += c.general.Load()
	}
	return fast, general
}

func (s *Server) responder() *responder {
	return &responder{table: &s.table, udpSize: s.config.UDPSize, identity: s.config.Identity, version: s.config.Version, stale: &s.stale, ecs: s.rules, cookies: s.cookies}
}

// maxFaults is how many errors in a row end a loop.
const maxFaults = 1000

// faults counts errors in a row.
type faults int

// over tells whether an error of reading ends a loop, and with what. A socket
// also tells of answers that nobody took.
func (f *faults) over(ctx context.Context, conn *net.UDPConn, err error) (error, bool) {
	if ctx.Err() != nil {
		return nil, true
	}
	if *f++; *f > maxFaults || errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("read queries on %s: %w", conn.LocalAddr(), err), true
	}
	return nil, false
}

// serveUDP answers one query after another, as any system can.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn, c *counter) error {
	a := s.answerer()
	buf := make([]byte, dns.MaxMsgSize)
	for faults := faults(0); ; {
		n, session, err := dns.ReadFromSessionUDP(conn, buf)
		if err != nil {
			if err, over := faults.over(ctx, conn, err); over {
				return err
			}
			continue
		}
		faults = 0
		a.from = peerOf(session.RemoteAddr(), overUDP)
		a.begin()
		size, _ := a.respond(buf, n)
		c.add(a)
		if size == 0 {
			continue
		}
		if _, err := dns.WriteToSessionUDP(conn, buf[:size], session); err != nil {
			s.opts.Log.Debug().Err(err).Stringer("client", session.RemoteAddr()).Msg("an answer could not be sent")
		}
	}
}

// serveTCP accepts connections, as many at once as the config allows.
func (s *Server) serveTCP(ctx context.Context, l *net.TCPListener) error {
	var open sync.WaitGroup
	defer open.Wait()
	seats := make(chan struct{}, s.config.TCPConnections)
	for faults := 0; ; {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if faults++; faults > maxFaults || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept connections on %s: %w", l.Addr(), err)
			}
			if !pause(ctx, 10*time.Millisecond) { // out of descriptors, most likely
				return nil
			}
			continue
		}
		faults = 0
		select {
		case seats <- struct{}{}:
		default:
			conn.Close() //nolint:errcheck // it is refused
			continue
		}
		open.Go(func() {
			defer func() { <-seats }()
			stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // it ends
			defer stop()
			s.serveConn(conn)
		})
	}
}

// pause waits for d, and reports whether ctx still runs.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Room of a connection: for queries, at first, and for answers that wait for
// those of queries that came with theirs.
const (
	queryRoom  = 1 << 11
	answerRoom = 1 << 14
)

// serveConn answers the queries of one connection in their order (RFC 7766,
// section 7 allows any) until the client ends it, is silent for the idle time,
// or sends what is no query. What came at once is answered at once.
func (s *Server) serveConn(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // both sides are done
	a, c := s.answerer(), counter{codes: s.rcodes.block()}
	a.from = peerOf(conn.RemoteAddr(), overTCP)
	in, have := make([]byte, queryRoom), 0
	for {
		// One deadline for a whole message: a client that sends a byte at a
		// time holds its seat no longer than a silent one.
		if conn.SetReadDeadline(time.Now().Add(s.config.TCPIdle)) != nil {
			return
		}
		for wholeMessage(in[:have]) < 0 {
			// Room grows as the message comes: announcing one costs its sender
			// more than two bytes.
			if have == len(in) {
				in = append(in, make([]byte, len(in))...)
			}
			n, err := conn.Read(in[have:])
			if n == 0 && err != nil {
				return
			}
			have += n
		}
		rest, ok := s.answerAll(conn, a, in[:have])
		c.add(a)
		if !ok {
			return
		}
		if len(in) > queryRoom && len(rest) < queryRoom { // back to what most take
			in = append(make([]byte, 0, queryRoom), rest...)[:queryRoom]
			have = len(rest)
			continue
		}
		have = copy(in, rest)
	}
}

// peerOf returns the peer with this address, without its zone.
func peerOf(addr net.Addr, over transport) peer {
	var at netip.AddrPort
	switch a := addr.(type) {
	case *net.UDPAddr:
		at = a.AddrPort()
	case *net.TCPAddr:
		at = a.AddrPort()
	}
	return peer{addr: at.Addr().Unmap().WithZone(""), port: at.Port(), over: over}
}

// wholeMessage returns the length of the message that begins in, or -1 when
// it is not whole.
func wholeMessage(in []byte) int {
	if len(in) < 2 {
		return -1
	}
	n := int(binary.BigEndian.Uint16(in))
	if len(in) < 2+n {
		return -1
	}
	return n
}

// answerAll answers all whole messages, and returns what follows them. It
// returns false when the connection is to end. All writes together may take the
// idle time.
func (s *Server) answerAll(conn net.Conn, a *answerer, in []byte) (rest []byte, ok bool) {
	room := s.rooms.Get().(*[]byte)
	defer s.rooms.Put(room)
	if conn.SetWriteDeadline(time.Now().Add(s.config.TCPIdle)) != nil {
		return nil, false
	}
	a.begin()
	out := (*room)[:0]
	ok = true
	for n := wholeMessage(in); n >= 0 && ok; n = wholeMessage(in) {
		if out, ok = a.appendAnswer(out, in[2:2+n]); len(out) > answerRoom {
			if _, err := conn.Write(out); err != nil {
				return nil, false
			}
			out = out[:0]
			a.begin() // writing may have taken long
		}
		in = in[2+n:]
	}
	if len(out) > 0 {
		if _, err := conn.Write(out); err != nil {
			return nil, false
		}
	}
	if cap(out) <= 2*answerRoom {
		*room = out
	}
	return in, ok
}
