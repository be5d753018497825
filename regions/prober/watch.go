package prober

import (
	"context"
	"math/rand/v2"
	"time"
)

// watchAll begins to watch the connections of jobs that ask for it and are not
// watched yet, until ctx ends or unwatch is called.
func (l *loop) watchAll(ctx context.Context) {
	for _, j := range l.p.all() {
		if !j.Monitor.Watch || j.Watcher == nil || j.unwatch != nil {
			continue
		}
		watching, end := context.WithCancel(ctx)
		j.unwatch = end
		is, random := j.Job, l.p.randomOf(j.Job, "watch")
		l.wg.Go(func() { l.watch(watching, j, is, random) })
	}
}

// watch holds a connection to an endpoint open and tells the loop when it is
// lost, until ctx ends. Reconnections come after 100 ms, doubling to the
// interval; a connection that lived for an interval starts that again. Each
// pause is jittered, by up to half of it, so that the many connections that
// one server loses do not come back as one.
func (l *loop) watch(ctx context.Context, of *job, j Job, random *rand.Rand) {
	pause := min(firstPause, j.Monitor.Interval)
	if !wait(ctx, time.Duration(random.Int64N(int64(j.Monitor.Interval)))) {
		return
	}
	for {
		began := l.p.clock()
		err := j.Watcher.Watch(ctx, j.Target)
		if ctx.Err() != nil {
			return
		}
		l.p.log.Debug().Err(err).Str("endpoint", string(j.Endpoint)).Msg("the watched connection was lost")
		select {
		case l.lost <- of:
		case <-ctx.Done():
			return
		}
		if l.p.clock()-began >= j.Monitor.Interval {
			pause = min(firstPause, j.Monitor.Interval)
		}
		if !wait(ctx, pause/2+time.Duration(random.Int64N(int64(pause/2)))) {
			return
		}
		pause = min(2*pause, j.Monitor.Interval)
	}
}
