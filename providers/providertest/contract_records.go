package providertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/providers"
)

func testEmpty(t testing.TB, b bench) {
	b.holds(providers.Fence{})
	caps := b.Provider.Caps()
	if caps.MaxTTL == 0 || caps.MinTTL > caps.MaxTTL {
		t.Errorf("caps %+v: no TTL fits", caps)
	}
	if _, err := b.Provider.Read(t.Context(), "not-here.invalid."); err == nil {
		t.Error("a zone that does not exist was read")
	}
}

func testApply(t testing.TB, b bench) {
	from, next := b.read(), b.fence(1, 1)
	want := []providers.RRSet{b.a("app", 30, "192.0.2.2", "192.0.2.1"), b.a("b", 60, "192.0.2.3")}
	r, err := b.Provider.Apply(t.Context(), from, next, providers.Diff(from.Records, want))
	b.must(err)
	if !isOf(r.Fence, next) || r.Calls < 1 {
		t.Errorf("receipt %+v: want fence %s and at least one call", r, next)
	}
	b.holds(next, want...)
	// Replace one, delete the other, create a third.
	want = []providers.RRSet{b.a("app", 30, "198.51.100.1"), b.a("c", 60, "192.0.2.4")}
	b.must(b.write(b.read(), b.fence(1, 2), want...))
	b.holds(b.fence(1, 2), want...)
}

func testTwice(t testing.TB, b bench) {
	want := []providers.RRSet{b.a("app", 30, "192.0.2.2", "192.0.2.1"), {Name: "alias." + b.Zone, Type: "CNAME", TTL: b.a("alias", 30).TTL, Data: []string{"Other.Example.ORG"}}}
	b.must(b.write(b.read(), b.fence(1, 1), want...))
	if d := providers.Diff(b.read().Records, want); len(d) != 0 {
		t.Errorf("after apply the diff is %+v, want none", d)
	}
}

func testAtomic(t testing.TB, b bench) {
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	from := b.read()
	ghost, set := b.a("ghost", 30, "192.0.2.9"), b.a("new", 30, "192.0.2.2")
	_, err := b.Provider.Apply(t.Context(), from, b.fence(1, 2), []providers.Change{{After: &set}, {Before: &ghost}})
	b.wants(err, providers.ErrConflict)
	b.holds(b.fence(1, 1), b.a("app", 30, "192.0.2.1"))
}

func testOutside(t testing.TB, b bench) {
	set := providers.RRSet{Name: "app.elsewhere.invalid.", Type: "A", TTL: 30, Data: []string{"192.0.2.1"}}
	if err := b.write(b.read(), b.fence(1, 1), set); err == nil {
		t.Error("a name outside the zone was written")
	}
	escaped := b.a(`x`, 30, "192.0.2.1")
	escaped.Name = `x\.` + b.Zone // one label "x.<first label>", not below the zone
	if err := b.write(b.read(), b.fence(1, 1), escaped); err == nil {
		t.Error("an escaped dot was taken for the end of a label")
	}
	empty := b.a("app", 30)
	if err := b.write(b.read(), b.fence(1, 1), empty); err == nil {
		t.Error("a set without data was written")
	}
	b.holds(providers.Fence{})
}

func testSpelling(t testing.TB, b bench) {
	if b.Plain {
		b.must(b.write(b.read(), b.fence(1, 1), b.a(`\042.Wild`, 30, "192.0.2.1"), b.a(`\097`, 30, "192.0.2.2")))
		want := []providers.RRSet{b.a(`*.WILD`, 30, "192.0.2.1"), b.a(`A`, 30, "192.0.2.2")}
		b.holds(b.fence(1, 1), want...)
		if err := b.write(b.read(), b.fence(1, 2), append(want, b.a(`a\.b`, 30, "192.0.2.2"))...); err == nil {
			t.Error("a name that the vendor does not take was written")
		}
		b.holds(b.fence(1, 1), want...)
		return
	}
	b.must(b.write(b.read(), b.fence(1, 1), b.a(`\042.Wild`, 30, "192.0.2.1"), b.a(`a\.b`, 30, "192.0.2.2")))
	b.holds(b.fence(1, 1), b.a(`*.wild`, 30, "192.0.2.1"), b.a(`A\046b`, 30, "192.0.2.2"))
	want := []providers.RRSet{b.a(`*.WILD`, 30, "192.0.2.1"), b.a(`\097\.b`, 30, "192.0.2.2")}
	if d := providers.Diff(b.read().Records, want); len(d) != 0 {
		t.Errorf("another spelling of the same names gives the diff %+v, want none", d)
	}
	b.must(b.write(b.read(), b.fence(1, 2)))
	b.holds(b.fence(1, 2))
}

func testWeighted(t testing.TB, b bench) {
	if !b.Provider.Caps().Weights {
		return
	}
	eu, us := b.a("w", 30, "192.0.2.1"), b.a("w", 30, "192.0.2.2")
	eu.SetID, eu.Weight, us.SetID, us.Weight = "eu", 3, "us", 1
	b.must(b.write(b.read(), b.fence(1, 1), eu, us))
	b.holds(b.fence(1, 1), eu, us)
	us.Weight = 2
	changes := providers.Diff(b.read().Records, []providers.RRSet{eu, us})
	if len(changes) != 1 || changes[0].After.SetID != "us" {
		t.Fatalf("changes %+v: want that of us alone", changes)
	}
	b.must(b.write(b.read(), b.fence(1, 2), eu, us))
	b.holds(b.fence(1, 2), eu, us)
}

func testContext(t testing.TB, b bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Provider.Read(ctx, b.Zone); !errors.Is(err, context.Canceled) {
		t.Errorf("Read with an ended context: %v, want %v", err, context.Canceled)
	}
	from := b.read()
	if _, err := b.Provider.Apply(ctx, from, b.fence(1, 1), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply with an ended context: %v, want %v", err, context.Canceled)
	}
}

// testTTL: the bounds of Caps are written, what is beyond them is refused.
func testTTL(t testing.TB, b bench) {
	caps := b.Provider.Caps()
	low, high := b.a("low", 0, "192.0.2.1"), b.a("high", math.MaxUint32, "192.0.2.2")
	if low.TTL != caps.MinTTL || high.TTL != caps.MaxTTL {
		t.Fatalf("TTLs are %d and %d; want %d and %d", low.TTL, high.TTL, caps.MinTTL, caps.MaxTTL)
	}
	b.must(b.write(b.read(), b.fence(1, 1), low, high))
	b.holds(b.fence(1, 1), low, high)
	beyond := b.a("beyond", 0, "192.0.2.3")
	if beyond.TTL = caps.MaxTTL + 1; caps.MaxTTL < math.MaxUint32 {
		if err := b.write(b.read(), b.fence(1, 2), low, high, beyond); err == nil {
			t.Errorf("a TTL of %d was written; the most is %d", beyond.TTL, caps.MaxTTL)
		}
	}
	if caps.MinTTL > 0 {
		beyond.TTL = caps.MinTTL - 1
		if err := b.write(b.read(), b.fence(1, 2), low, high, beyond); err == nil {
			t.Errorf("a TTL of %d was written; the least is %d", beyond.TTL, caps.MinTTL)
		}
	}
	b.holds(b.fence(1, 1), low, high)
}

// testNoChange refuses changes that are none, before anything is sent.
func testNoChange(t testing.TB, b bench) {
	one, other := b.a("one", 60, "192.0.2.1"), b.a("other", 60, "192.0.2.2")
	for _, changes := range [][]providers.Change{
		{{}},
		{{Before: &one, After: &other}},
		{{After: &one}, {After: &one}},
	} {
		if _, err := b.Provider.Apply(t.Context(), b.read(), b.fence(1, 1), changes); err == nil {
			t.Errorf("%d changes that are none were made", len(changes))
		}
	}
	b.holds(providers.Fence{})
}

func testWildcard(_ testing.TB, b bench) {
	want := b.a("*", 60, "192.0.2.1")
	b.must(b.write(b.read(), b.fence(1, 1), want))
	b.holds(b.fence(1, 1), want)
	want.Data = []string{"192.0.2.2"}
	b.must(b.write(b.read(), b.fence(1, 2), want, b.a("*.below", 60, "192.0.2.3")))
	b.holds(b.fence(1, 2), want, b.a("*.below", 60, "192.0.2.3"))
}

// testPages puts records on three pages, by another's hand and by Veer's.
func testPages(t testing.TB, b bench) {
	if b.Page == 0 {
		return
	}
	var theirs []providers.RRSet
	for i := range 2*b.Page + 1 {
		set := b.a(fmt.Sprintf("their%d", i), 60, fmt.Sprintf("203.0.113.%d", i%250+1))
		theirs = append(theirs, set)
		b.must(b.Put("", set))
	}
	mine := []providers.RRSet{b.a("aaa", 60, "192.0.2.1"), b.a("mmm", 60, "192.0.2.2"), b.a("zzz", 60, "192.0.2.3")}
	b.must(b.write(b.read(), b.fence(1, 1), mine...))
	b.holds(b.fence(1, 1), mine...)
	if d := cmp.Diff(canonical(theirs), canonical(b.read().Foreign)); d != "" {
		t.Errorf("over %d pages, foreign sets differ (-want +got):\n%s", len(theirs)/b.Page+1, d)
	}
}
