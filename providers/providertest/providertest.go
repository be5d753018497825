// Package providertest is the contract of providers.Provider as tests. Each
// provider runs it against itself, with whatever stands in for its vendor.
package providertest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/providers"
)

// World is a provider with an empty zone, and what stands behind it.
type World struct {
	// Zone is absolute; Owner is the provider's.
	Zone, Owner string
	Provider    providers.Provider
	// Line is what brings the provider's requests to its API; a Wire has one.
	Line *Line
	// Throttle makes the API, or what stands before it, refuse the next write
	// for being one too many, and ask for no long wait.
	Throttle func()
	// Put writes a set past every fence, as somebody at the vendor's console
	// does; the name becomes the owner's, and with "" stays whose it is. Remove
	// takes one away. All returns every steered set of the zone, whoever's.
	Put    func(owner string, set providers.RRSet) error
	Remove func(key providers.Key) error
	All    func() ([]providers.RRSet, error)
	// Plain: the vendor takes names of letters, digits, - and _ only, and a
	// first label *; others must be refused.
	Plain bool

	// What follows may be nil (or 0) where Lacks says why.

	// Other returns a client of the same zone for another owner.
	Other func(owner string) providers.Provider
	// Types returns the sets of the types that Veer does not steer, without
	// fences and marks of ownership. Put writes them as well.
	Types func() ([]providers.RRSet, error)
	// Attribute reads what a set has that Veer does not set (a comment, a
	// health check), and SetAttribute gives it one as somebody at the console
	// does.
	Attribute    func(key providers.Key) (string, error)
	SetAttribute func(key providers.Key) error
	// Page is how many sets the API lists in one reply.
	Page int

	// Lacks says, by name, why the World has not one of the above, or the
	// provider not one of the optional interfaces: Keeper, Prover, Estimator.
	// Without a reason, Run fails. Parts says why no Apply takes three requests.
	Lacks map[string]string
}

// Run runs the contract. fresh makes a World of its own for each test.
func Run(t *testing.T, fresh func(t *testing.T) World) {
	t.Run("nothing is left out without a reason", func(t *testing.T) { fresh(t).complete(t) })
	for _, test := range contract {
		t.Run(test.name, func(t *testing.T) { test.on(t, fresh(t)) })
	}
}

// RunBubble is Run with each test in a bubble of testing/synctest, for worlds
// without sockets: no time passes.
func RunBubble(t *testing.T, fresh func(t *testing.T) World) {
	t.Run("nothing is left out without a reason", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { fresh(t).complete(t) })
	})
	for _, test := range contract {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test.on(t, fresh(t)) })
		})
	}
}

// Failures runs the contract on a provider that is broken on purpose, and
// returns what each test that found it said first, by the test's name. It is
// how a planted fault is shown to be caught.
func Failures(t *testing.T, fresh func(t *testing.T) World) map[string]string {
	t.Helper()
	failed := map[string]string{}
	for _, test := range contract {
		trial := &trial{TB: t}
		done := make(chan struct{})
		go func() { // of its own, since a fatal error ends it
			defer close(done)
			test.on(trial, fresh(t))
		}()
		<-done
		if trial.said != "" {
			failed[test.name] = trial.said
		}
	}
	return failed
}

// trial is a testing.TB that keeps its first failure to itself.
type trial struct {
	testing.TB
	said string
}

func (t *trial) Errorf(format string, args ...any) {
	if t.said == "" {
		t.said = fmt.Sprintf(format, args...)
	}
}
func (t *trial) Error(args ...any)                 { t.Errorf("%s", fmt.Sprint(args...)) }
func (t *trial) Fatalf(format string, args ...any) { t.Errorf(format, args...); runtime.Goexit() }
func (t *trial) Fatal(args ...any)                 { t.Error(args...); runtime.Goexit() }

// complete fails for what the World has not and does not explain.
func (w World) complete(t testing.TB) {
	_, keeper := w.Provider.(providers.Keeper)
	_, prover := w.Provider.(providers.Prover)
	_, estimator := w.Provider.(providers.Estimator)
	for name, has := range map[string]bool{
		"Line": w.Line != nil, "Throttle": w.Throttle != nil, "Put": w.Put != nil, "Remove": w.Remove != nil, "All": w.All != nil,
	} {
		if !has {
			t.Errorf("the World has no %s, which every one needs", name)
		}
	}
	parts := map[string]bool{
		"Other": w.Other != nil, "Types": w.Types != nil, "Page": w.Page > 0,
		"Attribute": w.Attribute != nil && w.SetAttribute != nil,
		"Keeper":    keeper, "Prover": prover, "Estimator": estimator, "Parts": estimator && w.Lacks["Parts"] == "",
	}
	for name, has := range parts {
		switch why := w.Lacks[name]; {
		case !has && why == "":
			t.Errorf("the World has no %s, and Lacks does not say why", name)
		case has && why != "":
			t.Errorf("the World has %s, but Lacks says: %s", name, why)
		case !has:
			t.Logf("no %s: %s", name, why)
		}
	}
	for name := range w.Lacks {
		if _, ok := parts[name]; !ok {
			t.Errorf("Lacks names %s, which nothing is called", name)
		}
	}
}

// clause is one test of the contract.
type clause struct {
	name string
	run  func(testing.TB, bench)
}

func (c clause) on(t testing.TB, w World) {
	b := bench{t, w}
	// The proof goes first, so that faults strike what they are meant for.
	if p, ok := b.Provider.(providers.Prover); ok {
		b.must(p.Prove(t.Context(), b.Zone))
	}
	c.run(t, b)
}

var contract = []clause{
	{"an empty zone has the zero fence", testEmpty},
	{"what is applied is read", testApply},
	{"the bounds of the TTL are what Caps says", testTTL},
	{"applying twice gives an empty diff", testTwice},
	{"changes are made all or none", testAtomic},
	{"foreign records stay untouched", testForeign},
	{"a foreign change between read and apply conflicts", testForeignChange},
	{"what comes in between read and a name's first record stays", testStranger},
	{"a foreign removal between read and apply is mended", testForeignRemoval},
	{"types that Veer does not steer stay untouched", testTypes},
	{"attributes that Veer does not set are kept", testAttribute},
	{"an older term is fenced", testStaleTerm},
	{"another holder of the same term is fenced", testOtherHolder},
	{"a write number that does not grow is fenced", testWriteNumber},
	{"a snapshot that is overtaken conflicts", testOvertaken},
	{"a claim is a swap without changes", testClaim},
	{"the fence is read before the records", testBetween},
	{"a lost reply is settled by the fence", testLostReply},
	{"a lost request is an error that changes nothing", testLostRequest},
	{"a write that arrives twice counts once", testDuplicate},
	{"of a write that arrives twice, the second reply may be seen", testDuplicateSecond},
	{"a late write of a fenced controller is refused", testLate},
	{"a throttled write changes nothing, and is made later", testThrottle},
	{"of several requests, the second is lost", testPartLost},
	{"of several requests, the second is throttled", testPartThrottled},
	{"of several requests, the second's reply is lost", testPartReplyLost},
	{"all pages are read", testPages},
	{"another owner's fence is refused", testOwner},
	{"two owners in one zone never meet", testTwoOwners},
	{"names outside the zone are refused", testOutside},
	{"what is no change is refused", testNoChange},
	{"case and escapes name the same record", testSpelling},
	{"a wildcard is written and owned as any name", testWildcard},
	{"weighted sets live side by side", testWeighted},
	{"an ended context ends the call", testContext},
	{"names are taken and released, and no answer changes", testOwn},
}

// bench is a World with a test's shorthand.
type bench struct {
	t testing.TB
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
