package controller

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/providers"
)

// rejectionsMost bounds the search for names that a provider rejects.
const rejectionsMost = 200

// rejection is a change of one name that the provider did not take.
type rejection struct {
	changes string
	why     string
	at      time.Time
}

// conflictsMost is how many tries in a row may end in a conflict before one is
// taken for that of single names: with what a reading does not show, such as an
// MX where a CNAME is wanted.
const conflictsMost = 2

// writing is one pass of changes. What the provider rejects is halved until
// the names are found that it does not take: they hold up no others.
type writing struct {
	w          *writer
	have       providers.Snapshot
	stale      bool // have is older than the zone
	conflicts  bool // a conflict is a rejection
	done       *ZoneOutcome
	accepted   bool
	rejections int
	most       int // of them while nothing is accepted
}

// writeAll makes the changes. Names that the provider has rejected before are
// tried by themselves, and not before rejectedPause is over, unless an
// operator asks.
func (w *writer) writeAll(ctx context.Context, have providers.Snapshot, changes []providers.Change, asked bool, done *ZoneOutcome) error {
	var together, alone [][]providers.Change
	rejected := map[string]rejection{}
	for _, group := range groups(changes) {
		name := setOf(group[0]).Name
		was, before := w.rejected[name]
		switch {
		case !before || was.changes != fingerprint(group):
			together = append(together, group)
		case asked || time.Since(was.at) >= rejectedPause:
			rejected[name] = was
			alone = append(alone, group)
		default:
			rejected[name] = was
		}
	}
	w.rejected = rejected
	x := &writing{w: w, have: have, done: done, most: 2*bits.Len(uint(len(together))) + 8, conflicts: w.conflicts >= conflictsMost}
	err := x.write(ctx, together)
	x.conflicts = true
	for i := 0; err == nil && i < len(alone); i++ {
		err = x.write(ctx, alone[i:i+1])
	}
	for name, r := range w.rejected {
		done.Refused = append(done.Refused, Refusal{name, r.why})
	}
	slices.SortFunc(done.Refused, func(a, b Refusal) int { return strings.Compare(a.Name, b.Name) })
	return err
}

func (x *writing) write(ctx context.Context, groups [][]providers.Change) error {
	if len(groups) == 0 {
		return nil
	}
	why, err := x.try(ctx, groups)
	if err != nil || why == nil {
		return err
	}
	return x.part(ctx, groups, why)
}

// part finds the names among groups that were rejected together. At first the
// largest part is halved, for what is accepted is not to wait for the search
// among the others; then the last one, so that some names are found in any case.
func (x *writing) part(ctx context.Context, groups [][]providers.Change, why error) error {
	type rejected struct {
		groups [][]providers.Change
		why    error
	}
	parts := []rejected{{groups, why}}
	for len(parts) > 0 {
		at := 0
		if x.rejections > x.most/3 {
			at = len(parts) - 1
		}
		p := parts[at]
		parts = slices.Delete(parts, at, at+1)
		if len(p.groups) == 1 {
			changes := p.groups[0]
			x.w.rejected[setOf(changes[0]).Name] = rejection{changes: fingerprint(changes), why: p.why.Error(), at: time.Now()}
			continue
		}
		half := len(p.groups) / 2
		for _, h := range [][][]providers.Change{p.groups[:half], p.groups[half:]} {
			why, err := x.try(ctx, h)
			if err != nil {
				return err
			}
			if why != nil {
				parts = append(parts, rejected{h, why})
			}
		}
	}
	return nil
}

// try makes the changes in one write. It returns why the provider rejects them,
// and apart from that what ends the pass.
func (x *writing) try(ctx context.Context, groups [][]providers.Change) (rejected, err error) {
	changes := slices.Concat(groups...)
	if x.stale {
		have, err := x.w.read(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the zone again: %w", err)
		}
		x.have, x.stale = have, false
		if changes = undone(changes, have); len(changes) == 0 {
			return nil, nil
		}
	}
	moved, err := x.w.apply(ctx, x.have, changes, x.done)
	conflict := x.conflicts && errors.Is(err, providers.ErrConflict)
	x.stale = x.stale || moved || conflict
	var busy *providers.BusyError
	switch {
	case err == nil:
		x.accepted = true
		for _, g := range groups {
			delete(x.w.rejected, setOf(g[0]).Name)
		}
		return nil, nil
	case errors.As(err, &busy) || !errors.Is(err, providers.ErrRejected) && !conflict:
		return nil, fmt.Errorf("writing %d changes: %w", len(changes), err)
	}
	if x.rejections++; x.rejections > rejectionsMost || !x.accepted && x.rejections > x.most {
		return nil, fmt.Errorf("writing %d changes: %w", len(changes), err)
	}
	return err, nil
}

// undone are the changes that the zone does not have yet: of a write that was
// made in part.
func undone(changes []providers.Change, have providers.Snapshot) []providers.Change {
	held := make(map[providers.Key]providers.RRSet, len(have.Records))
	for _, r := range have.Records {
		held[r.Key()] = r
	}
	return slices.DeleteFunc(slices.Clone(changes), func(c providers.Change) bool {
		now, ok := held[setOf(c).Canonical().Key()]
		return c.After == nil && !ok || c.After != nil && ok && now.Equal(*c.After)
	})
}

// groups parts changes that are sorted by name into those of each name.
func groups(changes []providers.Change) [][]providers.Change {
	var out [][]providers.Change
	for i, c := range changes {
		if i == 0 || setOf(c).Name != setOf(changes[i-1]).Name {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], c)
	}
	return out
}

// fingerprint tells whether changes are the same as before.
func fingerprint(changes []providers.Change) string {
	text := ""
	for _, c := range changes {
		for _, set := range []*providers.RRSet{c.Before, c.After} {
			if set != nil {
				text += fmt.Sprintf("%+v ", *set)
			}
		}
		text += "; "
	}
	return text
}
