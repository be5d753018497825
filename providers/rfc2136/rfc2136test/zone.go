package rfc2136test

import (
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// zone is a zone's sets by name and type.
type zone struct {
	name string
	sets map[string]map[uint16][]dns.RR
}

func newZone(name string) *zone {
	z := &zone{name, map[string]map[uint16][]dns.RR{}}
	h := dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: 60}
	soa := &dns.SOA{Hdr: h, Ns: "ns." + name, Mbox: "hostmaster." + name, Serial: 1, Refresh: 60, Retry: 60, Expire: 600, Minttl: 5}
	soa.Hdr.Rrtype = dns.TypeSOA
	ns := &dns.NS{Hdr: h, Ns: "ns." + name}
	ns.Hdr.Rrtype = dns.TypeNS
	z.add(soa)
	z.add(ns)
	return z
}

func (z *zone) clone() *zone {
	c := &zone{z.name, map[string]map[uint16][]dns.RR{}}
	for name, types := range z.sets {
		c.sets[name] = map[uint16][]dns.RR{}
		for typ, rrs := range types {
			c.sets[name][typ] = slices.Clone(rrs)
		}
	}
	return c
}

func (z *zone) soa() *dns.SOA { return z.sets[z.name][dns.TypeSOA][0].(*dns.SOA) }

// add adds a record, or does nothing where it cannot stand beside what there is
// (RFC 2136, section 3.4.2.2). It reports whether the zone changed.
func (z *zone) add(rr dns.RR) bool {
	h := rr.Header()
	name := providers.CanonicalName(h.Name)
	types := z.sets[name]
	_, alias := types[dns.TypeCNAME]
	if h.Rrtype == dns.TypeCNAME && len(types) > 0 && !alias || h.Rrtype != dns.TypeCNAME && alias {
		return false
	}
	if types == nil {
		types = map[uint16][]dns.RR{}
		z.sets[name] = types
	}
	rr = dns.Copy(rr)
	switch old := slices.IndexFunc(types[h.Rrtype], func(o dns.RR) bool { return dns.IsDuplicate(o, rr) }); {
	case h.Rrtype == dns.TypeCNAME || h.Rrtype == dns.TypeSOA:
		types[h.Rrtype] = []dns.RR{rr}
	case old >= 0:
		types[h.Rrtype][old] = rr
	default:
		types[h.Rrtype] = append(types[h.Rrtype], rr)
	}
	return true
}

// remove deletes a set, or all of a name for ANY; the zone's SOA and NS stay
// (RFC 2136, section 3.4.2.3).
func (z *zone) remove(name string, typ uint16) bool {
	removed := false
	for t := range z.sets[name] {
		stays := name == z.name && (t == dns.TypeSOA || t == dns.TypeNS)
		if (typ == dns.TypeANY || t == typ) && !stays {
			delete(z.sets[name], t)
			removed = true
		}
	}
	if len(z.sets[name]) == 0 {
		delete(z.sets, name)
	}
	return removed
}

// removeOne deletes one record (RFC 2136, section 3.4.2.4).
func (z *zone) removeOne(rr dns.RR) bool {
	h := rr.Header()
	name := providers.CanonicalName(h.Name)
	was := z.sets[name][h.Rrtype]
	like := dns.Copy(rr)
	like.Header().Class = dns.ClassINET
	left := slices.DeleteFunc(slices.Clone(was), func(o dns.RR) bool { return dns.IsDuplicate(o, like) })
	if len(left) == len(was) {
		return false
	}
	if len(left) == 0 {
		return z.remove(name, h.Rrtype)
	}
	z.sets[name][h.Rrtype] = left
	return true
}

// lookup finds a name's sets, or those that a wildcard makes up (RFC 4592).
func (z *zone) lookup(name string) map[uint16][]dns.RR {
	if types := z.sets[name]; len(types) > 0 {
		return types
	}
	for own := range z.sets {
		if providers.InZone(own, name) {
			return nil // an empty non-terminal
		}
	}
	for above := name; above != z.name; {
		i, end := dns.NextLabel(above, 0)
		if end {
			return nil
		}
		above = above[i:]
		if types := z.sets["*."+above]; len(types) > 0 {
			return types
		}
		for own := range z.sets {
			if providers.InZone(own, above) {
				return nil // the closest encloser has no wildcard
			}
		}
	}
	return nil
}

// query answers a question from the zone's data alone.
func (a answer) query(r *dns.Msg) {
	a.counts["QUERY"]++
	name, typ := providers.CanonicalName(a.q.Question[0].Name), a.q.Question[0].Qtype
	z := a.zoneOf(name)
	if z == nil {
		r.Rcode = dns.RcodeRefused
		return
	}
	r.Authoritative = !a.faults.NotAuthoritative
	types := z.lookup(name)
	if types == nil {
		r.Ns = []dns.RR{z.soa()}
		exists := false
		for own := range z.sets {
			exists = exists || providers.InZone(own, name)
		}
		if !exists {
			r.Rcode = dns.RcodeNameError
		}
		return
	}
	found := types[typ]
	if len(found) == 0 {
		found = types[dns.TypeCNAME]
	}
	for _, rr := range found {
		rr = dns.Copy(rr)
		rr.Header().Name = a.q.Question[0].Name
		r.Answer = append(r.Answer, rr)
	}
	if len(found) == 0 {
		r.Ns = []dns.RR{z.soa()}
	}
}

// zoneOf is the longest zone that has the name.
func (s *Server) zoneOf(name string) *zone {
	var best *zone
	for _, z := range s.zones {
		if providers.InZone(name, z.name) && (best == nil || len(z.name) > len(best.name)) {
			best = z
		}
	}
	return best
}

// perMessage is how many records a transfer's message has: few, so that there
// are several.
const perMessage = 20

// transfer makes the messages of an AXFR (RFC 5936).
func (a answer) transfer() [][]byte {
	a.counts["AXFR"]++
	refused := func(rcode int) [][]byte {
		r := new(dns.Msg)
		r.SetRcode(a.q, rcode)
		return a.pack(r)
	}
	z := a.zones[providers.CanonicalName(a.q.Question[0].Name)]
	switch {
	case z == nil:
		return refused(dns.RcodeNotAuth)
	case a.network == "udp" || a.faults.NoTransfer || !a.allowed():
		return refused(dns.RcodeRefused)
	}
	rrs := append(z.all(), z.soa())
	var replies []*dns.Msg
	for part := range slices.Chunk(rrs, perMessage) {
		r := new(dns.Msg)
		r.SetReply(a.q)
		r.Authoritative = true
		r.Answer = part
		replies = append(replies, r)
	}
	return a.pack(replies...)
}

// all are the zone's records, its SOA first.
func (z *zone) all() []dns.RR {
	out := []dns.RR{z.soa()}
	for _, name := range slices.SortedFunc(maps.Keys(z.sets), strings.Compare) {
		for _, typ := range slices.Sorted(maps.Keys(z.sets[name])) {
			if typ != dns.TypeSOA {
				out = append(out, z.sets[name][typ]...)
			}
		}
	}
	return out
}
