package providertest

import (
	"context"
	"errors"
	"fmt"
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

// parts has so many names owned, two sets a name, that to change all of them
// takes three requests, and returns what they are to be changed to; nothing where
// one request carries all.
func (b bench) parts() (from providers.Snapshot, want []providers.RRSet) {
	b.t.Helper()
	estimator, ok := b.Provider.(providers.Estimator)
	if !ok || b.Lacks["Parts"] != "" {
		return from, nil
	}
	from = b.read()
	for n := 3; n <= maxParts; n *= 2 {
		b.must(b.write(from, b.after(from), b.manySets(n, 0)...))
		from, want = b.read(), b.manySets(n, 1)
		e, err := estimator.Estimate(from, providers.Diff(from.Records, want))
		b.must(err)
		if e.Calls >= 3 {
			return from, want
		}
	}
	b.t.Fatalf("%d names still fit in two requests: give the World's provider a smaller limit", maxParts)
	return from, nil
}

// maxParts bounds the names that a World needs for three requests.
const maxParts = 4096

// manySets are the sets of n names, which round changes.
func (b bench) manySets(n, round int) (sets []providers.RRSet) {
	for i := range n {
		label := fmt.Sprintf("part%d", i)
		v6 := b.a(label, 60, fmt.Sprintf("2001:db8:%d::%x", round, i+1))
		v6.Type = "AAAA"
		sets = append(sets, b.a(label, 60, fmt.Sprintf("10.%d.%d.%d", round, i/250, i%250+1)), v6)
	}
	return sets
}

// after is a fence for the next write.
func (b bench) after(from providers.Snapshot) providers.Fence {
	next := b.fence(1, 0)
	next.Write = from.Fence.Write + 1
	return next
}

// parted is a write of three requests or more, of which the second suffered.
type parted struct {
	next  providers.Fence
	r     providers.Receipt
	after providers.Snapshot
	want  []providers.RRSet
	err   error
}

// part makes the write, with the fault; false where one request carries all.
func (b bench) part(fault func()) (p parted, ok bool) {
	b.t.Helper()
	from, want := b.parts()
	if want == nil {
		return p, false // complete has told why
	}
	b.Line.Pass()
	fault()
	p.want, p.next = want, b.after(from)
	p.r, p.err = b.Provider.Apply(b.t.Context(), from, p.next, providers.Diff(from.Records, want))
	p.after = b.read()
	return p, true
}

// half wants the first of several requests to have been done, whole, and the
// next Apply to do the rest.
func (b bench) half(p parted) {
	b.t.Helper()
	if p.r.Fence != p.next || p.after.Fence != p.r.Fence {
		b.t.Errorf("beside the error the receipt has the fence %s and the zone %s; want both %s, of the request that was done", p.r.Fence, p.after.Fence, p.next)
	}
	is := make(map[providers.Key]providers.RRSet, len(p.after.Records))
	for _, set := range p.after.Records {
		is[set.Key()] = set
	}
	count, done := map[string]int{}, 0
	for _, set := range p.want {
		if set.Equal(is[set.Key()]) {
			count[set.Name]++
			done++
		}
	}
	if done == 0 || done == len(p.want) {
		b.t.Fatalf("%d of %d sets are changed; want some, not all", done, len(p.want))
	}
	if len(p.after.Records) != len(p.want) {
		b.t.Errorf("%d sets are owned, want %d", len(p.after.Records), len(p.want))
	}
	for name, n := range count {
		if n != 2 {
			b.t.Errorf("%s has %d of its 2 sets: a name was parted", name, n)
		}
	}
	if len(p.after.Foreign) != 0 {
		b.t.Errorf("of what was written, %v is not owned; owned are %v", p.after.Foreign, p.after.Owned)
	}
	next := p.after.Fence
	next.Write += providers.WritesOf(len(p.want))
	r, err := b.Provider.Apply(b.t.Context(), p.after, next, providers.Diff(p.after.Records, p.want))
	b.must(err)
	b.holds(r.Fence, p.want...)
}

func testPartLost(t testing.TB, b bench) {
	p, ok := b.part(b.Line.LoseRequest)
	if !ok {
		return
	}
	if p.err == nil || errors.Is(p.err, providers.ErrFenced) || errors.Is(p.err, providers.ErrConflict) {
		t.Fatalf("with the second request lost, Apply returned %v; want an error that is neither a fence's nor a conflict's", p.err)
	}
	b.half(p)
}

func testPartThrottled(t testing.TB, b bench) {
	p, ok := b.part(b.Throttle)
	if !ok {
		return
	}
	b.busy(p.err)
	b.later(t, p.err)
	b.half(p)
}

func testPartReplyLost(_ testing.TB, b bench) {
	p, ok := b.part(b.Line.LoseReply)
	if !ok {
		return
	}
	b.must(p.err)
	if p.r.Calls < 4 || p.r.Fence.Write < p.next.Write+2 {
		b.t.Errorf("receipt %+v: want three requests and one to settle", p.r)
	}
	b.holds(p.r.Fence, p.want...)
}
