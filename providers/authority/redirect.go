package authority

import (
	"strings"

	"github.com/miekg/dns"
)

// This file holds what is rarely asked for: DNAME (RFC 6672) and the targets
// of SVCB and HTTPS records (RFC 9460). Unlike the rest of a lookup it may
// allocate.

// rewrite answers for a name below the owner of a DNAME: with the DNAME and
// the CNAME that it makes (RFC 6672, section 3.1). It returns the name to go
// on with, unless the CNAME itself was asked for, the chain is at its end, or
// the new name would be too long.
func rewrite(p *pick, at host, q Query, r *Reply) *host {
	owner, err := keyOf(p.rrs[0].Header().Name)
	if err != nil {
		r.Rcode = dns.RcodeServerFailure // a compiled zone has no such name
		return nil
	}
	r.addOnce(Part{pick: p, TTL: p.ttl, Owner: p.rrs[0].Header().Name})
	prefix, target := at.key[:len(at.key)-len(owner)], p.hosts[0]
	if len(prefix)+len(target.key) > maxName {
		r.Rcode = dns.RcodeYXDomain // RFC 6672, section 2.2
		return nil
	}
	end := 0
	for k := at.key; k != owner; k, _ = k.parent() {
		end, _ = dns.NextLabel(at.text, end)
	}
	next := host{key: prefix + target.key, text: at.text[:end] + target.text}
	if target.text == "." {
		next.text = at.text[:end]
	}
	alias := &dns.CNAME{
		Hdr:    dns.RR_Header{Name: at.text, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: p.ttl},
		Target: next.text,
	}
	made := &pick{typ: dns.TypeCNAME, ttl: p.ttl, rrs: []dns.RR{alias}, hosts: []host{next}}
	for _, part := range r.Answer {
		if part.pick.rrs[0].Header().Rrtype == dns.TypeCNAME && strings.EqualFold(part.Owner, at.text) {
			return nil // a loop
		}
	}
	to := chain(made, at.text, q, r)
	if q.Type == dns.TypeCNAME || q.Type == dns.TypeANY {
		return nil
	}
	return to
}

// addOnce adds an answer that a chain may come by twice.
func (r *Reply) addOnce(add Part) {
	for _, part := range r.Answer {
		if part.pick == add.pick {
			return
		}
	}
	r.Answer = append(r.Answer, add)
}

// target returns the name that the record's additional records are for, ""
// for none: "." is the owner in ServiceMode, and no service at all in
// AliasMode (RFC 9460, section 2.5).
func (p *pick) target(rr *dns.SVCB) string {
	if rr.Target != "." {
		return rr.Target
	}
	if rr.Priority > 0 {
		p.self = true
	}
	return ""
}

// targets adds what a client needs next for the names of SVCB or HTTPS
// records: addresses and records of the same type (RFC 9460, section 4.1).
// What is the answer already is not said again.
func (z *zone) targets(p *pick, at host, q Query, r *Reply) {
	if p.self {
		z.describe(at, false, dns.TypeNone, q, r)
	}
	typ := p.rrs[0].Header().Rrtype
	for i, h := range p.hosts {
		q.Draw = redraw(q.Draw + uint64(i)) // #nosec G115 -- an index
		switch {
		case h.key != at.key:
			z.describe(h, false, typ, q, r)
		case !p.self:
			z.describe(h, false, dns.TypeNone, q, r)
		}
	}
}
