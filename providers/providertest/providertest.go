// Package providertest is the contract of providers.Provider as tests. Each
// provider runs it against itself, with whatever stands in for its vendor.
package providertest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/providers"
)

// World is a provider with an empty zone, and what stands behind it.
type World struct {
	// Zone is absolute; Owner is the provider's.
	Zone, Owner string
	Provider    providers.Provider
	// Put writes a record past every fence, as somebody at the vendor's console
	// does; the name becomes the owner's, and with "" stays whose it is. All
	// returns every steered set of the zone, whoever's.
	Put func(owner string, set providers.RRSet) error
	All func() ([]providers.RRSet, error)
	// Plain: the vendor takes names of letters, digits, - and _ only, and a
	// first label *; others must be refused.
	Plain bool
	// Each of these makes the next write suffer: its request is lost, its
	// reply is lost, it arrives twice.
	LoseRequest, LoseReply, Duplicate func()
	// Hold makes the next write be held up until Deliver, which returns what
	// became of each that was, nil for what was done; the channel is closed
	// when the write is.
	Hold    func() <-chan struct{}
	Deliver func() []error
}

// Run runs the contract. fresh makes a World of its own for each test.
func Run(t *testing.T, fresh func(t *testing.T) World) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, bench)
	}{
		{"an empty zone has the zero fence", testEmpty},
		{"what is applied is read", testApply},
		{"applying twice gives an empty diff", testTwice},
		{"changes are made all or none", testAtomic},
		{"foreign records stay untouched", testForeign},
		{"a foreign change between read and apply conflicts", testForeignChange},
		{"an older term is fenced", testStaleTerm},
		{"another holder of the same term is fenced", testOtherHolder},
		{"a write number that does not grow is fenced", testWriteNumber},
		{"a snapshot that is overtaken conflicts", testOvertaken},
		{"a claim is a swap without changes", testClaim},
		{"a lost reply is settled by the fence", testLostReply},
		{"a lost request is an error that changes nothing", testLostRequest},
		{"a write that arrives twice counts once", testDuplicate},
		{"a late write of a fenced controller is refused", testLate},
		{"another owner's fence is refused", testOwner},
		{"names outside the zone are refused", testOutside},
		{"case and escapes name the same record", testSpelling},
		{"weighted sets live side by side", testWeighted},
		{"an ended context ends the call", testContext},
		{"names are taken and released, and no answer changes", testOwn},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := bench{t, fresh(t)}
			// The proof goes first, so that faults strike what they are meant for.
			if p, ok := b.Provider.(providers.Prover); ok {
				b.must(p.Prove(t.Context(), b.Zone))
			}
			test.run(t, b)
		})
	}
}

// bench is a World with a test's shorthand.
type bench struct {
	t *testing.T
	World
}

// spread leaves room between the write numbers of the tests: one Apply may use
// several.
const spread = 10

func (b bench) fence(term, write uint64) providers.Fence {
	return providers.Fence{Owner: b.Owner, Term: term, Holder: "h1", Write: spread * write}
}

// isOf reports whether got is next, or what an Apply of few changes made of it.
func isOf(got, next providers.Fence) bool {
	extra := got.Write - next.Write
	got.Write = next.Write
	return got == next && extra < spread
}

func (b bench) a(label string, ttl uint32, data ...string) providers.RRSet {
	caps := b.Provider.Caps()
	return providers.RRSet{Name: label + "." + b.Zone, Type: "A", TTL: min(max(ttl, caps.MinTTL), caps.MaxTTL), Data: data}
}

func (b bench) read() providers.Snapshot {
	b.t.Helper()
	s, err := b.Provider.Read(b.t.Context(), b.Zone)
	if err != nil {
		b.t.Fatalf("Read: %v", err)
	}
	return s
}

// write turns the owned records into those given.
func (b bench) write(from providers.Snapshot, next providers.Fence, want ...providers.RRSet) error {
	_, err := b.Provider.Apply(b.t.Context(), from, next, providers.Diff(from.Records, want))
	return err
}

func (b bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b bench) wants(err, want error) {
	b.t.Helper()
	if !errors.Is(err, want) {
		b.t.Fatalf("got error %v, want %v", err, want)
	}
}

// holds compares the owned records and the fence with what is wanted.
func (b bench) holds(fence providers.Fence, want ...providers.RRSet) {
	b.t.Helper()
	s := b.read()
	if !isOf(s.Fence, fence) {
		b.t.Errorf("fence is %s, want %s or one up to %d writes on", s.Fence, fence, spread-1)
	}
	if d := cmp.Diff(canonical(want), canonical(s.Records)); d != "" {
		b.t.Errorf("records differ (-want +got):\n%s", d)
	}
	if !slices.IsSortedFunc(s.Records, providers.Compare) {
		b.t.Errorf("records are not sorted by key: %v", s.Records)
	}
}

func canonical(sets []providers.RRSet) []providers.RRSet {
	return providers.ApplyTo(sets, nil)
}

func testEmpty(t *testing.T, b bench) {
	b.holds(providers.Fence{})
	caps := b.Provider.Caps()
	if caps.MaxTTL == 0 || caps.MinTTL > caps.MaxTTL {
		t.Errorf("caps %+v: no TTL fits", caps)
	}
	if _, err := b.Provider.Read(t.Context(), "not-here.invalid."); err == nil {
		t.Error("a zone that does not exist was read")
	}
}

func testApply(t *testing.T, b bench) {
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

func testTwice(t *testing.T, b bench) {
	want := []providers.RRSet{b.a("app", 30, "192.0.2.2", "192.0.2.1"), {Name: "alias." + b.Zone, Type: "CNAME", TTL: b.a("alias", 30).TTL, Data: []string{"Other.Example.ORG"}}}
	b.must(b.write(b.read(), b.fence(1, 1), want...))
	if d := providers.Diff(b.read().Records, want); len(d) != 0 {
		t.Errorf("after apply the diff is %+v, want none", d)
	}
}

func testAtomic(t *testing.T, b bench) {
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	from := b.read()
	ghost, set := b.a("ghost", 30, "192.0.2.9"), b.a("new", 30, "192.0.2.2")
	_, err := b.Provider.Apply(t.Context(), from, b.fence(1, 2), []providers.Change{{After: &set}, {Before: &ghost}})
	b.wants(err, providers.ErrConflict)
	b.holds(b.fence(1, 1), b.a("app", 30, "192.0.2.1"))
}

func testForeign(t *testing.T, b bench) {
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

func testForeignChange(_ *testing.T, b bench) {
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

func testStaleTerm(_ *testing.T, b bench) {
	old := b.read()
	b.must(b.write(b.read(), b.fence(2, 1), b.a("app", 30, "192.0.2.2")))
	b.wants(b.write(old, b.fence(1, 5), b.a("app", 30, "192.0.2.1")), providers.ErrFenced)
	// Even on a fresh read.
	b.wants(b.write(b.read(), b.fence(1, 5), b.a("app", 30, "192.0.2.1")), providers.ErrFenced)
	b.holds(b.fence(2, 1), b.a("app", 30, "192.0.2.2"))
}

func testOtherHolder(_ *testing.T, b bench) {
	b.must(b.write(b.read(), b.fence(2, 1), b.a("app", 30, "192.0.2.2")))
	other := b.fence(2, 2)
	other.Holder = "h2"
	b.wants(b.write(b.read(), other, b.a("app", 30, "192.0.2.1")), providers.ErrFenced)
	b.holds(b.fence(2, 1), b.a("app", 30, "192.0.2.2"))
}

func testWriteNumber(_ *testing.T, b bench) {
	b.must(b.write(b.read(), b.fence(1, 4), b.a("app", 30, "192.0.2.2")))
	for _, f := range []providers.Fence{b.fence(1, 4), b.fence(1, 3), b.fence(2, 4)} {
		b.wants(b.write(b.read(), f, b.a("app", 30, "192.0.2.1")), providers.ErrFenced)
	}
	b.holds(b.fence(1, 4), b.a("app", 30, "192.0.2.2"))
}

func testOvertaken(_ *testing.T, b bench) {
	from := b.read()
	b.must(b.write(from, b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	b.wants(b.write(from, b.fence(1, 2), b.a("app", 30, "192.0.2.2")), providers.ErrConflict)
	// So does a newer term that has not read again.
	b.wants(b.write(from, b.fence(2, 2), b.a("app", 30, "192.0.2.2")), providers.ErrConflict)
	b.holds(b.fence(1, 1), b.a("app", 30, "192.0.2.1"))
}

func testClaim(_ *testing.T, b bench) {
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	from := b.read()
	claim := providers.Fence{Owner: b.Owner, Term: 2, Holder: "h2", Write: 2 * spread}
	_, err := b.Provider.Apply(b.t.Context(), from, claim, nil)
	b.must(err)
	b.holds(claim, b.a("app", 30, "192.0.2.1"))
	b.wants(b.write(from, b.fence(1, 2), b.a("app", 30, "192.0.2.2")), providers.ErrFenced)
}

func testLostReply(t *testing.T, b bench) {
	b.LoseReply()
	next := b.fence(1, 1)
	from := b.read()
	want := b.a("app", 30, "192.0.2.1")
	r, err := b.Provider.Apply(t.Context(), from, next, providers.Diff(from.Records, []providers.RRSet{want}))
	b.must(err)
	if !isOf(r.Fence, next) || r.Calls < 2 {
		t.Errorf("receipt %+v: want fence %s and a call to settle", r, next)
	}
	b.holds(next, want)
}

func testLostRequest(t *testing.T, b bench) {
	b.LoseRequest()
	err := b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1"))
	if err == nil || errors.Is(err, providers.ErrFenced) || errors.Is(err, providers.ErrConflict) {
		t.Fatalf("a lost request gave %v; want an error that is neither a fence's nor a conflict's", err)
	}
	b.holds(providers.Fence{})
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
}

func testDuplicate(_ *testing.T, b bench) {
	b.Duplicate()
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	b.holds(b.fence(1, 1), b.a("app", 30, "192.0.2.1"))
	b.must(b.write(b.read(), b.fence(1, 2), b.a("app", 30, "192.0.2.2")))
}

func testLate(t *testing.T, b bench) {
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	from := b.read()
	held := b.Hold()
	ctx, cancel := context.WithCancel(t.Context())
	cut := make(chan error, 1)
	go func() {
		_, err := b.Provider.Apply(ctx, from, b.fence(1, 2), providers.Diff(from.Records, []providers.RRSet{b.a("app", 30, "192.0.2.66")}))
		cut <- err
	}()
	<-held
	cancel()
	if err := <-cut; err == nil {
		t.Fatal("a write without a reply was reported as done")
	}
	claim := providers.Fence{Owner: b.Owner, Term: 2, Holder: "h2", Write: 2 * spread}
	b.must(b.write(from, claim, from.Records...))
	became := b.Deliver()
	if len(became) != 1 {
		t.Fatalf("%d writes were held up, want 1", len(became))
	}
	if became[0] == nil {
		t.Error("the late write was done")
	}
	b.holds(claim, b.a("app", 30, "192.0.2.1"))
}

func testOwner(t *testing.T, b bench) {
	next := b.fence(1, 1)
	next.Owner = b.Owner + "-other"
	if err := b.write(b.read(), next, b.a("app", 30, "192.0.2.1")); err == nil {
		t.Error("a write with another owner's fence was made")
	}
	b.holds(providers.Fence{})
}

func testOutside(t *testing.T, b bench) {
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

func testSpelling(t *testing.T, b bench) {
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

func testWeighted(t *testing.T, b bench) {
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

func testContext(t *testing.T, b bench) {
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

func testOwn(t *testing.T, b bench) {
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
