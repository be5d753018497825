package providertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/veerdns/veer/providers"
)

func testLostReply(t testing.TB, b bench) {
	b.Line.LoseReply()
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

func testLostRequest(t testing.TB, b bench) {
	b.Line.LoseRequest()
	err := b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1"))
	if err == nil || errors.Is(err, providers.ErrFenced) || errors.Is(err, providers.ErrConflict) {
		t.Fatalf("a lost request gave %v; want an error that is neither a fence's nor a conflict's", err)
	}
	b.holds(providers.Fence{})
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
}

func testDuplicate(_ testing.TB, b bench) {
	b.Line.Duplicate()
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	b.holds(b.fence(1, 1), b.a("app", 30, "192.0.2.1"))
	b.must(b.write(b.read(), b.fence(1, 2), b.a("app", 30, "192.0.2.2")))
}

func testLate(t testing.TB, b bench) {
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 30, "192.0.2.1")))
	from := b.read()
	held := b.Line.Hold()
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
	became := b.Line.Deliver()
	if len(became) != 1 {
		t.Fatalf("%d writes were held up, want 1", len(became))
	}
	if became[0] == nil {
		t.Error("the late write was done")
	}
	b.holds(claim, b.a("app", 30, "192.0.2.1"))
}

func testDuplicateSecond(_ testing.TB, b bench) {
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 60, "192.0.2.1")))
	b.Line.DuplicateSecond()
	b.must(b.write(b.read(), b.fence(1, 2), b.a("app", 60, "192.0.2.2")))
	b.holds(b.fence(1, 2), b.a("app", 60, "192.0.2.2"))
}

func testThrottle(t testing.TB, b bench) {
	b.must(b.write(b.read(), b.fence(1, 1), b.a("app", 60, "192.0.2.1")))
	b.Throttle()
	err := b.write(b.read(), b.fence(1, 2), b.a("app", 60, "192.0.2.2"))
	b.busy(err)
	b.holds(b.fence(1, 1), b.a("app", 60, "192.0.2.1"))
	b.later(t, err)
	b.must(b.write(b.read(), b.fence(1, 3), b.a("app", 60, "192.0.2.2")))
	b.holds(b.fence(1, 3), b.a("app", 60, "192.0.2.2"))
}

// busy wants a BusyError that is no other of the contract's errors.
func (b bench) busy(err error) {
	b.t.Helper()
	var busy *providers.BusyError
	if !errors.As(err, &busy) || errors.Is(err, providers.ErrFenced) || errors.Is(err, providers.ErrConflict) {
		b.t.Fatalf("got error %v, want a *providers.BusyError and nothing else", err)
	}
}

// later waits as long as the provider asked for.
func (b bench) later(t testing.TB, err error) {
	t.Helper()
	var busy *providers.BusyError
	if !errors.As(err, &busy) || busy.After <= 0 {
		return
	}
	if busy.After > time.Minute {
		t.Fatalf("the provider asks to wait %s; World.Throttle should ask for no long wait", busy.After)
	}
	timer := time.NewTimer(busy.After)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// parts are sets of so many names that they take three requests, two sets a
// name; none where one request carries all.
func (b bench) parts(from providers.Snapshot) []providers.RRSet {
	b.t.Helper()
	estimator, ok := b.Provider.(providers.Estimator)
	if !ok || b.Lacks["Parts"] != "" {
		return nil
	}
	for n := 1; n <= maxParts; n++ {
		if n > 64 && n%64 != 0 {
			continue
		}
		var want []providers.RRSet
		for i := range n {
			label := fmt.Sprintf("part%d", i)
			v6 := b.a(label, 60, fmt.Sprintf("2001:db8::%x", i+1))
			v6.Type = "AAAA"
			want = append(want, b.a(label, 60, fmt.Sprintf("192.0.2.%d", i%250+1)), v6)
		}
		e, err := estimator.Estimate(from, providers.Diff(from.Records, want))
		b.must(err)
		if e.Calls >= 3 {
			return want
		}
	}
	b.t.Fatalf("%d names still fit in two requests: give the World's provider a smaller limit", maxParts)
	return nil
}

// maxParts bounds the names that a World needs for three requests.
const maxParts = 4096

// part writes so much that it takes three requests or more, of which the
// second suffers the fault, and returns what was written and what was wanted.
func (b bench) part(fault func()) (r providers.Receipt, after providers.Snapshot, want []providers.RRSet, err error) {
	b.t.Helper()
	from := b.read()
	want = b.parts(from)
	if want == nil {
		return r, after, nil, nil // complete has told why
	}
	b.Line.Pass()
	fault()
	r, err = b.Provider.Apply(b.t.Context(), from, b.fence(1, 1), providers.Diff(nil, want))
	return r, b.read(), want, err
}

// half wants the first of several requests to have been done, whole, and the
// next Apply to do the rest.
func (b bench) half(r providers.Receipt, after providers.Snapshot, want []providers.RRSet) {
	b.t.Helper()
	if r.Fence != b.fence(1, 1) || after.Fence != r.Fence {
		b.t.Errorf("beside the error the receipt has the fence %s and the zone %s; want both %s, of the request that was done", r.Fence, after.Fence, b.fence(1, 1))
	}
	// Where names are claimed first, the first request may have done no more.
	none := len(after.Records)+len(after.Owned) == 0 && b.Provider.Caps().Exact
	if none || len(after.Records) >= len(want) {
		b.t.Fatalf("%d of %d sets are written; want some, not all", len(after.Records), len(want))
	}
	count := map[string]int{}
	for _, set := range after.Records {
		count[set.Name]++
		if !slices.ContainsFunc(want, set.Equal) {
			b.t.Errorf("%v was written, which nobody wanted", set)
		}
	}
	for name, n := range count {
		if n != 2 {
			b.t.Errorf("%s has %d of its 2 sets: a name was parted", name, n)
		}
	}
	if len(after.Foreign) != 0 {
		b.t.Errorf("of what was written, %v is not owned; owned are %v", after.Foreign, after.Owned)
	}
	next := after.Fence
	next.Write += providers.WritesOf(len(want))
	r, err := b.Provider.Apply(b.t.Context(), after, next, providers.Diff(after.Records, want))
	b.must(err)
	b.holds(r.Fence, want...)
}

func testPartLost(t testing.TB, b bench) {
	r, after, want, err := b.part(b.Line.LoseRequest)
	if want == nil {
		return
	}
	if err == nil || errors.Is(err, providers.ErrFenced) || errors.Is(err, providers.ErrConflict) {
		t.Fatalf("with the second request lost, Apply returned %v; want an error that is neither a fence's nor a conflict's", err)
	}
	b.half(r, after, want)
}

func testPartThrottled(t testing.TB, b bench) {
	r, after, want, err := b.part(b.Throttle)
	if want == nil {
		return
	}
	b.busy(err)
	b.later(t, err)
	b.half(r, after, want)
}

func testPartReplyLost(_ testing.TB, b bench) {
	r, _, want, err := b.part(b.Line.LoseReply)
	if want == nil {
		return
	}
	b.must(err)
	if r.Calls < 4 || r.Fence.Write < b.fence(1, 1).Write+2 {
		b.t.Errorf("receipt %+v: want three requests and one to settle", r)
	}
	b.holds(r.Fence, want...)
}
