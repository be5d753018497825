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

// writing is one pass of changes. What the provider rejects is halved until
// the names are found that it does not take: they hold up no others.
type writing struct {
	w          *writer
	have       providers.Snapshot
	stale      bool // have is older than the zone
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
	x := &writing{w: w, have: have, done: done, most: 2*bits.Len(uint(len(together))) + 8}
	err := x.write(ctx, together)
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
	if x.stale {
		have, err := x.w.read(ctx)
		if err != nil {
			return fmt.Errorf("reading the zone again: %w", err)
		}
		x.have, x.stale = have, false
	}
	changes := slices.Concat(groups...)
	moved, err := x.w.apply(ctx, x.have, changes, x.done)
	x.stale = x.stale || moved
	switch {
	case err == nil:
		x.accepted = true
		for _, g := range groups {
			delete(x.w.rejected, setOf(g[0]).Name)
		}
		return nil
	case !errors.Is(err, providers.ErrRejected):
		return fmt.Errorf("writing %d changes: %w", len(changes), err)
	}
	if x.rejections++; x.rejections > rejectionsMost || !x.accepted && x.rejections > x.most {
		return fmt.Errorf("writing %d changes: %w", len(changes), err)
	}
	if len(groups) == 1 {
		x.w.rejected[setOf(changes[0]).Name] = rejection{changes: fingerprint(changes), why: err.Error(), at: time.Now()}
		return nil
	}
	half := len(groups) / 2
	if err := x.write(ctx, groups[:half]); err != nil {
		return err
	}
	return x.write(ctx, groups[half:])
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
