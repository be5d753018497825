package authority

import (
	"fmt"
	"net/netip"
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

// drawAnswers draws the answers of a service: of one, of weighted ones, or of
// locations, each with addresses of one family or both.
func drawAnswers(t *rapid.T) []steering.Answer {
	kind := rapid.SampledFrom([]string{"one", "weighted", "located"}).Draw(t, "kind")
	n := 1
	if kind != "one" {
		n = rapid.IntRange(1, 3).Draw(t, "variants")
	}
	var out []steering.Answer
	for i := range n {
		families := rapid.IntRange(1, 3).Draw(t, "families")
		for f, typ := range []string{"A", "AAAA"} {
			if families&(f+1) == 0 {
				continue
			}
			a := steering.Answer{RRSet: providers.RRSet{Name: "app.example.test.", Type: typ, TTL: 60}, MinTTL: 5, Left: time.Duration(rapid.IntRange(0, 2).Draw(t, "left")) * 20 * time.Second}
			for k := range rapid.IntRange(1, 3).Draw(t, "addresses") {
				a.Data = append(a.Data, []string{fmt.Sprintf("192.0.2.%d", 10*i+k), fmt.Sprintf("2001:db8::%x", 16*i+k+1)}[f])
			}
			switch kind {
			case "weighted":
				a.SetID, a.Weight = fmt.Sprint("r", i), uint32(i+1)
			case "located":
				a.Location = []string{"default", "l1", "l2"}[i]
			}
			out = append(out, a)
		}
	}
	return out
}

// hintsFollow: each answer has an HTTPS record with all of its addresses and no
// other, of the same weight, that lives no longer than they do.
func hintsFollow(t *rapid.T, make func(HTTPS, service) *set) error {
	answers := drawAnswers(t)
	file, err := zoneText("example.test", smallHead, nil)
	if err != nil {
		return err
	}
	slices.SortStableFunc(answers, func(a, b steering.Answer) int { return providers.Compare(a.RRSet, b.RRSet) })
	svc, err := compileService(map[key]*ZoneFile{file.apex: file}, nil, answers, epoch)
	if err != nil {
		return err
	}
	s := make(HTTPS{ALPN: []string{"h2"}, Port: 8443}, svc)
	of := map[string]*set{"": s}
	if s.located != nil {
		of = s.located.sets
	}
	records := 0
	for location, one := range of {
		for _, p := range one.picks {
			records++
			text := p.rrs[0].String()
			var want, got []string
			ttl := uint32(60)
			for _, a := range answers {
				if a.Location != location || a.SetID != "" && a.Weight != p.weight {
					continue
				}
				want = append(want, a.Data...)
				if a.Left > 0 {
					ttl = min(ttl, uint32(a.Left/time.Second))
				}
			}
			for _, v := range p.rrs[0].(*dns.HTTPS).Value {
				if k := v.Key(); k == dns.SVCB_IPV4HINT || k == dns.SVCB_IPV6HINT {
					got = append(got, strings.Split(v.String(), ",")...)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) || p.TTL(epoch) != ttl {
				return fmt.Errorf("%s with TTL %d in %q; expected %v with %d, of %+v", text, p.TTL(epoch), location, want, ttl, answers)
			}
		}
	}
	variants := map[variant]bool{}
	for _, a := range answers {
		variants[variant{a.Location, a.SetID}] = true
	}
	if records != len(variants) {
		return fmt.Errorf("%d records for %d answers: %+v", records, len(variants), answers)
	}
	return nil
}

func TestHintsFollowTheAnswer(t *testing.T) {
	regionstest.Holds(t, func(rt *rapid.T) error { return hintsFollow(rt, HTTPS.set) })
	for name, twin := range map[string]func(HTTPS, service) *set{
		"IPv4 only": func(h HTTPS, svc service) *set {
			svc.flat = slices.DeleteFunc(slices.Clone(svc.flat), func(a steering.Answer) bool {
				return a.Type == "AAAA" && slices.ContainsFunc(svc.flat, func(o steering.Answer) bool { return o.Type == "A" })
			})
			return h.set(svc)
		},
		"the first answer's hints for all": func(h HTTPS, svc service) *set {
			s := h.set(svc)
			for i := range s.picks {
				s.picks[i].rrs = s.picks[0].rrs
			}
			return s
		},
		"the TTL is always the steady one": func(h HTTPS, svc service) *set {
			s := h.set(svc)
			s.each(func(p *pick) { p.until = time.Time{} })
			return s
		},
	} {
		regionstest.Caught(t, 2000, name, func(rt *rapid.T) error { return hintsFollow(rt, twin) })
	}
}

// TestHTTPSRecords asks for them over the wire.
func TestHTTPSRecords(t *testing.T) {
	st, err := newState([]*ZoneFile{exampleFile(t)}, append(geoAnswers(t), mustAnswers(t, "left.example.test. A 60 left=20s 192.0.2.9")...), quiet(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := HTTPS{ALPN: []string{"h3", "h2"}, Port: 8443}
	if err := st.locate(newPlaces(map[string][]Location{"app.example.test.": geoLocations()}, nowhere()), map[string]HTTPS{
		"app.example.test.": h, "same.example.test.": {ALPN: []string{"h2"}}, "geoalias.example.test.": h, "left.example.test.": h}); err != nil {
		t.Fatal(err)
	}
	r := responderOf(st.build(false))
	r.ecs = ECS{Trust: []string{"127.0.0.0/8"}}.rules()
	for _, c := range []struct{ source, name, want string }{
		{"127.0.0.1", "same.example.test.", `same.example.test. 60 IN HTTPS 1 . alpn="h2" ipv4hint="192.0.2.9"`},
		{"127.0.0.1", "app.example.test.", `app.example.test. 60 IN HTTPS 1 . alpn="h3,h2" port="8443" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"`},
		{"198.51.100.65", "app.example.test.", `app.example.test. 60 IN HTTPS 1 . alpn="h3,h2" port="8443" ipv4hint="192.0.2.4" ipv6hint="2001:db8::4"`},
		{"127.0.0.1", "geoalias.example.test.", `geoalias.example.test. 60 IN CNAME app.example.test.`},
		{"127.0.0.1", "left.example.test.", `left.example.test. 20 IN HTTPS 1 . alpn="h3,h2" port="8443" ipv4hint="192.0.2.9"`},
		{"127.0.0.1", "www.example.test.", ""},
	} {
		r.source = netip.MustParseAddr(c.source)
		in, _ := askWith(t, r, c.name, dns.TypeHTTPS)
		got := ""
		if len(in.Answer) > 0 {
			got = strings.ReplaceAll(in.Answer[0].String(), "\t", " ")
		}
		if got != c.want {
			t.Errorf("%s for %s: %s; expected %s", c.name, c.source, got, c.want)
		}
	}
	if _, sub := askWith(t, func() *responder { r.source = netip.MustParseAddr("127.0.0.1"); return r }(), "app.example.test.", dns.TypeHTTPS, raw(0, 1, 24, 0, 10, 0, 0)); sub == nil || sub.SourceScope == 0 {
		t.Errorf("hints that depend on the client, with the scope %v", sub)
	}
}
