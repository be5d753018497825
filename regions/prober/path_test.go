package prober

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

const web regions.EndpointID = "web@192.0.2.10"

// settle runs the prober until the endpoint is voted up.
func (r *rig) settle(ids ...regions.EndpointID) {
	r.t.Helper()
	for _, id := range ids {
		waitFor(r.t, "the endpoint is voted up", func() bool {
			c := r.booth.changes(id)
			return len(c) > 0 && c[len(c)-1].vote.Health == up
		})
	}
}

// The path of a refused backend: the next probe of the schedule, the suspicion
// in the same moment, the re-probe after recheck, the vote in the same moment.
func TestRefusedPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, nil).run()
		r.settle(web)
		killed := r.booth.since()
		b.set(down)
		waitFor(t, "it is voted down", func() bool { return len(r.booth.changes(web)) == 3 })
		seen := b.after(killed)
		if seen[0]-killed > quick.WorstInterval() {
			t.Errorf("the first failing probe came %s after the kill", seen[0]-killed)
		}
		equal(t, "suspicions", r.booth.suspected(web), seen[:1])
		equal(t, "probes", seen, []time.Duration{seen[0], seen[0] + quick.Recheck})
		last := r.booth.changes(web)[2]
		if last.at != seen[1] || last.vote.Health != down {
			t.Errorf("the vote was %v at %s, the second failing result came at %s", last.vote, last.at, seen[1])
		}
		r.stop()
	})
}

// The path of a hung one: each failing probe takes its whole time-out.
func TestHungPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, nil).run()
		r.settle(web)
		b.mu.Lock()
		b.answer = hang
		b.mu.Unlock()
		killed := r.booth.since()
		waitFor(t, "it is voted down", func() bool { return len(r.booth.changes(web)) == 3 })
		first := b.after(killed)[0]
		equal(t, "suspicions", r.booth.suspected(web), []time.Duration{first + quick.Timeout})
		if got, want := r.booth.changes(web)[2].at, first+2*quick.Timeout+quick.Recheck; got != want {
			t.Errorf("voted down at %s, expected %s", got, want)
		}
		r.stop()
	})
}

// The path of a watched one: the loss starts the probe in the same moment.
func TestWatchedPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), quick
		m.Watch = true
		r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
		r.settle(web)
		waitFor(t, "the watch is there", func() bool { return len(b.watches()) > 0 })
		pass(2 * m.Interval)
		killed := r.booth.since()
		b.kill()
		waitFor(t, "it is voted down", func() bool { return len(r.booth.changes(web)) == 3 })
		equal(t, "probes", b.after(killed), []time.Duration{killed, killed + m.Recheck})
		equal(t, "suspicions", r.booth.suspected(web), []time.Duration{killed})
		if got := r.booth.changes(web)[2].at; got != killed+m.Recheck {
			t.Errorf("voted down %s after the kill, expected %s", got-killed, m.Recheck)
		}
		r.stop()
	})
}

// Re-probes at the short interval go on until fall is reached.
func TestRecheckUntilFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), quick
		m.Fall = 5
		r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
		r.settle(web)
		b.set(down)
		failed := len(b.probes())
		waitFor(t, "it is voted down", func() bool { return len(r.booth.changes(web)) == 3 })
		pass(3 * m.Interval)
		seen := b.probes()[failed:]
		for i := 1; i < 5; i++ {
			if gap := seen[i] - seen[i-1]; gap != m.Recheck {
				t.Errorf("re-probe %d came after %s, expected %s", i, gap, m.Recheck)
			}
		}
		for i := 5; i < len(seen); i++ {
			if gap := seen[i] - seen[i-1]; gap < m.Interval*9/10 || gap > m.WorstInterval() {
				t.Errorf("once it was down a probe came after %s", gap)
			}
		}
		r.stop()
	})
}

// They also go on until ok straight successes clear the failures, and the
// endpoint never goes down.
func TestRecheckUntilOK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), quick
		m.OK = 3
		r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
		r.settle(web)
		n := len(b.probes())
		b.mu.Lock()
		b.answer = func(_ context.Context, i int) checks.Result {
			if i == n {
				return checks.Result{Health: down, Reason: "one failure"}
			}
			return checks.Result{Health: up, Reason: "fine"}
		}
		b.mu.Unlock()
		pass(4 * m.Interval)
		seen := b.probes()[n:]
		for i := 1; i <= 3; i++ {
			if gap := seen[i] - seen[i-1]; gap != m.Recheck {
				t.Errorf("re-probe %d came after %s, expected %s", i, gap, m.Recheck)
			}
		}
		if gap := seen[4] - seen[3]; gap < m.Interval*9/10 {
			t.Errorf("after ok successes a probe came after %s", gap)
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up})
		r.stop()
	})
}

// Only the first failing result is a suspicion; a further one comes after the
// failures were cleared. An endpoint that is down raises none.
func TestSuspicionIsRaisedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, nil).run()
		r.settle(web)
		b.set(down)
		pass(10 * quick.Interval)
		if got := r.booth.suspected(web); len(got) != 1 {
			t.Errorf("suspicions at %v, expected one", got)
		}
		b.set(up)
		pass(5 * quick.Interval)
		b.set(down)
		pass(5 * quick.Interval)
		if got := r.booth.suspected(web); len(got) != 2 {
			t.Errorf("suspicions at %v, expected a second one", got)
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, down, up, down})
		r.stop()
	})
}

// Each suspicion is followed by votes of a higher round that settle it: the one
// that comes of it, changed or not, and one more.
func TestSuspicionIsSettled(t *testing.T) {
	for _, fall := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			b, m := newBackend(), quick
			m.Fall = fall
			r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
			r.settle(web)
			casts, n := r.booth.casts(), len(b.probes())
			b.mu.Lock()
			b.answer = func(_ context.Context, i int) checks.Result {
				if i == n || i == n+1 {
					return checks.Result{Health: down, Reason: "two failures"}
				}
				return checks.Result{Health: up, Reason: "fine"}
			}
			b.mu.Unlock()
			pass(10 * m.Interval)
			if got := len(r.booth.suspected(web)); got != 1 {
				t.Errorf("fall %d: %d suspicions", fall, got)
			}
			if got := r.booth.last().Votes[0]; got.Health != up || got.Round <= uint64(n+2) {
				t.Errorf("fall %d: the last vote is %+v", fall, got)
			}
			if got := r.booth.casts() - casts; got < 2 || got > 3 {
				t.Errorf("fall %d: %d ballots were cast", fall, got)
			}
			pass(10 * m.Interval)
			if got := r.booth.casts() - casts; got > 3 {
				t.Errorf("fall %d: %d ballots were cast long after", fall, got)
			}
			r.stop()
		})
	}
}

// With fall 1 the first failing result is a vote and a suspicion.
func TestFallOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), quick
		m.Fall = 1
		r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
		r.settle(web)
		b.set(down)
		pass(m.WorstInterval())
		equal(t, "suspicions", r.booth.suspected(web), []time.Duration{r.booth.changes(web)[2].at})
		r.stop()
	})
}

// A slow success is a degraded vote once fall of them came.
func TestDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), quick
		m.Slow = 50 * time.Millisecond
		r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
		r.settle(web)
		b.mu.Lock()
		b.answer = func(context.Context, int) checks.Result {
			return checks.Result{Health: up, Latency: 60 * time.Millisecond, Reason: "slow"}
		}
		b.mu.Unlock()
		pass(5 * m.Interval)
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, degraded})
		if got := r.booth.suspected(web); got != nil {
			t.Errorf("slowness was published as a suspicion at %v", got)
		}
		if got := r.p.Last()[web]; got.Reason != "slow" {
			t.Errorf("the newest result is %+v", got)
		}
		r.stop()
	})
}
