package authority

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Room of a connection: for queries, at first, and for answers that wait for
// those of queries that came with theirs.
const (
	queryRoom  = 1 << 11
	answerRoom = 1 << 14
)

// Room that the system has for a connection: what a client can make it keep by
// sending without reading.
const (
	streamReadRoom  = 1 << 15
	streamWriteRoom = 1 << 17
)

// defaultBegin bounds what comes before the first query: a PROXY header, and the
// TLS handshake.
const defaultBegin = 5 * time.Second

// serveStreams accepts connections, as many at once as the config allows.
func (s *Server) serveStreams(ctx context.Context, l *net.TCPListener, over transport) error {
	var open sync.WaitGroup
	defer open.Wait()
	for faults := 0; ; {
		conn, err := l.AcceptTCP()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			// Out of descriptors, perhaps through no fault of ours, is no end.
			out := errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
			if out && !s.seats.shed(time.Now()) && faults == 0 {
				s.opts.Log.Error().Err(err).Msg("no connection can be accepted, and none is idle")
			}
			if faults++; !out && faults > maxFaults || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept connections on %s: %w", l.Addr(), err)
			}
			if !pause(ctx, 10*time.Millisecond) {
				return nil
			}
			continue
		}
		faults = 0
		c := &stream{s: s, tcp: conn, conn: conn, from: peerOf(conn.RemoteAddr(), over)}
		client := c.from.addr
		if s.proxies.trust(client) {
			c.proxied, client = true, netip.Addr{}
		}
		if c.seat = s.seats.take(conn, over, client, time.Now()); c.seat == nil {
			conn.Close() //nolint:errcheck // it is refused
			continue
		}
		open.Go(func() {
			defer s.seats.leave(c.seat)
			defer func() { c.conn.Close() }() //nolint:errcheck // both sides are done
			if c.begin(ctx) {
				c.serve()
			}
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

// stream is one connection. While nothing comes it holds no room: what a query
// needs is taken when it is there.
type stream struct {
	s       *Server
	tcp     *net.TCPConn
	conn    net.Conn // over tcp, or that itself
	seat    *seat
	from    peer
	proxied bool // a PROXY header comes first
	head    [1]byte
	wait    *waiter // nil: the system waits with room only
}

// begin reads what comes before the first query.
func (c *stream) begin(ctx context.Context) bool {
	s := c.s
	if !c.proxied && c.from.over != overTLS {
		c.wait = newWaiter(c.tcp, &s.queryRooms)
		return true
	}
	if c.tcp.SetDeadline(time.Now().Add(s.beginWithin)) != nil {
		return false
	}
	if c.proxied {
		addr, err := readProxied(c.tcp)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) { // a check whether the port is open
				s.seats.away[awayProxy].Add(1)
				s.opts.Log.Debug().Err(err).Stringer("proxy", c.from.addr).Msg("a proxy's connection is refused")
			}
			return false
		}
		if addr.IsValid() {
			c.from.addr, c.from.port = addr.Addr(), addr.Port()
		}
		if !s.seats.claim(c.seat, c.from.addr, time.Now()) {
			return false
		}
	}
	if c.from.over == overTLS {
		secure := tls.Server(c.tcp, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.seats.away[awayHandshake].Add(1)
				s.opts.Log.Debug().Err(err).Stringer("client", c.from.addr).Msg("no TLS session was made")
			}
			return false
		}
		c.conn = secure
	} else {
		c.wait = newWaiter(c.tcp, &s.queryRooms)
	}
	return s.seats.start(c.seat, time.Now())
}

// serve answers the queries of the connection until the client ends it or sends
// what is no query, or the seat is taken. What came at once is answered at once.
// Answers go in the order of their queries (RFC 7766, section 7 allows any): each
// is made from memory, without waiting for anything, so that no query is held up
// by one before it.
func (c *stream) serve() {
	for {
		room, have := c.first()
		if room == nil || !c.converse(room, have) {
			return
		}
	}
}

// first waits for what comes next, and returns it in room that is taken only
// then; nil: nothing comes.
func (c *stream) first() (room *[]byte, have int) {
	if c.wait != nil {
		return c.wait.read()
	}
	n, err := c.conn.Read(c.head[:])
	if n == 0 || err != nil && !errors.Is(err, io.EOF) {
		return nil, 0
	}
	room = c.s.queryRooms.Get().(*[]byte)
	return room, copy(*room, c.head[:n])
}

// converse answers what has come until nothing is left over. It returns false
// when the connection is to end.
func (c *stream) converse(room *[]byte, have int) bool {
	in := *room
	defer func() {
		if len(in) == queryRoom { // what has grown is not kept
			c.s.queryRooms.Put(room)
		}
	}()
	for {
		for wholeMessage(in[:have]) < 0 {
			if c.s.proxies.forged(in[:have]) {
				c.s.seats.away[awayProxy].Add(1)
				return false
			}
			// Room grows as the message comes: announcing one costs its sender
			// more than two bytes.
			if have == len(in) {
				in = append(in, make([]byte, len(in))...)
			}
			n, err := c.conn.Read(in[have:])
			if n == 0 && err != nil {
				return false
			}
			have += n
		}
		rest, ok := c.answer(in[:have])
		if !ok {
			return false
		}
		if have = copy(in, rest); have == 0 {
			return true
		}
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

// desk is what answering takes. It belongs to a connection only while it
// answers.
type desk struct {
	a   *answerer
	c   counter
	out []byte
}

func (s *Server) desk(from peer) *desk {
	d, _ := s.desks.Get().(*desk)
	if d == nil {
		d = &desk{a: s.answerer(), c: counter{codes: s.rcodes.block()}}
	}
	d.a.from = from
	d.a.begin()
	return d
}

// clear gives the desk back.
func (s *Server) clear(d *desk) {
	d.c.add(d.a)
	if d.out = d.out[:0]; cap(d.out) > 2*answerRoom {
		d.out = nil
	}
	s.desks.Put(d)
}

// answer answers all whole messages, and returns what follows them. It returns
// false when the connection is to end. All writes together may take the idle
// time, since nothing is heard of the client meanwhile.
func (c *stream) answer(in []byte) (rest []byte, ok bool) {
	c.s.seats.hear(c.seat, time.Now())
	d := c.s.desk(c.from)
	ok = true
	for n := wholeMessage(in); n >= 0 && ok; n = wholeMessage(in) {
		if d.out, ok = d.a.appendAnswer(d.out, in[2:2+n]); len(d.out) > answerRoom {
			if !c.send(d) {
				return nil, false
			}
			d = c.s.desk(c.from) // what was sent may have taken long
		}
		in = in[2+n:]
	}
	return in, c.send(d) && ok
}

// send sends what is on the desk, and clears it. A client that does not read
// holds what it does not read, and no more.
func (c *stream) send(d *desk) bool {
	sent, err := 0, error(nil)
	if c.wait != nil && len(d.out) > 0 {
		sent, err = c.wait.write(d.out)
	}
	if sent == len(d.out) || err != nil {
		c.s.clear(d)
		return err == nil
	}
	left := bytes.Clone(d.out[sent:])
	c.s.clear(d)
	_, err = c.conn.Write(left)
	return err == nil
}
