package providertest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/providers"
)

func testForeign(t testing.TB, b bench) {
	foreign := b.a("theirs", 30, "203.0.113.1")
	b.must(b.Put("", foreign))
	b.holds(providers.Fence{})
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	all, err := b.All()
	b.must(err)
	if !slices.ContainsFunc(all, foreign.Equal) {
		t.Errorf("the foreign record is gone or changed: %v", all)
	}
	mine := b.a("theirs", 30, "192.0.2.1")
	_, err = b.Provider.Apply(t.Context(), b.read(), b.fence(1, 2), []providers.Change{{After: &mine}})
	b.wants(err, providers.ErrConflict)
	_, err = b.Provider.Apply(t.Context(), b.read(), b.fence(1, 2), []providers.Change{{Before: &foreign}})
	b.wants(err, providers.ErrConflict)
	b.holds(b.fence(1, 1), b.a("app", 30, "192.0.2.1"))
}

func testForeignChange(_ testing.TB, b bench) {
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	from := b.read()
	b.must(b.Put(b.Owner, b.a("app", 30, "203.0.113.9")))
	err := b.write(from, b.fence(1, 2), b.a("app", 30, "192.0.2.2"))
	if b.Provider.Caps().Exact {
		b.wants(err, providers.ErrConflict)
		b.holds(b.fence(1, 1), b.a("app", 30, "203.0.113.9"))
		return
	}
	b.must(err)
	b.holds(b.fence(1, 2), b.a("app", 30, "192.0.2.2"))
}

// testStranger: a set that somebody makes between a Read and a name's first
// record stays, whatever its type, and so does the name theirs.
func testStranger(t testing.TB, b bench) {
	aaaa := b.a("app", 60, "2001:db8::1")
	aaaa.Type = "AAAA"
	for i, theirs := range []providers.RRSet{b.a("new", 60, "203.0.113.1"), aaaa} {
		label, _, _ := strings.Cut(theirs.Name, ".")
		from := b.read()
		b.must(b.Put("", theirs))
		b.wants(b.write(from, b.fence(1, uint64(i)+1), b.a(label, 30, "192.0.2.1")), providers.ErrConflict)
		all, err := b.All()
		b.must(err)
		if n := len(all); n != i+1 || !slices.ContainsFunc(all, theirs.Equal) {
			t.Errorf("after %v came in, the zone has %v: want it as it was, and nothing beside it", theirs, all)
		}
		if got := b.read(); len(got.Records)+len(got.Owned) > 0 {
			t.Errorf("after %v came in, Read returned %v as owned", theirs, got.Owned)
		}
	}
}

func testOwner(t testing.TB, b bench) {
	next := b.fence(1, 1)
	next.Owner = b.Owner + "-other"
	if err := b.write(b.read(), next, b.a("app", 30, "192.0.2.1")); err == nil {
		t.Error("a write with another owner's fence was made")
	}
	b.holds(providers.Fence{})
}

func testOwn(t testing.TB, b bench) {
	keeper, ok := b.Provider.(providers.Keeper)
	if !ok {
		return // all names in its zones are Veer's
	}
	theirs := b.a("app", 60, "203.0.113.1")
	b.must(b.Put("", theirs))
	from := b.read()
	if len(from.Foreign) != 1 || !from.Foreign[0].Equal(theirs) || len(from.Owned) != 0 {
		t.Fatalf("read %+v: want %v as foreign", from, theirs)
	}
	_, err := keeper.Own(t.Context(), from, b.fence(1, 1), []string{theirs.Name}, nil)
	b.must(err)
	b.holds(b.fence(1, 1), theirs)
	mine := b.a("app", 60, "192.0.2.1")
	b.must(b.write(b.read(), b.fence(1, 2), mine))
	_, err = keeper.Own(t.Context(), b.read(), b.fence(1, 3), nil, []string{mine.Name})
	b.must(err)
	b.holds(b.fence(1, 3))
	all, err := b.All()
	b.must(err)
	if len(all) != 1 || !all[0].Equal(mine) {
		t.Errorf("after the release the zone has %v, want %v", all, mine)
	}
	b.wants(b.write(b.read(), b.fence(1, 4), theirs), providers.ErrConflict)
	_, err = keeper.Own(t.Context(), b.read(), b.fence(1, 4), nil, []string{mine.Name})
	b.wants(err, providers.ErrConflict)
	b.must(b.Put(b.Owner+"-other", b.a("blog", 60, "203.0.113.2")))
	_, err = keeper.Own(t.Context(), b.read(), b.fence(1, 4), []string{"blog." + b.Zone}, nil)
	b.wants(err, providers.ErrConflict)
	b.holds(b.fence(1, 3))
}

// testForeignRemoval: a set that was deleted by hand is a conflict or written
// again, and there after the next Apply.
func testForeignRemoval(t testing.TB, b bench) {
	keep := b.a("keep", 60, "192.0.2.7")
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 60, "192.0.2.1"), keep))
	from := b.read()
	b.must(b.Remove(b.a("app", 60).Key()))
	want := []providers.RRSet{b.a("app", 60, "192.0.2.2"), keep}
	if err := b.write(from, b.fence(1, 2), want...); err != nil {
		b.wants(err, providers.ErrConflict)
		b.holds(b.fence(1, 1), keep)
		b.must(b.write(b.read(), b.fence(1, 3), want...))
	} else if b.Provider.Caps().Exact {
		t.Fatal("a set that is there no more was changed; Caps says Exact")
	}
	if d := providers.Diff(b.read().Records, want); len(d) != 0 {
		t.Errorf("after the next Apply the diff is %+v, want none", d)
	}
}

func testTypes(t testing.TB, b bench) {
	if b.Types == nil {
		return
	}
	name := b.a("app", 60).Name
	theirs := []providers.RRSet{
		{Name: name, Type: "MX", TTL: 300, Data: []string{"10 mail.example.org."}},
		{Name: name, Type: "TXT", TTL: 300, Data: []string{`"v=spf1 -all"`}},
	}
	for _, set := range theirs {
		b.must(b.Put("", set))
	}
	untouched := func(when string) {
		t.Helper()
		got, err := b.Types()
		b.must(err)
		got = slices.DeleteFunc(got, func(s providers.RRSet) bool { return s.Canonical().Name != name })
		if d := cmp.Diff(canonical(theirs), canonical(got)); d != "" {
			t.Errorf("%s, sets of other types differ (-want +got):\n%s", when, d)
		}
	}
	untouched("before all")
	if from := b.read(); len(from.Records)+len(from.Foreign) != 0 {
		t.Fatalf("Read returned %v and %v; want no set of types that Veer does not steer", from.Records, from.Foreign)
	}
	for i, want := range [][]providers.RRSet{{b.a("app", 60, "192.0.2.1")}, {b.a("app", 60, "192.0.2.2")}, nil} {
		next := b.fence(1, uint64(i)+1)
		b.must(b.write(b.read(), next, want...))
		b.holds(next, want...)
		untouched([]string{"after a creation", "after a change", "after a deletion"}[i])
	}
	mx := theirs[0]
	if _, err := b.Provider.Apply(t.Context(), b.read(), b.fence(1, 4), []providers.Change{{Before: &mx}}); err == nil {
		t.Error("a set of a type that Veer does not steer was deleted")
	}
	untouched("after a refused deletion")
}

func testAttribute(t testing.TB, b bench) {
	if b.Attribute == nil {
		return
	}
	set := b.a("app", 60, "192.0.2.1")
	b.must(b.write(b.read(), b.fence(1, 1), set))
	b.must(b.SetAttribute(set.Key()))
	was, err := b.Attribute(set.Key())
	b.must(err)
	if was == "" {
		t.Fatal("World.SetAttribute set nothing")
	}
	b.must(b.write(b.read(), b.fence(1, 2), b.a("app", 60, "192.0.2.2")))
	is, err := b.Attribute(set.Key())
	b.must(err)
	if is != was {
		t.Errorf("a change made the attribute %q of %q", is, was)
	}
	b.holds(b.fence(1, 2), b.a("app", 60, "192.0.2.2"))
}

func testTwoOwners(t testing.TB, b bench) {
	if b.Other == nil {
		return
	}
	owner := b.Owner + "-two"
	two := bench{t, b.World}
	two.Owner, two.Provider = owner, b.Other(owner)
	if p, ok := two.Provider.(providers.Prover); ok {
		two.must(p.Prove(t.Context(), b.Zone))
	}
	mine, theirs := b.a("app", 60, "192.0.2.1"), b.a("blog", 60, "203.0.113.1")
	early := b.read()
	two.must(two.write(two.read(), two.fence(7, 1), theirs))
	// A snapshot from before the other's write is still good.
	b.must(b.write(early, b.fence(1, 1), mine))
	b.holds(b.fence(1, 1), mine)
	two.holds(two.fence(7, 1), theirs)
	for _, side := range []struct {
		b     bench
		next  providers.Fence
		other providers.RRSet
		owner string
	}{{b, b.fence(1, 2), theirs, owner}, {two, two.fence(7, 2), mine, b.Owner}} {
		got := side.b.read()
		if got.Owners[side.other.Name] != side.owner || len(got.Foreign) != 1 || !got.Foreign[0].Equal(side.other) || slices.Contains(got.Owned, side.other.Name) {
			t.Errorf("%s reads the owners %v, foreign %v, owned %v; want %s to be of %s", side.b.Owner, got.Owners, got.Foreign, got.Owned, side.other.Name, side.owner)
		}
		changed := side.other
		changed.Data = []string{"192.0.2.99"}
		added := changed
		added.Type, added.Data = "AAAA", []string{"2001:db8::99"}
		for _, c := range []providers.Change{{Before: &side.other, After: &changed}, {Before: &side.other}, {After: &added}} {
			_, err := side.b.Provider.Apply(t.Context(), got, side.next, []providers.Change{c})
			side.b.wants(err, providers.ErrConflict)
		}
		if keeper, ok := side.b.Provider.(providers.Keeper); ok {
			_, err := keeper.Own(t.Context(), got, side.next, []string{side.other.Name}, nil)
			side.b.wants(err, providers.ErrConflict)
			_, err = keeper.Own(t.Context(), got, side.next, nil, []string{side.other.Name})
			side.b.wants(err, providers.ErrConflict)
		}
	}
	// One goes altogether; the other's is as it was.
	b.must(b.write(b.read(), b.fence(1, 2)))
	b.holds(b.fence(1, 2))
	two.holds(two.fence(7, 1), theirs)
	two.must(two.write(two.read(), two.fence(7, 2)))
	two.holds(two.fence(7, 2))
	b.holds(b.fence(1, 2))
}
