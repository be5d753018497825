package prober

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// A checker that does not return makes its endpoint unknown, well after the
// time-out and no later; it is not started again meanwhile. What it says in the end
// counts for nothing, and the endpoint is probed at once.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, nil).run()
		r.settle(web)
		release := make(chan struct{})
		b.mu.Lock()
		b.answer = deaf(release)
		b.mu.Unlock()
		n := len(b.probes())
		waitFor(t, "it is forgotten", func() bool { return len(r.booth.changes(web)) == 3 })
		started, forgot := b.probes()[n], r.booth.changes(web)[2]
		if got, want := forgot.at-started, quick.Timeout+quick.Timeout/2; got != want {
			t.Errorf("forgotten %s after the start, expected %s", got, want)
		}
		if forgot.vote.Health != unknown || !strings.Contains(forgot.vote.Why, "has not returned") {
			t.Errorf("the vote is %+v", forgot.vote)
		}
		r.booth.suspicions <- []regions.EndpointID{web}
		pass(10 * quick.Interval)
		if got := len(b.probes()); got != n+1 {
			t.Errorf("%d probes were started while one was stuck", got-n-1)
		}
		b.mu.Lock()
		b.answer = script(up)
		b.mu.Unlock()
		at := r.booth.since()
		close(release)
		pass(0)
		equal(t, "probes after the release", b.after(at), []time.Duration{at})
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, unknown, up})
		if got := r.booth.suspected(web); got != nil {
			t.Errorf("a late result raised a suspicion at %v", got)
		}
		r.stop()
	})
}

// Checkers that are stuck take no room from the others.
func TestStuckCheckersTakeNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		release := make(chan struct{})
		jobs := []Job{jobOf(web, quick, b)}
		for i := range 5 {
			stuck := newBackend()
			stuck.answer = deaf(release)
			jobs = append(jobs, jobOf(endpoint(i), quick, stuck))
		}
		r := bench(t, jobs, nil)
		r.p.room = 5
		r.run()
		pass(10 * quick.Interval)
		if got := len(b.probes()); got < 8 {
			t.Errorf("it was probed %d times in 10 intervals", got)
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up})
		close(release)
		r.stop()
	})
}

// paused runs up to a probe in flight, lets the loop's clock jump by d, and
// has the probe come back as a failure.
func paused(t *testing.T, d time.Duration) (r *rig, b *backend, at time.Duration) {
	t.Helper()
	b = newBackend()
	r = bench(t, []Job{jobOf(web, calm, b)}, nil).run()
	r.between(b)
	release := make(chan struct{})
	n := len(b.probes())
	b.mu.Lock()
	b.answer = deaf(release)
	b.mu.Unlock()
	waitFor(t, "a probe is in flight", func() bool { return len(b.probes()) > n })
	b.mu.Lock()
	b.answer = script(up)
	b.mu.Unlock()
	r.skew.Add(int64(d))
	close(release)
	at = r.booth.since()
	pass(0)
	return r, b, at
}

// What a probe says that was in flight across a pause is discarded, and it is
// run again at once.
func TestPauseDiscards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b, at := paused(t, 10*time.Second)
		equal(t, "probes", b.after(at), []time.Duration{at})
		pass(10 * time.Second)
		if got := r.booth.suspected(web); got != nil {
			t.Errorf("it raised a suspicion at %v", got)
		}
		if got := r.p.Last()[web]; got.Health != up {
			t.Errorf("the newest result is %+v", got)
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up})
		r.stop()
	})
}

// The watchdog does not count a pause against the checker.
func TestPauseIsNotTheCheckersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, calm, b)}, nil).run()
		r.between(b)
		b.mu.Lock()
		b.answer = slowly(time.Second)
		b.mu.Unlock()
		n := len(b.probes())
		waitFor(t, "a probe is in flight", func() bool { return len(b.probes()) > n })
		r.skew.Add(int64(time.Hour))
		pass(10 * time.Second)
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up})
		r.stop()
	})
}

// A short delay of the loop is no pause: the failure counts.
func TestDelayIsNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, at := paused(t, minStall)
		equal(t, "suspicions", r.booth.suspected(web), []time.Duration{at})
		r.stop()
	})
}

// A vantage that is paused during each probe ends up not knowing.
func TestPausedAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, calm, b)}, nil)
		r.run()
		r.between(b)
		b.mu.Lock()
		b.answer = slowly(time.Second)
		b.mu.Unlock()
		waitFor(t, "it is forgotten", func() bool {
			pass(200 * time.Millisecond)
			r.skew.Add(int64(5 * time.Second))
			return len(r.booth.changes(web)) == 3
		})
		forgot := r.booth.changes(web)[2].vote
		if forgot.Health != unknown || !strings.Contains(forgot.Why, "paused") {
			t.Errorf("the vote is %+v", forgot)
		}
		pass(5 * time.Second)
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, unknown, up})
		r.stop()
	})
}

// What became due during a pause does not start all at once.
func TestPauseSpreadsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jobs []Job
		backends := make([]*backend, 200)
		for i := range backends {
			backends[i] = newBackend()
			jobs = append(jobs, jobOf(endpoint(i), MonitorConfig{Interval: 10 * time.Second}, backends[i]))
		}
		r := bench(t, jobs, nil).run()
		pass(15 * time.Second)
		at := r.booth.since()
		r.skew.Add(int64(time.Minute))
		pass(10 * time.Second)
		load := make(map[time.Duration]int)
		for i, b := range backends {
			seen := b.after(at)
			if len(seen) == 0 {
				t.Errorf("%s was not probed within an interval after the pause", endpoint(i))
				continue
			}
			load[seen[0]/time.Second]++
		}
		for s, n := range load {
			if n > 60 {
				t.Errorf("%d of 200 probes start in second %d", n, s)
			}
		}
		r.stop()
	})
}

// gate is a log that hangs while it is shut, and with it whoever writes.
type gate struct {
	shut atomic.Bool
	open chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	if g.shut.Load() {
		<-g.open
	}
	return len(p), nil
}

// A loop that hangs renews nothing, and so loses its votes. When it goes on,
// what was in flight is discarded.
func TestHungLoopDoesNotRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		a, b := newBackend(), newBackend()
		r := bench(t, []Job{jobOf(web, quick, a), jobOf(endpoint(1), quick, b)}, func(o *Options) { o.Log = zerolog.New(g) }).run()
		r.settle(web, endpoint(1))
		pass(2 * quick.Interval)
		g.shut.Store(true)
		a.set(down) // its vote is logged by the loop
		pass(2 * quick.Interval)
		renewed := r.booth.renewed()
		pass(10 * quick.Interval)
		if got := r.booth.renewed(); got != renewed {
			t.Errorf("the seat was renewed %d times by a hung loop", got-renewed)
		}
		g.shut.Store(false)
		close(g.open)
		pass(2 * quick.Interval)
		if got := r.booth.renewed(); got < renewed+2 {
			t.Errorf("the loop went on and renewed %d times in 2 s", got-renewed)
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, down})
		r.stop()
	})
}
