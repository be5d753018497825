package authority

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers/authority/mmdbtest"
	"github.com/veerdns/veer/regions/regionstest"
	"github.com/veerdns/veer/regions/steering"
)

// geoLocations are the tests' own: the database's networks are in world.
func geoLocations() []Location {
	return []Location{
		{Name: "europe", Continents: []string{"EU"}},
		{Name: "germany", Countries: []string{"de"}},
		{Name: "office", Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.64/26"), netip.MustParsePrefix("2001:db8:2:1::/64")}},
	}
}

// geoAnswers are those of app, whose germany has no IPv6, and of a name that
// leads to it.
func geoAnswers(t testing.TB) []steering.Answer {
	answers := mustAnswers(t,
		"app.example.test. A 60 192.0.2.1", "app.example.test. A 60 192.0.2.2", "app.example.test. A 60 192.0.2.3", "app.example.test. A 60 192.0.2.4",
		"app.example.test. AAAA 60 2001:db8::1", "app.example.test. AAAA 60 2001:db8::2", "app.example.test. AAAA 60 2001:db8::4",
		"same.example.test. A 60 192.0.2.9", "geoalias.example.test. CNAME 60 app.example.test.")
	for i, location := range []string{"default", "europe", "germany", "office", "default", "europe", "office"} {
		answers[i].Location = location
	}
	return answers
}

// geoResponder answers of the tests' database, and believes 127.0.0.0/8.
func geoResponder(t testing.TB) *responder {
	t.Helper()
	st, err := newState([]*ZoneFile{exampleFile(t)}, geoAnswers(t), quiet(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	g, err := parseGeography(context.Background(), mmdbtest.Write(mmdbtest.Small, world()...), maxNetworks)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.locate(newPlaces(map[string][]Location{"app.example.test.": geoLocations()}, g), nil); err != nil {
		t.Fatal(err)
	}
	r := responderOf(st.build(false))
	r.ecs = ECS{Trust: []string{"127.0.0.0/8"}}.rules()
	r.source = netip.MustParseAddr("127.0.0.1")
	return r
}

// raw is an EDNS(0) option with any data.
func raw(data ...byte) *dns.EDNS0_LOCAL { return &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: data} }

// askWith asks, and returns the response and its client subnet option.
func askWith(t testing.TB, r *responder, name string, typ uint16, options ...dns.EDNS0) (*dns.Msg, *dns.EDNS0_SUBNET) {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = options
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := r.respond(packet, make([]byte, dns.MaxMsgSize), true)
	in := new(dns.Msg)
	if err := in.Unpack(out); err != nil {
		t.Fatal(err)
	}
	if opt := in.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if s, ok := o.(*dns.EDNS0_SUBNET); ok {
				return in, s
			}
		}
	}
	return in, nil
}

// TestECS goes through RFC 7871, section by section.
func TestECS(t *testing.T) {
	const app, plain, alias = "app.example.test.", "same.example.test.", "geoalias.example.test."
	for _, c := range []struct {
		section string
		name    string
		typ     uint16
		source  string // of the query; "": 127.0.0.1, which is trusted
		data    []byte // of the option; nil: none
		rcode   int
		answer  string // the last record's data; "": none
		scope   int    // -1: no option in the response
	}{
		{"6: an IPv4 prefix", app, dns.TypeA, "", []byte{0, 1, 24, 0, 198, 51, 100}, 0, "192.0.2.1", 24},
		{"6: only the octets that are needed", app, dns.TypeA, "", []byte{0, 1, 20, 0, 10, 1, 16}, 0, "192.0.2.2", 16},
		{"6: an IPv6 prefix", app, dns.TypeA, "", []byte{0, 2, 48, 0, 0x20, 1, 0xd, 0xb8, 0, 1}, 0, "192.0.2.2", 48},
		{"6: more octets than are needed", app, dns.TypeA, "", []byte{0, 1, 24, 0, 192, 0, 2, 0}, dns.RcodeFormatError, "", -1},
		{"6: fewer octets than are needed", app, dns.TypeA, "", []byte{0, 1, 24, 0, 192, 0}, dns.RcodeFormatError, "", -1},
		{"6: bits set beyond the prefix", app, dns.TypeA, "", []byte{0, 1, 20, 0, 192, 0, 2}, dns.RcodeFormatError, "", -1},
		{"6: a prefix that is too long for IPv4", app, dns.TypeA, "", []byte{0, 1, 33, 0, 192, 0, 2, 1, 0}, dns.RcodeFormatError, "", -1},
		{"6: a prefix that is too long for IPv6", app, dns.TypeA, "", append([]byte{0, 2, 129, 0}, make([]byte, 17)...), dns.RcodeFormatError, "", -1},
		{"6: a scope in a query", app, dns.TypeA, "", []byte{0, 1, 24, 24, 192, 0, 2}, dns.RcodeFormatError, "", -1},
		{"6: too short for its fields", app, dns.TypeA, "", []byte{0, 1, 24}, dns.RcodeFormatError, "", -1},
		{"7.1.2: no bits, no family", app, dns.TypeA, "", []byte{0, 0, 0, 0}, 0, "192.0.2.1", 0},
		{"7.1.2: no bits of IPv4", app, dns.TypeA, "", []byte{0, 1, 0, 0}, 0, "192.0.2.1", 0},
		{"7.1.2: no bits of IPv6", app, dns.TypeA, "", []byte{0, 2, 0, 0}, 0, "192.0.2.1", 0},
		{"7.1.2: no family, and an address", app, dns.TypeA, "", []byte{0, 0, 8, 0, 10}, dns.RcodeFormatError, "", -1},
		{"7.2.1: an unknown family", app, dns.TypeA, "", []byte{0, 3, 8, 0, 10}, dns.RcodeFormatError, "", -1},
		{"7.2.1: no option, no option in the response", app, dns.TypeA, "", nil, 0, "192.0.2.1", -1},
		{"7.2.1: no option, and the source counts", app, dns.TypeA, "192.0.2.200", nil, 0, "192.0.2.3", -1},
		{"7.2.1: a resolver that is not trusted has no support", app, dns.TypeA, "203.0.113.5", []byte{0, 1, 24, 0, 192, 0, 2}, 0, "192.0.2.1", -1},
		{"7.2.1: nor has one whose option is malformed", app, dns.TypeA, "203.0.113.5", []byte{0, 1, 24, 0, 192, 0, 2, 9}, 0, "192.0.2.1", -1},
		{"7.2.1: nor one whose option no program could read", app, dns.TypeA, "203.0.113.5", []byte{0}, 0, "192.0.2.1", -1},
		{"7.2.1: nor one with a prefix that is too long", app, dns.TypeA, "203.0.113.5", []byte{0, 1, 33, 0, 192, 0, 2, 1, 0}, 0, "192.0.2.1", -1},
		{"7.2.1: nor one of an unknown family", app, dns.TypeA, "203.0.113.5", []byte{0, 3, 8, 0, 10}, 0, "192.0.2.1", -1},
		{"7.2.1: nor one of no family, and an address", app, dns.TypeA, "203.0.113.5", []byte{0, 0, 8, 0, 10}, 0, "192.0.2.1", -1},
		{"7.2.1: longer scope than the source: finer networks", app, dns.TypeA, "", []byte{0, 1, 8, 0, 10}, 0, "192.0.2.1", 16},
		{"7.2.1: shorter scope than the source: coarser networks", app, dns.TypeA, "", []byte{0, 1, 24, 0, 10, 1, 9}, 0, "192.0.2.2", 16},
		{"7.2.1: what is within longer prefixes is deaggregated", app, dns.TypeA, "", []byte{0, 1, 24, 0, 10, 0, 9}, 0, "192.0.2.1", 16},
		{"7.2.1: an answer for everybody", plain, dns.TypeA, "", []byte{0, 1, 24, 0, 192, 0, 2}, 0, "192.0.2.9", 0},
		{"7.2.1: a chain has the longest scope", alias, dns.TypeA, "", []byte{0, 1, 24, 0, 10, 1, 0}, 0, "192.0.2.2", 16},
		{"7.2.1: networks finer than max_prefix are one", app, dns.TypeA, "", []byte{0, 1, 32, 0, 198, 51, 100, 65}, 0, "192.0.2.1", 24},
		{"7.2.1: the same of another part of it", app, dns.TypeA, "", []byte{0, 1, 32, 0, 198, 51, 100, 1}, 0, "192.0.2.1", 24},
		{"7.2.1: and of IPv6", app, dns.TypeA, "", []byte{0, 2, 64, 0, 0x20, 1, 0xd, 0xb8, 0, 2, 0, 1}, 0, "192.0.2.1", 56},
		{"7.3.1: a refusal is for everybody", "elsewhere.invalid.", dns.TypeA, "", []byte{0, 1, 24, 0, 192, 0, 2}, dns.RcodeRefused, "", 0},
		{"7.4: no such name, for everybody", "nothing.example.test.", dns.TypeA, "", []byte{0, 1, 24, 0, 192, 0, 2}, dns.RcodeNameError, "", 0},
		{"7.4: no data of a type in this location", app, dns.TypeAAAA, "192.0.2.200", nil, 0, "", -1},
		{"7.4: no data, for everybody", app, dns.TypeTXT, "", []byte{0, 1, 24, 0, 192, 0, 2}, 0, "", 0},
	} {
		t.Run(c.section, func(t *testing.T) {
			r := geoResponder(t)
			if c.source != "" {
				r.source = netip.MustParseAddr(c.source)
			}
			var options []dns.EDNS0
			if c.data != nil {
				options = append(options, raw(c.data...))
			}
			in, sub := askWith(t, r, c.name, c.typ, options...)
			answer, scope := "", -1
			if n := len(in.Answer); n > 0 {
				answer = in.Answer[n-1].(*dns.A).A.String()
			}
			if sub != nil {
				scope = int(sub.SourceScope)
			}
			if in.Rcode != c.rcode || answer != c.answer || scope != c.scope {
				t.Errorf("%s, %q, scope %d; expected %s, %q, %d", dns.RcodeToString[in.Rcode], answer, scope, dns.RcodeToString[c.rcode], c.answer, c.scope)
			}
		})
	}
}

// TestUnknownOptionsAreIgnored: an option that the server has no use for is
// ignored whatever is in it, though the library knows how it should be (RFC 6891,
// section 6.1.2). Only a record that is none is refused.
func TestUnknownOptionsAreIgnored(t *testing.T) {
	for code := range uint16(25) {
		for _, data := range [][]byte{nil, {0}, {1, 2, 3}, make([]byte, 19)} {
			r := geoResponder(t)
			r.source = netip.MustParseAddr("203.0.113.5")
			in, sub := askWith(t, r, "app.example.test.", dns.TypeA, &dns.EDNS0_LOCAL{Code: code, Data: data}, &dns.EDNS0_LOCAL{Code: code, Data: data})
			if in.Rcode != dns.RcodeSuccess || len(in.Answer) != 1 || sub != nil || len(in.IsEdns0().Option) > 0 {
				t.Errorf("option %d of % x: %v", code, data, in)
			}
		}
	}
	m := new(dns.Msg)
	m.SetQuestion("app.example.test.", dns.TypeA).SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{raw(0, 1, 24, 0, 192, 0, 2)}
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	packet[len(packet)-8]++ // the option is longer than its record
	for _, source := range []string{"127.0.0.1", "203.0.113.5"} {
		r := geoResponder(t)
		r.source = netip.MustParseAddr(source)
		if out := r.respond(packet, make([]byte, 512), true); out[3]&15 != dns.RcodeFormatError {
			t.Errorf("to %s: % x", source, out)
		}
	}
}

// TestECSComesBackAsItCame compares the octets: the response's option is the
// query's but for the scope (section 7.2.1).
func TestECSComesBackAsItCame(t *testing.T) {
	r := geoResponder(t)
	for _, data := range [][]byte{{0, 0, 0, 0}, {0, 1, 0, 0}, {0, 2, 0, 0}, {0, 1, 9, 0, 10, 128}, {0, 1, 32, 0, 10, 1, 2, 3}, {0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 1, 2}} {
		m := new(dns.Msg)
		m.SetQuestion("app.example.test.", dns.TypeA)
		m.SetEdns0(1232, true)
		m.IsEdns0().Option = []dns.EDNS0{raw(data...)}
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out := r.respond(packet, make([]byte, dns.MaxMsgSize), true)
		at := slices.Index(out[len(out)-4-len(data):], 8) // the option is the last of all
		got := slices.Clone(out[len(out)-len(data):])
		got[3] = 0
		if at != 1 || !slices.Equal(got, data) {
			t.Errorf("% x came back as % x", data, out[len(out)-4-len(data):])
		}
	}
	// No data of a type is of the location alone (section 7.4).
	r.ecs.mostV4 = 32
	if in, sub := askWith(t, r, "app.example.test.", dns.TypeAAAA, raw(0, 1, 25, 0, 192, 0, 2, 128)); in.Rcode != 0 || len(in.Answer) > 0 || sub.SourceScope != 25 {
		t.Errorf("no AAAA in this location, and %v", in)
	}
	if in, sub := askWith(t, r, "app.example.test.", dns.TypeA, raw(0, 1, 0, 0), raw(0, 1, 0, 0)); in.Rcode != dns.RcodeFormatError || sub != nil {
		t.Errorf("two options, and %v", in)
	}
}

// TestMappedAddressesAreIPv6: of a network within ::ffff:0:0/96 nothing is known,
// and its scope is in bits of IPv6.
func TestMappedAddressesAreIPv6(t *testing.T) {
	r := geoResponder(t)
	r.ecs.mostV6 = 128
	prefix := append(make([]byte, 10), 0xff, 0xff)
	for _, c := range []struct {
		name    string
		network []byte // of IPv4
		bits    byte
	}{{"app.example.test.", []byte{10, 1, 2}, 120}, {"app.example.test.", []byte{198, 51, 100, 65}, 128}, {"geoalias.example.test.", nil, 96}} {
		in, sub := askWith(t, r, c.name, dns.TypeA, raw(append(append([]byte{0, 2, c.bits, 0}, prefix...), c.network...)...))
		if in.Rcode != 0 || sub == nil || in.Answer[len(in.Answer)-1].(*dns.A).A.String() != "192.0.2.1" {
			t.Fatalf("%v: %v", c.network, in)
		}
		// 2001:db8::/32 has what is known of IPv6: the half below 2000::/3 has nothing.
		if sub.SourceScope != 3 || sub.SourceNetmask != c.bits {
			t.Errorf("%v of %d bits: the scope is %d", c.network, sub.SourceNetmask, sub.SourceScope)
		}
	}
}

// TestScopesAreTrue: within the network of a scope, every client of a trusted
// resolver gets the same, whatever is asked of whoever's prefix; and the scope
// is no longer than is needed.
func TestScopesAreTrue(t *testing.T) {
	regionstest.Holds(t, func(rt *rapid.T) error { return scopesAreTrue(rt, findScope) })
}

// scoping is how a client's answer and its scope are found.
type scoping func(e ecs, a *atlas, sub *subnet) (location string, scope int)

func findScope(e ecs, a *atlas, sub *subnet) (string, int) {
	client, most := e.client(netip.MustParseAddr("127.0.0.1"), sub)
	at := new(atomic.Pointer[atlas])
	at.Store(a)
	var r Reply
	sets, known := map[string]*set{}, map[string]bool{}
	for _, name := range a.names {
		sets[name], known[name] = &set{}, true
	}
	s := (&set{located: &located{sets: sets, known: known, atlas: at}}).at(Query{Client: client}, &r)
	for name, one := range sets {
		if one == s {
			return name, int(sub.scope(&r, most))
		}
	}
	return "", 0
}

func scopesAreTrue(t *rapid.T, find scoping) error {
	networks := drawNetworks(t, 8)
	g, err := parseGeography(context.Background(), mmdbtest.Write(mmdbtest.Small, networks...), maxNetworks)
	if err != nil {
		return err
	}
	var own []netip.Prefix
	for range rapid.IntRange(0, 4).Draw(t, "own networks") {
		own = append(own, drawPrefix(t, 1))
	}
	locations := []Location{{Name: "europe", Continents: []string{"EU"}}, {Name: "us", Countries: []string{"US"}}, {Name: "own", Networks: own}}
	a := newAtlas(g, locations)
	e := ecs{mostV4: rapid.IntRange(8, 32).Draw(t, "max v4"), mostV6: rapid.IntRange(16, 128).Draw(t, "max v6")}
	sub := func(p netip.Prefix) *subnet {
		s := &subnet{family: 1, source: uint8(p.Bits()), address: p.Addr()}
		if p.Addr().Is6() {
			s.family = 2
		}
		return s
	}
	first := drawPrefix(t, 1)
	if rapid.IntRange(0, 4).Draw(t, "mapped") == 0 {
		first = mapped(first)
	}
	location, scope := find(e, a, sub(first.Masked()))
	covers, err := first.Addr().Prefix(scope)
	if err != nil {
		return err
	}
	if scope > e.longest(first.Addr()) {
		return fmt.Errorf("scope %d for %s is beyond the most, %d", scope, first, e.longest(first.Addr()))
	}
	var others []netip.Addr
	for _, n := range networks {
		others = append(others, n.Prefix.Addr())
	}
	for _, n := range own {
		others = append(others, n.Addr())
	}
	for range 20 {
		o := drawClient(t)
		others = append(others, o, netip.AddrFrom16(o.As16())) // IPv4's within ::ffff:0:0/96 too
	}
	if location != placeOf(networks, own, cutTo(first, e)) {
		return fmt.Errorf("%s gets %s; expected %s of %v, own %v", first, location, placeOf(networks, own, cutTo(first, e)), networks, own)
	}
	start := covers.Masked()
	if scope > first.Bits() { // the network of the answer is that of the first address
		start, _ = first.Masked().Addr().Prefix(scope)
	}
	for _, o := range others {
		if o.Is4() != start.Addr().Is4() || !start.Contains(o) {
			continue
		}
		whole, err := o.Prefix(rapid.IntRange(max(scope, 1), o.BitLen()).Draw(t, "source"))
		if err != nil {
			return err
		}
		if l, s := find(e, a, sub(whole)); l != location || s != scope {
			return fmt.Errorf("%s gets %s with scope %d, and %s within %s gets %s with scope %d; %v, own %v, %+v", first, location, scope, whole, start, l, s, networks, own, e)
		}
	}
	if scope == 0 || scope == e.longest(first.Addr()) {
		return nil
	}
	beside := netip.PrefixFrom(flipped(start), scope)
	for _, o := range append(edges(networks, own), beside.Addr()) {
		if beside.Contains(o) && placeOf(networks, own, o) != location {
			return nil
		}
	}
	return fmt.Errorf("%s gets %s with scope %d, and all of %s beside it gets the same; %v, own %v, %+v", first, location, scope, beside, networks, own, e)
}

// mapped is an IPv4 network as one within ::ffff:0:0/96.
func mapped(n netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16(n.Addr().As16()), n.Bits()+128-n.Addr().BitLen())
}

// placeOf is the location of an address, found without an atlas.
func placeOf(networks []mmdbtest.Network, own []netip.Prefix, a netip.Addr) string {
	c := expected(networks, a)
	switch {
	case slices.ContainsFunc(own, func(n netip.Prefix) bool { return n.Contains(a) }):
		return "own"
	case c.code == "US":
		return "us"
	case c.continent == "EU":
		return "europe"
	}
	return steering.DefaultLocation
}

// edges are the addresses at which networks begin, and those behind them.
func edges(networks []mmdbtest.Network, own []netip.Prefix) []netip.Addr {
	all := slices.Clone(own)
	for _, n := range networks {
		all = append(all, n.Prefix)
	}
	var out []netip.Addr
	for _, n := range all {
		n = n.Masked()
		last := n.Addr().AsSlice()
		for i := n.Bits(); i < 8*len(last); i++ {
			last[i/8] |= 1 << (7 - i%8)
		}
		end, _ := netip.AddrFromSlice(last)
		out = append(out, n.Addr(), end.Next())
	}
	return out
}

// cutTo is the first address of what is used of a client's network.
func cutTo(p netip.Prefix, e ecs) netip.Addr {
	return netip.PrefixFrom(p.Addr(), min(p.Bits(), e.longest(p.Addr()))).Masked().Addr()
}

// flipped is the first address of the network beside.
func flipped(n netip.Prefix) netip.Addr {
	b := n.Addr().AsSlice()
	b[(n.Bits()-1)/8] ^= 1 << (7 - (n.Bits()-1)%8)
	a, _ := netip.AddrFromSlice(b)
	return a
}

func TestMutantsOfScope(t *testing.T) {
	for _, m := range []struct {
		name string
		find scoping
	}{
		{"the scope is one bit short", func(e ecs, a *atlas, sub *subnet) (string, int) {
			l, s := findScope(e, a, sub)
			return l, max(s-1, 0)
		}},
		{"the scope is the source's", func(e ecs, a *atlas, sub *subnet) (string, int) {
			l, _ := findScope(e, a, sub)
			return l, min(int(sub.source), e.longest(sub.address))
		}},
		{"the scope is always 0", func(e ecs, a *atlas, sub *subnet) (string, int) {
			l, _ := findScope(e, a, sub)
			return l, 0
		}},
		{"the scope is cut, the address is not", func(e ecs, a *atlas, sub *subnet) (string, int) {
			l, depth := a.find(sub.address)
			return l, min(depth, e.longest(sub.address))
		}},
		{"the scope is one bit longer than needed", func(e ecs, a *atlas, sub *subnet) (string, int) {
			l, s := findScope(e, a, sub)
			return l, min(s+1, e.longest(sub.address))
		}},
	} {
		regionstest.Caught(t, 3000, m.name, func(rt *rapid.T) error { return scopesAreTrue(rt, m.find) })
	}
}

// FuzzSubnet: an option of any octets is refused with FORMERR, or comes back as
// it came but for a scope that its family has.
func FuzzSubnet(f *testing.F) {
	for _, data := range [][]byte{nil, {0, 0, 0, 0}, {0, 1, 24, 0, 192, 0, 2}, {0, 1, 20, 0, 192, 0, 2}, {0, 1, 24, 24, 192, 0, 2}, {0, 2, 1, 0, 128}, {0, 3, 8, 0, 10}, append([]byte{0, 2, 128, 0}, make([]byte, 16)...)} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 512 {
			return
		}
		r := geoResponder(t)
		in, sub := askWith(t, r, "app.example.test.", dns.TypeA, raw(data...))
		if in.Rcode == dns.RcodeFormatError && sub == nil {
			if s, ok := parseSubnet(data); ok {
				t.Fatalf("% x is %+v, and was refused", data, s)
			}
			return
		}
		if in.Rcode != dns.RcodeSuccess || len(in.Answer) != 1 || sub == nil || int(sub.SourceScope) > 8*len(sub.Address) {
			t.Fatalf("% x got %v", data, in)
		}
		m := &dns.Msg{Extra: []dns.RR{&dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}, Option: []dns.EDNS0{
			&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: sub.Family, SourceNetmask: sub.SourceNetmask, Address: sub.Address}}}}}
		packed, err := m.Pack()
		if err != nil || !slices.Equal(packed[len(packed)-len(data):], data) {
			t.Fatalf("% x came back as %v (%v)", data, sub, err)
		}
	})
}

// TestLocationsOutliveARestart serves locations and hints from the snapshot,
// and, of a leader whose config has other locations, the first for all clients.
func TestLocationsOutliveARestart(t *testing.T) {
	https := map[string]HTTPS{"app.example.test.": {ALPN: []string{"h2"}}}
	begin := func() *state {
		st, err := newState([]*ZoneFile{exampleFile(t)}, nil, quiet(), epoch)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.locate(newPlaces(map[string][]Location{"app.example.test.": geoLocations()}, nowhere()), https); err != nil {
			t.Fatal(err)
		}
		return st
	}
	asked := func(st *state, source string, typ uint16) string {
		r := responderOf(st.build(false))
		r.source = netip.MustParseAddr(source)
		in, _ := askWith(t, r, "app.example.test.", typ)
		if len(in.Answer) != 1 {
			return ""
		}
		return strings.TrimPrefix(strings.ReplaceAll(in.Answer[0].String(), "\t", " "), "app.example.test. 60 IN ")
	}
	first := begin()
	if !first.take(steering.Shard{ID: 1, Term: 1, Seq: 1, Answers: geoAnswers(t)[:7]}, epoch) {
		t.Fatal("the shard is not taken")
	}
	content, err := snapshotFile.encode(first.snapshot())
	if err != nil {
		t.Fatal(err)
	}
	saved, err := decodeSnapshot(content)
	if err != nil {
		t.Fatal(err)
	}
	again := begin()
	again.restore(saved, epoch)
	for _, st := range []*state{first, again} {
		if a, h := asked(st, "198.51.100.65", dns.TypeA), asked(st, "198.51.100.65", dns.TypeHTTPS); a != "A 192.0.2.4" || h != `HTTPS 1 . alpn="h2" ipv4hint="192.0.2.4" ipv6hint="2001:db8::4"` {
			t.Errorf("the office is answered %s and %s", a, h)
		}
		if a := asked(st, "203.0.113.1", dns.TypeA); a != "A 192.0.2.1" {
			t.Errorf("others are answered %s", a)
		}
	}
	other := geoAnswers(t)[1:3] // europe and germany alone
	again.take(steering.Shard{ID: 1, Term: 1, Seq: 2, Answers: other}, epoch)
	if a, h := asked(again, "198.51.100.65", dns.TypeA), asked(again, "198.51.100.65", dns.TypeHTTPS); a != "A 192.0.2.2" || h != `HTTPS 1 . alpn="h2" ipv4hint="192.0.2.2"` {
		t.Errorf("of locations that this config does not have, the office is answered %s and %s", a, h)
	}
	// A set that mixes answers with and without a location is refused, and the
	// name keeps what it had.
	mixed := geoAnswers(t)[:2]
	mixed[0].Location = ""
	again.take(steering.Shard{ID: 1, Term: 1, Seq: 3, Answers: mixed}, epoch)
	if a := asked(again, "198.51.100.65", dns.TypeA); a != "A 192.0.2.2" {
		t.Errorf("after answers that can't be served: %s", a)
	}
}
