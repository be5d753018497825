package prober

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
)

// measured is a job of an endpoint that is so far away.
func measured(b *backend, way *time.Duration) Job {
	b.answer = func(context.Context, int) checks.Result {
		b.mu.Lock()
		defer b.mu.Unlock()
		return checks.Result{Health: b.health, Reason: b.health.String(), Evidence: checks.Evidence{Connect: *way}}
	}
	j := jobOf(web, MonitorConfig{Interval: time.Second, Timeout: 500 * time.Millisecond, Recheck: 100 * time.Millisecond, Fall: 2, Rise: 2}, b)
	j.Measure, j.WarmUp = func(r checks.Result) time.Duration { return r.Evidence.Connect }, 5
	return j
}

func (r *rig) distance() time.Duration {
	if b := r.booth.last(); len(b.Votes) == 1 {
		return b.Votes[0].Distance()
	}
	return 0
}

// The vote tells the round trip after the warm-up, seldom again, and no more
// once the endpoint does not work.
func TestVotesTellRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, way := newBackend(), 20*time.Millisecond
		r := bench(t, []Job{measured(b, &way)}, nil).run()
		waitFor(t, "it is up", func() bool { return len(b.probes()) == 4 })
		if pass(time.Millisecond); r.distance() != 0 {
			t.Errorf("%s is told before the warm-up", r.distance())
		}
		waitFor(t, "the warm-up is over", func() bool { return len(b.probes()) == 5 })
		if pass(time.Millisecond); r.distance() != way {
			t.Errorf("%s is told, expected %s", r.distance(), way)
		}
		casts := r.booth.casts()
		if pass(time.Minute); r.booth.casts() != casts {
			t.Errorf("nothing changed, and the ballot was cast %d times", r.booth.casts()-casts)
		}
		b.mu.Lock()
		way = 80 * time.Millisecond
		b.mu.Unlock()
		pass(time.Minute)
		if d := r.distance(); d < 70*time.Millisecond || d > 80*time.Millisecond {
			t.Errorf("%s is told, expected about 80 ms", d)
		}
		if n := r.booth.casts() - casts; n < 1 || n > 6 {
			t.Errorf("the ballot was cast %d times in a minute", n)
		}
		b.set(down)
		waitFor(t, "it is down", func() bool { return r.booth.last().Votes[0].Health == down })
		if v := r.booth.last().Votes[0]; v.RoundTrip != 0 {
			t.Errorf("it is down, and %s is told", v.RoundTrip)
		}
		b.set(up)
		waitFor(t, "it is up", func() bool { return r.booth.last().Votes[0].Health == up })
		if v := r.booth.last().Votes[0]; v.RoundTrip != 0 {
			t.Errorf("it came back up, and %s is told without a warm-up", v.RoundTrip)
		}
		r.stop()
	})
}

// Results without a round trip make what is known run out, although the
// endpoint works.
func TestRoundTripsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, way := newBackend(), 20*time.Millisecond
		r := bench(t, []Job{measured(b, &way)}, nil).run()
		waitFor(t, "it is told", func() bool { return r.distance() == 20*time.Millisecond })
		b.mu.Lock()
		way = 0
		b.mu.Unlock()
		waitFor(t, "it ran out", func() bool { return r.distance() == 0 })
		if v := r.booth.last().Votes[0]; v.Health != up {
			t.Errorf("it is %s", v.Health)
		}
		r.stop()
	})
}

// Passes of a scheduler go on where the one before ended.
func TestPassesMeasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		way, m := 20*time.Millisecond, Memory{}
		for n := 1; n <= 6; n++ {
			r := bench(t, []Job{measured(newBackend(), &way)}, nil)
			ballot, next, err := r.p.Pass(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if d := ballot.Votes[0].Distance(); d != 0 && n < 5 || d != way && n >= 5 {
				t.Errorf("pass %d tells %s", n, d)
			}
			m = next
		}
		m.Fresh = false // the votes ran out meanwhile
		r := bench(t, []Job{measured(newBackend(), &way)}, nil)
		if ballot, _, err := r.p.Pass(t.Context(), m); err != nil || ballot.Votes[0].Distance() != 0 {
			t.Errorf("%+v %v", ballot, err)
		}
	})
}
