package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veerdns/veer/providers"
)

// ZoneIDOf names a zone that is written.
func ZoneIDOf(w Written) ZoneID {
	return ZoneID{Provider: w.Name, Zone: providers.CanonicalName(w.Zone)}
}

// id names the writer's zone.
func (w *writer) id() ZoneID { return ZoneIDOf(w.w) }

// mark has it remembered that a write may be under way, before the first one of
// this reign. Only a leader can mark: one that was deposed writes no more.
func (w *writer) mark(ctx context.Context) error {
	if w.o.Marks == nil || w.marked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := w.o.Marks.Mark(ctx, w.lead, w.id()); err != nil {
		if errors.Is(err, ErrNotLeader) {
			w.depose(err)
		}
		return fmt.Errorf("noting that the zone is about to be written: %w", err)
	}
	w.marked = true
	return nil
}

// wrote takes down whether a write may be under way still. What the zone has
// accepted last keeps everything before it out, and so does the claim that
// follows when the outcome of a write is not known.
func (w *writer) wrote(err error) {
	if w.o.Wrote != nil {
		w.o.Wrote(w.now.Written, err)
	}
	var busy *providers.BusyError
	switch {
	case err == nil:
		w.claimed, w.quiet, w.unsure = true, false, false
	case errors.Is(err, providers.ErrConflict): // somebody has written all the same: claim
		w.claimed, w.quiet = false, false
	case errors.As(err, &busy) || errors.Is(err, providers.ErrFenced) ||
		errors.Is(err, providers.ErrRejected) || errors.Is(err, providers.ErrUnproven):
		// Refused: nothing new is under way.
	default:
		w.claimed, w.quiet, w.unsure = false, false, true
	}
}

// unmark forgets the zones in which no write can be under way any more, once
// the writers have ended. One that stays marked is claimed by the next leader.
func (r *reign) unmark(ctx context.Context) {
	if r.o.Marks == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTimeout)
	defer cancel()
	for _, w := range slices.Concat(r.writers, r.retired) {
		if !w.marked || w.unsure || !w.claimed {
			continue
		}
		if err := r.o.Marks.Unmark(ctx, r.lead, w.id()); err != nil {
			w.log.Debug().Err(err).Msg("the zone stays noted as being written; the next leader claims it")
		}
	}
}

// quietZones are those in which no write of an earlier leader can be under way.
func (r *reign) quietZones(ctx context.Context) func(ZoneID) bool {
	if r.o.Marks == nil {
		return func(ZoneID) bool { return false }
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	marked, err := r.o.Marks.Marked(ctx)
	if err != nil {
		r.o.Log.Warn().Err(err).Msg("it is not known which zones were being written: claiming all of them")
		return func(ZoneID) bool { return false }
	}
	return func(z ZoneID) bool { return !slices.Contains(marked, z) }
}
