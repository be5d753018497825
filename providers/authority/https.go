package authority

import (
	"net"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// HTTPS is what a service's HTTPS record (RFC 9460) says beside the addresses,
// which are those of its answer.
type HTTPS struct {
	// ALPN holds the protocols, the preferred first.
	ALPN []string
	// Port is where they are; 0 is the usual one.
	Port uint16
}

// finish adds to compiled services what follows from their answers: where their
// atlas is, their HTTPS records, and where they are counted. A service that has it already was served
// before, and stays as it is.
func (st *state) finish(services map[string]service) {
	st.places.attach(services)
	for name, h := range st.https {
		svc, ok := services[name]
		if !ok || slices.ContainsFunc(svc.sets, func(s *set) bool { return s.typ == dns.TypeHTTPS }) {
			continue
		}
		if s := h.set(svc); s != nil {
			svc.sets = append(slices.Clip(svc.sets), s)
			services[name] = svc
		}
	}
	st.book.number(services)
}

// variant is one answer of a service among those of its locations and weights.
type variant struct{ location, id string }

// hint is what an HTTPS record takes from the addresses of a variant.
type hint struct {
	variant
	weight, ttl, floor uint32
	until              time.Time
	v4, v6             []net.IP
}

// set makes the set of a service's HTTPS records: one for each of its answers,
// with all of its addresses. It is nil for a service without addresses.
func (h HTTPS) set(svc service) *set {
	hints := hintsOf(svc)
	if len(hints) == 0 {
		return nil
	}
	out := &set{typ: dns.TypeHTTPS}
	for _, at := range hints {
		to := out
		if at.location != "" {
			if out.located == nil {
				out.located = &located{sets: make(map[string]*set)}
			}
			if to = out.located.sets[at.location]; to == nil {
				to = &set{typ: dns.TypeHTTPS}
				out.located.sets[at.location] = to
			}
		}
		to.picks = append(to.picks, pick{typ: dns.TypeHTTPS, weight: at.weight, ttl: at.ttl, until: at.until, floor: at.floor, rrs: []dns.RR{h.record(svc, at)}, steered: true})
		to.sum += uint64(at.weight)
	}
	if out.located != nil {
		for _, s := range svc.sets {
			if s.located != nil { // the same locations, and the same default for others
				out.located.known, out.located.atlas = s.located.known, s.located.atlas
				standIn(out.located)
			}
		}
	}
	return out
}

// hintsOf gathers the addresses of each variant, in the order of the answers.
func hintsOf(svc service) []*hint {
	var out []*hint
	taken := make(map[*set]int)
	for _, a := range svc.flat {
		i := slices.IndexFunc(svc.sets, func(s *set) bool { return s.typ == dns.StringToType[a.Type] })
		if i < 0 || a.Type != "A" && a.Type != "AAAA" {
			continue
		}
		from := svc.sets[i]
		if from.located != nil {
			from = from.located.sets[a.Location]
		}
		p := &from.picks[taken[from]] // picks are in the order of the answers
		taken[from]++
		v := variant{a.Location, a.SetID}
		at := slices.IndexFunc(out, func(h *hint) bool { return h.variant == v })
		if at < 0 {
			at = len(out)
			out = append(out, &hint{variant: v, weight: p.weight, ttl: p.ttl, floor: p.floor, until: p.until})
		}
		out[at].add(p)
	}
	return out
}

// add takes over the addresses of a pick. The record holds no longer than any
// of them.
func (h *hint) add(p *pick) {
	h.ttl = min(h.ttl, p.ttl)
	if h.until.IsZero() || !p.until.IsZero() && p.until.Before(h.until) {
		h.until = p.until
	}
	for _, rr := range p.rrs {
		switch r := rr.(type) {
		case *dns.A:
			h.v4 = append(h.v4, r.A)
		case *dns.AAAA:
			h.v6 = append(h.v6, r.AAAA)
		}
	}
}

// record is the HTTPS record of one answer; its target is the name itself.
func (h HTTPS) record(svc service, at *hint) dns.RR {
	r := &dns.HTTPS{SVCB: dns.SVCB{
		Hdr:      dns.RR_Header{Name: svc.answers[0].Name, Rrtype: dns.TypeHTTPS, Class: dns.ClassINET, Ttl: at.ttl},
		Priority: 1, Target: ".",
	}}
	if len(h.ALPN) > 0 {
		r.Value = append(r.Value, &dns.SVCBAlpn{Alpn: h.ALPN})
	}
	if h.Port != 0 {
		r.Value = append(r.Value, &dns.SVCBPort{Port: h.Port})
	}
	if len(at.v4) > 0 {
		r.Value = append(r.Value, &dns.SVCBIPv4Hint{Hint: at.v4})
	}
	if len(at.v6) > 0 {
		r.Value = append(r.Value, &dns.SVCBIPv6Hint{Hint: at.v6})
	}
	return r
}
