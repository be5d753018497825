package authority

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// findRedirects notes the owners of DNAME records.
func (z *ZoneFile) findRedirects() {
	for _, r := range z.records {
		if r.rr.Header().Rrtype != dns.TypeDNAME {
			continue
		}
		if z.redirects == nil {
			z.redirects = make(map[key]place)
		}
		z.redirects[r.owner] = r.at
	}
}

// redirect returns the owner of a DNAME above k in the zone, "" for none.
func (z *ZoneFile) redirect(k key) key {
	if len(z.redirects) == 0 {
		return ""
	}
	for k != z.apex {
		up, ok := k.parent()
		if !ok {
			break
		}
		if _, found := z.redirects[up]; found {
			return up
		}
		k = up
	}
	return ""
}

// checkRedirects holds DNAME records to RFC 6672: they stand at names of
// their own, alone of their type, above no other record, and beside NS only at
// the apex. A CNAME beside one is refused with all others.
func (z *ZoneFile) checkRedirects(names map[key][]record, cuts map[key]bool, bad func(place, string, ...any)) {
	if len(z.redirects) == 0 {
		return
	}
	for _, r := range z.records {
		if up := z.redirect(r.owner); up != "" {
			bad(r.at, "%s record at %s below the DNAME record of %s; a DNAME redirects every name below its owner, so that none can have records (RFC 6672, section 2.4)", dns.Type(r.rr.Header().Rrtype), r.rr.Header().Name, z.redirects[up])
		}
	}
	for owner := range z.redirects {
		var first *record
		for i, r := range names[owner] {
			if r.rr.Header().Rrtype != dns.TypeDNAME {
				continue
			}
			if first != nil {
				bad(r.at, "a second DNAME record at %s beside that of %s; a name has one (RFC 6672, section 2.4)", r.rr.Header().Name, first.at)
				continue
			}
			first = &names[owner][i]
			if owner.wildcard() {
				bad(r.at, "DNAME record at the wildcard %s; what it would mean is not defined (RFC 4592, section 4.4)", r.rr.Header().Name)
			}
			if cuts[owner] {
				bad(r.at, "DNAME record at the delegation %s; it belongs into the delegated zone (RFC 6672, section 2.4)", r.rr.Header().Name)
			}
		}
	}
}

// CheckZones returns an error when one server cannot serve all of the zones.
func CheckZones(zones []*ZoneFile) error {
	files := map[key]*ZoneFile{}
	for _, z := range zones {
		files[z.apex] = z
	}
	return errors.Join(checkRedirected(files)...)
}

// checkRedirected refuses zones that lie below a DNAME of another of the
// server's zones (RFC 6672, section 2.4).
func checkRedirected(files map[key]*ZoneFile) []error {
	var problems []error
	for _, apex := range slices.Sorted(maps.Keys(files)) {
		for up, ok := apex.parent(); ok; up, ok = up.parent() {
			above := files[up]
			if above == nil {
				continue
			}
			if from := above.redirect(apex); from != "" {
				problems = append(problems, fmt.Errorf("zone %s lies below the DNAME record of %s in zone %s; serve one or the other (RFC 6672, section 2.4)", files[apex].Name, above.redirects[from], above.Name))
			}
		}
	}
	return problems
}

// checkBindings holds SVCB and HTTPS records to RFC 9460.
func checkBindings(names map[key][]record, bad func(place, string, ...any)) {
	for _, rs := range names {
		var alias *record
		for i, r := range rs {
			b := binding(r.rr)
			if b == nil {
				continue
			}
			if first := alias; first != nil && first.rr.Header().Rrtype == b.Hdr.Rrtype {
				bad(r.at, "%s record at %s beside the one in AliasMode of %s; an alias stands alone of its type (RFC 9460, section 2.4.1)", dns.Type(b.Hdr.Rrtype), b.Hdr.Name, first.at)
				continue
			}
			// Sorted by data, AliasMode (priority 0) comes first.
			if b.Priority == 0 {
				alias = &rs[i]
				checkAlias(r, b, bad)
				continue
			}
			checkParams(r, b, bad)
		}
	}
}

// binding returns what SVCB and HTTPS records have in common, or nil.
func binding(rr dns.RR) *dns.SVCB {
	switch rr := rr.(type) {
	case *dns.SVCB:
		return rr
	case *dns.HTTPS:
		return &rr.SVCB
	}
	return nil
}

func checkAlias(r record, b *dns.SVCB, bad func(place, string, ...any)) {
	if len(b.Value) > 0 {
		bad(r.at, "%s record at %s in AliasMode (priority 0) has the parameter %s, which clients ignore; remove it, or give a priority above 0 (RFC 9460, section 2.4.2)", dns.Type(b.Hdr.Rrtype), b.Hdr.Name, b.Value[0].Key())
	}
	if k, err := keyOf(b.Target); err == nil && k == r.owner {
		bad(r.at, "%s record at %s in AliasMode is an alias of itself (RFC 9460, section 2.4.2)", dns.Type(b.Hdr.Rrtype), b.Hdr.Name)
	}
}

// checkParams finds parameters that make a client throw the whole RRset away.
func checkParams(r record, b *dns.SVCB, bad func(place, string, ...any)) {
	has := make(map[dns.SVCBKey]bool, len(b.Value))
	for _, v := range b.Value {
		has[v.Key()] = true
	}
	if has[dns.SVCB_NO_DEFAULT_ALPN] && !has[dns.SVCB_ALPN] {
		bad(r.at, "no-default-alpn without alpn in the %s record at %s; add alpn (RFC 9460, section 7.1.1)", dns.Type(b.Hdr.Rrtype), b.Hdr.Name)
	}
	for _, v := range b.Value {
		mandatory, ok := v.(*dns.SVCBMandatory)
		if !ok {
			continue
		}
		for i, k := range mandatory.Code {
			switch {
			case k == dns.SVCB_MANDATORY || slices.Contains(mandatory.Code[:i], k):
				bad(r.at, "mandatory names %s twice or itself in the %s record at %s (RFC 9460, section 8)", k, dns.Type(b.Hdr.Rrtype), b.Hdr.Name)
			case !has[k]:
				bad(r.at, "mandatory names %s, which the %s record at %s does not have: clients would ignore it (RFC 9460, section 8)", strings.ToLower(k.String()), dns.Type(b.Hdr.Rrtype), b.Hdr.Name)
			}
		}
	}
}
