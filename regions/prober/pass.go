package prober

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// Pass probes every endpoint and reference once and, while failures are being
// counted against one, up to Fall times more at its recheck interval. It goes
// on from what the last pass remembered and returns the ballot with what to
// remember. The error is that ctx ended: then nothing is to be cast. A checker
// that does not return when its context ends holds Pass up. A Prober makes one
// Pass or one Run.
func (p *Prober) Pass(ctx context.Context, m Memory) (regions.Ballot, Memory, error) {
	p.recall(m)
	watch, unwatch := context.WithCancel(ctx)
	var watching sync.WaitGroup
	pauses := newPauses(p.clock)
	watching.Go(func() { pauses.watch(watch) })
	room := make(chan struct{}, p.room)
	var wg sync.WaitGroup
	for _, j := range p.all() {
		wg.Go(func() { p.passOne(ctx, j, room, pauses) })
	}
	wg.Wait()
	unwatch()
	watching.Wait()
	if err := ctx.Err(); err != nil {
		return regions.Ballot{}, Memory{}, fmt.Errorf("probing %d endpoints: %w", len(p.jobs), err)
	}
	b, next := p.ballotOf(), Memory{Fresh: true}
	for _, j := range p.all() {
		next.Kept = append(next.Kept, Kept{Endpoint: j.Endpoint, Track: j.track, Round: j.round, RoundTrip: j.trip})
	}
	return b, next, nil
}

// recall takes over what was remembered. A vantage whose votes have run out
// since knows as little as one that was blind as long as it takes.
func (p *Prober) recall(m Memory) {
	byID := make(map[regions.EndpointID]Kept, len(m.Kept))
	for _, k := range m.Kept {
		byID[k.Endpoint] = k
	}
	for _, j := range p.all() {
		kept := byID[j.Endpoint]
		j.track, j.round, j.trip = kept.Track, kept.Round, kept.RoundTrip
		if !m.Fresh {
			j.trip = checks.RoundTrip{}
		}
		for i := 0; !m.Fresh && i < j.thresholds.Fall; i++ {
			j.track = j.track.Observe(j.thresholds, checks.Result{Health: checks.Unknown})
		}
	}
}

// passOne probes one endpoint.
func (p *Prober) passOne(ctx context.Context, j *job, room chan struct{}, pauses *pauses) {
	for probes := 0; ; probes++ {
		if probes > 0 && !wait(ctx, j.Monitor.Recheck) {
			return
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		r := probeAwake(ctx, j, pauses)
		<-room
		if ctx.Err() != nil {
			return
		}
		r.Reason = shorten(r.Reason)
		p.keep(j, r)
		j.round++
		j.track = j.track.Observe(j.thresholds, r)
		j.measure(r)
		if probes >= j.thresholds.Fall || !j.track.Suspicious() {
			return
		}
	}
}

// probeAwake probes until the process was not paused meanwhile, as often as
// makes an endpoint down; after that it does not know.
func probeAwake(ctx context.Context, j *job, pauses *pauses) checks.Result {
	for range j.thresholds.Fall {
		began := pauses.clock()
		r := probeOnce(ctx, j)
		if ctx.Err() != nil || pauses.since(began) <= max(minStall, j.Monitor.Timeout/4) {
			return r
		}
	}
	return checks.Result{Health: checks.Unknown, Reason: fmt.Sprintf("this vantage was paused during each of %d probes", j.thresholds.Fall)}
}

func probeOnce(ctx context.Context, j *job) checks.Result {
	ctx, cancel := context.WithTimeout(ctx, j.Monitor.Timeout)
	defer cancel()
	return j.Prober.Probe(ctx, j.Target)
}

// ballotOf is what the tracks come to.
func (p *Prober) ballotOf() regions.Ballot {
	b := regions.Ballot{Vantage: p.vantage, Votes: make([]regions.Vote, len(p.jobs))}
	last := p.Last()
	for i, j := range p.jobs {
		b.Votes[i] = regions.Vote{Vantage: p.vantage, Endpoint: j.Endpoint, Health: j.track.State, Round: j.round, Why: last[j.Endpoint].Reason, RoundTrip: j.trip.Told}
	}
	d := doubt{of: len(p.references)}
	for _, j := range p.references {
		d.count(checks.Unknown, j.track.State)
		if j.track.State == checks.Down {
			b.Why = last[j.Endpoint].Reason
		}
	}
	if b.Suspect = d.most(); b.Suspect {
		b.Why = d.why(b.Why)
	} else {
		b.Why = ""
	}
	return b
}

// pauses notes when the whole process stood still: then beats come late.
type pauses struct {
	clock func() time.Duration

	mu    sync.Mutex
	last  time.Duration // the last beat
	stops []stop
}

// stop is a pause that ended at a time.
type stop struct{ end, late time.Duration }

func newPauses(clock func() time.Duration) *pauses { return &pauses{clock: clock, last: clock()} }

// watch beats until ctx ends.
func (p *pauses) watch(ctx context.Context) {
	for wait(ctx, beat) {
		p.beat()
	}
}

func (p *pauses) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	if late := now - p.last - beat; late > minStall {
		p.stops = append(p.stops, stop{now, late})
	}
	p.last = now
}

// since is how long the process stood still after a time.
func (p *pauses) since(began time.Duration) time.Duration {
	p.beat()
	p.mu.Lock()
	defer p.mu.Unlock()
	var sum time.Duration
	for _, s := range p.stops {
		if s.end > began {
			sum += min(s.late, s.end-began)
		}
	}
	return sum
}
