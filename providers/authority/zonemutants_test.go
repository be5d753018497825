package authority

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// mutant is a server with a fault that a comparison of answers must find: in
// its table, or in each answer that it gives.
type mutant struct {
	name  string
	table func(z *zone)
	spoil func(m *dns.Msg)
	// bits says that only the header or the question is wrong, which the
	// reference has no say in, but other servers have.
	bits bool
}

func typed(rr dns.RR, typ uint16) bool { return rr.Header().Rrtype == typ }

var mutants = []mutant{
	{name: "a wildcard, or NXDOMAIN, at an empty non-terminal", table: func(z *zone) {
		for k, n := range z.base {
			if len(n.sets) == 0 {
				delete(z.base, k)
			}
		}
	}},
	{name: "the TTL of a negative answer is the SOA's own", table: func(z *zone) { z.soa = z.over.get(z.apex).get(dns.TypeSOA) }},
	{name: "data below a delegation is served", table: func(z *zone) {
		for k, n := range z.base {
			if n.cut != k {
				n.cut = ""
			}
		}
	}},
	{name: "DNAME is data like any other", table: func(z *zone) {
		for _, n := range z.base {
			for i, s := range n.sets {
				if s.typ == dns.TypeDNAME {
					n.sets = append(n.sets[:i:i], n.sets[i+1:]...)
					break
				}
			}
		}
	}},
	{name: "a wildcard is a name like any other", table: func(z *zone) {
		for k := range z.base {
			if k.wildcard() {
				delete(z.base, k)
			}
		}
	}},
	{name: "NXDOMAIN in place of NODATA", spoil: func(m *dns.Msg) {
		if m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0 && len(m.Ns) == 1 && typed(m.Ns[0], dns.TypeSOA) {
			m.Rcode = dns.RcodeNameError
		}
	}},
	{name: "no glue", spoil: func(m *dns.Msg) {
		if !m.Authoritative && len(m.Ns) > 0 {
			m.Extra = onlyOption(m.Extra)
		}
	}},
	{name: "a referral with AA", spoil: func(m *dns.Msg) {
		if len(m.Ns) > 0 && typed(m.Ns[0], dns.TypeNS) {
			m.Authoritative = true
		}
	}},
	{name: "an answer without AA", spoil: func(m *dns.Msg) { m.Authoritative = m.Authoritative && len(m.Answer) == 0 }},
	{name: "a TTL that is one too large", spoil: func(m *dns.Msg) {
		for _, rr := range m.Answer {
			rr.Header().Ttl++
		}
	}},
	{name: "the synthesized CNAME has TTL 0", spoil: func(m *dns.Msg) {
		for i, rr := range m.Answer {
			if i > 0 && typed(rr, dns.TypeCNAME) && typed(m.Answer[i-1], dns.TypeDNAME) {
				rr.Header().Ttl = 0
			}
		}
	}},
	{name: "a CNAME without its DNAME", spoil: func(m *dns.Msg) {
		var kept []dns.RR
		for _, rr := range m.Answer {
			if !typed(rr, dns.TypeDNAME) || strings.EqualFold(rr.Header().Name, m.Question[0].Name) {
				kept = append(kept, rr)
			}
		}
		m.Answer = kept
	}},
	{name: "the rcode is the first name's", spoil: func(m *dns.Msg) {
		if len(m.Answer) > 0 {
			m.Rcode = dns.RcodeSuccess
		}
	}},
	{name: "a record is missing", spoil: func(m *dns.Msg) { m.Answer = m.Answer[:max(0, len(m.Answer)-1)] }},
	{name: "a negative answer without SOA", spoil: func(m *dns.Msg) {
		if len(m.Ns) == 1 && typed(m.Ns[0], dns.TypeSOA) {
			m.Ns = nil
		}
	}},
	{name: "RA is set", bits: true, spoil: func(m *dns.Msg) { m.RecursionAvailable = true }},
	{name: "AD is copied", bits: true, spoil: func(m *dns.Msg) { m.AuthenticatedData = true }},
	{name: "RD is not copied", bits: true, spoil: func(m *dns.Msg) { m.RecursionDesired = false }},
	{name: "the question in lower case", bits: true, spoil: func(m *dns.Msg) {
		for i := range m.Question {
			m.Question[i].Name = strings.ToLower(m.Question[i].Name)
		}
	}},
	{name: "no EDNS(0) in the answer", bits: true, spoil: func(m *dns.Msg) {
		if m.IsEdns0() != nil {
			m.Extra = m.Extra[:len(m.Extra)-1]
		}
	}},
}

func onlyOption(extra []dns.RR) []dns.RR {
	for _, rr := range extra {
		if typed(rr, dns.TypeOPT) {
			return []dns.RR{rr}
		}
	}
	return nil
}

// of returns the mutant's responder over a table of its own.
func (u mutant) of(t testing.TB, zones []madeZone) func(packet, buf []byte, udp bool) []byte {
	t.Helper()
	table := tableOf(t, zones)
	if u.table != nil {
		for _, z := range table.zones {
			u.table(z)
		}
	}
	r := responderOf(table)
	return func(packet, buf []byte, udp bool) []byte {
		out := r.respond(packet, buf, udp)
		if u.spoil == nil {
			return out
		}
		var m dns.Msg
		if err := m.Unpack(out); err != nil {
			t.Fatal(err)
		}
		u.spoil(&m)
		m.Compress = true
		out, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// TestGeneratedMutants: each fault shows on the generated zones.
func TestGeneratedMutants(t *testing.T) {
	zones := makeZones(t, 5, 5)
	all := wantGenerated(t, zones, 5, 200)
	for _, u := range mutants {
		if u.bits {
			continue
		}
		faults := compareGenerated(t, all, u.of(t, zones))
		if len(faults) == 0 {
			t.Errorf("%s: not found", u.name)
			continue
		}
		t.Logf("%s: found by %.300s", u.name, faults[0])
	}
}
