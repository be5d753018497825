//go:build linux && (amd64 || arm64)

package main

import (
	"net"
	"testing"

	"github.com/miekg/dns"
)

// answerTo is the right answer to a query of the mix.
func answerTo(t *testing.T, q *question, edns bool) *dns.Msg {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(q.packet(edns)); err != nil {
		t.Fatal(err)
	}
	out := new(dns.Msg).SetReply(&m)
	out.Authoritative, out.Compress = true, true
	head := dns.RR_Header{Name: q.name, Rrtype: q.typ, Class: dns.ClassINET, Ttl: 300}
	switch {
	case q.want.rcode == dns.RcodeNameError:
		out.Rcode = dns.RcodeNameError
		out.Ns = append(out.Ns, &dns.SOA{Hdr: dns.RR_Header{Name: zone + ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "ns1." + zone + ".", Mbox: "hostmaster." + zone + "."})
	case q.typ == dns.TypeA:
		out.Answer = append(out.Answer, &dns.A{Hdr: head, A: net.IP(q.want.data)})
	default:
		out.Answer = append(out.Answer, &dns.AAAA{Hdr: head, AAAA: net.IP(q.want.data)})
	}
	if edns {
		out.SetEdns0(1232, false)
	}
	return out
}

func pack(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestJudgeTakesRightAnswers(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.questions {
		q := &m.questions[i]
		for _, edns := range []bool{false, true} {
			a := answerTo(t, q, edns)
			for _, compress := range []bool{true, false} {
				a.Compress = compress
				if j, cookie := judge(pack(t, a), q, edns); j != right || cookie {
					t.Fatalf("%v with EDNS %t, compressed %t: judged %d, cookie %t", a, edns, compress, j, cookie)
				}
			}
		}
	}
}

func TestJudgeSeesPlantedFaults(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	find := func(typ uint16, rcode byte) *question {
		for i := range m.questions {
			if q := &m.questions[i]; q.typ == typ && q.want.rcode == rcode {
				return q
			}
		}
		t.Fatalf("no question of type %d with code %d", typ, rcode)
		return nil
	}
	a, aaaa, missing := find(dns.TypeA, 0), find(dns.TypeAAAA, 0), find(dns.TypeA, dns.RcodeNameError)
	other := &dns.A{Hdr: dns.RR_Header{Name: a.name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(192, 0, 2, 99)}
	tests := []struct {
		name  string
		q     *question
		fault func(*dns.Msg)
		want  judgement
	}{
		{"another address", a, func(m *dns.Msg) { m.Answer[0].(*dns.A).A = net.IPv4(192, 0, 2, 99) }, wrong},
		{"another IPv6 address", aaaa, func(m *dns.Msg) { m.Answer[0].(*dns.AAAA).AAAA = net.ParseIP("2001:db8::ffff") }, wrong},
		{"no record", a, func(m *dns.Msg) { m.Answer = nil }, wrong},
		{"two records", a, func(m *dns.Msg) { m.Answer = append(m.Answer, other) }, wrong},
		{"another type", aaaa, func(m *dns.Msg) { m.Answer[0] = other }, wrong},
		{"another class", a, func(m *dns.Msg) { m.Answer[0].Header().Class = dns.ClassCHAOS }, wrong},
		{"another question", a, func(m *dns.Msg) { m.Question[0].Name = "n999." + zone + "." }, wrong},
		{"another type of question", a, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT }, wrong},
		{"no question", a, func(m *dns.Msg) { m.Question = nil }, wrong},
		{"SERVFAIL", a, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }, wrong},
		{"REFUSED", missing, func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }, wrong},
		{"NXDOMAIN with the address", a, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, wrong},
		{"NODATA for NXDOMAIN", missing, func(m *dns.Msg) { m.Rcode = dns.RcodeSuccess }, wrong},
		{"NXDOMAIN without SOA", missing, func(m *dns.Msg) { m.Ns = nil }, wrong},
		{"NXDOMAIN with a record", missing, func(m *dns.Msg) { m.Answer = append(m.Answer, other) }, wrong},
		{"not authoritative", a, func(m *dns.Msg) { m.Authoritative = false }, wrong},
		{"a query", a, func(m *dns.Msg) { m.Response = false }, wrong},
		{"another opcode", a, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, wrong},
		{"BADVERS", a, func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.Rcode = dns.RcodeBadVers
		}, wrong},
		{"EDNS unasked", a, func(m *dns.Msg) { m.SetEdns0(1232, false) }, wrong},
		{"cut", a, func(m *dns.Msg) { m.Truncated, m.Answer = true, nil }, truncated},
		{"cut with the record", a, func(m *dns.Msg) { m.Truncated = true }, truncated},
	}
	for _, tt := range tests {
		m := answerTo(t, tt.q, false)
		tt.fault(m)
		if got, _ := judge(pack(t, m), tt.q, false); got != tt.want {
			t.Errorf("%s: judged %d, want %d", tt.name, got, tt.want)
		}
	}
	whole := pack(t, answerTo(t, a, false))
	for n := range whole {
		if got, _ := judge(whole[:n], a, false); got != wrong {
			t.Fatalf("the first %d of %d bytes: judged %d", n, len(whole), got)
		}
	}
	if got, _ := judge(append(whole, 0), a, false); got != wrong {
		t.Errorf("a byte too many: judged %d", got)
	}
	if got, _ := judge(pack(t, answerTo(t, a, false)), a, true); got != wrong {
		t.Errorf("no EDNS in the answer to EDNS: judged %d", got)
	}
}

func TestJudgeSeesCookies(t *testing.T) {
	m, err := oneName(1, 3)
	if err != nil {
		t.Fatal(err)
	}
	q := &m.questions[0]
	for cookie, want := range map[string]bool{"5eed00016e303031": false, "5eed00016e303031010000006b0c5c8b852abd908416222a": true} {
		a := answerTo(t, q, true)
		a.IsEdns0().Option = append(a.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "aa"}, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
		if j, got := judge(pack(t, a), q, true); j != right || got != want {
			t.Errorf("%s: judged %d, cookie %t, want %t", cookie, j, got, want)
		}
	}
}

func FuzzJudge(f *testing.F) {
	m, err := wholeMix(3)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 {
		q := &m.questions[i]
		f.Add(q.packet(true), i, true)
		a := append(append([]byte{}, q.packet(false)...), 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 0, 0, 1)
		a[2], a[7] = 0x84, 1 // the right answer to the first one
		f.Add(a, i, false)
	}
	f.Fuzz(func(t *testing.T, reply []byte, n int, edns bool) {
		q := &m.questions[uint(n)%uint(len(m.questions))] // #nosec G115 -- any will do
		if len(reply) < headerSize {
			return // never judged
		}
		j, _ := judge(reply, q, edns)
		var msg dns.Msg
		if j != right || msg.Unpack(reply) != nil {
			return // what the records beside the answer's own hold is not looked at
		}
		if msg.Rcode != int(q.want.rcode) || q.want.typ != 0 && (len(msg.Answer) != 1 || msg.Answer[0].Header().Rrtype != q.typ) {
			t.Fatalf("%x was taken for right: %v", reply, &msg)
		}
	})
}
