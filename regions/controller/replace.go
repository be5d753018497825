package controller

import (
	"maps"
	"slices"
	"time"

	"github.com/veerdns/veer/regions/steering"
)

// Replace has the controller go on with what another configuration says: of the
// options it takes Policy, Quorums, Vantages, Recovery, Calendar, Panic,
// Percent, Reconcile, Providers and ConfigHash, and leaves the others as they
// are. Why is for the journal.
//
// A leader goes on leading, in the same term: it decides everything anew with
// its next look at the world, from the state that it has, so that no hold,
// damping or panic begins again. What is being written to a zone is written to
// its end first, with the client that began it. A zone that the new
// configuration does not have is written no more, and keeps its records.
//
// Replace does not wait and cannot fail; see Settle. It is safe for concurrent
// use, the last call holds.
func (c *Controller) Replace(with Options, why string) {
	next := *c.current.Load()
	next.Policy, next.Quorums, next.Vantages = with.Policy, with.Quorums, with.Vantages
	next.Recovery, next.Panic, next.Percent = with.Recovery, with.Panic, with.Percent
	next.Reconcile, next.Providers, next.ConfigHash = with.Reconcile, with.Providers, with.ConfigHash
	if next.Calendar = with.Calendar; next.Calendar == nil {
		next.Calendar = func(time.Time) steering.Calendar { return steering.Calendar{} }
	}
	next.changed = why
	c.current.Store(&next)
	select {
	case c.replaced <- struct{}{}:
	default:
	}
}

// replace takes over what Replace was given since the last look.
func (r *reign) replace(now time.Duration) {
	next := r.c.current.Load()
	if next == r.o {
		return
	}
	another := next.ConfigHash != r.o.ConfigHash
	r.o = next
	for _, sh := range r.shards {
		if !sh.known() { // what was noted of it is of no decision that may come
			sh.causes = cause{}
		}
	}
	r.share()
	for _, sh := range r.shards {
		sh.unconfirmed = nil
		sh.dirty = sh.known()
		if another {
			sh.causes.add(causeOf(next.changed))
		}
	}
	r.compared = false
	was := r.floor
	r.floor = newFloor(r.o, r.shards[:])
	r.floor.inherit(was, now)
	r.pace.bound(r.o)
	r.calendarAt = 0 // as at the first look: windows that another config has neither open nor close
	r.plan()
	r.assign()
	r.o.Log.Info().Str("config", next.ConfigHash).Str("why", next.changed).Msg("the leader decides by another config from now on")
}

func causeOf(why string) string {
	if why == "" {
		return "the config changed"
	}
	return "the config changed: " + why
}

// assignment is what a writer follows from the config.
type assignment struct {
	o *Options
	Written
}

// assign tells the writers what they do from now on, hires those of zones that
// are new, and lets go of those whose zone is gone. One that comes back goes on
// where it was: no write number is ever given twice.
func (r *reign) assign() {
	known := map[ZoneID]*writer{}
	for _, w := range slices.Concat(r.writers, r.retired) {
		known[w.id()] = w
	}
	var active []*writer
	for _, p := range r.o.Providers {
		id := ZoneIDOf(p)
		w := known[id]
		if w == nil {
			w = r.hire(p)
		}
		delete(known, id)
		w.task.Store(&assignment{r.o, p})
		active = append(active, w)
	}
	for _, w := range known {
		w.task.Store(nil)
	}
	r.mu.Lock()
	r.writers, r.retired = active, slices.Collect(maps.Values(known))
	r.mu.Unlock()
	for _, sh := range r.shards {
		sh.news = true
	}
	for _, w := range active { // also where no answer is another one
		w.kick()
	}
}

// active are the writers of the config's zones. It is safe for concurrent use.
func (r *reign) active() []*writer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.writers)
}

// inherit takes over what the floor before knew of the endpoints that both have:
// votes, suspicions and a panic go on.
func (f *floor) inherit(was *floor, now time.Duration) {
	f.until, f.why, f.resume, f.resumeBy, f.over = was.until, was.why, was.resume, was.resumeBy, was.over
	maps.Copy(f.doubts, was.doubts)
	for at := range f.seats {
		s := &f.seats[at]
		from, ok := was.index[s.id]
		if !ok {
			continue
		}
		old := &was.seats[from]
		s.votes, s.known, s.suspect, s.stir = old.votes, old.known, old.suspect, old.stir
		if s.stir != 0 {
			f.stirred[at] = true
		}
		if fell, ok := was.fell[from]; ok {
			f.fell[at] = fell
		}
		if was.held[from] {
			f.held[at] = true
		}
		s.verdict = f.o.Tally(s.quorum, s.id, s.votes)
		if s.verdict.Health != old.verdict.Health { // another quorum
			f.note(at, now)
		}
	}
}

// bound takes over how many may return; those that did still count.
func (p *pace) bound(o *Options) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = paceMost(o)
}
