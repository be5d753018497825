package rfc2136

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// maxString is the longest character-string (RFC 1035, section 3.3).
const maxString = 255

// kept reports whether Veer reads records of the type.
func kept(typ uint16) bool {
	return typ == dns.TypeA || typ == dns.TypeAAAA || typ == dns.TypeCNAME || typ == dns.TypeTXT
}

// sets groups records, in whatever order, into sets.
type sets struct {
	byKey map[providers.Key]int
	list  []fenced.Record
}

// add takes a record of a kept type.
func (s *sets) add(rr dns.RR) error {
	h := rr.Header()
	set := providers.RRSet{Name: providers.CanonicalName(h.Name), Type: dns.Type(h.Rrtype).String(), TTL: h.Ttl}
	data, err := dataOf(rr)
	if err != nil {
		return fmt.Errorf("%s %s: %w", set.Name, set.Type, err)
	}
	if s.byKey == nil {
		s.byKey = make(map[providers.Key]int)
	}
	i, ok := s.byKey[set.Key()]
	if !ok {
		i = len(s.list)
		s.byKey[set.Key()] = i
		s.list = append(s.list, fenced.Record{RRSet: set, Handle: []dns.RR(nil)})
	}
	r := &s.list[i]
	// TTLs of one set that differ are the server's fault (RFC 2181, section 5.2).
	r.TTL = min(r.TTL, h.Ttl)
	r.Data = append(r.Data, data)
	r.Handle = append(r.Handle.([]dns.RR), rr)
	return nil
}

// dataOf is a record's RDATA in presentation form.
func dataOf(rr dns.RR) (string, error) {
	switch rr := rr.(type) {
	case *dns.A:
		if a, ok := netip.AddrFromSlice(rr.A); ok {
			return a.Unmap().String(), nil
		}
	case *dns.AAAA:
		if a, ok := netip.AddrFromSlice(rr.AAAA); ok && len(rr.AAAA) == net.IPv6len {
			return a.String(), nil
		}
	case *dns.CNAME:
		return providers.CanonicalName(rr.Target), nil
	case *dns.TXT:
		return `"` + strings.Join(rr.Txt, `" "`) + `"`, nil
	}
	return "", fmt.Errorf("its data is malformed")
}

// wire makes the records of a set: those that it was read from, where it was.
func wire(r *fenced.Record) ([]dns.RR, error) {
	if rrs, ok := r.Handle.([]dns.RR); ok && len(rrs) > 0 {
		out := make([]dns.RR, len(rrs))
		for i, rr := range rrs {
			out[i] = dns.Copy(rr)
		}
		return out, nil
	}
	if _, ok := dns.IsDomainName(r.Name); !ok {
		return nil, fmt.Errorf("%s %s: the name is not one that DNS can carry", r.Name, r.Type)
	}
	out := make([]dns.RR, 0, len(r.Data))
	for _, d := range r.Data {
		rr, err := recordOf(r.Name, r.Type, r.TTL, d)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Name, r.Type, err)
		}
		out = append(out, rr)
	}
	return out, nil
}

func recordOf(name, typ string, ttl uint32, data string) (dns.RR, error) {
	h := dns.RR_Header{Name: name, Rrtype: dns.StringToType[typ], Class: dns.ClassINET, Ttl: ttl}
	switch typ {
	case "A", "AAAA":
		a, err := netip.ParseAddr(data)
		if err != nil || a.Is4() != (typ == "A") || a.Zone() != "" {
			return nil, fmt.Errorf("%q is not an address of that type", data)
		}
		if typ == "A" {
			return &dns.A{Hdr: h, A: a.AsSlice()}, nil
		}
		return &dns.AAAA{Hdr: h, AAAA: a.AsSlice()}, nil
	case "CNAME":
		if _, ok := dns.IsDomainName(data); !ok {
			return nil, fmt.Errorf("%q is not a name that DNS can carry", data)
		}
		return &dns.CNAME{Hdr: h, Target: providers.CanonicalName(data)}, nil
	case "TXT":
		text, err := fenced.Text(data)
		if err != nil {
			return nil, err
		}
		t := &dns.TXT{Hdr: h}
		for len(text) > maxString {
			t.Txt, text = append(t.Txt, escaped(text[:maxString])), text[maxString:]
		}
		t.Txt = append(t.Txt, escaped(text))
		return t, nil
	}
	return nil, fmt.Errorf("no records of type %s are written", typ)
}

// escaped is a character-string as package dns has it: escapes, no quotes.
func escaped(text string) string {
	quoted := fenced.Quote(text)
	return quoted[1 : len(quoted)-1]
}
