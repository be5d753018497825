package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// writeTimeout bounds one read or write of a zone.
const writeTimeout = time.Minute

// writer keeps one zone of a provider as the ledger says, for one reign. It is
// level-triggered: it always works towards the newest answers it was given.
type writer struct {
	o      *Options
	w      Written
	lead   Lead
	depose context.CancelCauseFunc
	due    chan struct{} // holds one token: something may differ

	mu      sync.Mutex
	answers map[int][]steering.Answer // by shard
}

func newWriter(o *Options, w Written, lead Lead, depose context.CancelCauseFunc) *writer {
	return &writer{o: o, w: w, lead: lead, depose: depose, due: make(chan struct{}, 1), answers: map[int][]steering.Answer{}}
}

// give hands over a shard's committed answers.
func (w *writer) give(shard int, answers []steering.Answer) {
	w.mu.Lock()
	w.answers[shard] = answers
	w.mu.Unlock()
	w.kick()
}

// kick makes the writer look again.
func (w *writer) kick() {
	select {
	case w.due <- struct{}{}:
	default:
	}
}

// run writes until ctx ends. A failure is tried again after a pause; being
// fenced ends the reign.
func (w *writer) run(ctx context.Context) {
	log := w.o.Log.With().Str("provider", w.w.Name).Str("zone", w.w.Zone).Logger()
	pause, claimed := retryFirst, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.due:
		}
		err := w.once(ctx, &claimed)
		switch {
		case err == nil:
			pause = retryFirst
			continue
		case ctx.Err() != nil:
			return
		case errors.Is(err, providers.ErrFenced):
			log.Error().Err(err).Msg("another controller writes this zone, stepping down")
			w.depose(fmt.Errorf("provider %s, zone %s: %w", w.w.Name, w.w.Zone, err))
			return
		}
		log.Warn().Err(err).Dur("again_in", pause).Msg("cannot write the zone, trying again")
		sleep(ctx, pause)
		pause = min(2*pause, retryMost)
		w.kick()
	}
}

// once claims the zone if this reign has not yet, reads it, and writes the
// difference (DESIGN, "Fence").
func (w *writer) once(ctx context.Context, claimed *bool) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	have, err := w.w.Provider.Read(ctx, w.w.Zone)
	if err != nil {
		return fmt.Errorf("reading the zone: %w", err)
	}
	// A fence that is not this reign's means that the zone was not claimed
	// yet, or was restored from an older copy: claim it (again).
	if !*claimed || have.Fence.Term != uint64(w.lead.Term()) || have.Fence.Holder != w.lead.Holder() {
		next, err := w.next(have)
		if err != nil {
			return err
		}
		if _, err := w.w.Provider.Apply(ctx, have, next, nil); err != nil {
			return fmt.Errorf("claiming the zone: %w", err)
		}
		*claimed = true
		if have, err = w.w.Provider.Read(ctx, w.w.Zone); err != nil {
			return fmt.Errorf("reading the zone after the claim: %w", err)
		}
	}
	changes := w.changes(have.Records)
	if len(changes) == 0 {
		return nil
	}
	next, err := w.next(have)
	if err != nil {
		return err
	}
	got, err := w.w.Provider.Apply(ctx, have, next, changes)
	if err != nil {
		return fmt.Errorf("writing %d changes: %w", len(changes), err)
	}
	w.o.Log.Info().Str("provider", w.w.Name).Str("zone", w.w.Zone).Int("changes", len(changes)).
		Int("calls", got.Calls).Msg("zone written")
	return nil
}

// next is the fence of the next write over what the zone has.
func (w *writer) next(have providers.Snapshot) (providers.Fence, error) {
	next := providers.Fence{
		Owner: w.o.Owner, Term: uint64(w.lead.Term()), Holder: w.lead.Holder(), Write: have.Fence.Write + 1,
	}
	return next, have.Fence.Admits(next)
}

// changes turns the zone's records into the answers. Records of names that
// have no answer are left alone: unknown is not empty.
func (w *writer) changes(have []providers.RRSet) []providers.Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	var want []providers.RRSet
	named := map[string]bool{}
	for _, answers := range w.answers {
		for _, a := range answers {
			if !providers.InZone(a.Name, w.w.Zone) || w.w.Takes != nil && !w.w.Takes(a.Name) {
				continue
			}
			want = append(want, a.RRSet)
			named[providers.CanonicalName(a.Name)] = true
		}
	}
	var changes []providers.Change
	for _, c := range providers.Diff(have, want) {
		if c.After != nil || named[providers.CanonicalName(c.Before.Name)] {
			changes = append(changes, c)
		}
	}
	return changes
}

// publish hands newly committed shards to the writers.
func (r *reign) publish() {
	for _, sh := range r.shards {
		if !sh.news {
			continue
		}
		sh.news = false
		for _, w := range r.writers {
			w.give(sh.id, sh.kept.Answers)
		}
	}
}
