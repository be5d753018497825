package authority

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxChain is how many CNAME records one answer follows.
const maxChain = 10

// Query is what a table is asked.
type Query struct {
	// Name is the question's name, As the spelling that the answer gives it.
	Name key
	As   string
	Type uint16
	Now  time.Time
	// Draw is a random number; weighted sets are chosen by it.
	Draw uint64
	// Client is the address, or the network's first address, that the answer is
	// for; the zero Addr is nobody's.
	Client netip.Addr
	// From is who asks; the zero Addr may ask only what everybody may.
	From netip.Addr
}

// Reply is a table's answer. It refers to the table's own records, which must
// not be changed. Reset makes it ready for the next Lookup without allocation.
type Reply struct {
	Rcode         int
	Authoritative bool
	// Zone is the apex of the zone that answered, "" for none.
	Zone key
	was  outcome

	Answer, Authority, Additional []Part
	// Prohibited says that it is refused to this client, not to everybody.
	Prohibited bool
	// Glue is how many of Additional's first parts are glue of a referral,
	// without which the answer is truncated (RFC 9471).
	Glue int
	// Tailored says that the answer depends on the client, Scope of how many bits
	// of its address: all clients that share them get the same.
	Tailored bool
	Scope    int
	// why is told of an answer that failed.
	why *why
}

// Part is one RRset of a reply.
type Part struct {
	pick *pick
	// TTL is in seconds.
	TTL uint32
	// Owner is the name to give the records, in presentation form.
	Owner string
}

// Reset empties the reply.
func (r *Reply) Reset() {
	*r = Reply{Answer: r.Answer[:0], Authority: r.Authority[:0], Additional: r.Additional[:0]}
}

// fail makes the reply a failure, whatever led to it: half an answer would be
// taken for the whole.
func (r *Reply) fail(why *why) {
	tailored, scope, zone := r.Tailored, r.Scope, r.Zone
	r.Reset()
	r.Rcode, r.why, r.Zone = dns.RcodeServerFailure, why, zone
	r.Tailored, r.Scope = tailored, scope
}

// Lookup answers the query by RFC 1034, section 4.3.2, with wildcards as RFC
// 4592 and DNAME as RFC 6672 has them. A name in no zone is refused.
//
// ANY is answered with one RRset, that of the lowest type number (RFC 8482,
// section 4.1). Records of an RRset come in a fixed order, by their data.
func (t *Table) Lookup(q Query, r *Reply) {
	r.Reset()
	z := t.zoneFor(q.Name, q.Type)
	if z == nil {
		r.Rcode, r.Prohibited = dns.RcodeRefused, !t.allow.have(q.From)
		return
	}
	r.Zone, r.was.zone = z.apex, z
	if !z.allow.have(q.From) {
		r.Rcode, r.Prohibited = dns.RcodeRefused, true
		return
	}
	// A chain ends where another zone is not for this client.
	for at := (host{q.Name, q.As}); z != nil && z.allow.have(q.From); z = t.zoneFor(at.key, q.Type) {
		next := z.step(at, q, r)
		if r.was.pick == nil && len(r.Answer) > 0 {
			r.was.pick = r.Answer[0].pick
		}
		if next == nil {
			return
		}
		at = *next
		q.Draw = redraw(q.Draw)
	}
}

// zoneFor returns the zone that answers for the name: the parent's for DS,
// unless it is not here; then the child says NODATA (RFC 4035, 3.1.4.1).
func (t *Table) zoneFor(name key, typ uint16) *zone {
	if typ == dns.TypeDS {
		if z := t.zoneOf(name, true); z != nil {
			return z
		}
	}
	return t.zoneOf(name, false)
}

// redraw makes another random number of one (the finalizer of SplitMix64), so
// that the choices along a chain are independent.
func redraw(draw uint64) uint64 {
	draw += 0x9e3779b97f4a7c15
	draw = (draw ^ draw>>30) * 0xbf58476d1ce4e5b9
	draw = (draw ^ draw>>27) * 0x94d049bb133111eb
	return draw ^ draw>>31
}

// step answers for one name in one zone. It returns the name to go on with
// where the answer was a CNAME.
func (z *zone) step(at host, q Query, r *Reply) *host {
	n, exact := z.closest(at.key)
	if n.cut != "" && (q.Type != dns.TypeDS || at.key != n.cut) {
		r.from(z.base[n.cut])
		z.refer(n.cut, q, r)
		return nil
	}
	r.Authoritative = true
	if !exact {
		if s := n.get(dns.TypeDNAME); s != nil {
			r.from(n)
			return rewrite(&s.picks[0], at, q, r)
		}
		if n = z.wildcard(at.key); n == nil {
			r.Rcode = dns.RcodeNameError
			z.negative(r)
			return nil
		}
	}
	r.from(n)
	return z.answer(n, at, q, r)
}

// from notes what answers, of the first name of a chain.
func (r *Reply) from(n *node) {
	if len(r.Answer) == 0 {
		r.was.node = n
	}
}

// answer puts the node's set into the reply, and returns the next name of a
// CNAME chain.
func (z *zone) answer(n *node, at host, q Query, r *Reply) *host {
	s := n.get(q.Type)
	if s == nil && q.Type == dns.TypeANY {
		s = n.any(q, r)
	}
	if s != nil {
		s = s.at(q, r)
	}
	if s == nil {
		if s = n.get(dns.TypeCNAME); s != nil {
			s = s.at(q, r)
		}
		if s != nil {
			return chain(s.choose(q.Draw), at.text, q, r)
		}
		z.negative(r)
		return nil
	}
	p := s.choose(q.Draw)
	if p.unknown() {
		r.fail(p.why)
		return nil
	}
	r.Answer = append(r.Answer, Part{pick: p, TTL: p.TTL(q.Now), Owner: at.text})
	switch s.typ {
	case dns.TypeNS, dns.TypeMX, dns.TypeSRV:
		z.additional(p, s.typ == dns.TypeNS, q, r)
	case dns.TypeSVCB, dns.TypeHTTPS:
		z.targets(p, at, q, r)
	}
	return nil
}

// any returns the set of the lowest type that the client can get, or nil.
func (n *node) any(q Query, r *Reply) *set {
	for _, s := range n.sets {
		if s.at(q, r) != nil {
			return s
		}
	}
	return nil
}

// chain adds a CNAME, and returns its target unless the chain already has the
// record: a loop.
func chain(p *pick, owner string, q Query, r *Reply) *host {
	aliases := 0
	for _, part := range r.Answer {
		if part.pick == p && strings.EqualFold(part.Owner, owner) {
			return nil
		}
		if part.pick.rrs[0].Header().Rrtype == dns.TypeCNAME {
			aliases++
		}
	}
	r.Answer = append(r.Answer, Part{pick: p, TTL: p.TTL(q.Now), Owner: owner})
	if aliases == maxChain {
		return nil
	}
	return &p.hosts[0]
}

// closest returns the node of the name, or of its closest encloser (RFC 4592,
// section 2.2.1), and whether it is the name's own.
func (z *zone) closest(name key) (*node, bool) {
	if n := z.find(name); n != nil {
		return n, true
	}
	for {
		name = name[1+int(name[0]):]
		if n := z.find(name); n != nil {
			return n, false
		}
	}
}

// wildcard returns the source of synthesis for a name that does not exist:
// "*" below its closest encloser (RFC 4592, section 3.3.1), or nil.
func (z *zone) wildcard(name key) *node {
	for {
		label := 1 + int(name[0])
		name = name[label:]
		if z.find(name) == nil {
			continue
		}
		if len(name)+2 > maxName {
			return nil
		}
		var buf [maxName]byte
		buf[0], buf[1] = 1, '*'

		return z.findBytes(buf[:2+copy(buf[2:], name)])
	}
}

// refer puts a delegation into the reply: the cut's NS set and its glue. The
// reply is not authoritative, unless a CNAME before it is.
func (z *zone) refer(cut key, q Query, r *Reply) {
	n := z.base[cut]
	p := &n.get(dns.TypeNS).picks[0]
	r.Authority = append(r.Authority, Part{pick: p, TTL: p.ttl, Owner: p.rrs[0].Header().Name})
	z.additional(p, true, q, r)
	r.Glue = len(r.Additional)
}

// negative puts the SOA into the authority section (RFC 2308, section 2).
func (z *zone) negative(r *Reply) {
	p := &z.soa.picks[0]
	r.Authority = append(r.Authority, Part{pick: p, TTL: p.ttl, Owner: p.rrs[0].Header().Name})
}

// additional adds the addresses of the pick's hosts, as far as this zone has
// them. With glue, addresses below a delegation count too.
func (z *zone) additional(p *pick, glue bool, q Query, r *Reply) {
	for i := range p.hosts {
		q.Draw = redraw(q.Draw + uint64(i))
		z.describe(p.hosts[i], glue, dns.TypeNone, q, r)
	}
}

// describe adds what the zone says of one host: its addresses and, if typ is
// one, its set of that type.
func (z *zone) describe(h host, glue bool, typ uint16, q Query, r *Reply) {
	if !h.key.within(z.apex) {
		return
	}
	n, exact := z.closest(h.key)
	if n.cut != "" && !glue {
		return
	}
	if !exact {
		if n = z.wildcard(h.key); n == nil {
			return
		}
	}
	for _, s := range n.sets {
		// What depends on the client is no additional data, which caches tie to
		// no network (RFC 7871, section 7.4).
		if (s.typ == dns.TypeA || s.typ == dns.TypeAAAA || s.typ == typ) && s.located == nil {
			a := s.choose(q.Draw)
			if a.unknown() {
				continue
			}
			r.Additional = append(r.Additional, Part{pick: a, TTL: a.TTL(q.Now), Owner: h.text})
		}
	}
}
