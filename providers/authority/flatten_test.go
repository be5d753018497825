package authority

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/regionstest"
	"github.com/veerdns/veer/regions/steering"
)

// aliasTable is the example zone's table with answers whose hosts are those of
// flatHosts.
func aliasTable(t testing.TB, lines ...string) *Table {
	t.Helper()
	st, err := newFlatState([]*ZoneFile{exampleFile(t)}, flatHosts(), mustAnswers(t, lines...), quiet(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return st.build(false)
}

// askTable asks the table with EDNS(0), and tells the answer's extended error.
func askTable(t testing.TB, table *Table, name string, typ uint16, draw uint64) (*dns.Msg, string) {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, typ).SetEdns0(1232, false)
	r := responderOf(table)
	r.draw = func() uint64 { return draw }
	var out dns.Msg
	if err := out.Unpack(r.respond(packMsg(t, m), make([]byte, 4096), true)); err != nil {
		t.Fatal(err)
	}
	if _, err := twoWays(table, packMsg(t, m), true, draw); err != nil {
		t.Error(err)
	}
	return &out, extendedError(&out)
}

func extendedError(m *dns.Msg) string {
	for _, o := range m.IsEdns0().Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			return fmt.Sprintf("%d %s", e.InfoCode, e.ExtraText)
		}
	}
	return ""
}

// TestFlattened: what each kind of host is answered with.
func TestFlattened(t *testing.T) {
	const notYet, old = "14 the addresses are not known yet", "3 the addresses could not be looked up again"
	for _, test := range []struct {
		lines      []string
		name       string
		typ        uint16
		draw       uint64
		rcode      int
		answer     string // TTL and data of each
		ede        string
		additional int
	}{
		{lines: []string{"app.example.test. ALIAS 30 both.example.net."}, typ: dns.TypeA, answer: "30 203.0.113.1, 30 203.0.113.2"},
		{lines: []string{"app.example.test. ALIAS 30 both.example.net."}, typ: dns.TypeAAAA, answer: "25 2001:db8:1::1"},
		{lines: []string{"app.example.test. ALIAS 20 both.example.net."}, typ: dns.TypeAAAA, answer: "20 2001:db8:1::1"},
		{lines: []string{"app.example.test. ALIAS 20 both.example.net."}, typ: dns.TypeANY, answer: "20 203.0.113.1, 20 203.0.113.2"},
		{lines: []string{"app.example.test. ALIAS 20 both.example.net."}, typ: dns.TypeCNAME},
		{lines: []string{"app.example.test. ALIAS 20 both.example.net."}, typ: dns.TypeTXT},
		{lines: []string{"app.example.test. ALIAS 100 four.example.net."}, typ: dns.TypeA, answer: "60 203.0.113.1, 60 203.0.113.2"},
		{lines: []string{"app.example.test. ALIAS 30 four.example.net."}, typ: dns.TypeAAAA},
		{lines: []string{"app.example.test. ALIAS 30 late.example.net."}, typ: dns.TypeA, answer: "7 203.0.113.1, 7 203.0.113.2", ede: old},
		{lines: []string{"app.example.test. ALIAS 30 part.example.net."}, typ: dns.TypeA, answer: "30 203.0.113.1, 30 203.0.113.2"},
		{lines: []string{"app.example.test. ALIAS 30 part.example.net."}, typ: dns.TypeAAAA, rcode: dns.RcodeServerFailure, ede: notYet},
		{lines: []string{"app.example.test. ALIAS 30 never.example.net."}, typ: dns.TypeA, rcode: dns.RcodeServerFailure, ede: notYet},
		{lines: []string{"app.example.test. ALIAS 30 never.example.net."}, typ: dns.TypeANY, rcode: dns.RcodeServerFailure, ede: notYet},
		{lines: []string{"app.example.test. ALIAS 30 never.example.net."}, typ: dns.TypeMX},
		// At the apex, beside what the file has there.
		{lines: []string{"example.test. ALIAS 30 both.example.net."}, name: "example.test.", typ: dns.TypeA, answer: "30 203.0.113.1, 30 203.0.113.2"},
		{lines: []string{"example.test. ALIAS 30 both.example.net."}, name: "example.test.", typ: dns.TypeSOA, answer: "*"},
		// Several hosts, and addresses beside them; what is not known is left out.
		{lines: []string{"app.example.test. A 30 192.0.2.1", "app.example.test. ALIAS 30 both.example.net. never.example.net."}, typ: dns.TypeA, answer: "30 192.0.2.1, 30 203.0.113.1, 30 203.0.113.2"},
		{lines: []string{"app.example.test. A 30 192.0.2.1", "app.example.test. ALIAS 30 never.example.net."}, typ: dns.TypeA, answer: "30 192.0.2.1"},
		{lines: []string{"app.example.test. A 30 192.0.2.1", "app.example.test. ALIAS 30 never.example.net."}, typ: dns.TypeAAAA, rcode: dns.RcodeServerFailure, ede: notYet},
		// Weighted: the share of what is not known goes to the others.
		{lines: []string{"app.example.test. A 30 set=a weight=1 192.0.2.1", "app.example.test. ALIAS 30 set=b weight=9 four.example.net."}, draw: 5, typ: dns.TypeA, answer: "30 203.0.113.1, 30 203.0.113.2"},
		{lines: []string{"app.example.test. A 30 set=a weight=1 192.0.2.1", "app.example.test. ALIAS 30 set=b weight=9 never.example.net."}, draw: 5, typ: dns.TypeA, answer: "30 192.0.2.1"},
		// Behind a CNAME, and below a wildcard.
		{lines: []string{"c.example.test. CNAME 30 app.example.test.", "app.example.test. ALIAS 30 both.example.net."}, name: "c.example.test.", typ: dns.TypeA, answer: "30 app.example.test., 30 203.0.113.1, 30 203.0.113.2"},
		{lines: []string{"c.example.test. CNAME 30 app.example.test.", "app.example.test. ALIAS 30 never.example.net."}, name: "c.example.test.", typ: dns.TypeA, rcode: dns.RcodeServerFailure, ede: notYet},
		{lines: []string{"c.example.test. CNAME 30 app.example.test.", "app.example.test. ALIAS 30 late.example.net."}, name: "c.example.test.", typ: dns.TypeA, answer: "30 app.example.test., 7 203.0.113.1, 7 203.0.113.2", ede: old},
		{lines: []string{"*.w.example.test. ALIAS 30 both.example.net."}, name: "x.w.example.test.", typ: dns.TypeA, answer: "30 203.0.113.1, 30 203.0.113.2"},
		// Time left of the answer itself.
		{lines: []string{"app.example.test. ALIAS 30 min=3 left=9s both.example.net."}, typ: dns.TypeAAAA, answer: "9 2001:db8:1::1"},
	} {
		name := test.name
		if name == "" {
			name = "app.example.test."
		}
		m, ede := askTable(t, aliasTable(t, test.lines...), name, test.typ, test.draw)
		var got []string
		for _, rr := range m.Answer {
			got = append(got, fmt.Sprint(rr.Header().Ttl, " ", rdata(rr)))
		}
		answer := strings.Join(got, ", ")
		if test.answer == "*" && answer != "" {
			answer = "*"
		}
		if m.Rcode != test.rcode || answer != test.answer || ede != test.ede {
			t.Errorf("%v %s %s: %s, %q, error %q; expected %s, %q, %q", test.lines, name, dns.Type(test.typ), dns.RcodeToString[m.Rcode], answer, ede, dns.RcodeToString[test.rcode], test.answer, test.ede)
		}
		if failed := m.Rcode == dns.RcodeServerFailure; failed && (m.Authoritative || len(m.Answer)+len(m.Ns) > 0) || !failed && !m.Authoritative {
			t.Errorf("%v: %v", test.lines, m)
		}
	}
}

// TestAliasRefused: what can't be served.
func TestAliasRefused(t *testing.T) {
	for _, test := range []struct {
		hosts *flats
		lines []string
		want  string
	}{
		{nil, []string{"app.example.test. ALIAS 30 both.example.net."}, "no resolver to look its hosts up"},
		{flatHosts(), []string{"app.example.test. ALIAS 30 both.example.net.", "app.example.test. CNAME 30 x.test."}, "a CNAME stands alone"},
		{flatHosts(), []string{"app.example.test. ALIAS 30 bad..name."}, "bad..name"},
		{flatHosts(), []string{"alias.example.test. ALIAS 30 both.example.net."}, "has a CNAME record for the name"},
	} {
		_, err := newFlatState([]*ZoneFile{exampleFile(t)}, test.hosts, mustAnswers(t, test.lines...), quiet(), epoch)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v; expected %q in it", test.lines, err, test.want)
		}
	}
}

// drawFlat draws hosts, and an answer that leads to some of them.
func drawFlat(t *rapid.T) (*flats, []steering.Answer) {
	f := &flats{minTTL: 5, hosts: map[string]*flat{}}
	for i := range 4 {
		one := new(flat)
		for k := range one.families {
			to := &one.families[k]
			if to.known = rapid.Bool().Draw(t, "known"); !to.known {
				continue
			}
			to.ttl = uint32(rapid.IntRange(5, 100).Draw(t, "ttl"))
			if to.stale = rapid.IntRange(0, 3).Draw(t, "stale") == 0; !to.stale {
				to.until = epoch.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "until")) * time.Second)
			}
			for n := range rapid.IntRange(0, 2).Draw(t, "addresses") {
				to.addrs = append(to.addrs, []string{fmt.Sprintf("192.0.2.%d", 10*i+n), fmt.Sprintf("2001:db8::%d", 10*i+n+1)}[k])
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "there") > 0 {
			f.hosts[fmt.Sprintf("h%d.test.", i)] = one
		}
	}
	kind := rapid.SampledFrom([]string{"one", "weighted", "located"}).Draw(t, "kind")
	var out []steering.Answer
	for v := range map[string]int{"one": 1, "weighted": 3, "located": 3}[kind] {
		for _, typ := range []string{"A", "AAAA", providers.TypeAlias} {
			if typ != providers.TypeAlias && rapid.IntRange(0, 2).Draw(t, "beside") > 0 {
				continue
			}
			a := steering.Answer{RRSet: providers.RRSet{Name: "app.example.test.", Type: typ, TTL: uint32(rapid.IntRange(1, 100).Draw(t, "TTL"))}, MinTTL: 1, Left: time.Duration(rapid.IntRange(0, 50).Draw(t, "left")) * time.Second}
			switch typ {
			case "A":
				a.Data = []string{fmt.Sprintf("198.51.100.%d", v+1)}
			case "AAAA":
				a.Data = []string{fmt.Sprintf("2001:db8:2::%d", v+1)}
			default:
				for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 3), 1, 3, rapid.ID[int]).Draw(t, "hosts") {
					a.Data = append(a.Data, fmt.Sprintf("h%d.test.", n))
				}
			}
			switch kind {
			case "weighted":
				a.SetID, a.Weight = fmt.Sprint("v", v), uint32(v)
			case "located":
				a.Location = []string{"default", "l1", "l2"}[v]
			}
			a.RRSet = a.Canonical()
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b steering.Answer) int { return providers.Compare(a.RRSet, b.RRSet) })
	return f, out
}

// flattens: each answer has the addresses of all of its hosts and no other,
// lives no longer than any of them, and fails only where nothing is known.
func flattens(t *rapid.T, compile func(*flats, []steering.Answer) (service, error)) error {
	hosts, answers := drawFlat(t)
	svc, err := compile(hosts, answers)
	if err != nil {
		return err
	}
	for k, typ := range aliasTypes {
		byLocation := map[string][]pick{}
		for _, s := range svc.sets {
			if s.typ != typ {
				continue
			}
			if s.located == nil {
				byLocation[""] = s.picks
			} else {
				for location, one := range s.located.sets {
					byLocation[location] = one.picks
				}
			}
		}
		locations := map[string]bool{}
		for _, a := range answers {
			locations[a.Location] = true
		}
		for location := range locations {
			var want []string // of each variant
			unknown := false
			for _, v := range []string{"", "v0", "v1", "v2"} {
				var data []string
				ttl, old := uint32(maxTTL), false
				for _, a := range answers {
					if a.Location != location || a.SetID != v {
						continue
					}
					if a.Type == dns.Type(typ).String() {
						data, ttl = append(data, a.Data...), min(ttl, a.TTL, secondsLeft(a))
					}
					if a.Type != providers.TypeAlias {
						continue
					}
					for _, h := range a.Data {
						is := hosts.hosts[h]
						if is == nil || !is.families[k].known {
							unknown = true
							continue
						}
						f := is.families[k]
						if len(f.addrs) > 0 {
							data, ttl, old = append(data, f.addrs...), min(ttl, a.TTL, secondsLeft(a), f.ttl), old || f.stale
							if !f.until.IsZero() {
								ttl = min(ttl, max(uint32(f.until.Sub(epoch)/time.Second), 5))
							}
						}
					}
				}
				if len(data) > 0 {
					slices.Sort(data)
					want = append(want, fmt.Sprint(slices.Compact(data), " old ", old, " at most ", ttl))
				}
			}
			var got []string
			for _, p := range byLocation[location] {
				if p.unknown() {
					if len(want) > 0 || !unknown || p.why != whyUnknown {
						return fmt.Errorf("%s in %q is unknown; expected %v; of %+v", dns.Type(typ), location, want, answers)
					}
					continue
				}
				var data []string
				for _, rr := range p.rrs {
					data = append(data, rdata(rr))
				}
				slices.Sort(data)
				got = append(got, fmt.Sprint(data, " old ", p.why == whyStale))
				i := len(got) - 1
				if i >= len(want) || !strings.HasPrefix(want[i], got[i]) {
					return fmt.Errorf("%s in %q: %v; expected %v, of %+v", dns.Type(typ), location, got, want, answers)
				}
				var most uint32
				fmt.Sscan(want[i][strings.LastIndex(want[i], " ")+1:], &most)
				if ttl := p.TTL(epoch); ttl > most || ttl < 1 {
					return fmt.Errorf("%s in %q: %v with TTL %d; expected %v, of %+v", dns.Type(typ), location, got, ttl, want, answers)
				}
			}
			if len(got) != len(want) || len(want) == 0 && unknown != (len(byLocation[location]) > 0) {
				return fmt.Errorf("%s in %q: %v, %d picks; expected %v, of %+v", dns.Type(typ), location, got, len(byLocation[location]), want, answers)
			}
		}
	}
	return nil
}

// secondsLeft is the time left of an answer; one with none stays.
func secondsLeft(a steering.Answer) uint32 {
	if a.Left == 0 {
		return maxTTL
	}
	return uint32(a.Left / time.Second)
}

func TestFlattens(t *testing.T) {
	file, err := zoneText("example.test", smallHead, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := map[key]*ZoneFile{file.apex: file}
	real := func(f *flats, answers []steering.Answer) (service, error) {
		return compileService(files, f, answers, epoch)
	}
	// changed compiles with hosts that were changed first.
	changed := func(change func(*flatFamily)) func(*flats, []steering.Answer) (service, error) {
		return func(f *flats, answers []steering.Answer) (service, error) {
			g := &flats{minTTL: f.minTTL, hosts: map[string]*flat{}}
			for name, h := range f.hosts {
				c := *h
				for k := range c.families {
					change(&c.families[k])
				}
				g.hosts[name] = &c
			}
			return real(g, answers)
		}
	}
	regionstest.Holds(t, func(rt *rapid.T) error { return flattens(rt, real) })
	for name, mutant := range map[string]func(*flats, []steering.Answer) (service, error){
		"what is not known is taken for none": changed(func(f *flatFamily) { f.known = true }),
		"the TTL of addresses is not bounded": changed(func(f *flatFamily) { f.ttl, f.until = 86400, time.Time{} }),
		"an old address is not told":          changed(func(f *flatFamily) { f.stale = false }),
		"last good is emptied":                changed(func(f *flatFamily) { f.addrs = nil }),
		"only the first host": func(f *flats, answers []steering.Answer) (service, error) {
			answers = slices.Clone(answers)
			for i := range answers {
				answers[i].Data = answers[i].Data[:1]
			}
			return real(f, answers)
		},
		"a failure beside what is known": func(f *flats, answers []steering.Answer) (service, error) {
			s, err := real(f, answers)
			for _, one := range s.sets {
				one.each(func(p *pick) {
					if len(s.answers) > 3 {
						*p = unknownPick(steering.Answer{})
					}
				})
			}
			return s, err
		},
	} {
		regionstest.Caught(t, 2000, name, func(rt *rapid.T) error { return flattens(rt, mutant) })
	}
}
