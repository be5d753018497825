package prober

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// sameJob is jobOf of a probe that asks what.
func sameJob(id regions.EndpointID, m MonitorConfig, b *backend, what string) Job {
	j := jobOf(id, m, b)
	j.Same = what
	return j
}

func (r *rig) replace(jobs, references []Job) {
	r.t.Helper()
	if err := r.p.Replace(jobs, references); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// Endpoints that stay keep vote, track and schedule through a hundred other
// configs; one that fails goes down after as many probes as without them.
func TestReplaceKeepsTracks(t *testing.T) {
	run := func(replaces bool) (probes []time.Duration, votes []change) {
		synctest.Test(t, func(t *testing.T) {
			b, other := newBackend(), newBackend()
			r := bench(t, []Job{sameJob(web, quick, b, "1")}, nil).run()
			for i := range 100 {
				pass(37 * time.Millisecond)
				if i == 60 {
					b.set(down)
				}
				if !replaces {
					continue
				}
				jobs := []Job{jobOf("other@192.0.2.9", quick, other), sameJob(web, quick, newBackend(), "1")}
				r.replace(jobs[1-i%2:], nil)
			}
			pass(2 * quick.Interval)
			if r.booth.seats() != 1 {
				t.Errorf("the seat was taken %d times", r.booth.seats())
			}
			r.stop()
			probes, votes = b.probes(), r.booth.changes(web)
		})
		return probes, votes
	}
	probes, votes := run(false)
	again, same := run(true)
	equal(t, "probes", again, probes)
	if fmt.Sprint(votes) != fmt.Sprint(same) {
		t.Errorf("votes with other configs meanwhile:\n%v\nwithout:\n%v", same, votes)
	}
}

// What is new is unknown and soon probed, what is gone is voted on no more, and
// no vote of either is ever another's.
func TestReplaceOfEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newBackend(), newBackend(), newBackend()
		b.set(down)
		r := bench(t, []Job{jobOf("a", quick, a), jobOf("b", quick, b)}, nil).run()
		pass(5 * quick.Interval)
		r.replace([]Job{jobOf("c", quick, c), jobOf("b", quick, b)}, nil)
		votes := r.booth.last().Votes
		if len(votes) != 2 || votes[0].Endpoint != "c" || votes[0].Health != unknown || votes[1].Endpoint != "b" || votes[1].Health != down {
			t.Fatalf("the votes are %v", votes)
		}
		at := r.booth.since()
		pass(5 * quick.Interval)
		if n := len(a.after(at)); n > 0 {
			t.Errorf("%d probes of an endpoint that is gone", n)
		}
		equal(t, "c", r.booth.healths("c"), []checks.Health{unknown, up})
		equal(t, "b", r.booth.healths("b"), []checks.Health{unknown, down})
		if last := r.p.Last(); len(last) != 2 || last["c"].Health != up {
			t.Errorf("the newest results are %v", last)
		}
		r.replace([]Job{jobOf("a", quick, a)}, nil)
		pass(5 * quick.Interval)
		equal(t, "a", r.booth.healths("a"), []checks.Health{unknown, up, unknown, up}[:len(r.booth.healths("a"))])
		if r.booth.last().Votes[0].Health != up || len(r.booth.last().Votes) != 1 {
			t.Errorf("the last votes are %v", r.booth.last().Votes)
		}
		if err := r.p.Replace([]Job{{Endpoint: "bad", Monitor: quick}}, nil); err == nil {
			t.Error("a job without a prober was taken")
		}
		r.stop()
	})
}

// The result of a probe that asks what is not asked any more counts for
// nothing, and the endpoint is probed again at once.
func TestReplaceOfAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var slow atomic.Bool
		old, now := newBackend(), newBackend()
		old.answer = func(context.Context, int) checks.Result {
			if !slow.Load() {
				return checks.Result{Health: up}
			}
			<-release
			return checks.Result{Health: down, Reason: "of before"}
		}
		r := bench(t, []Job{sameJob(web, calm, old, "old")}, nil).run()
		r.settle(web)
		slow.Store(true)
		n := len(old.probes())
		waitFor(t, "a probe flies", func() bool { return len(old.probes()) > n })
		r.replace([]Job{sameJob(web, calm, now, "new")}, nil)
		close(release)
		synctest.Wait()
		if len(now.probes()) != 1 {
			t.Errorf("it was probed %d times at once", len(now.probes()))
		}
		pass(3 * calm.Interval)
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up})
		if got := r.booth.suspected(web); got != nil {
			t.Errorf("it was suspected at %v", got)
		}
		r.stop()
	})
}

// A planted fault: were the probe of before taken for the new one's, its result
// would count.
func TestReplaceOfAProbeThatIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, never := newBackend(), newBackend()
		r := bench(t, []Job{sameJob(web, calm, b, "1")}, nil).run()
		r.settle(web)
		r.replace([]Job{sameJob(web, calm, never, "1")}, nil)
		pass(3 * calm.Interval)
		if len(never.probes()) > 0 || len(b.probes()) < 4 {
			t.Errorf("%d probes by the checker of before, %d by a new one that asks the same", len(b.probes()), len(never.probes()))
		}
		r.stop()
	})
}

// References come and go, and the doubt with them.
func TestReplaceOfReferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dead := newBackend(), newBackend()
		dead.set(down)
		r := bench(t, []Job{jobOf(web, quick, b)}, func(o *Options) { o.References = []Job{jobOf("ref", quick, dead)} }).run()
		pass(5 * quick.Interval)
		if !r.booth.last().Suspect {
			t.Fatal("the vantage does not doubt itself")
		}
		r.replace([]Job{jobOf(web, quick, b)}, nil)
		if r.booth.last().Suspect {
			t.Error("it doubts itself without references")
		}
		r.replace([]Job{jobOf(web, quick, b)}, []Job{jobOf("ref", quick, dead)})
		pass(5 * quick.Interval)
		if !r.booth.last().Suspect {
			t.Error("it does not doubt itself by a reference that came")
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up})
		r.stop()
	})
}

// goroutines counts those in this package's code, once all of the bubble wait;
// the runtime's own come and go.
func goroutines() (n int) {
	synctest.Wait()
	all := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(stack, "veer/regions/prober.") {
			n++
		}
	}
	return n
}

// Watched connections begin and end with what the config says, and those that
// it leaves alone stay open; no goroutine is left behind.
func TestReplaceOfWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBackend(), calm
		m.Watch = true
		before := goroutines()
		r := bench(t, []Job{sameJob(web, m, b, "1")}, nil).run()
		waitFor(t, "the watch is there", func() bool { return len(b.watches()) == 1 })
		running := goroutines()
		for range 100 {
			r.replace([]Job{sameJob(web, m, b, "1")}, nil)
		}
		if n, now := len(b.watches()), goroutines(); n != 1 || now > running {
			t.Errorf("%d connections and %d goroutines, %d before, though nothing changed", n, now, running)
		}
		for i := range 100 {
			r.replace([]Job{sameJob(web, m, b, fmt.Sprint(i))}, nil)
			pass(m.Interval)
		}
		if now := goroutines(); now > running {
			t.Errorf("%d goroutines, %d before", now, running)
		}
		m.Watch = false
		r.replace([]Job{sameJob(web, m, b, "1")}, nil)
		n := len(b.watches())
		b.kill()
		pass(m.Interval)
		if len(b.watches()) != n {
			t.Error("the connection is watched on")
		}
		r.stop()
		if left := goroutines(); left > before {
			t.Errorf("%d goroutines are left, %d before", left, before)
		}
	})
}

// Whoever asks for fresh results of everything gets them, although what there is
// changes meanwhile.
func TestReplaceWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newBackend(), newBackend()
		r := bench(t, []Job{jobOf("a", calm, a), jobOf("b", calm, b)}, nil).run()
		r.settle("a")
		release := make(chan struct{})
		a.answer = func(context.Context, int) checks.Result { <-release; return checks.Result{Health: up} }
		got := make(chan error, 1)
		go func() {
			_, err := r.p.Now(t.Context())
			got <- err
		}()
		synctest.Wait()
		r.replace([]Job{jobOf("b", calm, b)}, nil)
		if err := <-got; err != nil {
			t.Error(err)
		}
		close(release)
		synctest.Wait()
		if ids := r.p.Last(); len(ids) != 1 || !slices.Contains([]checks.Health{up}, ids["b"].Health) {
			t.Errorf("the results are %v", ids)
		}
		r.stop()
	})
}
