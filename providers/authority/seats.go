package authority

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A connection gives its seat to a new one after having been silent for
// patience; before that it may be one that is just being made. How long it has
// been silent is told within grain, so that a busy one rarely takes the lock.
const (
	patience = time.Second
	grain    = 10 * time.Millisecond
)

// Of IPv6 a client is its network of so many bits: a host has all of one.
const clientBits6 = 56

// seats are those of the connections of a server, over TCP and over TLS. There
// are so many for all, and so many for each client. Where they are short the
// connection that has been silent longest gives way (RFC 7766, section 6.2.3;
// RFC 9210, section 4.2): of the client's own at its limit, else of all. Only
// where none has been silent for long is the new one refused. Silent is what has
// sent no whole query: one who sends a byte at a time is no better off.
type seats struct {
	most, each int
	patience   time.Duration
	grain      time.Duration
	began      time.Time

	mu      sync.Mutex
	closed  bool
	all     queue
	clients map[netip.Prefix]*client
	open    [transports]int
	away    [reasons]atomic.Uint64
}

// client is who has seats.
type client struct {
	network netip.Prefix
	seats   queue
}

// seat is one connection's. Only the connection's own loop calls seats with it.
type seat struct {
	conn   net.Conn
	over   transport
	client *client // nil: not known yet
	heard  time.Duration
	begun  bool // it has no other deadline
	gone   bool
	// The places in the queue of all, and in that of the client.
	among, own link
}

func newSeats(most, each int) *seats {
	g := &seats{most: most, each: each, patience: patience, grain: grain, began: time.Now(), clients: make(map[netip.Prefix]*client)}
	g.all.init()
	return g
}

// networkOf is the client that an address belongs to.
func networkOf(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = clientBits6
	}
	p, _ := a.Prefix(bits) // the bits are the address's
	return p
}

// take seats a new connection; nil: there is no seat for it. The client is not
// valid where it is to be told by claim.
func (g *seats) take(conn net.Conn, over transport, from netip.Addr, at time.Time) *seat {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	s := &seat{conn: conn, over: over, heard: at.Sub(g.began), begun: over == overTCP && from.IsValid()}
	s.among.of, s.own.of = s, s
	if from.IsValid() && !g.admit(s, networkOf(from), s.heard) {
		return nil
	}
	if g.all.size >= g.most && !g.giveWay(&g.all, s.heard) {
		g.forget(s)
		g.away[awayFull].Add(1)
		return nil
	}
	g.all.push(&s.among)
	g.open[over]++
	return s
}

// claim tells whose the connection is, as it has said at this time; false: that
// client has too many.
func (g *seats) claim(s *seat, from netip.Addr, at time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.gone || !g.admit(s, networkOf(from), at.Sub(g.began)) {
		return false
	}
	s.heard = at.Sub(g.began)
	g.all.remove(&s.among)
	g.all.push(&s.among)
	return true
}

// admit counts the seat among its client's.
func (g *seats) admit(s *seat, network netip.Prefix, now time.Duration) bool {
	c := g.clients[network]
	if c != nil && c.seats.size >= g.each && !g.giveWay(&c.seats, now) {
		g.away[awayClient].Add(1)
		return false
	}
	if c = g.clients[network]; c == nil { // it may have had only the one that went
		c = &client{network: network}
		c.seats.init()
		g.clients[network] = c
	}
	s.client = c
	c.seats.push(&s.own)
	return true
}

// giveWay closes the queue's connection that has been silent longest, if that
// is long enough.
func (g *seats) giveWay(q *queue, now time.Duration) bool {
	s := q.first()
	if s == nil || now-s.heard < g.patience {
		return false
	}
	g.remove(s)
	g.away[awayIdle].Add(1)
	s.conn.Close() //nolint:errcheck // its loop sees that
	return true
}

// shed closes the connection that has been silent longest, if that is long
// enough, and reports whether there was one.
func (g *seats) shed(at time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.giveWay(&g.all, at.Sub(g.began))
}

// hear says that the connection has sent something whole at this time.
func (g *seats) hear(s *seat, at time.Time) {
	if now := at.Sub(g.began); now-s.heard >= g.grain {
		g.keep(s, now)
	}
}

// keep notes when the connection was heard; false: it has no seat any more.
func (g *seats) keep(s *seat, now time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.heard, s.begun = now, true
	if s.gone {
		return false
	}
	g.all.remove(&s.among)
	g.all.push(&s.among)
	if s.client != nil {
		s.client.seats.remove(&s.own)
		s.client.seats.push(&s.own)
	}
	return true
}

// start ends the deadline of what comes before the first query, so that the
// connection may be silent from this time on; false: it has no seat any more.
func (g *seats) start(s *seat, at time.Time) bool {
	return s.conn.SetDeadline(time.Time{}) == nil && g.keep(s, at.Sub(g.began))
}

// retire ends the connections that have been silent for so long, until ctx ends;
// those that have not begun have a deadline of their own. It has one timer: with
// one for each connection, Go's scheduler would go through all of them whenever
// some timer of the process is set anew.
func (g *seats) retire(ctx context.Context, idle time.Duration) {
	for pause(ctx, g.expire(time.Now(), idle)) {
	}
}

// expire ends those that have been silent for so long at this time, and returns
// when to look again.
func (g *seats) expire(at time.Time, idle time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := at.Sub(g.began)
	for l := g.all.root.next; l != &g.all.root; {
		s := l.of
		if l = l.next; !s.begun {
			continue
		}
		if left := s.heard + idle - now; left > 0 {
			return max(left, g.grain)
		}
		g.remove(s)
		s.conn.SetDeadline(at) //nolint:errcheck // it is closed already, then: its loop sees either
	}
	return max(idle, g.grain)
}

// leave gives the seat back.
func (g *seats) leave(s *seat) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(s)
}

func (g *seats) remove(s *seat) {
	if s.gone {
		return
	}
	s.gone = true
	g.all.remove(&s.among)
	g.open[s.over]--
	g.forget(s)
}

// forget takes the seat from its client.
func (g *seats) forget(s *seat) {
	c := s.client
	if c == nil {
		return
	}
	c.seats.remove(&s.own)
	if c.seats.size == 0 {
		delete(g.clients, c.network)
	}
}

// close closes all connections, and those that come yet.
func (g *seats) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for l := g.all.root.next; l != &g.all.root; l = l.next {
		l.of.conn.Close() //nolint:errcheck // its loop sees that
	}
}

// queue is a list of seats; in front is what has been silent longest.
type queue struct {
	root link
	size int
}

// link is a seat's place in a queue.
type link struct {
	prev, next *link
	of         *seat
}

func (q *queue) init() { q.root.prev, q.root.next = &q.root, &q.root }

func (q *queue) first() *seat { return q.root.next.of }

func (q *queue) push(l *link) {
	l.prev, l.next = q.root.prev, &q.root
	l.prev.next, q.root.prev = l, l
	q.size++
}

func (q *queue) remove(l *link) {
	l.prev.next, l.next.prev = l.next, l.prev
	l.prev, l.next = nil, nil
	q.size--
}

// reason is why somebody was turned away.
type reason int

const (
	awayFull      reason = iota // no seat was free, and no connection idle
	awayClient                  // its client had too many, none of them idle
	awayIdle                    // it was idle, and gave its seat to another
	awayHandshake               // no TLS session was made with it
	awayProxy                   // no PROXY header where one must be, or one where none may be
	reasons
)

// TurnedAway counts, since the start, the connections that were refused or
// closed by a limit, and those and the datagrams that were refused for their
// PROXY header, by reason: full, client, idle, handshake, proxy.
func (s *Server) TurnedAway() map[string]uint64 {
	out := make(map[string]uint64, reasons)
	for r, name := range [reasons]string{"full", "client", "idle", "handshake", "proxy"} {
		out[name] = s.seats.away[r].Load()
	}
	return out
}

// Connections are how many are open, over TCP and over TLS.
func (s *Server) Connections() (tcp, tls int) {
	s.seats.mu.Lock()
	defer s.seats.mu.Unlock()
	return s.seats.open[overTCP], s.seats.open[overTLS]
}

// spareDescriptors are for all else that a process with an authority opens.
const spareDescriptors = 256

// fitSeats says when the system does not let this process have as many
// connections as the config does, and makes do with fewer: out of descriptors,
// no connection could be accepted, nor a file be read.
func (s *Server) fitSeats(limit uint64) {
	g := s.seats
	if limit == 0 || limit >= uint64(g.most)+spareDescriptors { // #nosec G115 -- Config.Check bounds it
		return
	}
	most := max(int(limit)-spareDescriptors, int(limit)/2, 1) // #nosec G115 -- below a bound
	s.opts.Log.Warn().Uint64("open_files", limit).Int("tcp_connections", g.most).Int("connections", most).
		Msgf("the system lets this process open %d files, which is too few for tcp_connections: raise its limit to %d or more (LimitNOFILE= of the unit, ulimit -n), or lower tcp_connections; until then fewer connections are open at once",
			limit, g.most+spareDescriptors)
	g.most = most
}
