package authority

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// This file holds what a server tells of itself: who it is, to who asks and
// where the config says so, and that it serves the ledger's answers of before.

// Stale says that the ledger has not been heard of for long, and why; "" says
// that it is heard again. It changes no answer: one that a service gives, to a
// client with EDNS(0), carries the reason as extended error 3, Stale Answer
// (RFC 8914, section 4.4).
func (s *Server) Stale(reason string) {
	if reason == "" {
		s.stale.Store(nil)
		return
	}
	s.stale.Store(&reason)
}

// chaos answers a question of class CHAOS with what the config shows, and
// refuses all else.
func (r *responder) chaos(q dns.Question) int {
	text := ""
	switch strings.ToLower(q.Name) {
	case "id.server.", "hostname.bind.":
		text = r.identity
	case "version.server.", "version.bind.":
		text = r.version
	}
	r.reply.Prohibited = !r.table.Load().allow.have(r.source)
	if r.reply.Prohibited || text == "" || q.Qtype != dns.TypeTXT && q.Qtype != dns.TypeANY {
		return dns.RcodeRefused
	}
	rr := &dns.TXT{
		Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS},
		Txt: []string{strings.ReplaceAll(text, `\`, `\\`)},
	}
	r.reply.Authoritative = true
	r.reply.Answer = append(r.reply.Answer, Part{pick: &pick{rrs: []dns.RR{rr}}, Owner: q.Name})
	return dns.RcodeSuccess
}

// tell adds NSID and the extended error to the answer's option. Who is not
// allowed to ask hears nothing but that (RFC 8914, section 4.19).
func (r *responder) tell(theirs, own *dns.OPT) {
	if r.reply.Prohibited {
		own.Option = append(own.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeProhibited})
		return
	}
	asks := slices.ContainsFunc(theirs.Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0NSID })
	if asks && r.identity != "" && theirs.Version() == 0 {
		own.Option = append(own.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: hex.EncodeToString([]byte(r.identity))})
	}
	r.tellWhy(own)
	if r.stale == nil {
		return
	}
	reason := r.stale.Load()
	if reason == nil || !slices.ContainsFunc(r.reply.Answer, func(p Part) bool { return p.pick.steered }) {
		return
	}
	own.Option = append(own.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeStaleAnswer, ExtraText: *reason})
}

// tellWhy adds what an answer carries by itself: that of one that failed, and
// that of the first that has one.
func (r *responder) tellWhy(own *dns.OPT) {
	is := r.reply.why
	for _, p := range r.reply.Answer {
		if is == nil {
			is = p.pick.why
		}
	}
	if is != nil {
		own.Option = append(own.Option, &dns.EDNS0_EDE{InfoCode: is.code, ExtraText: is.text})
	}
}

// withoutReason takes the extended error out of the option, and reports
// whether there was one: it goes before any other data (RFC 8914, section 3).
func withoutReason(own *dns.OPT) bool {
	n := len(own.Option)
	own.Option = slices.DeleteFunc(own.Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0EDE })
	return len(own.Option) < n
}
