package rfc2136

import (
	"fmt"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// besideCNAME are the types that may stand at a name, and not beside a CNAME
// (RFC 1034, section 3.6.2). A CNAME added beside one is ignored without an
// error (RFC 2136, section 3.4.2.2), so none must be there. "Name is not in
// use" (2.4.5) cannot say so of a name whose records go in the same message.
func besideCNAME() []uint16 {
	return []uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeSRV, dns.TypeNS, dns.TypeSOA, dns.TypeCAA,
		dns.TypeHTTPS, dns.TypeSVCB, dns.TypePTR, dns.TypeNAPTR, dns.TypeDS, dns.TypeDNAME, dns.TypeTLSA,
		dns.TypeSSHFP, dns.TypeURI, dns.TypeHINFO, dns.TypeRP, dns.TypeAFSDB, dns.TypeLOC, dns.TypeSPF,
	}
}

// place is a name and a type.
type place struct {
	name string
	typ  uint16
}

func (p place) any(class uint16) dns.RR {
	return &dns.ANY{Hdr: dns.RR_Header{Name: p.name, Rrtype: p.typ, Class: class}}
}

func placeOf(r *fenced.Record) place { return place{r.Name, dns.StringToType[r.Type]} }

// builder makes an UPDATE of steps.
type builder struct {
	m *dns.Msg
	// gone are the sets that the zone must have, and that are deleted, names
	// their names.
	gone  map[place]bool
	names map[string]bool
	// first are the names that become owned, with their first records.
	first map[string]bool
	// absent are the prerequisites that are there already.
	absent map[place]bool
}

// update makes one message of a request: prerequisites, then what is deleted,
// then what is added (RFC 2136, sections 2.4 and 2.5). Servers take them in
// this order (3.4.2).
func update(zone string, r fenced.Request) (*dns.Msg, error) {
	b := builder{new(dns.Msg), map[place]bool{}, map[string]bool{}, map[string]bool{}, map[place]bool{}}
	b.m.SetUpdate(zone)
	b.m.Compress = true
	steps := append([]fenced.Step{r.Fence}, r.Steps...)
	for _, s := range steps {
		if s.Before == nil {
			continue
		}
		rrs, err := wire(s.Before)
		if err != nil {
			return nil, err
		}
		at := placeOf(s.Before)
		b.gone[at], b.names[at.name] = true, true
		b.m.Used(rrs)
		b.m.Ns = append(b.m.Ns, at.any(dns.ClassANY))
	}
	for _, s := range steps {
		if s.After != nil && s.Before == nil {
			if name, mark := providers.OwnedName(s.After.Name); mark {
				b.first[name] = true
			}
		}
	}
	for _, s := range steps {
		if s.After == nil {
			continue
		}
		rrs, err := wire(s.After)
		if err != nil {
			return nil, err
		}
		if s.Before == nil {
			b.create(placeOf(s.After))
		}
		b.m.Insert(rrs)
	}
	return b.m, nil
}

// create demands that the zone has no set there, nor any that would make the
// server ignore it; at a name that becomes owned, nor one that would become
// Veer's with it.
func (b *builder) create(at place) {
	b.none(at)
	if b.first[at.name] && at.typ != dns.TypeCNAME {
		b.none(place{at.name, dns.TypeA})
		b.none(place{at.name, dns.TypeAAAA})
	}
	if at.typ != dns.TypeCNAME {
		b.none(place{at.name, dns.TypeCNAME})
		return
	}
	if !b.names[at.name] {
		b.none(place{at.name, dns.TypeANY}) // "name is not in use"
		return
	}
	for _, typ := range besideCNAME() {
		b.none(place{at.name, typ})
	}
}

// none demands that there is no such set, unless it is one that goes.
func (b *builder) none(at place) {
	if !b.gone[at] && !b.absent[at] {
		b.absent[at] = true
		b.m.Answer = append(b.m.Answer, at.any(dns.ClassNONE))
	}
}

// probe makes an UPDATE that changes nothing and is refused unless the zone has
// each set: what a wildcard makes up does not count (RFC 2136, section 3.2).
func probe(zone string, exact []dns.RR, some ...place) *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate(zone)
	m.Compress = true
	m.Used(exact)
	for _, at := range some {
		m.Answer = append(m.Answer, at.any(dns.ClassANY))
	}
	return m
}

// largest is what a message may have for steps: 64 KiB over TCP (RFC 1035,
// section 4.2.2), less header, zone, and TSIG with two names and 64 bytes of
// MAC.
const largest = 1<<16 - 1 - headerSize - 260 - 2*256 - 128

// sizeOf is how many bytes a step takes at most: names may be compressed.
func sizeOf(s fenced.Step) int {
	n := 0
	for _, r := range []*fenced.Record{s.Before, s.After} {
		if r == nil {
			continue
		}
		rrs, err := wire(r)
		if err != nil {
			continue // refused when it is to be sent
		}
		for _, rr := range rrs {
			n += dns.Len(rr)
		}
	}
	bare := func(r *fenced.Record) int { return dns.Len(placeOf(r).any(dns.ClassANY)) }
	switch {
	case s.Before != nil:
		n += bare(s.Before)
	case s.After.Type == "CNAME":
		n += (1 + len(besideCNAME())) * bare(s.After)
	default:
		n += 3 * bare(s.After)
	}
	return n
}

// wanted are the records that there are after a request.
func wanted(r fenced.Request) ([]dns.RR, error) {
	var out []dns.RR
	for _, s := range r.Steps {
		if s.After == nil {
			continue
		}
		rrs, err := wire(s.After)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.After.Name, err)
		}
		out = append(out, rrs...)
	}
	return out, nil
}
