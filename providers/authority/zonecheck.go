package authority

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// maxTTL is the largest TTL (RFC 2181, section 8).
const maxTTL = 1<<31 - 1

// refused are the types that this server does not serve from a file, and why.
func refused(typ uint16) string {
	switch typ {
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM:
		return "a signed zone can't be served, since services change its answers; give the unsigned zone"
	case dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB:
		return "a type of queries only (RFC 6895, section 3.1); remove it"
	}
	return ""
}

// problem is one thing that is wrong, and where.
type problem struct {
	at   place
	text string
}

// check returns everything that is wrong with the zone, in the order of lines.
func (z *ZoneFile) check() []error {
	var problems []problem
	bad := func(at place, format string, args ...any) {
		problems = append(problems, problem{at, fmt.Sprintf(format, args...)})
	}
	for _, r := range z.records {
		z.checkRecord(r, bad)
	}
	names := groupNames(z.records)
	for _, rs := range names {
		checkName(rs, bad)
	}
	z.checkApex(names[z.apex], bad)
	cuts := z.cuts()
	z.checkGlue(names, cuts, bad)
	z.checkRedirects(names, cuts, bad)
	checkBindings(names, bad)
	slices.SortFunc(problems, func(a, b problem) int {
		return cmp.Or(strings.Compare(a.at.file, b.at.file), cmp.Compare(a.at.line, b.at.line), strings.Compare(a.text, b.text))
	})
	var errs []error
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("%s: %s", p.at, p.text))
	}
	return errs
}

func (z *ZoneFile) checkRecord(r record, bad func(place, string, ...any)) {
	h := r.rr.Header()
	if !r.owner.within(z.apex) {
		bad(r.at, "name %s is not in the zone; expected %s or a name below it", h.Name, z.Name)
	}
	if h.Class != dns.ClassINET {
		bad(r.at, "class %s; expected IN", dns.Class(h.Class))
	}
	if h.Ttl > maxTTL {
		bad(r.at, "TTL %d is out of range; expected 0 to %d (RFC 2181, section 8)", h.Ttl, uint32(maxTTL))
	}
	if why := refused(h.Rrtype); why != "" {
		bad(r.at, "%s record at %s: %s", dns.Type(h.Rrtype), h.Name, why)
	}
	if h.Rrtype == dns.TypeSOA && r.owner != z.apex {
		bad(r.at, "SOA record at %s; expected it at the apex %s only", h.Name, z.Name)
	}
	if h.Rrtype == dns.TypeNS && r.owner.wildcard() {
		bad(r.at, "NS record at the wildcard %s; a delegation needs a name of its own (RFC 4592, section 4.2)", h.Name)
	}
	if h.Rrtype == dns.TypeDS && r.owner == z.apex {
		bad(r.at, "DS record at the apex %s; it belongs into the parent zone (RFC 4035, section 2.4)", h.Name)
	}
}

// groupNames collects each name's records, which are sorted.
func groupNames(records []record) map[key][]record {
	names := make(map[key][]record)
	for _, r := range records {
		names[r.owner] = append(names[r.owner], r)
	}
	return names
}

// checkName checks the records of one name, sorted by type and data.
func checkName(rs []record, bad func(place, string, ...any)) {
	for i, r := range rs {
		h := r.rr.Header()
		if h.Rrtype == dns.TypeCNAME && len(rs) > 1 {
			other := rs[(i+1)%len(rs)]
			bad(r.at, "CNAME record at %s beside the %s record of %s; a CNAME stands alone (RFC 1034, section 3.6.2)", h.Name, dns.Type(other.rr.Header().Rrtype), other.at)
		}
		if i == 0 || rs[i-1].rr.Header().Rrtype != h.Rrtype {
			continue
		}
		prev := rs[i-1]
		if dns.IsDuplicate(prev.rr, r.rr) {
			bad(r.at, "duplicate of the record of %s: %s; remove one", prev.at, strings.ReplaceAll(printed(r.rr), "\t", " "))
		} else if prev.rr.Header().Ttl != h.Ttl {
			bad(r.at, "TTL %d of the %s record at %s differs from %d of %s; expected one TTL for all (RFC 2181, section 5.2)", h.Ttl, dns.Type(h.Rrtype), h.Name, prev.rr.Header().Ttl, prev.at)
		}
	}
}

func (z *ZoneFile) checkApex(rs []record, bad func(place, string, ...any)) {
	soas, ns, at := 0, 0, place{file: z.file, line: 1}
	for _, r := range rs {
		switch rr := r.rr.(type) {
		case *dns.SOA:
			if soas++; soas > 1 {
				bad(r.at, "a second SOA record; expected exactly one")
			}
			if rr.Minttl > maxTTL {
				bad(r.at, "SOA MINIMUM %d is out of range; expected 0 to %d (RFC 2308, section 4)", rr.Minttl, uint32(maxTTL))
			}
		case *dns.NS:
			ns++
		}
	}
	if soas == 0 {
		bad(at, "no SOA record at the apex %s; expected exactly one", z.Name)
	}
	if ns == 0 {
		bad(at, "no NS record at the apex %s; expected at least one", z.Name)
	}
}

// cuts returns the names that are delegated: those with NS below the apex.
func (z *ZoneFile) cuts() map[key]bool {
	cuts := make(map[key]bool)
	for _, r := range z.records {
		if r.rr.Header().Rrtype == dns.TypeNS && r.owner != z.apex {
			cuts[r.owner] = true
		}
	}
	return cuts
}

// findOwners notes the cuts, and where each owner's records begin, so that
// checking a service does not read the whole zone.
func (z *ZoneFile) findOwners() {
	z.delegated, z.first = z.cuts(), make(map[key]int, len(z.records))
	for i, r := range z.records {
		if _, ok := z.first[r.owner]; !ok {
			z.first[r.owner] = i
		}
	}
}

// cutOf returns the topmost cut at or above k, as far as the apex.
func cutOf(k, apex key, cuts map[key]bool) (key, bool) {
	var top key
	found := false
	for k != apex {
		if cuts[k] {
			top, found = k, true
		}
		up, ok := k.parent()
		if !ok {
			break
		}
		k = up
	}
	return top, found
}

// checkGlue wants addresses for each name server that only this zone can
// give: one in the zone itself, or at or below the cut that it serves.
func (z *ZoneFile) checkGlue(names map[key][]record, cuts map[key]bool, bad func(place, string, ...any)) {
	for _, r := range z.records {
		ns, ok := r.rr.(*dns.NS)
		if !ok {
			continue
		}
		host, err := keyOf(ns.Ns)
		if err != nil || !host.within(z.apex) {
			continue
		}
		cut, below := cutOf(host, z.apex, cuts)
		if below && cut != r.owner {
			continue // another delegation's business
		}
		if !hasAddress(names, host, z.apex, below) {
			bad(r.at, "name server %s of %s has no A or AAAA record in the zone; add its address (glue, RFC 1034, section 4.2.1)", ns.Ns, ns.Hdr.Name)
		}
	}
}

// hasAddress reports whether the zone has an address of host, by a wildcard
// too where host is not below a cut.
func hasAddress(names map[key][]record, host, apex key, glue bool) bool {
	for _, r := range names[host] {
		if t := r.rr.Header().Rrtype; t == dns.TypeA || t == dns.TypeAAAA {
			return true
		}
	}
	if glue || len(names[host]) > 0 {
		return false
	}
	for k := host; k != apex; {
		k, _ = k.parent()
		if rs := names["\x01*"+k]; len(rs) > 0 && len(names[host]) == 0 {
			return slices.ContainsFunc(rs, func(r record) bool {
				t := r.rr.Header().Rrtype
				return t == dns.TypeA || t == dns.TypeAAAA
			})
		}
	}
	return false
}

// CheckService returns an error when a service with answers of these types
// (A, AAAA, CNAME, ALIAS) can't be laid over the zone: its name must lie in the zone
// and above every delegation, and a CNAME stands alone on either side.
func (z *ZoneFile) CheckService(name string, types ...string) error {
	canonical := providers.CanonicalName(name)
	k, err := keyOf(canonical)
	if err != nil {
		return fmt.Errorf("service %w", err)
	}
	if !k.within(z.apex) {
		return fmt.Errorf("service %s is not in zone %s", canonical, z.Name)
	}
	if from := z.redirect(k); from != "" {
		return fmt.Errorf("service %s lies below the DNAME record at %s in zone %s, which redirects all names there (RFC 6672, section 2.4); remove the record or rename the service", canonical, from, z.Name)
	}
	if cut, below := cutOf(k, z.apex, z.delegated); below {
		return fmt.Errorf("service %s lies at or below the delegation %s in zone %s: its queries go to other name servers; remove the NS records or rename the service", canonical, cut, z.Name)
	}
	steered := typesOf(types)
	if steered[dns.TypeCNAME] && len(steered) > 1 {
		return fmt.Errorf("service %s has both addresses and host names: a CNAME stands alone (RFC 1034, section 3.6.2)", canonical)
	}
	at, ok := z.first[k]
	for ; ok && at < len(z.records) && z.records[at].owner == k; at++ {
		r := z.records[at]
		if steered[r.rr.Header().Rrtype] {
			continue
		}
		typ := r.rr.Header().Rrtype
		if steered[dns.TypeCNAME] || typ == dns.TypeCNAME {
			return fmt.Errorf("service %s answers %v, but %s has a %s record for the name: a CNAME stands alone (RFC 1034, section 3.6.2); remove the record", canonical, types, r.at, dns.Type(typ))
		}
	}
	return nil
}

// typesOf is the set of types that a service takes over: A and AAAA go
// together, so that no address from the file stands beside steered ones.
func typesOf(types []string) map[uint16]bool {
	set := make(map[uint16]bool, 2)
	for _, t := range types {
		switch typ := dns.StringToType[t]; typ {
		case dns.TypeA, dns.TypeAAAA:
			set[dns.TypeA], set[dns.TypeAAAA] = true, true
		case dns.TypeNone: // an ALIAS: the addresses of hosts
			set[dns.TypeA], set[dns.TypeAAAA] = true, true
		default:
			set[typ] = true
		}
	}
	return set
}
