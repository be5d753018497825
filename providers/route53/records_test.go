package route53_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// bench is a provider before a server of its own.
type bench struct {
	t      testing.TB
	server *route53test.Server
	*route53.Provider
}

func newBench(t testing.TB, edit func(*route53.Config)) *bench {
	t.Helper()
	server := newServer(t, func(o *route53test.Options) {
		o.Without = []route53test.Rule{route53test.ThrottleAccount, route53test.ThrottleAction}
	})
	c := route53test.Config(t, zone)
	c.Rate, c.Burst = 10000, 100000
	if edit != nil {
		edit(&c)
	}
	return &bench{t: t, server: server, Provider: route53test.Provider(t, c, "shop", server)}
}

func (b *bench) read() providers.Snapshot {
	b.t.Helper()
	snap, err := b.Read(context.Background(), zone)
	if err != nil {
		b.t.Fatal(err)
	}
	return snap
}

func (b *bench) fence(from providers.Snapshot) providers.Fence {
	return providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: from.Fence.Write + 1}
}

// apply makes the owned records those wanted, as they can be expressed.
func (b *bench) apply(want ...providers.RRSet) error {
	b.t.Helper()
	from := b.read()
	_, err := b.Apply(context.Background(), from, b.fence(from), providers.Diff(from.Records, b.express(want)))
	return err
}

func (b *bench) express(want []providers.RRSet) []providers.RRSet {
	b.t.Helper()
	byName := map[string][]providers.RRSet{}
	for _, s := range want {
		byName[s.Name] = append(byName[s.Name], s)
	}
	var out []providers.RRSet
	for _, sets := range byName {
		sets, err := b.Caps().Express(sets)
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, sets...)
	}
	return out
}

// must applies, and shows that the diff then comes out empty.
func (b *bench) must(want ...providers.RRSet) {
	b.t.Helper()
	if err := b.apply(want...); err != nil {
		b.t.Fatal(err)
	}
	if d := providers.Diff(b.read().Records, b.express(want)); len(d) > 0 {
		b.t.Fatalf("after Apply the diff is %s", show(d))
	}
}

func show(changes []providers.Change) string {
	var out []string
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%+v -> %+v", c.Before, c.After))
	}
	return strings.Join(out, "; ")
}

// held lists the sets at a name past the API, one line each.
func (b *bench) held(name string) string {
	var out []string
	for _, s := range b.server.All(route53test.ZoneID) {
		if s.Name == name {
			out = append(out, line(s))
		}
	}
	return strings.Join(out, "\n")
}

func line(s route53test.Set) string {
	parts := []string{s.Type}
	add := func(ok bool, format string, args ...any) {
		if ok {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(s.SetIdentifier != "", "id=%s", s.SetIdentifier)
	if s.Weight != nil {
		add(true, "weight=%d", *s.Weight)
	}
	add(s.MultiValueAnswer != nil && *s.MultiValueAnswer, "multivalue")
	if s.TTL != nil {
		add(true, "ttl=%d", *s.TTL)
	}
	if s.AliasTarget != nil {
		add(true, "alias=%s %s %v", s.AliasTarget.DNSName, s.AliasTarget.HostedZoneID, s.AliasTarget.EvaluateTargetHealth)
	}
	for _, v := range s.ResourceRecords {
		add(true, "%s", v.Value)
	}
	add(s.HealthCheckID != "", "check=%s", s.HealthCheckID)
	return strings.Join(parts, " ")
}

func (b *bench) wantHeld(name, want string) {
	b.t.Helper()
	if d := cmp.Diff(want, b.held(name)); d != "" {
		b.t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func a(label string, data ...string) providers.RRSet {
	return providers.RRSet{Name: label + "." + zone, Type: "A", TTL: 30, Data: data}
}

func cname(name, host string) providers.RRSet {
	return providers.RRSet{Name: name, Type: "CNAME", TTL: 30, Data: []string{host}}
}

func withAliases(c *route53.Config) {
	c.Aliases = map[string]route53.Alias{
		"lb.eu.example":  {ZoneID: "Z1EU", EvaluateTargetHealth: true},
		"lb.us.example.": {ZoneID: "Z1US", Types: []string{"A"}, TTL: 300},
	}
}

// TestAlias: a CNAME to a listed host is held as aliases, at the apex too, and
// read as that CNAME.
func TestAlias(t *testing.T) {
	b := newBench(t, withAliases)
	b.must(cname(zone, "LB.eu.example."), cname("app."+zone, "lb.us.example."), cname("www."+zone, "web.example."))
	b.wantHeld(zone, "A alias=lb.eu.example. Z1EU true\nAAAA alias=lb.eu.example. Z1EU true")
	b.wantHeld("app."+zone, "A alias=lb.us.example. Z1US false")
	b.wantHeld("www."+zone, "CNAME ttl=30 web.example.")
	b.must(cname(zone, "lb.us.example."), cname("app."+zone, "web.example."), cname("www."+zone, "lb.eu.example."))
	b.wantHeld(zone, "A alias=lb.us.example. Z1US false")
	b.wantHeld("app."+zone, "CNAME ttl=30 web.example.")
	b.wantHeld("www."+zone, "A alias=lb.eu.example. Z1EU true\nAAAA alias=lb.eu.example. Z1EU true")
	b.must(a("app", "192.0.2.1"), a("www", "192.0.2.1"))
	b.wantHeld(zone, "")
	b.wantHeld("www."+zone, "A ttl=30 192.0.2.1")
}

// TestAliasWeighted: aliases ramp like other records, beside addresses too.
func TestAliasWeighted(t *testing.T) {
	b := newBench(t, withAliases)
	eu, us := cname("app."+zone, "lb.eu.example."), a("app", "192.0.2.1")
	eu.SetID, eu.Weight, us.SetID, us.Weight = "eu", 3, "us", 1
	b.must(eu, us)
	b.wantHeld("app."+zone, "A id=eu weight=3 alias=lb.eu.example. Z1EU true\nA id=us weight=1 ttl=30 192.0.2.1\nAAAA id=eu weight=3 alias=lb.eu.example. Z1EU true")
	eu.Weight = 1
	b.must(eu, us)
	b.wantHeld("app."+zone, "A id=eu weight=1 alias=lb.eu.example. Z1EU true\nA id=us weight=1 ttl=30 192.0.2.1\nAAAA id=eu weight=1 alias=lb.eu.example. Z1EU true")
}

// TestAliasByHand: an alias that is not as the config has it is mended.
func TestAliasByHand(t *testing.T) {
	at := "app." + zone
	want := "A alias=lb.eu.example. Z1EU true\nAAAA alias=lb.eu.example. Z1EU true"
	other := func(typ, host, zoneID string, health bool) route53test.Set {
		return route53test.Set{Name: at, Type: typ, AliasTarget: &route53test.AliasTarget{DNSName: host, HostedZoneID: zoneID, EvaluateTargetHealth: health}}
	}
	for name, set := range map[string]*route53test.Set{
		"one type is gone": nil,
		"another host":     ptr(other("AAAA", "lb.us.example.", "Z1US", false)),
		"another zone":     ptr(other("A", "lb.eu.example.", "Z9", true)),
		"health ignored":   ptr(other("A", "lb.eu.example.", "Z1EU", false)),
	} {
		b := newBench(t, withAliases)
		b.must(cname(at, "lb.eu.example."))
		if set == nil {
			if err := b.server.Delete(route53test.ZoneID, at, "AAAA", ""); err != nil {
				t.Fatal(err)
			}
		} else if err := b.server.Put(route53test.ZoneID, *set); err != nil {
			t.Fatal(err)
		}
		if d := providers.Diff(b.read().Records, b.express([]providers.RRSet{cname(at, "lb.eu.example.")})); len(d) != 1 {
			t.Errorf("%s: the diff is %s, want one change", name, show(d))
		}
		b.must(cname(at, "lb.eu.example."))
		b.wantHeld(at, want)
	}
}

func ptr[T any](v T) *T { return &v }

// TestMultivalue: sets without weights are one multivalue answer for each
// address, read as one set; health checks stay with their address.
func TestMultivalue(t *testing.T) {
	b := newBench(t, func(c *route53.Config) { c.Multivalue = true })
	at := "app." + zone
	b.must(a("app", "192.0.2.1", "192.0.2.2"), cname("www."+zone, "web.example."))
	b.wantHeld(at, "A id=192.0.2.1 multivalue ttl=30 192.0.2.1\nA id=192.0.2.2 multivalue ttl=30 192.0.2.2")
	b.wantHeld("www."+zone, "CNAME ttl=30 web.example.")
	edit := func(identifier string, change func(*route53test.Set)) {
		for _, s := range b.server.All(route53test.ZoneID) {
			if s.Name == at && s.SetIdentifier == identifier {
				change(&s)
				if err := b.server.Put(route53test.ZoneID, s); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	edit("192.0.2.1", func(s *route53test.Set) { s.HealthCheckID = "one" })
	edit("192.0.2.2", func(s *route53test.Set) { s.HealthCheckID = "two" })
	b.must(a("app", "192.0.2.2", "192.0.2.3"))
	b.wantHeld(at, "A id=192.0.2.2 multivalue ttl=30 192.0.2.2 check=two\nA id=192.0.2.3 multivalue ttl=30 192.0.2.3")
	// By hand: another TTL for one.
	edit("192.0.2.3", func(s *route53test.Set) { s.TTL = ptr(int64(5)) })
	b.must(a("app", "192.0.2.2", "192.0.2.3"))
	b.wantHeld(at, "A id=192.0.2.2 multivalue ttl=30 192.0.2.2 check=two\nA id=192.0.2.3 multivalue ttl=30 192.0.2.3")
}

// TestMultivalueOff: what the console made as multivalue answers is one set,
// and is written as the config says when it changes.
func TestMultivalueOff(t *testing.T) {
	b := newBench(t, nil)
	b.must(a("app", "192.0.2.9"))
	if err := b.server.Delete(route53test.ZoneID, "app."+zone, "A", ""); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"192.0.2.1", "192.0.2.2"} {
		set := route53test.Set{Name: "app." + zone, Type: "A", SetIdentifier: "by hand " + v, MultiValueAnswer: ptr(true), TTL: ptr(int64(30)), ResourceRecords: route53test.Values(v)}
		if err := b.server.Put(route53test.ZoneID, set); err != nil {
			t.Fatal(err)
		}
	}
	if d := providers.Diff(b.read().Records, []providers.RRSet{a("app", "192.0.2.2", "192.0.2.1")}); len(d) != 0 {
		t.Errorf("the same addresses give the diff %s", show(d))
	}
	b.must(a("app", "192.0.2.1"))
	b.wantHeld("app."+zone, "A ttl=30 192.0.2.1")
}

// TestForeignRouting: what others made with another routing policy, or as an
// alias to what the config does not list, is not touched, and neither is its
// name, even where Veer owns it.
func TestForeignRouting(t *testing.T) {
	for want, edit := range map[string]func(*route53test.Set){
		"latency":     func(s *route53test.Set) { s.Region = "eu-west-1" },
		"geolocation": func(s *route53test.Set) { s.GeoLocation = &route53test.GeoLocation{ContinentCode: "EU"} },
		"failover":    func(s *route53test.Set) { s.Failover = "PRIMARY" },
		"IP-based": func(s *route53test.Set) {
			s.CidrRoutingConfig = &route53test.Cidr{CollectionID: "c", LocationName: "*"}
		},
		"geoproximity":   func(s *route53test.Set) { s.GeoProximityLocation = &route53test.Proximity{AWSRegion: "eu-west-1"} },
		"traffic policy": func(s *route53test.Set) { s.TrafficPolicy = "t" },
		"does not know":  func(*route53test.Set) {},
		"alias to lb.elsewhere": func(s *route53test.Set) {
			s.SetIdentifier, s.TTL, s.ResourceRecords = "", nil, nil
			s.AliasTarget = &route53test.AliasTarget{DNSName: "lb.elsewhere.example.", HostedZoneID: "Z1"}
		},
	} {
		b := newBench(t, withAliases)
		b.must(a("app", "192.0.2.1"), a("other", "192.0.2.1"))
		if err := b.server.Delete(route53test.ZoneID, "app."+zone, "A", ""); err != nil {
			t.Fatal(err)
		}
		set := route53test.Set{Name: "app." + zone, Type: "A", SetIdentifier: "by hand", TTL: ptr(int64(60)), ResourceRecords: route53test.Values("203.0.113.1")}
		edit(&set)
		if err := b.server.Put(route53test.ZoneID, set); err != nil {
			t.Fatal(err)
		}
		before := b.held("app." + zone)
		snap := b.read()
		if who := snap.Owners["app."+zone]; !strings.Contains(who, want) {
			t.Errorf("%s: the name's owner is %q", want, who)
		}
		if len(snap.Foreign) != 1 || len(snap.Records) != 1 {
			t.Errorf("%s: foreign %v, own %v", want, snap.Foreign, snap.Records)
		}
		err := b.apply(a("app", "192.0.2.2"), a("other", "192.0.2.2"))
		if !errors.Is(err, providers.ErrConflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
		b.must(a("other", "192.0.2.3"))
		if now := b.held("app." + zone); now != before {
			t.Errorf("%s: %s became %s", want, before, now)
		}
	}
}

// TestForeignAliases: latency aliases of both types with one identifier, which
// somebody made by hand to a host that the config lists, are foreign, and leave
// the zone readable.
func TestForeignAliases(t *testing.T) {
	b := newBench(t, withAliases)
	b.must(a("other", "192.0.2.1"))
	for _, typ := range []string{"A", "AAAA"} {
		set := route53test.Set{Name: "app." + zone, Type: typ, SetIdentifier: "eu", Region: "eu-west-1",
			AliasTarget: &route53test.AliasTarget{DNSName: "lb.eu.example.", HostedZoneID: "Z1EU", EvaluateTargetHealth: true}}
		if err := b.server.Put(route53test.ZoneID, set); err != nil {
			t.Fatal(err)
		}
	}
	before := b.held("app." + zone)
	b.must(a("other", "192.0.2.2"))
	if snap := b.read(); len(snap.Foreign) != 2 || len(snap.Records) != 1 || snap.Owners["app."+zone] == "" {
		t.Errorf("foreign %v, own %v, owners %v", snap.Foreign, snap.Records, snap.Owners)
	}
	if now := b.held("app." + zone); now != before {
		t.Errorf("%s became %s", before, now)
	}
}

// TestRandom: whatever is wanted of a zone one after the other, each time the
// diff then comes out empty, nobody else's sets change, and neither do health
// checks.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		multivalue := rapid.Bool().Draw(rt, "multivalue")
		b := newBench(t, func(c *route53.Config) { withAliases(c); c.Multivalue = multivalue })
		for i, typ := range []string{"A", "AAAA", "MX", "CNAME"} {
			set := route53test.Set{Name: fmt.Sprintf(`x%d\052.%s`, i, zone), Type: typ, TTL: ptr(int64(60)), ResourceRecords: route53test.Values(map[string]string{"A": "203.0.113.1", "AAAA": "2001:db8::9", "MX": "10 mx.example.", "CNAME": "y.example."}[typ]), HealthCheckID: "theirs"}
			if err := b.server.Put(route53test.ZoneID, set); err != nil {
				rt.Fatal(err)
			}
		}
		theirs := b.foreign()
		for range 3 {
			var want []providers.RRSet
			for _, name := range []string{zone, "app." + zone, `*.\065\.b.` + zone} {
				want = append(want, drawSets(rt, name)...)
			}
			if err := b.apply(want...); err != nil {
				rt.Fatalf("%v: %v", want, err)
			}
			if d := providers.Diff(b.read().Records, b.express(want)); len(d) > 0 {
				rt.Fatalf("after Apply the diff is %s", show(d))
			}
			if now := b.foreign(); !slices.Equal(now, theirs) {
				rt.Fatalf("others' sets were %q, are %q", theirs, now)
			}
		}
	})
}

func (b *bench) foreign() []string {
	var out []string
	for _, s := range b.server.All(route53test.ZoneID) {
		if strings.HasPrefix(s.Name, "x") {
			out = append(out, s.Name+" "+line(s))
		}
	}
	return out
}

// drawSets draws what a name is to answer: nothing, addresses, a host, or
// either with weights.
func drawSets(rt *rapid.T, name string) []providers.RRSet {
	address := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "192.0.2.3"})
	hosts := []string{"lb.eu.example.", "lb.us.example."}
	if name != zone { // where a CNAME may stand
		hosts = append(hosts, "web.example.")
	}
	ttl := uint32(rapid.IntRange(1, 2).Draw(rt, "ttl"))
	set := func(typ string, data ...string) providers.RRSet {
		return providers.RRSet{Name: name, Type: typ, TTL: ttl, Data: data}
	}
	host := rapid.SampledFrom(hosts).Draw(rt, "host")
	var out []providers.RRSet
	switch rapid.IntRange(0, 4).Draw(rt, "kind") {
	case 1:
		out = append(out, set("A", rapid.SliceOfNDistinct(address, 1, 3, rapid.ID).Draw(rt, "data")...), set("AAAA", "2001:db8::1"))
	case 2:
		out = append(out, set("CNAME", host))
	case 3, 4:
		for i, id := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"eu", "us", "ap"}), 1, 3, rapid.ID).Draw(rt, "ids") {
			s := set("CNAME", host)
			if i > 0 && host != "web.example." {
				s = set("A", address.Draw(rt, "address"))
			}
			s.SetID, s.Weight = id, uint32(rapid.IntRange(0, 1000).Draw(rt, "weight"))
			out = append(out, s)
		}
	}
	return out
}
