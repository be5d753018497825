package prober

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
)

// slow is a monitor whose schedule does not come in the way.
var slow = MonitorConfig{Interval: time.Hour, Timeout: time.Second, Recheck: 100 * time.Millisecond, Fall: 3, Rise: 1}

func TestNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		well, sick, stuck := newBackend(), newBackend(), newBackend()
		sick.set(down)
		wakes := make(chan struct{})
		stuck.answer = func(context.Context, int) checks.Result {
			<-wakes // it breaks its contract: it does not return with its context
			return checks.Result{Health: up, Reason: "late"}
		}
		r := bench(t, []Job{jobOf("a", slow, well), jobOf("b", slow, sick), jobOf("c", slow, stuck)}, nil).run()
		ballot, err := r.p.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []checks.Health{up, down, unknown} {
			if got := ballot.Votes[i].Health; got != want {
				t.Errorf("%s is voted %s, want %s", ballot.Votes[i].Endpoint, got, want)
			}
		}
		if n := len(sick.probes()); n != 3 {
			t.Errorf("what is down was probed %d times", n)
		}
		if last := r.booth.last(); last.Votes[1].Health != down {
			t.Errorf("it returned before the votes were cast: %+v", last)
		}
		// What came up or went down since shows in the next one.
		well.set(down)
		sick.set(up)
		close(wakes)
		if ballot, err = r.p.Now(t.Context()); err != nil || ballot.Votes[0].Health != down || ballot.Votes[1].Health != up {
			t.Errorf("%+v %v", ballot, err)
		}
		r.stop()
	})
}

// Beside a probe that flies already, another one is made: the first began
// before the call.
func TestNowDoesNotTakeAnOldResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.answer = func(ctx context.Context, n int) checks.Result {
			time.Sleep(500 * time.Millisecond)
			if n == 0 {
				return checks.Result{Health: up, Reason: "before"}
			}
			return checks.Result{Health: checks.Degraded, Reason: "after"}
		}
		m := slow
		m.Interval = 2 * time.Second
		r := bench(t, []Job{jobOf(web, m, b)}, nil).run()
		waitFor(t, "the first probe flies", func() bool { return len(b.probes()) == 1 })
		if _, err := r.p.Now(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(b.probes()); n < 2 {
			t.Errorf("the result of a probe that flew before was taken (%d probes)", n)
		}
		r.stop()
	})
}

func TestNowWhileStandingBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, slow, b)}, nil)
		<-r.booth.free // another sits there
		r.run()
		if _, err := r.p.Now(t.Context()); !errors.Is(err, errStandingBy) {
			t.Errorf("%v", err)
		}
		r.stop()
	})
}
