package prober

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
)

// fakeEngine runs probes in goroutines of its own, until it ends.
type fakeEngine struct {
	wg    sync.WaitGroup
	ctx   context.Context
	ready chan struct{}
	fails chan error // makes Run end
	ended atomic.Bool
	begun atomic.Int32
}

func (e *fakeEngine) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	e.ctx = ctx
	close(e.ready)
	select {
	case <-ctx.Done():
	case err = <-e.fails:
	}
	e.ended.Store(true)
	cancel()
	e.wg.Wait()
	return err
}

type fakeStarter struct {
	engine *fakeEngine
	job    Job
}

func (s *fakeStarter) Start(timeout time.Duration, land func(checks.Result, time.Duration)) bool {
	if s.engine.ended.Load() {
		return false
	}
	s.engine.begun.Add(1)
	s.engine.wg.Go(func() {
		<-s.engine.ready
		ctx, cancel := context.WithTimeout(s.engine.ctx, timeout)
		defer cancel()
		land(s.job.Prober.Probe(ctx, s.job.Target), 0)
	})
	return true
}

// onEngine has all jobs probed by an engine.
func onEngine(o *Options) {
	e := &fakeEngine{ready: make(chan struct{}), fails: make(chan error)}
	o.Engine = e
	for i := range o.Jobs {
		o.Jobs[i].Starter = &fakeStarter{e, o.Jobs[i]}
	}
}

// Where an engine ends, probes run without it.
func TestEngineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		var e *fakeEngine
		r := bench(t, []Job{jobOf(web, quick, b)}, func(o *Options) { onEngine(o); e = o.Engine.(*fakeEngine) }).run()
		r.settle(web)
		begun := e.begun.Load()
		if begun == 0 {
			t.Error("the engine began no probe")
		}
		e.fails <- errors.New("no epoll")
		b.set(down)
		pass(5 * quick.Interval)
		if got := e.begun.Load(); got != begun {
			t.Errorf("an engine that has ended began %d probes", got-begun)
		}
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, down})
		r.stop()
	})
}

// A probe that an engine does not give back makes the endpoint unknown.
func TestEngineHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		r := bench(t, []Job{jobOf(web, quick, b)}, onEngine).run()
		r.settle(web)
		release := make(chan struct{})
		b.mu.Lock()
		b.answer = deaf(release)
		b.mu.Unlock()
		pass(5 * quick.Interval)
		equal(t, "votes", r.booth.healths(web), []checks.Health{unknown, up, unknown})
		if why := r.booth.changes(web)[2].vote.Why; !strings.Contains(why, "has not returned") {
			t.Errorf("the reason is %q", why)
		}
		close(release)
		r.stop()
	})
}

// Many probes a second are started at a pace, each within it.
func TestPace(t *testing.T) {
	m := MonitorConfig{Interval: time.Second}
	for i, seen := range starts(t, 1200, 3*time.Second, m, onEngine) {
		if len(seen) < 2 {
			t.Fatalf("%s was probed %d times in 3 s", endpoint(i), len(seen))
		}
		for k := 1; k < len(seen); k++ {
			if gap := seen[k] - seen[k-1]; gap > m.WorstInterval()+maxPace || gap < m.Interval*9/10-maxPace {
				t.Fatalf("a gap of %s", gap)
			}
		}
	}
}
