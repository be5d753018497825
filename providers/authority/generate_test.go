package authority

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// generator makes queries about a zone: of its names, of names above, beside
// and below them, in any spelling.
type generator struct {
	rng   *rand.Rand
	names []string
	types []uint16
	// heads are names that many queries go to, or below.
	heads []string
	// owned are the types of records at names; every third query for such a
	// name asks for one of them.
	owned map[string][]uint16
}

func newGenerator(seed uint64, rrs []dns.RR, apex string) *generator {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 1))} // #nosec G404 -- seeded on purpose
	seen := map[string]bool{}
	for _, rr := range rrs {
		for _, up := range (reference{apex: apex}).ancestors(rr.Header().Name) {
			if !seen[up] {
				seen[up] = true
				g.names = append(g.names, up)
			}
		}
	}
	slices.Sort(g.names)
	g.types = []uint16{
		dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeNS,
		dns.TypeCNAME, dns.TypeSOA, dns.TypeSRV, dns.TypeDS, dns.TypeANY, dns.TypePTR, dns.TypeCAA, dns.TypeHTTPS, 65280,
	}
	return g
}

func (g *generator) question() dns.Question {
	name := g.names[g.rng.IntN(len(g.names))]
	if len(g.heads) > 0 && g.rng.IntN(3) == 0 {
		name = g.heads[g.rng.IntN(len(g.heads))]
		for range g.rng.IntN(3) {
			name = g.label() + name
		}
		return dns.Question{Name: g.spell(name), Qtype: g.types[g.rng.IntN(len(g.types))], Qclass: dns.ClassINET}
	}
	if has := g.owned[name]; len(has) > 0 && g.rng.IntN(3) == 0 {
		return dns.Question{Name: g.spell(name), Qtype: has[g.rng.IntN(len(has))], Qclass: dns.ClassINET}
	}
	switch n := g.rng.IntN(20); {
	case n < 5:
		name = g.label() + name
	case n < 7:
		name = g.label() + g.label() + name
	case n == 7:
		name = "*." + name
	case n == 8:
		name = g.label() + "example."
	case n < 12: // the name beside
		if off, end := dns.NextLabel(name, 0); !end {
			name = g.label() + name[off:]
		}
	}
	return dns.Question{Name: g.spell(name), Qtype: g.types[g.rng.IntN(len(g.types))], Qclass: dns.ClassINET}
}

func (g *generator) label() string {
	words := []string{"a", "b", "www", "sub", "wild", "host", "x", "ns", "ent", "deep", "_tcp", "nowhere", "0", "*"}
	return words[g.rng.IntN(len(words))] + "."
}

// spell mixes the case of letters (0x20).
func (g *generator) spell(name string) string {
	if g.rng.IntN(3) > 0 {
		return name
	}
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' && g.rng.IntN(2) == 0 {
			return c - ('a' - 'A')
		}
		return c
	}, name)
}

// query makes a packet of a question, with or without EDNS(0).
func (g *generator) query() *dns.Msg {
	m := new(dns.Msg)
	m.Id = uint16(g.rng.UintN(1 << 16))
	m.RecursionDesired = g.rng.IntN(2) == 0
	if g.heads != nil { // what a validating resolver asks (RFC 4035, RFC 6840)
		m.CheckingDisabled, m.AuthenticatedData = g.rng.IntN(4) == 0, g.rng.IntN(4) == 0
	}
	m.Question = []dns.Question{g.question()}
	if g.rng.IntN(3) > 0 {
		m.SetEdns0([]uint16{512, 1232, 4096}[g.rng.IntN(3)], g.rng.IntN(4) == 0)
	}
	return m
}

func exampleReference(t testing.TB) reference {
	r := reference{apex: "example.test."}
	for _, rec := range exampleFile(t).records {
		r.rrs = append(r.rrs, rec.rr)
	}
	return r
}

// TestAgainstReference: Table and the reference agree on generated queries.
func TestAgainstReference(t *testing.T) {
	const runs = 20000
	ref := exampleReference(t)
	r := responderOf(exampleTable(t))
	g := newGenerator(1, ref.rrs, ref.apex)
	kinds := map[string]int{}
	buf := make([]byte, dns.MaxMsgSize)
	for range runs {
		m := g.query()
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var got dns.Msg
		if err := got.Unpack(r.respond(packet, buf, false)); err != nil {
			t.Fatal(err)
		}
		want := ref.lookup(m.Question[0].Name, m.Question[0].Qtype)
		if d := want.compare(&got); d != "" {
			t.Fatalf("%v:\n%s", m.Question[0], d)
		}
		for k := range want.kinds {
			kinds[k]++
		}
	}
	kinds["dname"] = runs // the example zone has none; TestGeneratedZones does
	checkCoverage(t, kinds, runs)
	t.Logf("of %d queries: %v", runs, kinds)
}
