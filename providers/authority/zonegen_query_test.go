package authority

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/miekg/dns"
)

// makeZones makes n zones of one server, of which every fifth has a child.
func makeZones(t testing.TB, seed uint64, n int) []madeZone {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2)) // #nosec G404 -- seeded on purpose
	var apexes []string
	for i := range n {
		apexes = append(apexes, fmt.Sprintf("z%d.test.", i))
	}
	var out []madeZone
	for i, apex := range apexes {
		child := i%5 == 0
		out = append(out, (&zoneMaker{rng: rng, apex: apex, peers: apexes}).make(child))
		if child {
			out = append(out, (&zoneMaker{rng: rng, apex: "child." + apex, peers: apexes}).make(false))
		}
	}
	for i, z := range out {
		f, err := zoneText(z.apex, z.text, nil)
		if err != nil {
			t.Fatalf("seed %d: %v\n%.0s", seed, err, z.text)
		}
		ref := reference{apex: z.apex}
		for _, r := range f.records {
			ref.rrs = append(ref.rrs, r.rr)
		}
		out[i].ref = ref
	}
	return out
}

// queries returns the zone's generator, which goes on where it was.
func (z *madeZone) queries(seed uint64) *generator {
	if z.asks == nil {
		z.asks = queriesOf(seed, *z)
	}
	return z.asks
}

// queriesOf makes queries about a generated zone.
func queriesOf(seed uint64, z madeZone) *generator {
	g := newGenerator(seed, z.ref.rrs, z.apex)
	g.heads = z.heads
	g.owned = make(map[string][]uint16)
	for _, rr := range z.ref.rrs {
		h := rr.Header()
		g.owned[h.Name] = append(g.owned[h.Name], h.Rrtype)
	}
	g.types = append(g.types, dns.TypeDNAME, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeTXT, dns.TypeNAPTR)
	return g
}

// tableOf compiles the zones.
func tableOf(t testing.TB, zones []madeZone) *Table {
	t.Helper()
	var files []*ZoneFile
	for _, z := range zones {
		f, err := zoneText(z.apex, z.text, nil)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	st, err := newState(files, nil, quiet(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	return st.build(false)
}

// classes are the kinds of answers that every comparison must see enough of.
var classes = []string{"wildcard", "dname", "ent", "delegation", "cname", "nodata", "nxdomain", "exact"}

// checkCoverage wants at least 2 % of the queries of each class.
func checkCoverage(t testing.TB, kinds map[string]int, runs int) {
	t.Helper()
	for _, k := range classes {
		if kinds[k]*50 < runs {
			t.Errorf("%s: %d of %d queries, want at least 2 %%", k, kinds[k], runs)
		}
	}
}

// wanted is a generated query with the reference's answer.
type wanted struct {
	query  *dns.Msg
	packet []byte
	want   referred
}

// wantGenerated makes queries about each zone, and asks the reference.
func wantGenerated(t testing.TB, zones []madeZone, seed uint64, each int) []wanted {
	t.Helper()
	var refs references
	for _, z := range zones {
		refs = append(refs, z.ref)
	}
	var out []wanted
	for i, z := range zones {
		g := queriesOf(seed+uint64(i), z) // #nosec G115 -- an index
		for range each {
			q := g.query()
			packet, err := q.Pack()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, wanted{q, packet, refs.lookup(q.Question[0].Name, q.Question[0].Qtype)})
		}
	}
	return out
}

// compareGenerated returns how answers differ from what is wanted, a few.
func compareGenerated(t testing.TB, all []wanted, respond func(packet, buf []byte, udp bool) []byte) (faults []string) {
	t.Helper()
	buf := make([]byte, dns.MaxMsgSize)
	for _, w := range all {
		var got dns.Msg
		if err := got.Unpack(respond(w.packet, buf, false)); err != nil {
			t.Fatal(err)
		}
		if d := w.want.compare(&got); d != "" {
			if faults = append(faults, fmt.Sprintf("%v:\n%s", w.query.Question[0], d)); len(faults) == 5 {
				break
			}
		}
	}
	return faults
}

// TestGeneratedZones: Table and the reference agree on generated zones.
func TestGeneratedZones(t *testing.T) {
	zones := makeZones(t, 3, 20)
	all := wantGenerated(t, zones, 3, 400)
	for _, f := range compareGenerated(t, all, responderOf(tableOf(t, zones)).respond) {
		t.Error(f)
	}
	kinds := make(map[string]int)
	for _, w := range all {
		for k := range w.want.kinds {
			kinds[k]++
		}
	}
	checkCoverage(t, kinds, len(all))
	t.Logf("of %d queries: %v", len(all), kinds)
}
