package authority

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// quick answers the usual queries from prepacked bytes: it parses in place,
// takes no lock and allocates nothing. What it does not know it leaves to the
// responder, whose answers it equals byte for byte; they share the table and
// nothing else. It serves one goroutine only.
type quick struct {
	table   *atomic.Pointer[Table]
	udpSize int
	// named says that the server tells who it is to who asks, stale why its
	// services' answers may be old, if they may: both is the general path's.
	named bool
	stale *atomic.Pointer[string]
	// from is who asks, and udp says that it is over UDP.
	from *peer
	udp  bool
	// cookies is nil where they are off. ours is the cookie that goes back, where
	// one came, and valid says of what kind that was.
	cookies *cookies
	ours    [ourCookie]byte
	baked   bool
	valid   bool
	// draw makes random numbers; nil: a good source.
	draw  func() uint64
	clock clock
	// memo is nil where nothing is remembered; drawn says that the answer was one
	// of several, and the next is another.
	memo  *memo
	drawn bool
	// asked is the query that is answered. A loop that reads many ahead says which.
	asked *quickQuery
	was   outcome
}

// quickQuery is a query as the fast path reads it.
type quickQuery struct {
	question
	ahead bool   // it has been read ahead of its answer
	usual bool   // it may be answered here
	place uint64 // of the question, in the memo
}

// clock is the time of a batch of queries that came at once: it is asked once,
// if anybody wants to know.
type clock struct{ at time.Time }

func (c *clock) now() time.Time {
	if c.at.IsZero() {
		c.at = time.Now()
	}
	return c.at
}

// begin begins a batch.
func (f *quick) begin() { f.clock = clock{} }

// respond replaces the query in the first n bytes of buf by its answer, and
// returns the answer's length; 0, and the query as it was, for one that it
// leaves to the general path.
func (f *quick) respond(buf []byte, n int, udp bool) int {
	if f.asked == nil {
		f.asked = new(quickQuery)
	}
	q := f.asked
	if !q.ahead {
		f.read(buf[:n])
	}
	q.ahead = false
	if !q.usual || q.nsid && f.named || q.pads && f.from.over == overTLS {
		return 0
	}
	limit := min(dns.MaxMsgSize-1, len(buf))
	if f.udp = udp; udp {
		limit = minUDPSize
		if q.edns {
			limit = min(max(int(q.udp), minUDPSize), f.udpSize)
		}
	}
	if f.baked, f.valid = false, false; f.cookies != nil && q.cookie.size >= 0 {
		if q.cookie.malformed() {
			return 0
		}
		f.ours, f.valid = f.cookies.answer(&q.cookie, f.from.addr, f.clock.now())
		f.baked = true
	}
	f.was = outcome{}
	if f.cookies.withheld(udp, f.valid) {
		return f.withhold(buf, limit)
	}
	t := f.table.Load()
	if f.memo == nil {
		return f.lookUp(t, buf, limit)
	}
	e := f.memo.find(t, &q.question, q.place)
	if e == nil || q.edns && e.steered && f.isStale() {
		return f.lookUp(t, buf, limit)
	}
	if allow := e.zone.allow; allow != nil && !allow.have(f.from.addr) {
		f.was = outcome{zone: e.zone}
		return f.prohibit(buf, limit)
	}
	f.was = e.outcome()
	return f.positive(buf, limit, e.data[:e.wire], e.records)
}

// read reads a query, and says where the memo may have its answer.
func (f *quick) read(packet []byte) {
	q := f.asked
	if q.usual = q.question.read(packet); q.usual && f.memo != nil {
		q.place = f.memo.hash(&q.question)
	}
}

// isStale says that the services' answers may be old.
func (f *quick) isStale() bool { return f.stale != nil && f.stale.Load() != nil }

// lookUp answers from the table, and lets the memo keep the answer.
func (f *quick) lookUp(t *Table, buf []byte, limit int) int {
	q := &f.asked.question
	z, below := t.zoneIn(q)
	f.was = outcome{zone: z}
	allow := t.allow
	if z != nil {
		allow = z.allow
	}
	switch {
	case allow != nil && !allow.have(f.from.addr):
		return f.prohibit(buf, limit)
	case z == nil:
		return f.finish(buf, limit, dns.RcodeRefused, nil)
	}
	at := z.locate(q, below)
	if at.closest.cut != "" || at.node != at.closest && at.closest.get(dns.TypeDNAME) != nil {
		return 0
	}
	if at.node == nil {
		return f.negative(buf, limit, z, below, dns.RcodeNameError)
	}
	f.was.node = at.node
	p, exists := f.pick(t, at.node)
	if !exists {
		return f.negative(buf, limit, z, below, dns.RcodeSuccess)
	}
	if p == nil || p.wire == nil || at.node != at.closest && !p.moves {
		return 0
	}
	if q.edns && p.steered && (p.why != nil || f.isStale()) {
		return 0
	}
	f.was.pick = p
	if f.memo != nil && !f.drawn {
		f.memo.keep(q, f.asked.place, f.was)
	}
	size := f.positive(buf, limit, p.wire, p.records)
	if size > 0 && buf[2]&flagTruncated == 0 && len(p.ttls) > 0 {
		ttl := p.TTL(f.clock.now())
		for _, at := range p.ttls {
			binary.BigEndian.PutUint32(buf[q.end+int(at):], ttl)
		}
	}
	return size
}

// zoneIn returns the zone with the longest apex at or above the name, or nil,
// and how many labels are below the apex.
func (t *Table) zoneIn(q *question) (*zone, int) {
	for i := range q.count {
		if t.depths[q.count-i] {
			if z := t.zones[key(q.key(i))]; z != nil {
				return z, i
			}
		}
	}
	return nil, 0
}

// position is where a name is in a zone: its node or, of a name that does not
// exist, its closest encloser; and the node that answers, nil for none.
type position struct{ closest, node *node }

// locate finds the name, which is so many labels below the apex.
func (z *zone) locate(q *question, below int) position {
	if n := z.findBytes(q.key(0)); n != nil {
		return position{n, n}
	}
	for i := 1; ; i++ {
		n := z.findBytes(q.key(i)) // the apex, at the latest
		if n == nil && i < below {
			continue
		}
		return position{n, z.findBytes(q.starBelow(i))}
	}
}

// pick returns the RRset that the node answers with, nil where only the
// general path can tell, and whether there is any.
func (f *quick) pick(t *Table, n *node) (p *pick, exists bool) {
	if s := n.get(f.asked.typ); s != nil {
		return f.choose(s), true
	}
	if f.asked.typ == dns.TypeANY { // one RRset, that of the lowest type (RFC 8482, section 4.1)
		if len(n.sets) == 0 {
			return nil, false
		}
		return f.choose(n.sets[0]), true
	}
	s := n.get(dns.TypeCNAME)
	if s == nil {
		return nil, false
	}
	if p = f.choose(s); p == nil {
		return nil, true
	}
	if len(p.hosts) != 1 || t.zoneOf(p.hosts[0].key, false) != nil {
		return nil, true // the chain goes on
	}
	return p, true
}

// choose is nil where the answer depends on the client.
func (f *quick) choose(s *set) *pick {
	f.drawn = len(s.picks) > 1
	switch {
	case s.located != nil:
		return nil
	case !f.drawn:
		return &s.picks[0]
	case f.draw != nil:
		return s.choose(f.draw())
	}
	return s.choose(rand.Uint64()) // #nosec G404 -- of shares, not of secrets
}

// Flags of an answer's third byte.
const (
	flagResponse      = 0x80
	flagAuthoritative = 0x04
	flagRecursion     = 0x01
	flagTruncated     = 0x02
)

// finish writes the answer around the question, with the packed section
// behind it; the sections' counts are those of an answer without records.
func (f *quick) finish(buf []byte, limit, rcode int, section []byte) int {
	q := f.asked
	size := q.end + len(section)
	if q.edns {
		size += optSize
		if f.baked {
			size += cookieOption
		}
	}
	if size > limit || size > len(buf) {
		return 0
	}
	buf[2] = flagResponse | buf[2]&flagRecursion
	buf[3] = byte(rcode & 15)
	copy(buf[q.end:], section)
	if q.edns {
		opt := buf[q.end+len(section) : size]
		*(*[optSize]byte)(opt) = [optSize]byte{
			0, 0, byte(dns.TypeOPT), byte(f.udpSize >> 8), byte(f.udpSize), byte(rcode >> 4), 0, q.do, 0, 0, 0,
		}
		if f.baked {
			opt[optSize-1] = cookieOption
			*(*[4]byte)(opt[optSize:]) = [4]byte{0, dns.EDNS0COOKIE, 0, ourCookie}
			copy(opt[optSize+4:], f.ours[:])
		}
	}
	return size
}

// withhold is as that of the general path.
func (f *quick) withhold(buf []byte, limit int) int {
	if f.baked {
		return f.finish(buf, limit, dns.RcodeBadCookie, nil)
	}
	return f.truncated(buf, limit)
}

// truncated is an answer with TC in place of records.
func (f *quick) truncated(buf []byte, limit int) int {
	size := f.finish(buf, limit, dns.RcodeSuccess, nil)
	if size > 0 {
		buf[2] |= flagTruncated
	}
	return size
}

// positive is an answer with records, truncated where they do not fit over UDP
// (RFC 2181, section 9).
func (f *quick) positive(buf []byte, limit int, section []byte, records uint16) int {
	size := f.finish(buf, limit, dns.RcodeSuccess, section)
	if size == 0 && f.udp {
		size, records = f.truncated(buf, limit), 0
	}
	if size == 0 {
		return 0
	}
	buf[2] |= flagAuthoritative
	binary.BigEndian.PutUint16(buf[6:], records)
	return size
}

func (f *quick) negative(buf []byte, limit int, z *zone, below, rcode int) int {
	q, n := f.asked, &z.none
	if n.wire == nil {
		return 0
	}
	if below > 0 && len(n.avoid) > 0 {
		label := q.name[q.labels[below-1]+1 : q.labels[below]]
		for _, a := range n.avoid {
			if a == string(label) {
				return 0
			}
		}
	}
	size := f.finish(buf, limit, rcode, n.wire)
	if size == 0 {
		return 0
	}
	buf[2] |= flagAuthoritative
	buf[9] = 1
	longer := uint16(q.size - len(z.apex)) // #nosec G115 -- below maxName
	for _, at := range n.pointers {
		pointer := buf[q.end+int(at):]
		binary.BigEndian.PutUint16(pointer, binary.BigEndian.Uint16(pointer)+longer)
	}
	return size
}
