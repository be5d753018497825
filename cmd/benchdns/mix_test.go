//go:build linux && (amd64 || arm64)

package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestMixHasItsShares(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	count, seen := map[string]int{}, map[string]bool{}
	for _, n := range m.order {
		q := &m.questions[n]
		seen[q.name] = true
		switch {
		case q.want.rcode == dns.RcodeNameError:
			count["missing"]++
		case q.name == steeredName+"."+zone+".":
			count["steered"]++
			count["A"]++
		default:
			count[dns.TypeToString[q.typ]]++
		}
	}
	for what, percent := range map[string]int{"A": percentA, "steered": percentSteered, "AAAA": percentAAAA, "missing": percentMissing} {
		if got := count[what] * 100; got != percent*queriesOfMix {
			t.Errorf("%s: %d of %d queries, want %d %%", what, count[what], queriesOfMix, percent)
		}
	}
	if len(seen) != 2*names {
		t.Errorf("%d names are asked, want %d and as many that do not exist", len(seen), names)
	}
	edns := 0
	for _, is := range m.edns {
		if is {
			edns++
		}
	}
	if edns*100 != percentEDNS*burstsOfMix {
		t.Errorf("%d of %d bursts have EDNS, want %d %%", edns, burstsOfMix, percentEDNS)
	}
}

func TestQueriesAreOfOneLengthAndWhole(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range m.questions {
		if len(q.plain) != len(m.questions[0].plain) || len(q.cookie) != len(m.questions[0].cookie) || len(q.cookie) > longestQuery {
			t.Fatalf("%s: %d and %d bytes; the others have %d and %d, and there is room for %d", q.name, len(q.plain), len(q.cookie), len(m.questions[0].plain), len(m.questions[0].cookie), longestQuery)
		}
		var plain, cookie dns.Msg
		if err := plain.Unpack(q.packet(false)); err != nil {
			t.Fatal(err)
		}
		if err := cookie.Unpack(q.packet(true)); err != nil {
			t.Fatal(err)
		}
		if plain.Question[0] != cookie.Question[0] || plain.Question[0].Name != q.name || plain.Question[0].Qtype != q.typ || plain.IsEdns0() != nil {
			t.Fatalf("%s: asks %v and %v", q.name, plain.Question, cookie.Question)
		}
		c, ok := cookie.IsEdns0().Option[0].(*dns.EDNS0_COOKIE)
		if !ok || len(c.Cookie) != 16 {
			t.Fatalf("%s: the option is %v, want a client's cookie of 8 bytes", q.name, cookie.IsEdns0().Option[0])
		}
	}
}

func TestSources(t *testing.T) {
	seen := map[[3]byte]bool{}
	for _, s := range manySources(3) {
		if s[0] != 127 || s[1] == 0 {
			t.Fatalf("%v is not an address of 127/8 beside the servers'", s)
		}
		seen[[3]byte(s[:3])] = true
	}
	if len(seen) != sourceAddresses {
		t.Fatalf("%d prefixes, want %d", len(seen), sourceAddresses)
	}
}

// A cursor must meet all queries and all sources, in bursts or not.
func TestCursor(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	c := &cursor{mix: m, sources: manySources(3)}
	asked, from, edns := make([]int, len(m.questions)), map[[4]byte]int{}, 0
	for range 5 * len(m.order) / 8 { // whole walks through sources and the plan of EDNS
		source, is := c.next()
		from[source]++
		if is {
			edns++
		}
		for range 8 {
			asked[c.ask()]++
		}
	}
	for n, times := range asked {
		if times == 0 || times%5 != 0 {
			t.Fatalf("%s was asked %d times in 5 walks", m.questions[n].name, times)
		}
	}
	if len(from) != sourceAddresses || edns != 5*len(m.order)/8*percentEDNS/100 {
		t.Fatalf("%d sources, %d bursts with EDNS of %d", len(from), edns, 5*len(m.order)/8)
	}
}

// The zone must hold what the mix takes for right.
func TestZoneHoldsWhatIsAsked(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]netip.Addr{}
	p := dns.NewZoneParser(strings.NewReader(zoneText(steeredName+" A "+steeredAddress+"\n")), zone+".", "")
	for r, ok := p.Next(); ok; r, ok = p.Next() {
		var a netip.Addr
		switch r := r.(type) {
		case *dns.A:
			a, _ = netip.AddrFromSlice(r.A.To4())
		case *dns.AAAA:
			a, _ = netip.AddrFromSlice(r.AAAA)
		}
		has[r.Header().Name+dns.TypeToString[r.Header().Rrtype]] = a
	}
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	for _, q := range m.questions {
		got, ok := has[q.name+dns.TypeToString[q.typ]]
		if ok != (q.want.typ != 0) || ok && string(got.AsSlice()) != string(q.want.data) {
			t.Fatalf("%s %s: the zone has %v (%t), the mix wants %v", q.name, dns.TypeToString[q.typ], got, ok, q.want)
		}
	}
	if lines := strings.Count(m.dnsperfText(), "\n"); lines != len(m.order) {
		t.Fatalf("dnsperf gets %d queries, want %d", lines, len(m.order))
	}
}
