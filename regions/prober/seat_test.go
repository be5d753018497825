package prober

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// The first ballot is cast at once, all unknown; another only when a vote
// changes.
func TestCastOnlyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, nil).run()
		pass(0)
		first, at := r.booth.last(), r.booth.changes(web)[0].at
		if len(first.Votes) != 1 || first.Votes[0].Health != unknown || first.Votes[0].Vantage != "eu-west" || at != 0 {
			t.Errorf("the first ballot was %+v at %s", first, at)
		}
		pass(20 * quick.Interval)
		if got := r.booth.casts(); got != 2 {
			t.Errorf("%d ballots were cast, expected 2: unknown, up", got)
		}
		v := r.booth.last().Votes[0]
		if want := (regions.Vote{Vantage: "eu-west", Endpoint: web, Health: up, Round: 1, Why: "up"}); v != want {
			t.Errorf("the vote is %+v, expected %+v", v, want)
		}
		b.set(down)
		n := len(b.probes())
		pass(5 * quick.Interval)
		if v := r.booth.changes(web)[2].vote; v.Round != uint64(n+2) || v.Health != down {
			t.Errorf("the vote is %+v, expected down of round %d", v, n+2)
		}
		r.stop()
	})
}

// A burst goes with one Cast, the loop probes on while Cast is slow, and the
// newest ballot wins.
func TestSlowCast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jobs []Job
		backends := make([]*backend, 100)
		for i := range backends {
			backends[i] = newBackend()
			jobs = append(jobs, jobOf(endpoint(i), quick, backends[i]))
		}
		r := bench(t, jobs, nil)
		r.booth.cast = func(ctx context.Context, _ regions.Ballot) error {
			wait(ctx, 4*time.Second)
			return ctx.Err()
		}
		r.run()
		pass(20 * time.Second)
		if got := r.booth.casts(); got > 3 {
			t.Errorf("%d ballots were cast of one burst", got)
		}
		for i, v := range r.booth.last().Votes {
			if v.Health != up {
				t.Fatalf("%s is voted %s", v.Endpoint, v.Health)
			}
			seen := backends[i].probes()
			for k := 1; k < len(seen); k++ {
				if seen[k]-seen[k-1] > quick.WorstInterval() {
					t.Fatalf("a slow Cast held up a probe by %s", seen[k]-seen[k-1])
				}
			}
		}
		r.stop()
	})
}

// A Cast that fails, or hangs beyond its bound, is repeated with the newest.
func TestFailingCast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, nil)
		var calls atomic.Int32
		r.booth.cast = func(ctx context.Context, _ regions.Ballot) error {
			switch calls.Add(1) {
			case 1:
				<-ctx.Done()
				return ctx.Err()
			case 2, 3:
				return errors.New("no leader")
			}
			return nil
		}
		r.run()
		pass(castLimit + time.Second)
		equal(t, "votes", r.booth.healths(web), []checks.Health{up})
		if got := calls.Load(); got != 4 {
			t.Errorf("Cast was called %d times, expected 4", got)
		}
		r.stop()
	})
}

// The seat is renewed every Options.Renew; a slow Renew delays nothing, ends
// at its bound, and only one runs at a time.
func TestRenew(t *testing.T) {
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprintf("slow=%v", slow), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				r := bench(t, []Job{jobOf(web, quick, b)}, nil)
				period := r.p.renew
				if slow {
					r.booth.renew = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
				}
				r.run()
				pass(12 * time.Second)
				r.stop()
				want := period
				if slow {
					want = 4 * period // its bound is three periods
				}
				for i := 1; i < len(r.booth.renewals); i++ {
					if gap := r.booth.renewals[i] - r.booth.renewals[i-1]; gap > want {
						t.Errorf("renewal %d came after %s", i, gap)
					}
				}
				if len(r.booth.renewals) < int(12*time.Second/want)-1 {
					t.Errorf("renewals at %v", r.booth.renewals)
				}
				for i, at := range b.probes()[1:] {
					if at-b.probes()[i] > quick.WorstInterval() {
						t.Errorf("a probe came after %s", at-b.probes()[i])
					}
				}
			})
		})
	}
}

// A vantage whose seat is lost stands by: it joins again, and probes on, so
// that its votes are ready.
func TestStandBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, nil).run()
		r.settle(web)
		r.booth.lose()
		pass(0)
		casts := r.booth.casts()
		b.set(down)
		at := r.booth.since()
		pass(10 * quick.Interval)
		if len(b.after(at)) < 9 {
			t.Errorf("it was probed %d times while standing by", len(b.after(at)))
		}
		if r.booth.casts() != casts || r.booth.suspected(web) != nil {
			t.Error("it wrote without a seat")
		}
		seated := r.booth.since()
		r.booth.free <- struct{}{}
		pass(0)
		if got := r.booth.changes(web); got[len(got)-1].at != seated || got[len(got)-1].vote.Health != down {
			t.Errorf("the votes are %v, expected down at %s", got, seated)
		}
		if got := r.booth.suspected(web); got != nil {
			t.Errorf("an old suspicion was published at %v", got)
		}
		r.stop()
	})
}

// A second process of the vantage probes, but does not vote until the first
// one leaves.
func TestSecondProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newBackend(), newBackend()
		first := bench(t, []Job{jobOf(web, quick, a)}, nil).run()
		pass(time.Second)
		second := bench(t, []Job{jobOf(web, quick, b)}, nil)
		second.booth = first.booth
		second.p.booth = first.booth
		second.run()
		pass(5 * time.Second)
		if first.booth.seats() != 1 || len(b.probes()) < 4 {
			t.Errorf("%d seats, %d probes by the second process", first.booth.seats(), len(b.probes()))
		}
		casts := first.booth.casts()
		first.stop()
		pass(0)
		if first.booth.seats() != 2 || first.booth.casts() != casts+1 || first.booth.last().Votes[0].Health != up {
			t.Errorf("the second process did not vote at once: %+v", first.booth.last())
		}
		second.stop()
	})
}

// A booth that fails is asked again, with a pause that grows.
func TestJoinFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bench(t, []Job{jobOf(web, quick, newBackend())}, nil)
		broken := &brokenBooth{fakeBooth: r.booth}
		r.p.booth = broken
		r.run()
		pass(time.Minute)
		if n := broken.calls.Load(); n < 10 || n > 30 {
			t.Errorf("Join was called %d times in a minute", n)
		}
		r.stop()
	})
}

type brokenBooth struct {
	*fakeBooth
	calls atomic.Int32
}

func (b *brokenBooth) Join(context.Context, regions.Name) (Seat, error) {
	b.calls.Add(1)
	return nil, errors.New("no etcd member answers")
}

// When ctx ends the seat is given up at once, although a probe is in flight,
// a Cast and a Renew hang; no probe that is cut short becomes a result; and
// nothing runs on (the bubble would not end).
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), quick
		m.Watch, m.Fall = true, 1
		r := bench(t, []Job{jobOf(web, m, b)}, nil)
		r.run()
		r.settle(web)
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		r.booth.mu.Lock()
		r.booth.renew = hangs
		r.booth.mu.Unlock()
		b.mu.Lock()
		b.answer = hang
		b.mu.Unlock()
		n := len(b.probes())
		waitFor(t, "a probe is in flight", func() bool { return len(b.probes()) > n })
		at := r.booth.since()
		r.stop()
		equal(t, "leaves", r.booth.leaves, []time.Duration{at})
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up})
		if r.booth.suspects != nil {
			t.Errorf("the end raised suspicions: %v", r.booth.suspects)
		}
	})
}

// References make the vantage doubt itself when more than half of them are
// down by their own thresholds; they are never voted on.
func TestReferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var references []Job
		refs := make([]*backend, 4)
		for i := range refs {
			refs[i] = newBackend()
			references = append(references, jobOf(regions.EndpointID(fmt.Sprintf("tcp://192.0.2.%d:53", i)), quick, refs[i]))
		}
		r := bench(t, []Job{jobOf(web, quick, newBackend())}, func(o *Options) { o.References = references }).run()
		r.settle(web)
		for i, suspect := range []bool{false, false, true, true} {
			refs[i].set(down)
			pass(3 * quick.Interval)
			if got := r.booth.last(); got.Suspect != suspect || len(got.Votes) != 1 {
				t.Errorf("with %d of 4 references down the ballot is %+v", i+1, got)
			}
		}
		if got, want := r.booth.last().Why, "3 of 4 references are down, the last one: down"; got != want {
			t.Errorf("why %q, expected %q", got, want)
		}
		refs[0].set(up)
		refs[1].set(up)
		pass(5 * quick.Interval)
		if got := r.booth.last(); got.Suspect || got.Why != "" {
			t.Errorf("with 2 of 4 references up again the ballot is %+v", got)
		}
		if got := len(r.p.Last()); got != 5 {
			t.Errorf("Last has %d results, expected 5", got)
		}
		if r.booth.suspects != nil {
			t.Errorf("references were published as suspicions: %v", r.booth.suspects)
		}
		r.stop()
	})
}
