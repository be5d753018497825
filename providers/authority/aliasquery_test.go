package authority

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const hostName = "lb.example.net."

func lookUp(t *testing.T, typ uint16, servers ...string) (found, error) {
	t.Helper()
	return resolver{servers: servers, timeout: 5 * time.Second}.resolve(t.Context(), hostName, typ)
}

// TestResolves: addresses of both families, through CNAME records, with the
// least TTL of all that led there.
func TestResolves(t *testing.T) {
	y := startToy(t, "lb.example.net. 300 CNAME a.example.org.", "a.example.org. 20 CNAME b.example.org.",
		"b.example.org. 60 A 192.0.2.2", "b.example.org. 60 A 192.0.2.1", "b.example.org. 60 AAAA 2001:db8::1")
	f, err := lookUp(t, dns.TypeA, y.addr)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.addrs, addrs("192.0.2.1", "192.0.2.2")) || f.ttl != 20 || !slices.Equal(f.passed, []string{hostName, "a.example.org.", "b.example.org."}) {
		t.Errorf("found %+v", f)
	}
	if f, err = lookUp(t, dns.TypeAAAA, y.addr); err != nil || !slices.Equal(f.addrs, addrs("2001:db8::1")) {
		t.Errorf("found %+v, %v", f, err)
	}
	y.set("lb.example.net. 300 CNAME a.example.org.", "a.example.org. 20 TXT x")
	if f, err = lookUp(t, dns.TypeA, y.addr); err != nil || f.none != "no A records at a.example.org." {
		t.Errorf("found %+v, %v", f, err)
	}
	y.set()
	if f, err = lookUp(t, dns.TypeA, y.addr); err != nil || f.none != "NXDOMAIN" {
		t.Errorf("found %+v, %v", f, err)
	}
}

// TestResolvesOverTCP: what does not fit a UDP packet.
func TestResolvesOverTCP(t *testing.T) {
	var records []string
	for i := range 120 {
		records = append(records, fmt.Sprintf("%s 60 A 192.0.2.%d", hostName, i))
	}
	y := startToy(t, records...)
	f, err := lookUp(t, dns.TypeA, y.addr)
	if err != nil || len(f.addrs) != 120 || y.count("udp") != 1 || y.count("tcp") != 1 {
		t.Errorf("%d addresses, asked %v, error %v", len(f.addrs), y.asked, err)
	}
	// Over TCP nothing may be cut short.
	y.behave(0, func(_ string, _, r *dns.Msg) [][]byte {
		r.Truncated, r.Answer = true, nil
		return [][]byte{packMsg(t, r)}
	})
	if f, err := lookUp(t, dns.TypeA, y.addr); err == nil || !strings.Contains(err.Error(), "cut short over TCP") {
		t.Errorf("found %+v, %v", f, err)
	}
}

// TestAsksTheNextResolver: one that fails, in whatever way, is passed over.
func TestAsksTheNextResolver(t *testing.T) {
	good := startToy(t, hostName+" 60 A 192.0.2.1")
	refused := startToy(t)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed.Close()
	refused.behave(dns.RcodeRefused, nil)
	r := resolver{servers: []string{refused.addr, closed.LocalAddr().String(), silent.LocalAddr().String(), good.addr}, timeout: time.Second}
	if f, err := r.resolve(t.Context(), hostName, dns.TypeA); err != nil || len(f.addrs) != 1 {
		t.Errorf("found %+v, %v", f, err)
	}
	r.servers = r.servers[:3]
	r.timeout = minAskTimeout
	_, err = r.resolve(t.Context(), hostName, dns.TypeA)
	if err == nil || !strings.Contains(err.Error(), "it answers REFUSED") || !strings.Contains(err.Error(), "no answer within 50ms over udp") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.resolve(ctx, hostName, dns.TypeA); err == nil {
		t.Error("an answer after the end")
	}
}

// TestForgedAnswers: a packet that is not the answer to this very question is
// passed over, and the true one behind it is taken.
func TestForgedAnswers(t *testing.T) {
	forged := func(change func(r *dns.Msg)) func(string, *dns.Msg, *dns.Msg) [][]byte {
		return func(_ string, _, r *dns.Msg) [][]byte {
			good := packMsg(t, r)
			evil := r.Copy()
			evil.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 9}, A: net.IPv4(203, 0, 113, 66)}}
			change(evil)
			return [][]byte{packMsg(t, evil), good}
		}
	}
	for name, change := range map[string]func(r *dns.Msg){
		"another id":       func(r *dns.Msg) { r.Id ^= 1 },
		"a query":          func(r *dns.Msg) { r.Response = false },
		"another opcode":   func(r *dns.Msg) { r.Opcode = dns.OpcodeNotify },
		"another name":     func(r *dns.Msg) { r.Question[0].Name = "evil." + r.Question[0].Name },
		"another type":     func(r *dns.Msg) { r.Question[0].Qtype = dns.TypeAAAA },
		"another class":    func(r *dns.Msg) { r.Question[0].Qclass = dns.ClassCHAOS },
		"no question":      func(r *dns.Msg) { r.Question = nil },
		"another spelling": func(r *dns.Msg) { r.Question[0].Name = flipCase(r.Question[0].Name) },
	} {
		y := startToy(t, hostName+" 60 A 192.0.2.1")
		y.behave(0, func(network string, q, r *dns.Msg) [][]byte {
			if network == "tcp" {
				return [][]byte{packMsg(t, r)}
			}
			return forged(change)(network, q, r)
		})
		f, err := lookUp(t, dns.TypeA, y.addr)
		if err != nil || !slices.Equal(f.addrs, addrs("192.0.2.1")) {
			t.Errorf("%s: found %+v, %v", name, f, err)
		}
		if name == "another spelling" && y.count("tcp") != 1 {
			t.Errorf("%s: not settled over TCP", name)
		}
	}
	// A flood of them is not read for ever.
	y := startToy(t, hostName+" 60 A 192.0.2.1")
	y.behave(0, func(_ string, _, r *dns.Msg) [][]byte {
		r.Id ^= 1
		return slices.Repeat([][]byte{packMsg(t, r)}, maxStray)
	})
	if f, err := lookUp(t, dns.TypeA, y.addr); err == nil || !strings.Contains(err.Error(), "packets that do not answer") {
		t.Errorf("found %+v, %v", f, err)
	}
}

func flipCase(name string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			return c ^ 0x20
		}
		return c
	}, name)
}

// TestAskedAtRandom: id, spelling and port are others each time.
func TestAskedAtRandom(t *testing.T) {
	ids, names, ports := map[uint16]bool{}, map[string]bool{}, map[string]bool{}
	y := startToy(t, hostName+" 60 A 192.0.2.1")
	for range 50 {
		q, err := newSought(hostName, dns.TypeA)
		if err != nil {
			t.Fatal(err)
		}
		ids[q.id], names[q.name] = true, true
		conn, err := new(net.Dialer).DialContext(t.Context(), "udp", y.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ports[conn.LocalAddr().String()] = true
	}
	if len(ids) < 40 || len(names) < 40 || len(ports) < 40 {
		t.Errorf("%d ids, %d spellings, %d ports of 50", len(ids), len(names), len(ports))
	}
}

// TestRefusedAnswers: what a resolver may not say.
func TestRefusedAnswers(t *testing.T) {
	a := func(name, data string) string { return name + " 60 A " + data }
	for _, test := range []struct {
		name, want string
		typ        uint16
		answer     []string
		change     func(r *dns.Msg)
	}{
		{name: "unspecified", answer: []string{a(hostName, "0.0.0.0")}, want: "0.0.0.0"},
		{name: "loopback", answer: []string{a(hostName, "127.0.0.1")}, want: "127.0.0.1"},
		{name: "multicast", answer: []string{a(hostName, "224.0.0.1")}, want: "224.0.0.1"},
		{name: "broadcast", answer: []string{a(hostName, "255.255.255.255")}, want: "255.255.255.255"},
		{name: "link-local", answer: []string{a(hostName, "169.254.1.1")}, want: "169.254.1.1"},
		{name: "one of several", answer: []string{a(hostName, "192.0.2.1"), a(hostName, "0.0.0.0")}, want: "0.0.0.0"},
		{name: "IPv6 loopback", typ: dns.TypeAAAA, answer: []string{hostName + " 60 AAAA ::1"}, want: "::1"},
		{name: "IPv4 in IPv6", typ: dns.TypeAAAA, answer: []string{hostName + " 60 AAAA ::ffff:192.0.2.1"}, want: "no address of a service"},
		{name: "a circle", answer: []string{hostName + " 60 CNAME a.test.", "a.test. 60 CNAME lb.example.net."}, want: "in a circle"},
		{name: "an address of another name", answer: []string{a("evil.example.net.", "192.0.2.66")}, want: ""},
		{name: "SERVFAIL with an address", answer: []string{a(hostName, "192.0.2.1")}, change: func(r *dns.Msg) { r.Rcode = dns.RcodeServerFailure }, want: "it answers SERVFAIL"},
		{name: "a code without a name", change: func(r *dns.Msg) { r.Rcode = 13 }, want: "it answers code 13"},
		{name: "a referral", change: func(r *dns.Msg) { r.RecursionAvailable = false }, want: "no RA bit"},
		{name: "NXDOMAIN from nobody", change: func(r *dns.Msg) { r.RecursionAvailable, r.Rcode = false, dns.RcodeNameError }, want: "no RA bit"},
	} {
		typ := max(test.typ, dns.TypeA)
		q, err := newSought(hostName, typ)
		if err != nil {
			t.Fatal(err)
		}
		r := new(dns.Msg)
		if err := r.Unpack(q.packet); err != nil {
			t.Fatal(err)
		}
		r.Response, r.RecursionAvailable = true, true
		for _, text := range test.answer {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			if rr.Header().Name == hostName {
				rr.Header().Name = q.name
			}
			r.Answer = append(r.Answer, rr)
		}
		if test.change != nil {
			test.change(r)
		}
		f, err := q.read(packMsg(t, r), true)
		if test.want == "" {
			if err != nil || len(f.addrs) > 0 {
				t.Errorf("%s: %+v, %v", test.name, f, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: found %+v, error %v; expected %q in it", test.name, f, err, test.want)
		}
	}
}

// FuzzResolved: whatever comes back, only a response to the very question is
// taken, within bounds, with addresses that its own records have.
func FuzzResolved(f *testing.F) {
	q := sought{id: 0x1234, name: "lB.ExAmple.net.", typ: dns.TypeA}
	six := q
	six.typ = dns.TypeAAAA
	for _, q := range []sought{q, six} {
		m := new(dns.Msg)
		m.SetQuestion(q.name, q.typ)
		m.Id, m.Response, m.RecursionAvailable, m.Compress = q.id, true, true, true
		for _, text := range []string{"lb.example.net. 60 CNAME a.test.", "a.test. 4294967295 A 192.0.2.1", "a.test. 60 AAAA 2001:db8::1"} {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		f.Add(packMsg(f, m), true)
		m.Rcode, m.Answer = dns.RcodeNameError, nil
		m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "net.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "a.", Mbox: "b.", Minttl: 30}}
		f.Add(packMsg(f, m), false)
	}
	f.Fuzz(func(t *testing.T, packet []byte, exact bool) {
		for _, q := range []sought{q, six} {
			got, err := q.read(packet, exact)
			if err != nil {
				if len(got.addrs) > 0 {
					t.Fatalf("addresses %v beside the error %v", got.addrs, err)
				}
				continue
			}
			var m dns.Msg
			if err := m.Unpack(packet); err != nil {
				t.Fatalf("%v of a packet that is none: %v", got, err)
			}
			if m.Id != q.id || !m.Response || m.Truncated || len(m.Question) != 1 || exact && m.Question[0].Name != q.name || m.Question[0].Qtype != q.typ {
				t.Fatalf("%v of another question's answer: %v", got, &m)
			}
			if (len(got.addrs) == 0) == (got.none == "") || got.ttl > maxTTL || len(got.addrs) > maxAliasAddresses || len(got.passed) > maxAliasChain+1 {
				t.Fatalf("%+v", got)
			}
			for i, a := range got.addrs {
				if !usable(a, q.typ) || i > 0 && a.Compare(got.addrs[i-1]) <= 0 || !has(m.Answer, a.String(), got.passed[len(got.passed)-1]) {
					t.Fatalf("%s in %+v, of %v", a, got, &m)
				}
			}
		}
	})
}

func has(rrs []dns.RR, address, owner string) bool {
	return slices.ContainsFunc(rrs, func(rr dns.RR) bool {
		return strings.EqualFold(rr.Header().Name, owner) && rdata(rr) == address
	})
}
