package prober

import (
	"context"
	"slices"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// jobs are what a prober probes.
type jobs struct{ voted, references []Job }

// Replace has the prober go on with other jobs and references than before. An
// endpoint that stays keeps its track, whatever its monitor is now: nothing but
// a probe's result ever changes a vote. Where Job.Same says that its probe is
// the one of before, the schedule, the connection that is watched and what is
// in flight go on with it; otherwise what is in flight does not count, and it is
// probed again when that has landed. A new endpoint is unknown, and first
// probed within its interval; one that is gone is voted on no more.
//
// The error names every problem of the jobs, of which none is taken then. The
// loop takes them with its next event, and not at all before Run: Replace does
// not wait. It is safe for concurrent use, the last call holds.
func (p *Prober) Replace(voted, references []Job) error {
	if err := checkJobs(voted, references); err != nil {
		return err
	}
	p.others.Store(&jobs{voted, references})
	ring(p.replacing)
	return nil
}

// replace takes over what Replace was given.
func (l *loop) replace(ctx context.Context, now time.Duration) {
	next := l.p.others.Swap(nil)
	if next == nil {
		return
	}
	p := l.p
	known := make(map[regions.EndpointID]*job, len(p.jobs))
	for _, j := range p.all() {
		known[j.Endpoint] = j
	}
	take := func(js []Job, index func(i int) int) []*job {
		out := make([]*job, len(js))
		for i, j := range js {
			was := known[j.Endpoint]
			delete(known, j.Endpoint)
			if was == nil || (was.index == reference) != (index(i) == reference) {
				if was != nil {
					known[j.Endpoint] = was // it goes, and comes as another thing
				}
				out[i] = p.newJob(j, index(i))
				l.schedule(out[i], now+out[i].due)
				continue
			}
			l.change(now, was, j)
			was.index = index(i)
			out[i] = was
		}
		return out
	}
	voted := take(next.voted, func(i int) int { return i })
	references := take(next.references, func(int) int { return reference })
	for _, j := range known {
		l.drop(j)
	}
	p.renumber(voted, references)
	l.reckon(now)
	p.desk.replace(p.jobs)
	l.reference()
	l.watchAll(ctx)
}

// change makes a job another one of the same endpoint.
func (l *loop) change(now time.Duration, j *job, next Job) {
	next.Monitor = next.Monitor.Defaults()
	same := next.Same != "" && next.Same == j.Same
	if same { // with the connections that it may hold
		next.Prober, next.Starter, next.Watcher, next.Target = j.Prober, j.Starter, j.Watcher, j.Target
	}
	if j.unwatch != nil && (!same || !next.Monitor.Watch || next.Monitor.Interval != j.Monitor.Interval) {
		j.unwatch()
		j.unwatch = nil
	}
	if !same {
		for _, f := range j.air {
			if f != nil && f.phase == flying {
				f.outdated = true
			}
		}
	}
	if next.Measure == nil {
		j.trip = checks.RoundTrip{}
	}
	sooner := next.Monitor.Interval < j.Monitor.Interval
	j.Job, j.thresholds = next, next.Monitor.Thresholds()
	if sooner && j.due != never && j.due > now+j.Monitor.Interval {
		l.schedule(j, now+time.Duration(j.random.Int64N(int64(j.Monitor.Interval))))
	}
}

// drop forgets a job. What flies lands nowhere, and what waits never flies.
func (l *loop) drop(j *job) {
	j.gone, j.due = true, never
	if j.unwatch != nil {
		j.unwatch()
		j.unwatch = nil
	}
	for _, f := range j.air {
		if f != nil && f.phase == waiting {
			f.phase = gone
		}
	}
	for _, a := range l.asks {
		delete(a.left, j)
	}
	l.answered()
}

// renumber sets the jobs, with the newest result of each that stays.
func (p *Prober) renumber(voted, references []*job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := make(map[*job]last, len(p.last))
	for _, j := range p.all() {
		was[j] = p.last[j.number]
	}
	p.jobs, p.references, p.last = voted, references, nil
	for i, j := range p.all() {
		j.number = i
		is, stays := was[j]
		if !stays {
			is = last{id: j.Endpoint}
		}
		p.last = append(p.last, is)
	}
	p.measure()
}

// reckon sets what the loop reckons with.
func (l *loop) reckon(now time.Duration) {
	clear(l.byID)
	for _, j := range l.p.jobs {
		l.byID[j.Endpoint] = j
	}
	l.allow.rate = l.p.rate
	l.pace = pace(l.p.jobs)
	l.box.hush(l.pace > 0)
	l.doubt = doubt{of: len(l.p.references)}
	for _, j := range l.p.references {
		l.doubt.count(checks.Unknown, j.track.State)
	}
}

// reference doubts, or ceases to, as the references that there are now say.
func (l *loop) reference() {
	why := ""
	for _, j := range l.p.references {
		if j.track.State == checks.Down {
			why = l.p.last[j.number].result.Reason
		}
	}
	l.p.desk.doubt(l.doubt.most(), l.doubt.why(why))
}

// hush says whether the loop comes by itself from now on.
func (b *box) hush(quiet bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quiet = quiet
	if !quiet && len(b.landings) > 0 {
		ring(b.bell)
	}
}

// replace makes the ballot that of other jobs. The votes of those that stay
// stay. It is cast even where it says the same, with what the seat tells
// besides.
func (d *desk) replace(jobs []*job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	cast := make(map[regions.EndpointID]regions.Vote, len(d.ballot.Votes))
	for _, v := range d.ballot.Votes {
		cast[v.Endpoint] = v
	}
	votes := make([]regions.Vote, len(jobs))
	stays := make(map[regions.EndpointID]bool, len(jobs))
	for i, j := range jobs {
		v, ok := cast[j.Endpoint]
		if !ok {
			v = unprobed(d.ballot.Vantage, j)
		}
		votes[i], stays[j.Endpoint] = v, true
	}
	d.ballot.Votes = votes
	d.suspects = slices.DeleteFunc(d.suspects, func(id regions.EndpointID) bool { return !stays[id] })
	d.version++
	ring(d.voted)
}

func unprobed(vantage regions.Name, j *job) regions.Vote {
	return regions.Vote{Vantage: vantage, Endpoint: j.Endpoint, Why: "it was not probed yet"}
}
