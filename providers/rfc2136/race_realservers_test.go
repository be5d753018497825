//go:build realservers

package rfc2136_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// testRace: the server checks and changes as one step.
func testRace(t *testing.T, p *primary) {
	zone := p.take(t, false)
	race := rfc2136test.Race{Dial: dialer(), Address: p.address, Key: veerKey, Zone: zone, Name: "race." + zone}
	last, err := race.Run(200, 6)
	if err != nil {
		t.Fatal(err)
	}
	sets, err := p.admin(zone).All()
	if err != nil || len(sets) != 1 || len(sets[0].Data) != 1 || sets[0].Data[0] != last {
		t.Errorf("after the race the zone has %v, %v; want %s", sets, err, last)
	}
}

// testAliases: a name goes from addresses to an alias and back in one request,
// and neither is written where what stands there would make the server ignore
// it (RFC 2136, section 3.4.2.2).
//
// Where again is set, the server leaves out an alias in the place of addresses
// (Knot, in a signed zone): Veer is told, and writes it again.
func testAliases(t *testing.T, p *primary, zone string, again bool) {
	v := p.with(t, zone, veerKey, rfc2136.Options{Owner: owner, Log: zerolog.Nop()})
	a := providers.RRSet{Name: "cname." + zone, Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}
	alias := providers.RRSet{Name: "cname." + zone, Type: "CNAME", TTL: 60, Data: []string{"lb.example.org."}}
	write := uint64(0)
	apply := func(sets ...providers.RRSet) error {
		t.Helper()
		from, err := v.Read(t.Context(), zone)
		if err != nil {
			t.Fatal(err)
		}
		write++
		_, err = v.Apply(t.Context(), from, providers.Fence{Owner: owner, Term: 1, Holder: "h", Write: write}, providers.Diff(from.Records, sets))
		return err
	}
	holds := func(want ...providers.RRSet) {
		t.Helper()
		got, err := v.Read(t.Context(), zone)
		if err != nil || len(providers.Diff(got.Records, want)) != 0 {
			t.Fatalf("the zone has %v, %v; want %v", got.Records, err, want)
		}
	}
	for _, set := range []providers.RRSet{alias, a, alias, a} {
		err := apply(set)
		if again && write > 1 && set.Type == "CNAME" {
			if !errors.Is(err, providers.ErrConflict) {
				t.Fatalf("writing %v: %v; want a conflict", set, err)
			}
			err = apply(set)
		}
		if err != nil {
			t.Fatalf("writing %v: %v", set, err)
		}
		holds(set)
	}
	// Somebody's MX at the name: an alias cannot stand beside it.
	mx := providers.RRSet{Name: a.Name, Type: "MX", TTL: 60, Data: []string{"10 mail.example.org."}}
	if err := p.admin(zone).Put("", mx); err != nil {
		t.Fatal(err)
	}
	if err := apply(alias); err == nil || !strings.Contains(err.Error(), "YXRRSET") {
		t.Errorf("an alias beside an MX gives %v; want it refused", err)
	}
	holds(a)
	if err := apply(); err != nil {
		t.Fatal(err)
	}
	if err := apply(alias); err == nil || !strings.Contains(err.Error(), "YXDOMAIN") {
		t.Errorf("an alias beside an MX gives %v; want it refused", err)
	}
	holds()
}

// testWildcards: what a wildcard makes up is not taken for a mark or a set.
func testWildcards(t *testing.T, p *primary) {
	zone := p.take(t, false)
	admin := p.admin(zone)
	for _, set := range []providers.RRSet{
		{Name: "*." + zone, Type: "TXT", TTL: 60, Data: []string{`"v=spf1 -all"`}},
		{Name: "*." + zone, Type: "A", TTL: 60, Data: []string{"203.0.113.1"}},
	} {
		if err := admin.Put("", set); err != nil {
			t.Fatal(err)
		}
	}
	for _, read := range []string{rfc2136.ReadTransfer, rfc2136.ReadQueries} {
		p := *p
		p.read = read
		v := p.with(t, zone, veerKey, rfc2136.Options{Owner: owner, Names: []string{"app." + zone, "b." + zone, "theirs." + zone}, Log: zerolog.Nop()})
		from, err := v.Read(t.Context(), zone)
		if err != nil {
			t.Fatal(err)
		}
		if read == rfc2136.ReadTransfer && from.Fence != (providers.Fence{}) || len(from.Records) > 0 && read == rfc2136.ReadTransfer {
			t.Fatalf("by %s, the zone has %+v; want no fence and nothing owned", read, from)
		}
		set := providers.RRSet{Name: "app." + zone, Type: "A", TTL: 60, Data: []string{"192.0.2.1"}}
		next := providers.Fence{Owner: owner, Term: 1, Holder: "h", Write: from.Fence.Write + 1}
		if _, err := v.Apply(t.Context(), from, next, providers.Diff(from.Records, []providers.RRSet{set})); err != nil {
			t.Fatalf("by %s: %v", read, err)
		}
		after, err := v.Read(t.Context(), zone)
		if err != nil || after.Fence != next || len(after.Records) != 1 || !after.Records[0].Equal(set) {
			t.Errorf("by %s, the zone has %+v, %v; want %v", read, after, err, set)
		}
		if read == rfc2136.ReadQueries && len(after.Foreign) != 0 {
			t.Errorf("by %s, the zone has the foreign sets %v, which the wildcard makes up", read, after.Foreign)
		}
	}
}
