package authority

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// reference is a lookup that is dumb on purpose: a flat list of records that
// every step walks through, written from the RFCs and sharing nothing with
// Table but the DNS library.
type reference struct {
	apex string
	rrs  []dns.RR
}

// referred is what the reference answers; records are texts, sorted.
type referred struct {
	Rcode                         int
	Authoritative                 bool
	Answer, Authority, Additional []string
	// kinds say what was met on the way: wildcard, ent, delegation, cname,
	// dname, nodata, nxdomain, exact; loop and crossed (into another zone).
	kinds map[string]bool
}

func same(a, b string) bool { return strings.EqualFold(a, b) }

// all returns the records at the name.
func (r reference) all(name string) []dns.RR {
	var out []dns.RR
	for _, rr := range r.rrs {
		if same(rr.Header().Name, name) {
			out = append(out, rr)
		}
	}
	return out
}

// owned returns the records at the name of one type, which a query may also
// give as 0.
func (r reference) owned(name string, typ uint16) []dns.RR {
	return slices.DeleteFunc(r.all(name), func(rr dns.RR) bool { return rr.Header().Rrtype != typ })
}

// exists: a name does when it, or one below it, has a record (RFC 4592, 2.2.2).
func (r reference) exists(name string) bool {
	return slices.ContainsFunc(r.rrs, func(rr dns.RR) bool { return dns.IsSubDomain(name, rr.Header().Name) })
}

// ancestors returns the name and those above it, down from the apex.
func (r reference) ancestors(name string) []string {
	var out []string
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if dns.IsSubDomain(r.apex, name[off:]) {
			out = append(out, name[off:])
		}
	}
	slices.Reverse(out)
	return out
}

func (r reference) cut(name string) string {
	for _, up := range r.ancestors(name) {
		if !same(up, r.apex) && len(r.owned(up, dns.TypeNS)) > 0 {
			return up
		}
	}
	return ""
}

// source returns the name whose records answer for the name, "" for none.
func (r reference) source(name string) string {
	if r.exists(name) {
		return name
	}
	encloser := ""
	for _, up := range r.ancestors(name) {
		if r.exists(up) {
			encloser = up
		}
	}
	if star := "*." + encloser; r.exists(star) {
		return star
	}
	return ""
}

func text(rr dns.RR, owner string, ttl uint32) string {
	c := dns.Copy(rr)
	c.Header().Name, c.Header().Ttl = strings.ToLower(owner), ttl
	lowerNames(c)
	return strings.ReplaceAll(c.String(), "\t", " ")
}

// lowerNames lowers the names in a record's data: a name that is compressed to
// the question's has its spelling, and spelling means nothing (RFC 4343).
func lowerNames(rr dns.RR) {
	switch rr := rr.(type) {
	case *dns.CNAME:
		rr.Target = strings.ToLower(rr.Target)
	case *dns.DNAME:
		rr.Target = strings.ToLower(rr.Target)
	case *dns.PTR:
		rr.Ptr = strings.ToLower(rr.Ptr)
	case *dns.SVCB:
		rr.Target = strings.ToLower(rr.Target)
	case *dns.HTTPS:
		rr.Target = strings.ToLower(rr.Target)
	case *dns.NS:
		rr.Ns = strings.ToLower(rr.Ns)
	case *dns.SOA:
		rr.Ns, rr.Mbox = strings.ToLower(rr.Ns), strings.ToLower(rr.Mbox)
	case *dns.MX:
		rr.Mx = strings.ToLower(rr.Mx)
	case *dns.SRV:
		rr.Target = strings.ToLower(rr.Target)
	}
}

// references are the zones of one server.
type references []reference

// zone returns the zone with the longest apex at or above the name; for DS
// that of the parent, if it is there (RFC 4035, 3.1.4.1).
func (rs references) zone(name string, typ uint16) *reference {
	var best *reference
	for _, above := range []bool{true, false} {
		if above && typ != dns.TypeDS {
			continue
		}
		for i, r := range rs {
			if dns.IsSubDomain(r.apex, name) && (!above || !same(r.apex, name)) && (best == nil || len(r.apex) > len(best.apex)) {
				best = &rs[i]
			}
		}
		if best != nil {
			break
		}
	}
	return best
}

func (r reference) lookup(name string, typ uint16) referred { return references{r}.lookup(name, typ) }

func (rs references) lookup(name string, typ uint16) referred {
	out := referred{kinds: make(map[string]bool)}
	r := rs.zone(name, typ)
	if r == nil {
		out.Rcode = dns.RcodeRefused
		return out
	}
	for i := range maxChain + 1 {
		next := r.step(name, typ, &out)
		if next == "" {
			break
		}
		if i == maxChain {
			out.kinds["loop"] = true
		}
		name = next
		was := r.apex
		if r = rs.zone(name, typ); r == nil {
			break
		}
		if r.apex != was {
			out.kinds["crossed"] = true
		}
	}
	slices.Sort(out.Answer)
	slices.Sort(out.Authority)
	slices.Sort(out.Additional)
	out.Answer = slices.Compact(out.Answer)
	out.Additional = slices.Compact(out.Additional)
	return out
}

// redirect returns the DNAME above the name, nil for none.
func (r reference) redirect(name string) *dns.DNAME {
	for _, up := range r.ancestors(name) {
		if found := r.owned(up, dns.TypeDNAME); len(found) > 0 && !same(up, name) {
			return found[0].(*dns.DNAME)
		}
	}
	return nil
}

// substitute answers by a DNAME (RFC 6672, section 3.2, step 3C).
func (r reference) substitute(d *dns.DNAME, name string, typ uint16, out *referred) string {
	out.kinds["dname"] = true
	out.Answer = append(out.Answer, text(d, d.Hdr.Name, d.Hdr.Ttl))
	labels := dns.SplitDomainName(name)
	labels = labels[:len(labels)-dns.CountLabel(d.Hdr.Name)]
	next := strings.Join(labels, ".") + "." + strings.TrimPrefix(d.Target, ".")
	if _, err := dns.PackDomainName(next, make([]byte, 600), 0, nil, false); err != nil {
		out.Rcode = dns.RcodeYXDomain
		return ""
	}
	line := text(&dns.CNAME{Hdr: dns.RR_Header{Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: next}, name, d.Hdr.Ttl)
	if slices.Contains(out.Answer, line) {
		out.kinds["loop"] = true
		return ""
	}
	out.Answer = append(out.Answer, line)
	if typ == dns.TypeCNAME || typ == dns.TypeANY {
		return ""
	}
	return next
}

func (r reference) step(name string, typ uint16, out *referred) string {
	if cut := r.cut(name); cut != "" && (typ != dns.TypeDS || !same(cut, name)) {
		out.kinds["delegation"] = true
		ns := r.owned(cut, dns.TypeNS)
		for _, rr := range ns {
			out.Authority = append(out.Authority, text(rr, cut, rr.Header().Ttl))
		}
		r.additional(ns, cut, true, out)
		return ""
	}
	out.Authoritative = true
	if d := r.redirect(name); d != nil {
		return r.substitute(d, name, typ, out)
	}
	from := r.source(name)
	if from == "" {
		out.Rcode = dns.RcodeNameError
		out.kinds["nxdomain"] = true
		r.soa(out)
		return ""
	}
	if !same(from, name) {
		out.kinds["wildcard"] = true
	}
	found := r.owned(from, typ)
	if typ == dns.TypeANY {
		if all := r.all(from); len(all) > 0 {
			lowest := slices.MinFunc(all, func(a, b dns.RR) int { return int(a.Header().Rrtype) - int(b.Header().Rrtype) })
			found = r.owned(from, lowest.Header().Rrtype)
		}
	}
	for _, rr := range found {
		out.Answer = append(out.Answer, text(rr, name, rr.Header().Ttl))
	}
	if len(found) > 0 {
		out.kinds["exact"] = true
		r.additional(found, name, found[0].Header().Rrtype == dns.TypeNS, out)
		return ""
	}
	if alias := r.owned(from, dns.TypeCNAME); len(alias) > 0 {
		out.kinds["cname"] = true
		line := text(alias[0], name, alias[0].Header().Ttl)
		if slices.Contains(out.Answer, line) {
			out.kinds["loop"] = true
			return ""
		}
		out.Answer = append(out.Answer, line)
		return alias[0].(*dns.CNAME).Target
	}
	out.kinds["nodata"] = true
	if len(r.all(from)) == 0 {
		out.kinds["ent"] = true
	}
	r.soa(out)
	return ""
}

func (r reference) soa(out *referred) {
	soa := r.owned(r.apex, dns.TypeSOA)[0].(*dns.SOA)
	out.Authority = append(out.Authority, text(soa, r.apex, min(soa.Hdr.Ttl, soa.Minttl)))
}

func (r reference) additional(rrs []dns.RR, owner string, glue bool, out *referred) {
	for _, rr := range rrs {
		host := ""
		types := []uint16{dns.TypeA, dns.TypeAAAA}
		switch rr := rr.(type) {
		case *dns.NS:
			host = rr.Ns
		case *dns.MX:
			host = rr.Mx
		case *dns.SRV:
			host = rr.Target
		case *dns.SVCB, *dns.HTTPS:
			host = binding(rr).Target
			if host == "." && binding(rr).Priority > 0 {
				host = owner
			}
			if !same(host, owner) {
				types = append(types, rr.Header().Rrtype)
			}
		default:
			continue
		}
		if !dns.IsSubDomain(r.apex, host) || r.cut(host) != "" && !glue || r.redirect(host) != nil {
			continue
		}
		from := r.source(host)
		if from == "" {
			continue
		}
		for _, typ := range types {
			for _, a := range r.owned(from, typ) {
				out.Additional = append(out.Additional, text(a, host, a.Header().Ttl))
			}
		}
	}
}

// section is a message's section as the reference writes it. An OPT record is
// left out, a record that is there twice counts once.
func section(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeOPT {
			out = append(out, text(rr, rr.Header().Name, rr.Header().Ttl))
		}
	}
	slices.Sort(out)
	return out
}

// compare returns how a message differs from the reference, "" for not.
func (want referred) compare(m *dns.Msg) string {
	var b strings.Builder
	if m.Rcode != want.Rcode || m.Authoritative != want.Authoritative {
		fmt.Fprintf(&b, "rcode %s aa %v, want %s %v\n", dns.RcodeToString[m.Rcode], m.Authoritative, dns.RcodeToString[want.Rcode], want.Authoritative)
	}
	for _, s := range []struct {
		name      string
		got, want []string
	}{
		{"answer", section(m.Answer), want.Answer},
		{"authority", section(m.Ns), want.Authority},
		{"additional", section(m.Extra), want.Additional},
	} {
		if !slices.Equal(s.got, s.want) {
			fmt.Fprintf(&b, "%s:\n got %q\nwant %q\n", s.name, s.got, s.want)
		}
	}
	return b.String()
}
