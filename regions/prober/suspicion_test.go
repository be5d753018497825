package prober

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// calm is a monitor whose schedule stays out of the way.
var calm = MonitorConfig{Interval: time.Minute, Timeout: 2 * time.Second, Recheck: 100 * time.Millisecond, Fall: 2, Rise: 2}

// between lets the schedule's next probe pass, so that the following
// half minute has none.
func (r *rig) between(b *backend) {
	r.t.Helper()
	n := len(b.probes())
	waitFor(r.t, "it was probed", func() bool { return len(b.probes()) > n })
	pass(time.Second)
}

// Another's suspicion has the endpoint probed in the same moment. Its failure
// counts and starts the re-probes, but raises no suspicion.
func TestOthersSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, calm, b)}, nil).run()
		r.between(b)
		b.set(down)
		at := r.booth.since()
		r.booth.suspicions <- []regions.EndpointID{"web@203.0.113.99", web}
		pass(time.Second)
		equal(t, "probes", b.after(at), []time.Duration{at, at + calm.Recheck})
		if got := r.booth.changes(web); got[len(got)-1].at != at+calm.Recheck || got[len(got)-1].vote.Health != down {
			t.Errorf("the votes were %v, expected down at %s", got, at+calm.Recheck)
		}
		if got := r.booth.suspected(web); got != nil {
			t.Errorf("a re-probe raised a suspicion at %v", got)
		}
		r.stop()
	})
}

// It goes beside a probe in flight.
func TestOthersSuspicionBesideAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, calm, b)}, nil).run()
		r.between(b)
		b.mu.Lock()
		b.answer = hang
		b.mu.Unlock()
		n := len(b.probes())
		waitFor(t, "a probe hangs", func() bool { return len(b.probes()) > n })
		pass(time.Second)
		at := r.booth.since()
		r.booth.suspicions <- []regions.EndpointID{web}
		pass(calm.Timeout)
		equal(t, "probes", b.after(at)[:1], []time.Duration{at})
		pass(calm.Timeout)
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, down})
		r.stop()
	})
}

// At most one an endpoint and interval.
func TestOneSuspicionAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, calm, b)}, nil).run()
		r.between(b)
		at := r.booth.since()
		for range 100 {
			r.booth.suspicions <- []regions.EndpointID{web, web}
			pass(100 * time.Millisecond)
		}
		equal(t, "probes", b.after(at), []time.Duration{at})
		pass(calm.Interval)
		at = r.booth.since()
		r.booth.suspicions <- []regions.EndpointID{web}
		pass(0)
		if got := b.after(at); len(got) != 1 {
			t.Errorf("an interval later it was probed at %v, expected once at %s", got, at)
		}
		r.stop()
	})
}

// All of them together are bounded a second.
func TestSuspicionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		var jobs []Job
		var ids []regions.EndpointID
		backends := make([]*backend, n)
		m := MonitorConfig{Interval: time.Hour}
		for i := range n {
			backends[i] = newBackend()
			jobs = append(jobs, jobOf(endpoint(i), m, backends[i]))
			ids = append(ids, endpoint(i))
		}
		r := bench(t, jobs, nil).run()
		pass(90 * time.Minute)
		extras := func(at, d time.Duration) (extra int) {
			scheduled := int(n * d / m.Interval)
			for _, b := range backends {
				extra += len(b.after(at))
			}
			return extra - scheduled
		}
		at := r.booth.since()
		for range 50 {
			r.booth.suspicions <- ids
			pass(100 * time.Millisecond)
		}
		// The first second has its whole allowance at once.
		if got := extras(at, 5*time.Second); got < 5*minSuspicionRate || got > 6*minSuspicionRate+20 {
			t.Errorf("%d extra probes in 5 s, expected about %d", got, 6*minSuspicionRate)
		}
		r.stop()
	})
}

// A suspicion tells nothing new of an endpoint that is down or re-probed.
func TestSettledIsNotProbedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), calm
		m.Recheck = 20 * time.Second
		r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
		r.between(b)
		b.set(down)
		n := len(b.probes())
		waitFor(t, "one failure was seen", func() bool { return len(b.probes()) > n })
		for _, state := range []string{"re-probed", "down"} {
			at := r.booth.since() + 1
			pass(time.Second)
			r.booth.suspicions <- []regions.EndpointID{web}
			pass(time.Second)
			if got := b.after(at); len(got) != 0 {
				t.Errorf("while it was %s it was probed at %v", state, got)
			}
			pass(m.Recheck)
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, down})
		r.stop()
	})
}

// Suspicions are published in the same moment although the last publication
// of others still hangs, as soon as that gives up; nothing of the loop waits.
func TestSlowSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newBackend(), newBackend()
		r := bench(t, []Job{jobOf(web, quick, a), jobOf(endpoint(1), quick, b)}, nil)
		r.booth.suspect = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		r.run()
		r.settle(web, endpoint(1))
		a.set(down)
		waitFor(t, "the first is suspected", func() bool { return r.booth.suspected(web) != nil })
		first := r.booth.suspected(web)[0]
		b.set(down)
		pass(suspectLimit + quick.Interval)
		equal(t, "the second suspicion", r.booth.suspected(endpoint(1)), []time.Duration{first + suspectLimit})
		equal(t, "votes", r.booth.healths(endpoint(1)), []checks.Health{unknown, up, down})
		r.stop()
	})
}
