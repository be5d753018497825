package authority

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// serve starts the loops of one address; group waits for them. All end soon
// after ctx does.
func (s *Server) serve(ctx context.Context, group *errgroup.Group, l listener) {
	over := overTCP
	switch {
	case len(l.udp) == 0:
		over = overTLS
	case s.batched():
		for _, conn := range l.udp {
			group.Go(s.batchLoop(ctx, conn, l.any, s.counter()))
		}
		l.udp = nil // each loop closes its own
	default:
		for range runtime.GOMAXPROCS(0) {
			c := s.counter()
			group.Go(func() error { return s.serveUDP(ctx, l.udp[0], c) })
		}
	}
	group.Go(func() error {
		<-ctx.Done()
		s.seats.close()
		return l.close()
	})
	group.Go(func() error { return s.serveStreams(ctx, l.tcp, over) })
}

func (s *Server) batched() bool { return batches && s.config.Fast == FastAuto }

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
	return &responder{
		table: &s.table, udpSize: s.config.UDPSize, identity: s.config.Identity, version: s.config.Version, stale: &s.stale,
		ecs: s.rules, cookies: s.cookies, idle: s.config.TCPIdle,
	}
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
		start, ok := s.proxies.strip(buf[:n], &a.from)
		if !ok {
			s.seats.away[awayProxy].Add(1)
			continue
		}
		a.begin()
		size, _ := a.respond(buf[start:], n-start)
		c.add(a)
		if size == 0 {
			continue
		}
		if _, err := dns.WriteToSessionUDP(conn, buf[start:start+size], session); err != nil {
			s.opts.Log.Debug().Err(err).Stringer("client", session.RemoteAddr()).Msg("an answer could not be sent")
		}
	}
}
