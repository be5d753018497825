package prober

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
)

// cause is what starts a probe. A job has at most one flight of each.
type cause uint8

const (
	scheduled cause = iota // the schedule, re-probes included
	suspicion              // another vantage's suspicion
	loss                   // the loss of a watched connection
	causes
)

// phase is how far a flight is.
type phase uint8

const (
	waiting phase = iota // for room
	flying
	stuck // not returned well after its time-out; it takes no room
	gone
)

// flight is one probe, from the moment it should start.
type flight struct {
	job   *job
	cause cause
	phase phase
	// due is when the schedule wanted it, began when it was launched.
	due, began time.Duration
	// deadline is when a waiting flight gives up, and a flying one is stuck.
	deadline time.Duration
	// void: the process was paused during it, its result says nothing.
	void bool
	// outdated: it asks what is not asked any more.
	outdated bool
}

// landing is a flight's result.
type landing struct {
	flight *flight
	result checks.Result
	waited time.Duration // from the launch to the beginning of the probe
}

// queue holds the flights that wait for room, first come first served.
type queue struct{ flights []*flight }

func (q *queue) add(f *flight) { q.flights = append(q.flights, f) }

// take removes and returns the first flight that still waits.
func (q *queue) take() (*flight, bool) {
	for len(q.flights) > 0 {
		f := q.flights[0]
		q.flights[0] = nil
		q.flights = q.flights[1:]
		if f.phase == waiting {
			return f, true
		}
	}
	return nil, false
}

// start launches a probe that was due at a time, or queues it when there is no
// room.
func (l *loop) start(flights context.Context, now time.Duration, j *job, from cause, due time.Duration) {
	f := &flight{job: j, cause: from, due: due}
	j.air[from] = f
	if l.flying < l.p.room {
		l.launch(flights, now, f)
		return
	}
	l.queue.add(f)
	l.deadline(f, now+j.Monitor.Interval)
}

func (l *loop) deadline(f *flight, at time.Duration) {
	f.deadline = at
	l.agenda.add(alarm{at: at, job: f.job, flight: f})
}

func (l *loop) launch(flights context.Context, now time.Duration, f *flight) {
	j := f.job
	if f.cause == scheduled {
		l.schedule(j, now+j.jittered())
	}
	f.phase, f.began = flying, now
	l.deadline(f, now+j.limit())
	l.flying++
	if j.Starter != nil && j.Starter.Start(j.Monitor.Timeout, func(r checks.Result, waited time.Duration) {
		l.box.put(landing{flight: f, result: r, waited: waited})
	}) {
		return
	}
	is := j.Job // the loop may change the job's
	l.wg.Go(func() {
		ctx, cancel := context.WithTimeout(flights, is.Monitor.Timeout)
		defer cancel()
		l.box.put(landing{flight: f, result: is.Prober.Probe(ctx, is.Target)})
	})
}

// box takes landings from whoever has one, until the loop takes them out.
type box struct {
	mu       sync.Mutex
	landings []landing
	quiet    bool          // the loop comes by itself, soon
	bell     chan struct{} // has room for one: there are landings
}

func (b *box) put(d landing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.landings = append(b.landings, d)
	if !b.quiet {
		ring(b.bell)
	}
}

// swap empties the box, in exchange for the last landings that it gave.
func (b *box) swap(old []landing) []landing {
	clear(old)
	b.mu.Lock()
	defer b.mu.Unlock()
	landings := b.landings
	b.landings = old[:0]
	return landings
}

// collect takes in the results that came before now.
func (l *loop) collect(now time.Duration) {
	for _, d := range l.came {
		l.land(now, d)
	}
}

// land takes a probe's result.
func (l *loop) land(now time.Duration, d landing) {
	f, j := d.flight, d.flight.job
	was := f.phase
	f.phase = gone
	if f.cause == scheduled {
		l.p.began(f.began - f.due + d.waited)
	}
	j.air[f.cause] = nil
	if was == stuck {
		j.stuck--
		if j.stuck == 0 && !j.gone {
			l.schedule(j, now)
		}
		return
	}
	l.flying--
	if j.gone {
		return
	}
	if f.outdated {
		l.schedule(j, now)
		return
	}
	if f.void {
		l.discard(now, j)
		return
	}
	j.voids = 0
	l.observe(j, d.result, f.cause)
	l.replan(now, j)
	l.answer(now, j, f.began)
}

// replan sets the next scheduled probe after a result: after the short time
// while failures are being counted, at once when it was put off until now.
func (l *loop) replan(now time.Duration, j *job) {
	recheck := now + j.Monitor.Recheck
	switch {
	case j.track.Suspicious() && (j.due == never || j.due > recheck):
		l.schedule(j, recheck)
	case j.due == never && j.air[scheduled] == nil:
		l.schedule(j, now)
	}
}

// discard probes again instead of a result that the process slept through. A
// vantage that sleeps through as many in a row as make an endpoint down does
// not know.
func (l *loop) discard(now time.Duration, j *job) {
	j.voids++
	if j.voids >= j.thresholds.Fall {
		j.voids = 0
		l.forget(j, fmt.Sprintf("this vantage was paused during each of the last %d probes", j.thresholds.Fall))
	}
	l.schedule(j, now)
}

// late sees to a flight whose deadline came: one that found no room, or whose
// checker did not return.
func (l *loop) late(now time.Duration, f *flight) {
	j := f.job
	if j.gone {
		if f.phase == flying {
			f.phase = stuck
			l.flying--
			j.stuck++
		}
		return
	}
	defer l.answer(now, j, now)
	switch f.phase {
	case waiting:
		f.phase = gone
		j.air[f.cause] = nil
		if f.cause == scheduled {
			why := fmt.Sprintf("the probe could not start within its interval, %s: %d probes are in flight", j.Monitor.Interval, l.flying)
			l.observe(j, checks.Result{Health: checks.Unknown, Reason: why}, scheduled)
			l.schedule(j, now+j.jittered())
		}
	case flying:
		f.phase = stuck
		l.flying--
		j.stuck++
		l.forget(j, fmt.Sprintf("the checker has not returned %s after it started, its time-out is %s", j.limit(), j.Monitor.Timeout))
	}
}

// stalled sees to a pause of the process: what flew through it is void where
// the pause was long beside its time-out, no deadline passed during it, and
// the probes that became due are spread anew instead of starting all at once.
func (l *loop) stalled(now, late time.Duration) {
	l.p.log.Warn().Dur("late_ms", late).Msg("the probing loop was paused: results of probes in flight are discarded")
	for _, j := range l.p.all() {
		for _, f := range j.air {
			if f == nil || f.phase != waiting && f.phase != flying {
				continue
			}
			if f.phase == flying && late > max(minStall, j.Monitor.Timeout/4) {
				f.void = true
			}
			l.deadline(f, f.deadline+late)
		}
		if j.due != never && j.due < now-minStall {
			l.schedule(j, now+time.Duration(j.random.Int64N(int64(min(late, j.Monitor.Interval)))))
		}
	}
}
