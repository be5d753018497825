package authority

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	group.Go(func() error {
		<-ctx.Done()
		return l.close()
	})
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error { return s.serveUDP(ctx, l.udp) })
	}
	group.Go(func() error { return s.serveTCP(ctx, l.tcp) })
}

func (s *Server) responder() *responder {
	return &responder{table: &s.table, udpSize: s.config.UDPSize, identity: s.config.Identity, version: s.config.Version, stale: &s.stale, given: s.rcodes.block(), ecs: s.rules}
}

// safely is respond for packets from outside: should a query find a fault in
// the parsing of it, that query fails and the server goes on.
func (s *Server) safely(r *responder, packet, buf []byte, udp bool) (out []byte) {
	defer func() {
		if fault := recover(); fault != nil {
			s.opts.Log.Error().Interface("fault", fault).Hex("query", packet).Msg("a query could not be answered")
			*r = *s.responder()
			out = headerOnly(packet, buf, dns.RcodeServerFailure)
			r.given.add(out)
		}
	}()
	if out = r.respond(packet, buf, udp); out != nil {
		r.given.add(out)
	}
	return out
}

// maxFaults is how many errors in a row end a loop.
const maxFaults = 1000

func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn) error {
	r := s.responder()
	in, out := make([]byte, dns.MaxMsgSize), make([]byte, dns.MaxMsgSize)
	for faults := 0; ; {
		n, session, err := dns.ReadFromSessionUDP(conn, in)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			// The socket also tells of answers that nobody took.
			if faults++; faults > maxFaults || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("read queries on %s: %w", conn.LocalAddr(), err)
			}
			continue
		}
		faults = 0
		r.source = addressOf(session.RemoteAddr())
		answer := s.safely(r, in[:n], out, true)
		if answer == nil {
			continue
		}
		if _, err := dns.WriteToSessionUDP(conn, answer, session); err != nil {
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

// serveConn answers the queries of one connection in their order (RFC 7766,
// section 7 allows any) until the client ends it, is silent for the idle time,
// or sends what is no query.
func (s *Server) serveConn(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // both sides are done
	r := s.responder()
	var size [2]byte
	in := make([]byte, 0, minUDPSize)
	out := make([]byte, 2+dns.MaxMsgSize)
	for {
		// One deadline for a whole message: a client that sends a byte at a
		// time holds its seat no longer than a silent one.
		if conn.SetDeadline(time.Now().Add(s.config.TCPIdle)) != nil {
			return
		}
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(size[:]))
		if cap(in) < n {
			in = make([]byte, 0, n)
		}
		if _, err := io.ReadFull(conn, in[:n]); err != nil {
			return
		}
		r.source = addressOf(conn.RemoteAddr())
		answer := s.safely(r, in[:n], out[2:], false)
		if answer == nil {
			return
		}
		packet := append(binary.BigEndian.AppendUint16(out[:0], uint16(len(answer))), answer...) // #nosec G115 -- respond bounds it
		if _, err := conn.Write(packet); err != nil {
			return
		}
	}
}

// addressOf returns the IP address of a peer, without its port and zone.
func addressOf(peer net.Addr) netip.Addr {
	switch a := peer.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
