package rfc2136test

import (
	"slices"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// update processes an UPDATE in the order of RFC 2136, section 3.
func (a answer) update() int {
	if len(a.q.Ns) > 0 {
		a.counts["UPDATE"]++
	} else {
		a.counts["PROBE"]++
	}
	zone := a.q.Question[0]
	z := a.zones[providers.CanonicalName(zone.Name)]
	switch {
	case zone.Qtype != dns.TypeSOA: // 3.1.1
		return dns.RcodeFormatError
	case z == nil: // 3.1.2
		return dns.RcodeNotAuth
	case !a.allowed():
		return dns.RcodeRefused
	}
	if rcode := z.admits(a.q.Answer); rcode != dns.RcodeSuccess && !a.faults.IgnorePrerequisites {
		return rcode
	}
	changes := a.q.Ns
	for _, rr := range changes {
		if rcode := z.prescan(rr); rcode != dns.RcodeSuccess {
			return rcode
		}
	}
	if a.key != nil && a.key.May != nil { // 3.3
		allowed := slices.DeleteFunc(slices.Clone(changes), func(rr dns.RR) bool {
			return !a.key.May(providers.CanonicalName(rr.Header().Name), rr.Header().Rrtype)
		})
		if len(allowed) < len(changes) && !a.faults.DropForbidden {
			return dns.RcodeRefused
		}
		changes = allowed
	}
	next, changed := z.clone(), false
	for _, rr := range changes {
		changed = next.change(rr) || changed
	}
	if changed {
		soa := dns.Copy(next.soa()).(*dns.SOA)
		soa.Serial++ // 3.6
		next.sets[next.name][dns.TypeSOA] = []dns.RR{soa}
		a.zones[z.name] = next
	}
	return dns.RcodeSuccess
}

// admits checks the prerequisites (RFC 2136, section 3.2.5).
func (z *zone) admits(prerequisites []dns.RR) int {
	type place struct {
		name string
		typ  uint16
	}
	exact := map[place][]dns.RR{}
	for _, rr := range prerequisites {
		h := rr.Header()
		name := providers.CanonicalName(h.Name)
		if h.Ttl != 0 {
			return dns.RcodeFormatError
		}
		if !providers.InZone(name, z.name) {
			return dns.RcodeNotZone
		}
		there := len(z.sets[name][h.Rrtype]) > 0
		switch {
		case h.Class == dns.ClassINET:
			exact[place{name, h.Rrtype}] = append(exact[place{name, h.Rrtype}], rr)
		case h.Rdlength != 0:
			return dns.RcodeFormatError
		case h.Class == dns.ClassANY && h.Rrtype == dns.TypeANY:
			if len(z.sets[name]) == 0 {
				return dns.RcodeNameError
			}
		case h.Class == dns.ClassANY:
			if !there {
				return dns.RcodeNXRrset
			}
		case h.Class == dns.ClassNONE && h.Rrtype == dns.TypeANY:
			if len(z.sets[name]) > 0 {
				return dns.RcodeYXDomain
			}
		case h.Class == dns.ClassNONE:
			if there {
				return dns.RcodeYXRrset
			}
		default:
			return dns.RcodeFormatError
		}
	}
	for at, want := range exact {
		if !same(z.sets[at.name][at.typ], want) {
			return dns.RcodeNXRrset
		}
	}
	return dns.RcodeSuccess
}

// same compares two sets without their TTLs (RFC 2136, section 3.2.3).
func same(a, b []dns.RR) bool {
	within := func(a, b []dns.RR) bool {
		return !slices.ContainsFunc(a, func(x dns.RR) bool {
			return !slices.ContainsFunc(b, func(y dns.RR) bool { return dns.IsDuplicate(x, y) })
		})
	}
	return within(a, b) && within(b, a)
}

// prescan checks one change (RFC 2136, section 3.4.1).
func (z *zone) prescan(rr dns.RR) int {
	h := rr.Header()
	meta := h.Rrtype == dns.TypeANY || h.Rrtype == dns.TypeAXFR
	switch {
	case !providers.InZone(h.Name, z.name):
		return dns.RcodeNotZone
	case h.Class == dns.ClassINET && meta,
		h.Class == dns.ClassANY && (h.Ttl != 0 || h.Rdlength != 0),
		h.Class == dns.ClassNONE && (h.Ttl != 0 || meta),
		h.Class != dns.ClassINET && h.Class != dns.ClassANY && h.Class != dns.ClassNONE:
		return dns.RcodeFormatError
	}
	return dns.RcodeSuccess
}

// change makes one change (RFC 2136, section 3.4.2).
func (z *zone) change(rr dns.RR) bool {
	h := rr.Header()
	switch h.Class {
	case dns.ClassANY:
		return z.remove(providers.CanonicalName(h.Name), h.Rrtype)
	case dns.ClassNONE:
		return z.removeOne(rr)
	}
	return z.add(rr)
}
