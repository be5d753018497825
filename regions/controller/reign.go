package controller

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/veerdns/veer/regions/steering"
)

// reign is one term of leadership. Its loop owns every field; while shards are
// decided in parallel, each goroutine writes only its own shard.
type reign struct {
	c    *Controller
	o    *Options
	lead Lead
	// depose ends the reign, with why.
	depose context.CancelCauseFunc
	shards [steering.Shards]*shard
	floor  *floor
	// writers and, of zones that the config has no more, retired: only the loop
	// changes them, with mu held.
	mu               sync.Mutex
	writers, retired []*writer
	// hire starts a writer.
	hire func(Written) *writer
	// published: the writers have had all answers once.
	published bool
	// prunes are orders for the loop; over is closed when it has ended.
	prunes   chan *pruning
	over     chan struct{}
	orders   map[string]Order // in force
	calendar steering.Calendar
	// calendarChange is the Now at which the calendar changes; calendarAt and
	// expiryAt are when to look at the wall clock again. 0 is never.
	calendarChange, calendarAt, expiryAt, reconcileAt time.Duration
	// credit is what the timers of the ledger are given at first: the time
	// between two passes.
	credit time.Duration
	// pace is how many services may return; compared: what the config alone
	// would alter is known.
	pace     *pace
	compared bool
	// committed: something was sent to the ledger.
	committed atomic.Bool
	// removeAt says when to try again to remove an expired override.
	removeAt map[string]time.Duration
}

// shard is one part of the ledger as this leader holds it.
type shard struct {
	id       int
	services []steering.Service // of the policy
	at       Revision
	kept     steering.Shard // as committed, but State as decided last
	// committed is the Now of the commit of kept.Answers.
	committed time.Duration
	// causes wait for the next decision; dirty says that it is due.
	causes cause
	dirty  bool
	// wake and save are the Now at which to decide, or save timers; 0 never.
	wake, save time.Duration
	// pause grows while commits fail.
	pause time.Duration
	// failing: the last commit failed; wake is the next try.
	failing bool
	// pruned: services that the config does not list are to be forgotten.
	pruned bool
	// unconfirmed are services that are held until the config is confirmed.
	unconfirmed map[string]bool
	// lost: the ledger has not what is served, and must get it back.
	lost bool
	// wrote is what the last commit without a reply tried to write.
	wrote *attempt
	// news: kept.Answers are not with the writers yet; fresh: nor are the
	// endpoints of kept on the floor.
	news, fresh bool
	// blind are the services that were decided on nothing, as the writers have
	// heard.
	blind map[string]bool
}

// attempt is a commit whose outcome is not known.
type attempt struct {
	shard  steering.Shard
	events []Event
	began  time.Duration
}

func newReign(c *Controller, lead Lead, depose context.CancelCauseFunc) *reign {
	o := c.current.Load()
	r := &reign{
		c: c, o: o, lead: lead, depose: depose, removeAt: map[string]time.Duration{},
		prunes: make(chan *pruning), over: make(chan struct{}),
	}
	for id := range r.shards {
		r.shards[id] = &shard{id: id, kept: steering.Shard{ID: id}}
	}
	r.share()
	return r
}

// share gives each shard its services of the policy.
func (r *reign) share() {
	for _, sh := range r.shards {
		sh.services = nil
	}
	for _, s := range r.o.Policy.Services {
		sh := r.shards[steering.ShardOf(s.Name)]
		sh.services = append(sh.services, s)
	}
}

// now counts from the start of the term on the monotonic clock. It begins at 1
// and not at 0, which would read as never in a WakeAt.
func (r *reign) now() time.Duration { return time.Since(r.lead.Since()) + 1 }

// adopt takes a shard as the ledger has it. Durations left by another leader
// go on from now: a hold becomes longer, never shorter.
func (r *reign) adopt(v Versioned) {
	sh := r.shards[v.ID]
	sh.at, sh.kept = v.At, v.Shard
	now := r.now()
	if v.Term != r.lead.Term() {
		sh.kept.State.Clock = now - r.credit
		sh.committed = now
	}
	sh.dirty, sh.news, sh.fresh = true, true, true
}

// run leads until ctx ends.
func (r *reign) run(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	var writing errgroup.Group
	defer func() {
		_ = writing.Wait()
		r.unmark(ctx)
	}()
	inner, stop := context.WithCancel(ctx)
	defer stop()
	r.hire = func(w Written) *writer {
		wr := newWriter(r.o, w, r.lead, r.depose, &r.c.measured)
		writing.Go(func() error { wr.run(inner); return nil })
		return wr
	}
	for _, w := range r.o.Providers {
		r.writers = append(r.writers, r.hire(w))
	}
	defer close(r.over)
	r.c.reigning.Store(r)
	defer r.c.reigning.Store(nil)
	return r.loop(ctx)
}

// begin reads the ledger and makes everything due.
func (r *reign) begin(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return err
	}
	r.recall()
	r.floor = newFloor(r.o, r.shards[:])
	r.floor.goOn(r.credit)
	r.pace = newPace(r.o, r.shards[:], r.now(), r.credit)
	for _, sh := range r.shards {
		sh.dirty = sh.known()
		sh.causes.add(fmt.Sprintf("%s leads, term %d", r.o.Name, r.lead.Term()))
		if sh.at != 0 && !sh.lost && sh.kept.Config != r.o.ConfigHash {
			sh.causes.add("the config changed")
		}
	}
	r.plan()
	return nil
}

func (r *reign) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var asked *pruning
	for {
		changed := r.o.World.Changed()
		view := r.o.World.View()
		now := r.now()
		r.replace(now)
		r.observe(view, now)
		if err := r.decideAll(ctx); err != nil {
			return err
		}
		r.removeExpired(ctx, view)
		r.publish()
		if asked != nil {
			asked.done <- r.pruneDone()
			asked = nil
		}
		timer.Reset(max(r.next()-r.now(), 0))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-timer.C:
		case <-r.c.replaced:
		case asked = <-r.prunes:
			if err := r.prune(asked); err != nil {
				asked.done <- err
				asked = nil
			}
		}
	}
}

// observe marks the shards whose inputs changed.
func (r *reign) observe(view View, now time.Duration) {
	for _, sh := range r.shards {
		if sh.fresh {
			r.floor.cover(sh)
			sh.fresh = false
		}
	}
	r.floor.observe(view, now)
	r.observeOrders(view.Overrides, now)
	if r.calendarAt != 0 && now >= r.calendarAt {
		r.observeCalendar(now)
	}
	if r.reconcileAt != 0 && now >= r.reconcileAt {
		for _, sh := range r.shards {
			sh.dirty = sh.dirty || sh.known()
			sh.causes.add("reconcile")
		}
		for _, w := range r.writers {
			w.kick()
		}
		r.planReconcile(now)
	}
}

// plan makes the first calendar and reconcile times.
func (r *reign) plan() {
	now := r.now()
	r.observeCalendar(now)
	r.planReconcile(now)
}

func (r *reign) planReconcile(now time.Duration) {
	r.reconcileAt = 0
	if r.o.Reconcile == nil {
		return
	}
	wall := time.Now()
	if next := r.o.Reconcile.Next(wall); !next.IsZero() {
		r.reconcileAt = now + max(next.Sub(wall), time.Second)
	}
}

// known reports whether the shard has anything to decide.
func (sh *shard) known() bool { return len(sh.services) > 0 || len(sh.kept.State.Services) > 0 }

// next is the Now of the nearest thing due.
func (r *reign) next() time.Duration {
	next := r.now() + time.Hour
	earlier := func(at time.Duration) {
		if at != 0 && at < next {
			next = at
		}
	}
	for _, sh := range r.shards {
		if sh.dirty {
			return r.now()
		}
		earlier(sh.wake)
		earlier(sh.save)
	}
	earlier(r.calendarAt)
	earlier(r.expiryAt)
	earlier(r.reconcileAt)
	earlier(r.floor.until)
	return next
}

// decideAll decides every shard that is due, several at a time.
func (r *reign) decideAll(ctx context.Context) error {
	r.compare()
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, sh := range r.shards {
		now := r.now()
		woke := sh.wake != 0 && now >= sh.wake
		save := sh.save != 0 && now >= sh.save
		if !sh.dirty && !woke && !save {
			continue
		}
		g.Go(func() error { return r.decide(ctx, sh) })
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.floor.calm()
	return err
}

// input gathers what the shard's decision depends on.
func (r *reign) input(sh *shard, now time.Duration) steering.Input {
	verdicts, suspects := r.floor.of(sh.id)
	prev := sh.kept.State
	if sh.pruned {
		prev.Services = sh.listed()
	}
	return steering.Input{
		Now:         now,
		Policy:      steering.Policy{Services: sh.services},
		Verdicts:    verdicts,
		Distances:   r.floor.distances(sh.id),
		Suspects:    suspects,
		Overrides:   r.overrides(sh),
		Calendar:    r.calendarOf(sh, now),
		Panic:       r.floor.panicOf(sh.id, now),
		Unconfirmed: r.unconfirmedOf(sh),
		Prev:        prev,
	}
}

// publish hands newly committed shards to the writers. At first every zone is
// claimed, whether it has answers or not.
func (r *reign) publish() {
	for _, sh := range r.shards {
		if sh.news || len(sh.blind) > 0 { // an override may end that, and change no answer
			sh.news, sh.blind = true, r.blind(sh)
		}
	}
	for _, w := range r.writers {
		news := !r.published
		for _, sh := range r.shards {
			if sh.news && w.give(sh.id, sh.kept.Answers, sh.blind) {
				news = true
			}
		}
		if news {
			w.kick()
		}
	}
	for _, sh := range r.shards {
		sh.news = false
	}
	r.published = true
}
