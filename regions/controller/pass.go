package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// conflictTries is how often a pass reads a zone again that changed between
// its reading and its writing.
const conflictTries = 3

// ErrBusy means that another leads, and did so for as long as a pass waits.
var ErrBusy = errors.New("another leads")

// PassOptions are what a pass needs besides Options.
type PassOptions struct {
	// Wait is how long the lead of another is waited for at most.
	Wait time.Duration
	// Look returns the world as it is when it is called, or later.
	Look func(ctx context.Context) (View, error)
	// Interlude measures the time since the pass before; nil: the timers stand
	// still between passes.
	Interlude Interlude
	// Request is what an operator lets the pass do besides; nil: nothing.
	Request *Request
	// Tell is called when all is decided and written, while the pass leads yet:
	// who leads next waits for it. It is given how the zones stand that the pass was
	// to write, but for a pass with a Request, whose operator sees it. nil: there is
	// nobody to tell.
	Tell func(context.Context, []ZoneState)
}

// Outcome is what a pass came to.
type Outcome struct {
	Term regions.Term `json:"term"`
	// Known: there is a verdict on one endpoint at least. Without, nothing was
	// decided, and nothing written but what an operator asked for.
	Known bool `json:"known"`
	// Unknown are the services on none of whose endpoints there is a verdict,
	// sorted. Their answers stay as they are.
	Unknown []string `json:"unknown"`
	// Moves are the answers that moved, Zones what became of each zone.
	Moves []Event       `json:"moves"`
	Zones []ZoneOutcome `json:"zones"`
}

// Changed reports whether an answer moved or a zone was written.
func (o Outcome) Changed() bool {
	return len(o.Moves) > 0 || slices.ContainsFunc(o.Zones, func(z ZoneOutcome) bool {
		return len(z.Changes)+len(z.Taken)+len(z.Released) > 0
	})
}

// Once leads for one pass: it campaigns, decides until nothing is due, commits,
// writes every zone once, and resigns. The error is why that could not be done,
// ErrBusy where another leads; what became of single zones is in the outcome.
func (c *Controller) Once(ctx context.Context, p PassOptions) (Outcome, error) {
	waiting, cancel := context.WithTimeout(ctx, p.Wait)
	lead, err := c.o.Elector.Campaign(waiting, c.o.Name)
	late := waiting.Err() != nil && ctx.Err() == nil
	cancel()
	if err != nil && late {
		return Outcome{}, fmt.Errorf("%w for longer than %s", ErrBusy, p.Wait)
	}
	if err != nil {
		return Outcome{}, err
	}
	var moving sync.Mutex
	out := Outcome{Term: lead.Term(), Unknown: []string{}, Moves: []Event{}, Zones: []ZoneOutcome{}}
	o := *c.current.Load()
	o.Events = func(e Event) {
		moving.Lock()
		out.Moves = append(out.Moves, e)
		moving.Unlock()
		c.o.Events(e)
	}
	passing := New(o)
	err = passing.reign(ctx, lead, func(r *reign, ctx context.Context) error { return r.pass(ctx, p, &out) })
	slices.SortFunc(out.Moves, func(a, b Event) int { return cmp.Compare(a.Service, b.Service) })
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return out, err
}

// pass is a reign of one round.
func (r *reign) pass(ctx context.Context, p PassOptions, out *Outcome) error {
	if err := r.settlePass(ctx, p, out); err != nil {
		return err
	}
	if p.Tell != nil {
		var zones []ZoneState
		if p.Request == nil {
			zones = zoneStates(r.writers) // nobody else knows of this reign
		}
		p.Tell(ctx, zones)
	}
	return nil
}

// settlePass decides, commits, and writes every zone once.
func (r *reign) settlePass(ctx context.Context, p PassOptions, out *Outcome) error {
	r.resume(ctx, p)
	if err := r.begin(ctx); err != nil {
		return err
	}
	view, err := p.Look(ctx)
	if err != nil {
		return fmt.Errorf("looking at the votes: %w", err)
	}
	r.observe(view, r.now())
	if out.Unknown, out.Known = r.floor.unknown(r.o.Policy); out.Known {
		if err := r.decidePass(ctx, p, view); err != nil {
			return err
		}
	} else if p.Request == nil || p.Request.Prune || p.Request.AcceptConfig != "" {
		return nil
	}
	out.Zones = r.passZones(ctx, p.Request)
	for _, z := range out.Zones {
		if errors.Is(z.Err, providers.ErrFenced) {
			return fmt.Errorf("provider %s, zone %s: %w", z.Provider, z.Zone, z.Err)
		}
	}
	return nil
}

// decidePass decides and commits, and marks the end of that.
func (r *reign) decidePass(ctx context.Context, p PassOptions, view View) error {
	prune := p.Request != nil && (p.Request.Prune || p.Request.AcceptConfig != "")
	if prune {
		r.compare()
		if err := r.prune(&pruning{Request: *p.Request}); err != nil {
			return err
		}
	}
	if err := r.settleAll(ctx, p); err != nil {
		return err
	}
	r.removeExpired(ctx, view)
	if p.Interlude != nil {
		if err := p.Interlude.Pause(ctx, r.lead, !r.committed.Load()); err != nil {
			r.o.Log.Warn().Err(err).Msg("holds stand still until the next pass has ended")
		}
	}
	if prune {
		return r.pruneDone()
	}
	return nil
}

// resume finds how long the timers of the ledger have stood still.
func (r *reign) resume(ctx context.Context, p PassOptions) {
	if p.Interlude == nil {
		return
	}
	credit, err := p.Interlude.Resume(ctx, r.lead)
	if err != nil {
		r.o.Log.Warn().Err(err).Msg("the time since the last pass is not known: holds go on as it left them")
		return
	}
	r.credit = max(credit, 0)
}

// settleAll decides and commits until nothing is due now. What is given to the
// timers is committed with them, so that it is given once.
func (r *reign) settleAll(ctx context.Context, p PassOptions) error {
	for _, sh := range r.shards {
		if r.credit > 0 && running(sh.kept.State) {
			sh.save = 1
		}
	}
	for {
		if err := r.decideAll(ctx); err != nil {
			return err
		}
		wait, due := r.pending()
		if !due {
			return nil
		}
		sleep(ctx, wait)
		view, err := p.Look(ctx)
		if err != nil {
			return fmt.Errorf("looking at the votes: %w", err)
		}
		r.observe(view, r.now())
	}
}

// pending reports whether a shard is due now, or waits for another try of its
// commit, and how long until then.
func (r *reign) pending() (time.Duration, bool) {
	now := r.now()
	wait, due := retryMost, false
	for _, sh := range r.shards {
		switch {
		case sh.dirty, sh.save != 0 && sh.save <= now, sh.wake != 0 && sh.wake <= now:
			return 0, true
		case sh.failing:
			wait, due = min(wait, sh.wake-now), true
		}
	}
	return wait, due
}

// passZones writes every zone once, all at the same time. One that fails holds
// no other up.
func (r *reign) passZones(ctx context.Context, req *Request) []ZoneOutcome {
	quiet := r.quietZones(ctx)
	for _, w := range r.o.Providers {
		if req != nil && !req.picks(w) {
			continue
		}
		wr := newWriter(r.o, w, r.lead, r.depose, &r.c.measured)
		wr.quiet = quiet(wr.id())
		wr.claimed = wr.quiet
		wr.marked = r.o.Marks != nil && !wr.quiet
		r.writers = append(r.writers, wr) // nobody else knows of this reign
	}
	for _, sh := range r.shards {
		for _, wr := range r.writers {
			wr.give(sh.id, sh.kept.Answers, r.blind(sh))
		}
	}
	if req != nil && req.Plan != nil {
		trial := *req
		trial.dry = true
		if out := r.passAll(ctx, &trial); !stands(out) {
			return out
		}
	}
	defer r.unmark(ctx)
	return r.passAll(ctx, req)
}

func (r *reign) passAll(ctx context.Context, req *Request) []ZoneOutcome {
	out := make([]ZoneOutcome, len(r.writers))
	var all errgroup.Group
	for i, wr := range r.writers {
		all.Go(func() error { out[i] = wr.pass(ctx, req); return nil })
	}
	_ = all.Wait() // the functions return nil
	return out
}

// pass writes the zone, again where it changed between reading and writing. It
// does not follow what it wrote to the name servers: meanwhile nobody else could
// lead.
func (w *writer) pass(ctx context.Context, req *Request) ZoneOutcome {
	ctx, stop := context.WithCancel(ctx)
	defer w.following.Wait()
	defer stop()
	var all ZoneOutcome
	for range conflictTries {
		done, err := w.once(ctx, req)
		state, _ := w.outcome(err)
		w.note(state, done, err, 0)
		done.Calls += all.Calls
		if all = done.of(w.w, err); !errors.Is(err, providers.ErrConflict) {
			break
		}
	}
	return all
}

// unknown lists the services of the policy without a verdict on any of their
// endpoints, sorted, and reports whether there is a verdict at all.
func (f *floor) unknown(p steering.Policy) (names []string, known bool) {
	names = []string{}
	for _, s := range p.Services {
		if slices.ContainsFunc(s.Pools, f.sees) {
			known = true
		} else {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names, known
}

func (f *floor) sees(p steering.Pool) bool {
	return slices.ContainsFunc(p.Endpoints, func(e steering.Endpoint) bool {
		at, ok := f.index[e.ID]
		return ok && f.seats[at].verdict.Health != checks.Unknown
	})
}
