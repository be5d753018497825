package prober

import (
	"context"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

const (
	// beat is how often the loop wakes while probes are in flight, so that a
	// pause of the process is seen.
	beat = 50 * time.Millisecond
	// minStall is the lateness of the loop below which nothing is discarded:
	// a busy machine is not a paused one.
	minStall = 100 * time.Millisecond
)

// loop owns the schedule: one goroutine, nothing in it waits.
type loop struct {
	p      *Prober
	byID   map[regions.EndpointID]*job
	agenda agenda
	queue  queue
	flying int // flights that take room
	allow  allowance
	renew  time.Duration // when the seat is next renewed
	expect time.Duration // when the loop should wake at the latest
	doubt  doubt
	asks   []*ask // that are not answered yet

	box  box
	came []landing // what the box held last
	lost chan *job
	pace time.Duration // 0: the loop comes whenever there is something
	wg   sync.WaitGroup
}

func newLoop(p *Prober) *loop {
	now := p.clock()
	l := &loop{
		p: p, byID: make(map[regions.EndpointID]*job, len(p.jobs)),
		allow: newAllowance(p.rate, now), renew: now + p.renew, expect: now + p.renew,
		doubt: doubt{of: len(p.references)},
		lost:  make(chan *job), pace: pace(p.jobs),
	}
	l.box.quiet, l.box.bell = l.pace > 0, make(chan struct{}, 1)
	for _, j := range p.jobs {
		l.byID[j.Endpoint] = j
	}
	for _, j := range p.all() {
		l.schedule(j, now+j.due)
	}
	return l
}

// run handles events until ctx ends, then ends the probes in flight and waits
// for them. They do not end with ctx itself: a probe cut short must not look
// like a failure to a loop that has not yet seen that ctx ended.
func (l *loop) run(ctx context.Context, suspicions <-chan []regions.EndpointID) {
	flights, land := context.WithCancel(context.WithoutCancel(ctx))
	defer l.wg.Wait()
	defer land()
	if engine := l.p.engine; engine != nil {
		l.wg.Go(func() {
			if err := engine.Run(flights); err != nil {
				l.p.log.Error().Err(err).Msg("probes cost more from now on: the engine that runs many at once ended")
			}
		})
	}
	l.watchAll(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var lost *job
		var asked *ask
		var suspected []regions.EndpointID
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.box.bell:
		case <-l.p.replacing:
		case lost = <-l.lost:
		case asked = <-l.p.asks:
		case ids, ok := <-suspicions:
			if !ok {
				suspicions = nil
				continue
			}
			suspected = ids
		}
		l.came = l.box.swap(l.came)
		now := l.tick()
		l.collect(now)
		l.replace(ctx, now)
		if lost != nil {
			l.loss(flights, now, lost)
		}
		if asked != nil {
			l.ask(now, asked)
		}
		l.nudge(flights, now, suspected)
		now = l.tick()
		l.work(flights, now)
		l.expect = l.wake(now)
		timer.Reset(max(l.expect-l.p.clock(), 0))
	}
}

// tick returns the time at an event, after it has seen to a pause: that comes
// first, so that no result of a probe that was paused counts.
func (l *loop) tick() time.Duration {
	now := l.p.clock()
	if late := now - l.expect; late > minStall {
		l.stalled(now, late)
	}
	l.expect = now
	return now
}

// work does all that is due.
func (l *loop) work(flights context.Context, now time.Duration) {
	for {
		a, ok := l.agenda.take(now)
		if !ok {
			break
		}
		switch {
		case a.flight == nil && a.job.due == a.at:
			l.due(flights, now, a.job)
		case a.flight != nil && a.flight.deadline == a.at:
			l.late(now, a.flight)
		}
	}
	for l.flying < l.p.room {
		f, ok := l.queue.take()
		if !ok {
			break
		}
		l.launch(flights, now, f)
	}
	if now >= l.renew {
		l.renew = now + l.p.renew
		l.p.desk.renew(flights, &l.wg, l.p.renew, l.p.log)
	}
}

// wake is when the loop must run again.
func (l *loop) wake(now time.Duration) time.Duration {
	at := l.renew
	if next, ok := l.agenda.next(); ok {
		at = min(at, next)
	}
	if l.flying > 0 {
		at = min(at, now+beat)
	}
	if l.pace > 0 {
		at = now + l.pace
	}
	return at
}

// schedule sets when the next scheduled probe of j starts.
func (l *loop) schedule(j *job, at time.Duration) {
	j.due = at
	l.agenda.add(alarm{at: at, job: j})
}

// due starts j's scheduled probe, unless one is still there: then its end sets
// the next time.
func (l *loop) due(flights context.Context, now time.Duration, j *job) {
	at := j.due
	j.due = never
	if j.stuck == 0 && j.air[scheduled] == nil {
		l.start(flights, now, j, scheduled, at)
	}
}

// nudge re-probes endpoints that others suspect.
func (l *loop) nudge(flights context.Context, now time.Duration, ids []regions.EndpointID) {
	for _, id := range ids {
		j := l.byID[id]
		if j == nil || j.settled() || j.air[suspicion] != nil {
			continue
		}
		if j.nudged != never && now-j.nudged < j.Monitor.Interval || !l.allow.take(now) {
			continue
		}
		j.nudged = now
		l.start(flights, now, j, suspicion, now)
	}
}

// loss re-probes an endpoint whose watched connection was lost.
func (l *loop) loss(flights context.Context, now time.Duration, j *job) {
	if !j.gone && !j.settled() && j.air[loss] == nil {
		l.start(flights, now, j, loss, now)
	}
}

// observe adds a result to the endpoint's track, and says what follows.
func (l *loop) observe(j *job, r checks.Result, from cause) {
	r.Reason = shorten(r.Reason)
	l.p.keep(j, r)
	before := j.track
	j.round++
	j.track = before.Observe(j.thresholds, r)
	told := j.measure(r)
	working := before.State == checks.Up || before.State == checks.Degraded
	if r.Health == checks.Down && working && before.Failures == 0 && from != suspicion && j.index != reference {
		l.p.desk.suspect(j.Endpoint)
		j.unsettled = settlings
	}
	if j.track.State == before.State {
		if (j.unsettled > 0 || told) && !j.track.Suspicious() {
			l.vote(j, r)
		}
		return
	}
	l.p.log.Info().Str("endpoint", string(j.Endpoint)).Stringer("was", before.State).
		Stringer("is", j.track.State).Str("why", r.Reason).Msg("the vote changes")
	if j.index == reference {
		l.doubt.count(before.State, j.track.State)
		l.p.desk.doubt(l.doubt.most(), l.doubt.why(r.Reason))
		return
	}
	l.vote(j, r)
}

// vote puts j's vote on the desk.
func (l *loop) vote(j *job, r checks.Result) {
	j.unsettled = max(j.unsettled-1, 0)
	l.p.desk.vote(j.index, regions.Vote{
		Vantage: l.p.vantage, Endpoint: j.Endpoint, Health: j.track.State, Round: j.round, Why: r.Reason, RoundTrip: j.trip.Told,
	})
	j.told = j.trip.Told
}

// forget makes j unknown at once: as many unknown results as that takes.
func (l *loop) forget(j *job, why string) {
	for range max(j.thresholds.Fall, 1) {
		l.observe(j, checks.Result{Health: checks.Unknown, Reason: why}, scheduled)
	}
}
