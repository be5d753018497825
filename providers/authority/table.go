package authority

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Table is everything that is served at one moment: the zones' records with
// the services laid over them. It does not change, and looking up in it takes
// no lock and allocates nothing. It knows nothing of packets; Responder does.
type Table struct {
	zones map[key]*zone
	// depths says of how many labels, the root counted, there are apexes.
	depths [maxLabels + 1]bool
	// allow is who may ask what is in no zone.
	allow *networks
}

// zone is one zone in a table. base is shared by all tables of a server; over
// holds the names that services, or the serial, make different.
type zone struct {
	file *ZoneFile
	base map[key]*node
	over *index
	soa  *set // in the authority section of negative answers (RFC 2308)
	apex key
	id   uint64 // of the apex, for the rate limit
	// none is that section, packed.
	none negative
	line line // the first of those where its answers are counted
	// allow is who may ask.
	allow *networks
}

// node is one name: an owner of records, or an empty non-terminal.
type node struct {
	sets []*set // by type, ascending
	// cut is the topmost delegation at or above the name; the empty key where
	// there is none.
	cut key
	// id is the name's, for the rate limit: the same in all tables.
	id   uint64
	line line // where it is counted that a service has no answer of the type
}

// set is what one name answers for one type: one pick, or several that are
// weighted.
type set struct {
	typ   uint16
	picks []pick
	sum   uint64 // of the weights
	// located takes the place of picks where the answer depends on the client.
	located *located
}

// pick is one RRset. What the fast path reads stands together, in one line of
// the CPU's cache.
type pick struct {
	// packed is the answer's form on the wire, for the fast path.
	packed
	typ uint16
	// steered says that a service answers this, not the zone's file; region is
	// what Options.Region calls the answer, and line where it is counted.
	steered bool
	self    bool // see hosts
	line    line
	// why is an extended error that the answer carries; nil: none.
	why    *why
	region string

	ttl    uint32
	weight uint32
	// until is when the answer may change; the zero time: no change foreseen.
	// floor is the TTL not to go below then.
	until time.Time
	floor uint32
	rrs   []dns.RR
	// hosts are the names in the data that additional records are given for,
	// or the target of the CNAME or DNAME. self says that the owner is one.
	hosts []host
}

// host is a name in a record's data.
type host struct {
	key  key
	text string
}

// find returns the name's node, or nil.
func (z *zone) find(k key) *node {
	if n := z.over.get(k); n != nil {
		return n
	}
	return z.base[k]
}

// findBytes is find for a name in a buffer.
func (z *zone) findBytes(name []byte) *node {
	if n := z.over.find(name); n != nil {
		return n
	}
	return z.base[key(name)]
}

// get returns the node's set of the type, or nil.
func (n *node) get(typ uint16) *set {
	if n == nil {
		return nil
	}
	for _, s := range n.sets {
		if s.typ == typ {
			return s
		}
	}
	return nil
}

// choose returns one of the set's picks: each with its weight's share of all
// draws; where all weights are 0, all alike.
func (s *set) choose(draw uint64) *pick {
	switch {
	case len(s.picks) == 1:
		return &s.picks[0]
	case s.sum == 0:
		return &s.picks[draw%uint64(len(s.picks))]
	}
	left := draw % s.sum
	for i := range s.picks {
		w := uint64(s.picks[i].weight)
		if left < w {
			return &s.picks[i]
		}
		left -= w
	}
	return &s.picks[len(s.picks)-1]
}

// TTL is what is served now: the time left until the answer may change, in
// whole seconds rounded up, not below the floor and never above the TTL.
func (p *pick) TTL(now time.Time) uint32 {
	if p.until.IsZero() {
		return p.ttl
	}
	left := max(p.until.Sub(now), 0)
	seconds := uint64((left + time.Second - 1) / time.Second)
	return uint32(min(max(seconds, uint64(p.floor)), uint64(p.ttl)))
}

// newPick makes a pick of records that share name, type and TTL.
func newPick(rrs []dns.RR) (pick, error) {
	p := pick{typ: rrs[0].Header().Rrtype, ttl: rrs[0].Header().Ttl, rrs: rrs}
	for _, rr := range rrs {
		name := ""
		switch r := rr.(type) {
		case *dns.CNAME:
			name = r.Target
		case *dns.NS:
			name = r.Ns
		case *dns.MX:
			name = r.Mx
		case *dns.SRV:
			name = r.Target
		case *dns.DNAME:
			name = r.Target
		case *dns.SVCB:
			name = p.target(r)
		case *dns.HTTPS:
			name = p.target(&r.SVCB)
		default:
			continue
		}
		if name == "" {
			continue
		}
		k, err := keyOf(name)
		if err != nil {
			return pick{}, err
		}
		if !slices.ContainsFunc(p.hosts, func(h host) bool { return h.key == k }) {
			p.hosts = append(p.hosts, host{k, name})
		}
	}
	return p, nil
}

// compileZone makes the base of a zone: what its file says alone.
func compileZone(file *ZoneFile) (*zone, error) {
	z := &zone{file: file, apex: file.apex, id: file.apex.id(), base: make(map[key]*node, len(file.records)), over: newIndex(maphash.MakeSeed())}
	for i := 0; i < len(file.records); {
		first := file.records[i]
		end := i + 1
		for end < len(file.records) && file.records[end].owner == first.owner && file.records[end].rr.Header().Rrtype == first.rr.Header().Rrtype {
			end++
		}
		rrs := make([]dns.RR, 0, end-i)
		for _, r := range file.records[i:end] {
			rrs = append(rrs, r.rr)
		}
		p, err := newPick(rrs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", first.at, err)
		}
		n := grow(z.base, first.owner, z.apex)
		s := &set{typ: first.rr.Header().Rrtype, picks: []pick{p}}
		s.pack(first.owner)
		n.sets = append(n.sets, s)
		i = end
	}
	cuts := file.cuts()
	for k, n := range z.base {
		slices.SortFunc(n.sets, func(a, b *set) int { return cmp.Compare(a.typ, b.typ) })
		n.cut, _ = cutOf(k, z.apex, cuts)
	}
	return z, nil
}

// grow returns the node of k in names, making it and, where names has them
// not, the empty non-terminals up to the apex (RFC 4592, 2.2.2).
func grow(names map[key]*node, k, apex key) *node {
	n := names[k]
	if n == nil {
		n = &node{id: k.id()}
		names[k] = n
	}
	for up := k; up != apex; {
		up, _ = up.parent()
		if names[up] != nil {
			break
		}
		names[up] = &node{id: up.id()}
	}
	return n
}

// overlay returns the sets of a name's node in the file with a service's laid
// over. A service takes over A and AAAA both.
func overlay(under *node, sets []*set) []*set {
	steered := make(map[uint16]bool, len(sets)+1)
	for _, s := range sets {
		steered[s.typ] = true
		if s.typ == dns.TypeA || s.typ == dns.TypeAAAA {
			steered[dns.TypeA], steered[dns.TypeAAAA] = true, true
		}
	}
	out := slices.Clone(sets)
	if under != nil {
		for _, s := range under.sets {
			if !steered[s.typ] {
				out = append(out, s)
			}
		}
	}
	slices.SortFunc(out, func(a, b *set) int { return cmp.Compare(a.typ, b.typ) })
	return out
}

// withSerial returns the zone with what services make of some names, and with
// the serial in the apex's SOA and in that of negative answers, whose TTL is
// the smaller of the SOA's own and MINIMUM (RFC 2308, sections 3 and 5).
func (z *zone) withSerial(serial uint32, changes edits) *zone {
	if changes == nil {
		changes = make(edits, 1)
	}
	next := &zone{file: z.file, base: z.base, apex: z.apex, id: z.id}
	soa := dns.Copy(z.file.soa()).(*dns.SOA)
	soa.Serial = serial
	low := dns.Copy(soa).(*dns.SOA)
	low.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	// Spelled as the key, the owner is compressed to the question's end.
	low.Hdr.Name = z.apex.String()
	next.soa = soaSet(low)
	next.none = packNegative(z.apex, next.soa)
	apex, changed := changes[z.apex]
	if !changed {
		apex = z.find(z.apex)
	} else if apex == nil {
		apex = z.base[z.apex]
	}
	apex = &node{sets: slices.Clone(apex.sets), id: z.id, line: apex.line}
	for i, s := range apex.sets {
		if s.typ == dns.TypeSOA {
			apex.sets[i] = soaSet(soa)
			apex.sets[i].pack(z.apex)
		}
	}
	changes[z.apex] = apex
	next.over = z.over.with(changes)
	return next
}

func soaSet(soa *dns.SOA) *set {
	return &set{typ: dns.TypeSOA, picks: []pick{{typ: dns.TypeSOA, ttl: soa.Hdr.Ttl, rrs: []dns.RR{soa}}}}
}

// newTable makes a table of zones.
func newTable(zones []*zone) *Table {
	t := &Table{zones: make(map[key]*zone, len(zones))}
	for _, z := range zones {
		t.zones[z.apex] = z
		t.depths[1+dns.CountLabel(z.apex.String())] = true
	}
	return t
}

// zoneOf returns the zone with the longest apex at or above the name, or nil.
// With above, the name's own zone does not count.
func (t *Table) zoneOf(k key, above bool) *zone {
	for ok := true; ok; k, ok = k.parent() {
		if z := t.zones[k]; z != nil && !above {
			return z
		}
		above = false
	}
	return nil
}
