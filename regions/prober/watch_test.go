package prober

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
)

// A loss has the endpoint probed once and at once, and is no failure.
func TestLossIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), calm
		m.Watch = true
		r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
		r.between(b)
		waitFor(t, "the watch is there", func() bool { return len(b.watches()) > 0 })
		r.between(b)
		at := r.booth.since()
		b.kill()
		b.set(up) // it refuses nothing, only the connection was cut
		pass(10 * time.Second)
		equal(t, "probes", b.after(at), []time.Duration{at})
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up})
		if got := r.booth.suspected(web); got != nil {
			t.Errorf("the loss raised a suspicion at %v", got)
		}
		if again := b.watches()[1] - at; again < firstPause/2 || again > firstPause {
			t.Errorf("the connection was made again after %s", again)
		}
		r.stop()
	})
}

// While the endpoint refuses, reconnections come after 100 ms doubling to the
// interval, each pause jittered by up to half, and add no probes to the
// schedule of an endpoint that is down. A connection that lived starts again.
func TestReconnectBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), quick
		m.Watch = true
		r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
		r.settle(web)
		waitFor(t, "the watch is there", func() bool { return len(b.watches()) > 0 })
		pass(5 * m.Interval)
		at := r.booth.since()
		b.kill()
		pass(20 * m.Interval)
		tries := b.watches()[1:]
		pause, last := firstPause, at
		for i, try := range tries {
			if gap := try - last; gap < pause/2 || gap > pause {
				t.Errorf("reconnection %d came after %s, expected %s to %s", i, gap, pause/2, pause)
			}
			pause, last = min(2*pause, m.Interval), try
		}
		if got := len(b.after(at)); got > 25 {
			t.Errorf("%d probes in 20 intervals", got)
		}
		b.set(up)
		pass(5 * m.Interval)
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, down, up})
		n := len(b.watches())
		b.kill()
		pass(firstPause)
		if got := len(b.watches()) - n; got != 1 {
			t.Errorf("%d reconnections within %s of the next loss", got, firstPause)
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, down, up, down})
		r.stop()
	})
}

// Without watch: true no connection is held.
func TestNoWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, nil).run()
		pass(5 * quick.Interval)
		if got := b.watches(); got != nil {
			t.Errorf("watched at %v", got)
		}
		r.stop()
	})
}
