package authority

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// BenchmarkProtection is what the rate limit and cookies add to an answer of
// the fast path, with queries from 10,000 addresses in batches of 64.
func BenchmarkProtection(b *testing.B) {
	off := false
	clients := make([]netip.Addr, 10_000)
	for i := range clients {
		clients[i] = netip.AddrFrom4([4]byte{127, byte(i >> 10), byte(i >> 2), byte(1 + i)})
	}
	for _, bench := range []struct {
		name          string
		limit, cookie bool
	}{{"bare", false, false}, {"limit", true, false}, {"cookies", false, true}, {"both", true, true}} {
		for _, q := range benchQueries {
			if q.name == "chain" || q.name == "referral" {
				continue // not of the fast path
			}
			for _, kind := range []string{"plain", "client cookie", "server cookie"} {
				if kind != "plain" && !bench.cookie {
					continue
				}
				b.Run(bench.name+"/"+q.name+"/"+kind, func(b *testing.B) {
					c := exampleConfig()
					c.RateLimit = RateLimit{Loopback: true, ResponsesPerSecond: maxRate}
					if !bench.limit {
						c.RateLimit.Enabled = &off
					}
					if !bench.cookie {
						c.Cookies.Enabled = &off
					}
					s, err := New(c, Options{DataDir: b.TempDir(), Log: quiet(), Start: mustAnswers(b, "app.example.test. A 30 192.0.2.1 192.0.2.2", "timer.example.test. A 30 min=5 left=1h 192.0.2.1")})
					if err != nil {
						b.Fatal(err)
					}
					benchAnswers(b, s, q.q, kind, clients)
				})
			}
		}
	}
}

func benchAnswers(b *testing.B, s *Server, q dns.Question, kind string, clients []netip.Addr) {
	a := s.answerer()
	m := new(dns.Msg)
	m.Question = []dns.Question{q}
	if kind != "plain" {
		m = withCookie(q.Name, q.Qtype, "0123456789abcdef")
	}
	packet, err := m.Pack()
	if err != nil {
		b.Fatal(err)
	}
	buf, n := make([]byte, dns.MaxMsgSize), 0
	if kind == "server cookie" {
		clients = clients[:1]
		a.from.addr = clients[0]
		a.begin()
		size, _ := a.respond(buf, copy(buf, packet))
		var r dns.Msg
		if err := r.Unpack(buf[:size]); err != nil {
			b.Fatal(err)
		}
		if packet, err = withCookie(q.Name, q.Qtype, cookieIn(&r)).Pack(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if n&63 == 0 {
			a.begin()
		}
		a.from = peer{addr: clients[n%len(clients)], over: overUDP}
		a.respond(buf, copy(buf, packet))
		n++
	}
	if a.generalAnswers > 0 {
		b.Fatal("not on the fast path")
	}
}

// BenchmarkFlood is what an answer over the limit costs.
func BenchmarkFlood(b *testing.B) {
	c := exampleConfig()
	c.RateLimit = RateLimit{Loopback: true}
	s, err := New(c, Options{DataDir: b.TempDir(), Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	benchAnswers(b, s, dns.Question{Name: "www.example.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}, "plain", []netip.Addr{netip.MustParseAddr("192.0.2.1")})
}
