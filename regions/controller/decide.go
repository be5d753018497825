package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// leftSlack is how far the foreseen end of an answer may move before it is
// told to the authority servers: TTLs are whole seconds.
const leftSlack = time.Second

// decide decides one shard, and commits what changed. It returns an error only
// when this process must stop leading.
func (r *reign) decide(ctx context.Context, sh *shard) error {
	if !r.lead.Sure() {
		return errDeposed
	}
	// What a commit without a reply did is not known: what this shard was
	// decided from may be old, and must be read before deciding anew.
	failed := sh.failing
	if failed && !r.reload(ctx, sh) {
		return nil
	}
	now := r.now()
	woke := sh.wake != 0 && now >= sh.wake
	due := sh.save != 0 && now >= sh.save
	in := r.input(sh, now)
	d := r.o.Decide(in)
	if d.Returned > 0 {
		if in.Velocity = r.pace.take(now, d.Returned); in.Velocity.Scarce {
			d = r.o.Decide(in)
		}
	}
	if woke && !failed {
		for _, text := range ended(in.Prev, d.Next) {
			sh.causes.add(text)
		}
	}
	shard := steering.Shard{
		ID: sh.id, Term: r.lead.Term(), Seq: sh.kept.Seq + 1,
		Config: r.o.ConfigHash, Version: r.o.Version, State: d.Next, Answers: d.Answers,
	}
	first := (sh.at == 0 || sh.lost) && sh.known()
	// Which config stands behind an answer is told even where it moves nothing.
	adopted := sh.at != 0 && sh.kept.Config != r.o.ConfigHash
	var entry *steering.Entry
	switch {
	case first || adopted || moved(sh.kept, shard):
		entry = r.entry(sh, in, d)
	case due || r.leftMoved(sh, shard, now):
	default:
		sh.settle(shard.State, d.WakeAt)
		return nil
	}
	return r.commit(ctx, sh, shard, entry, d, now)
}

// settle takes over a decision that was not worth a commit.
func (sh *shard) settle(next steering.State, wake time.Duration) {
	sh.kept.State = next
	sh.letGo(next)
	sh.dirty, sh.causes, sh.wake, sh.failing, sh.pause = false, cause{}, wake, false, 0
	if sh.save == 0 && running(next) {
		sh.save = next.Clock + saveEvery
	}
	if !running(next) {
		sh.save = 0
	}
}

func (r *reign) entry(sh *shard, in steering.Input, d steering.Decision) *steering.Entry {
	text := sh.causes.String()
	if text == "" {
		text = "a timer ended"
	}
	return &steering.Entry{
		Term: r.lead.Term(), Seq: sh.kept.Seq + 1, Shard: sh.id,
		Config: r.o.ConfigHash, Version: r.o.Version,
		Time:  time.Now().UTC().Format(time.RFC3339Nano),
		Cause: text, Input: in, Decision: d,
	}
}

func (r *reign) commit(ctx context.Context, sh *shard, shard steering.Shard, entry *steering.Entry, d steering.Decision, began time.Duration) error {
	var moves []Event
	if entry != nil {
		moves = r.moves(sh, shard, entry, d, began)
		entry.Moves = r.measured(moves)
	}
	tx, cancel := context.WithTimeout(ctx, commitTimeout)
	r.committed.Store(true)
	at, err := r.o.Ledger.Commit(tx, r.lead, sh.at, shard, entry)
	cancel()
	switch {
	case err == nil:
		r.agreed(sh, shard, at, began, moves)
		sh.settle(shard.State, d.WakeAt)
		return nil
	case errors.Is(err, ErrNotLeader):
		return fmt.Errorf("committing shard %d: %w", sh.id, err)
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, ErrMoved):
		r.reload(ctx, sh)
		return nil
	}
	sh.wrote = &attempt{shard: shard, events: moves, began: began}
	sh.retry(r.now())
	r.o.Log.Warn().Err(err).Int("shard", sh.id).Dur("again_in", sh.pause).Msg("cannot commit a decision, trying again")
	return nil
}

// retry makes the shard due again after a pause that grows.
func (sh *shard) retry(now time.Duration) {
	sh.pause = min(max(2*sh.pause, retryFirst), retryMost)
	sh.dirty = false
	sh.wake, sh.save = now+sh.pause, 0
	sh.failing = true
}

// agreed notes what the ledger has now and tells it.
func (r *reign) agreed(sh *shard, shard steering.Shard, at Revision, began time.Duration, moves []Event) {
	r.o.AfterCommit(shard)
	now := r.now()
	sh.at, sh.kept, sh.committed = at, shard, began
	sh.pause, sh.failing, sh.wrote, sh.save, sh.lost, sh.pruned = 0, false, nil, 0, false, false
	sh.news = true
	for _, e := range moves {
		e.Committed = now - began
		e.measure(r.o.Recovery[e.Service])
		e.log(&r.o.Log)
		r.o.Events(e)
	}
}

func (r *reign) moves(sh *shard, shard steering.Shard, entry *steering.Entry, d steering.Decision, began time.Duration) []Event {
	moves := events(sh.kept.State, shard.State, d.Why)
	for i := range moves {
		e := &moves[i]
		e.Cause, e.Term, e.Seq, e.Shard = entry.Cause, shard.Term, shard.Seq, sh.id
		at := slices.IndexFunc(shard.State.Services, func(s steering.ServiceState) bool { return s.Name == e.Service })
		if since := r.floor.since(shard.State.Services[at]); since != 0 {
			e.Seen = began - since
		}
	}
	return moves
}

// measured is what is known of the moves before they are agreed on.
func (r *reign) measured(moves []Event) []steering.Move {
	var out []steering.Move
	for _, e := range moves {
		if e.Seen > 0 {
			e.measure(r.o.Recovery[e.Service])
			out = append(out, steering.Move{Service: e.Service, Seen: e.Seen, Recovery: e.Recovery, Limit: e.Limit})
		}
	}
	return out
}

// reload reads a shard that another has changed, or that this leader changed
// in a transaction whose reply was lost, and makes it due again. It reports
// whether it could be read.
func (r *reign) reload(ctx context.Context, sh *shard) bool {
	tx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	stored, err := r.o.Ledger.Shards(tx)
	i := slices.IndexFunc(stored, func(v Versioned) bool { return v.ID == sh.id })
	if err != nil && i < 0 {
		sh.retry(r.now())
		r.o.Log.Warn().Err(err).Int("shard", sh.id).Msg("cannot read the ledger, trying again")
		return false
	}
	wrote := sh.wrote
	sh.wrote, sh.failing, sh.dirty = nil, false, true
	switch {
	case i >= 0 && stored[i].At == sh.at: // nothing was written
	case i >= 0:
		v := stored[i]
		r.adopt(v)
		if wrote != nil && v.Term == wrote.shard.Term && v.Seq == wrote.shard.Seq {
			r.agreed(sh, v.Shard, v.At, wrote.began, wrote.events)
			sh.causes = cause{}
		}
	case sh.at != 0:
		sh.at = 0 // what this leader knows of it is written again
		sh.causes.add("the shard was deleted from the ledger")
	}
	return true
}

// moved reports whether anything but timers differs.
func moved(was, is steering.Shard) bool {
	if len(was.Answers) != len(is.Answers) {
		return true
	}
	for i := range was.Answers {
		a, b := was.Answers[i], is.Answers[i]
		if !sameSet(a.RRSet, b.RRSet) || a.MinTTL != b.MinTTL {
			return true
		}
	}
	return !reflect.DeepEqual(still(was.State), still(is.State))
}

func sameSet(a, b providers.RRSet) bool {
	return a.Key() == b.Key() && a.TTL == b.TTL && a.Weight == b.Weight && slices.Equal(a.Data, b.Data)
}

// still is the state without its timers. Empty and missing lists are the same,
// as they are in JSON.
func still(s steering.State) steering.State {
	out := steering.State{Services: slices.Clone(s.Services), Panic: steering.Panic{Held: orNil(s.Panic.Held)}}
	for i := range out.Services {
		v := &out.Services[i]
		v.Shifts = nil
		v.Pending.Answered = orNil(v.Pending.Answered)
		v.Locations = orNil(slices.Clone(v.Locations))
		for j := range v.Locations {
			l := &v.Locations[j]
			l.Shifts, l.Serving, l.Pending.Answered = nil, orNil(l.Serving), orNil(l.Pending.Answered)
			l.Order, l.Gains = orNil(l.Order), nil
		}
		v.Pools = slices.Clone(v.Pools)
		for j := range v.Pools {
			p := &v.Pools[j]
			p.Hold, p.Flaps, p.Held = 0, nil, 0
			p.Endpoints = slices.Clone(p.Endpoints)
			for k := range p.Endpoints {
				p.Endpoints[k].Hold = 0
			}
			p.Endpoints = orNil(p.Endpoints)
		}
		v.Pools, v.Serving = orNil(v.Pools), orNil(v.Serving)
		v.Answer, v.LastGood = orNil(v.Answer), orNil(v.LastGood)
	}
	out.Services = orNil(out.Services)
	return out
}

func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

// running reports whether a timer runs. A hold runs only while the verdict
// says that what it holds serves.
func running(s steering.State) bool {
	serves := func(h checks.Health) bool { return h == checks.Up || h == checks.Degraded }
	if s.Panic.Left > 0 {
		return true
	}
	for _, v := range s.Services {
		// The ages of shifts are as of the last commit otherwise, and so younger
		// for the next leader than they are: that bounds it for longer.
		if v.Spent || len(v.Shifts) > 0 && v.Shifts[0] < paceWithin {
			return true
		}
		if slices.ContainsFunc(v.Locations, gaining) {
			return true
		}
		for _, p := range v.Pools {
			if p.Hold > 0 && serves(p.Seen) || len(p.Flaps) > 0 || p.Suppressed {
				return true
			}
			if slices.ContainsFunc(p.Endpoints, func(e steering.EndpointState) bool { return e.Hold > 0 && serves(e.Seen) }) {
				return true
			}
		}
	}
	return false
}

// gaining reports whether a pool of a location is about to pass another one.
func gaining(l steering.LocationState) bool {
	return slices.ContainsFunc(l.Gains, func(g steering.Gain) bool { return g.Left > 0 })
}

// leftMoved reports whether the time at which an answer may change is not the
// one that was committed. Below MinTTL it makes no difference.
func (r *reign) leftMoved(sh *shard, next steering.Shard, now time.Duration) bool {
	for i, a := range next.Answers {
		was := sh.kept.Answers[i].Left
		if (was == 0) != (a.Left == 0) {
			return true
		}
		floor := time.Duration(a.MinTTL) * time.Second
		left := max(sh.committed+was-now, floor)
		if off := max(a.Left, floor) - left; was != 0 && (off > leftSlack || off < -leftSlack) {
			return true
		}
	}
	return false
}
