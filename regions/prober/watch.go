package prober

import (
	"context"
	"time"
)

// watch holds a connection to j's endpoint open and tells the loop when it is
// lost, until ctx ends. Reconnections come after 100 ms, doubling to the
// interval; a connection that lived for an interval starts that again. Each
// pause is jittered, by up to half of it, so that the many connections that
// one server loses do not come back as one.
func (l *loop) watch(ctx context.Context, j *job) {
	random := j.watchRandom
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
		case l.lost <- j:
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
