package fenced

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/veerdns/veer/providers"
)

// Prove implements providers.Prover.
func (p *Provider) Prove(ctx context.Context, zoneName string) error {
	name := providers.CanonicalName(zoneName)
	z := p.zones[name]
	if z == nil {
		return fmt.Errorf("prove the swap in zone %s: it is not among the provider's zones in the config", name)
	}
	if err := z.lock(ctx); err != nil {
		return fmt.Errorf("prove the swap in zone %s: %w", name, err)
	}
	defer z.unlock()
	z.set(false)
	return p.proveOnce(ctx, z, name)
}

func (z *zone) set(proven bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.proven = proven
}

// proveOnce proves the swap unless this process has already. The caller has
// the zone's turn.
func (p *Provider) proveOnce(ctx context.Context, z *zone, name string) error {
	z.mu.Lock()
	proven := z.proven
	z.mu.Unlock()
	if proven {
		return nil
	}
	t := trial{p: p, zone: name}
	err := t.run(ctx)
	for again := 1; again < trials && errors.Is(err, providers.ErrUnproven); again++ {
		if t.clean(ctx) != nil {
			break // what was seen stands
		}
		err = t.run(ctx)
	}
	if err != nil {
		return fmt.Errorf("prove the swap in zone %s: %w", name, err)
	}
	p.log.Info().Str("zone", name).Int("calls", t.calls).Msg("the zone refuses a stale write: proven on a scratch record")
	z.set(true)
	return nil
}

// creations is how often the same creation must be accepted again before the
// zone counts as one that accepts any.
const creations = 3

// trials is how often a zone must be seen to let a stale write in: another
// controller's proof, which takes the scratch record away at the wrong moment,
// can make it seem so once.
const trials = 3

// trial is one proof: on a scratch TXT, the same request is sent twice, and
// then one with a stale precondition that would create something else.
type trial struct {
	p     *Provider
	zone  string
	calls int
	now   *Record // the scratch record as it stands
}

func (t *trial) run(ctx context.Context) error {
	if err := t.find(ctx); err != nil {
		return err
	}
	stale := t.now
	// From whatever stands there to a first text, and on to a second: the
	// first swap may be a creation, the second never is.
	for range 2 {
		r := Request{Fence: Step{Before: t.now, After: t.scratch()}}
		stale = t.now
		if err := t.swap(ctx, r); err != nil {
			return err
		}
		if err := t.refused(ctx, r, "the same request again"); err != nil {
			return err
		}
	}
	other := t.p.mark(providers.ProofName(t.p.owner, t.zone), nonce())
	r := Request{Fence: Step{Before: stale, After: t.scratch()}, Steps: []Step{{After: other}}}
	if err := t.refused(ctx, r, "a request with a stale precondition"); err != nil {
		return err
	}
	left, err := t.p.api.Find(ctx, t.zone, other.Name, "TXT")
	if err != nil || len(left) > 0 && slices.Equal(left[0].Canonical().Data, other.Canonical().Data) {
		return t.unless(err, "a request that was refused has written %s all the same; remove it by hand", other.Name)
	}
	return t.clean(ctx) // and what an earlier proof left, whose requests arrived late and twice
}

// clean removes what a trial left, so that the next one begins as it did.
func (t *trial) clean(ctx context.Context) error {
	if err := t.find(ctx); err != nil {
		return err
	}
	left, err := t.p.api.Find(ctx, t.zone, providers.ProofName(t.p.owner, t.zone), "TXT")
	if err != nil || t.now == nil && len(left) == 0 {
		return err
	}
	if t.now == nil { // a swap needs a record to swap
		if err := t.swap(ctx, Request{Fence: Step{After: t.scratch()}}); err != nil {
			return err
		}
	}
	last := Request{Fence: Step{Before: t.now}}
	for _, r := range left {
		last.Steps = append(last.Steps, Step{Before: &r})
	}
	return t.swap(ctx, last)
}

func (t *trial) scratch() *Record {
	return t.p.mark(providers.ScratchName(t.p.owner, t.zone), nonce())
}

// find reads the scratch record.
func (t *trial) find(ctx context.Context) error {
	at := providers.ScratchName(t.p.owner, t.zone)
	found, err := t.p.api.Find(ctx, t.zone, at, "TXT")
	t.calls++
	switch {
	case err != nil:
		return fmt.Errorf("reading %s: %w", at, err)
	case len(found) > 1 || len(found) == 1 && len(found[0].Data) != 1:
		return fmt.Errorf("%w: %s has several texts; remove them by hand", providers.ErrUnproven, at)
	case len(found) == 0:
		t.now = nil
	default:
		t.now = &found[0]
	}
	return nil
}

// Pauses of a proof: its requests follow each other closely, and an API that
// is still at the last one would fail every proof.
const (
	busyFirst = 100 * time.Millisecond
	busyMost  = 5 * time.Second
	busyTries = 8
)

// send makes the request, again where the API only wants to be asked later.
func (t *trial) send(ctx context.Context, r Request) error {
	for wait, try := busyFirst, 1; ; wait, try = 2*wait, try+1 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("nothing was sent: %w", err)
		}
		_, err := t.p.api.Swap(ctx, t.zone, r)
		t.calls++
		var busy *providers.BusyError
		if !errors.As(err, &busy) || busy.After > busyMost || try == busyTries {
			return err
		}
		timer := time.NewTimer(max(busy.After, min(wait, busyMost)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// swap makes the request, which must work.
func (t *trial) swap(ctx context.Context, r Request) error {
	err := t.send(ctx, r)
	if found := t.find(ctx); found != nil {
		return errors.Join(err, found)
	}
	if t.is(r.Fence.After) {
		return nil // done, whatever became of the reply
	}
	if err == nil || errors.Is(err, ErrRefused) {
		// Another controller that proves at the same time is no fault of the zone's.
		return fmt.Errorf("%w: the scratch record changed meanwhile: %w", providers.ErrConflict, errors.Join(err, ErrRefused))
	}
	return fmt.Errorf("swapping the scratch record: %w", err)
}

// refused makes the request, which must be refused and change nothing.
func (t *trial) refused(ctx context.Context, r Request, what string) error {
	was := t.now
	err := t.send(ctx, r)
	if err == nil && r.Fence.Before == nil {
		// It creates the record: another controller, which proves at the same
		// time, may just have taken its own away. Then what it made is there now.
		for range creations {
			if err = t.send(ctx, r); err != nil {
				break
			}
		}
		if errors.Is(err, ErrRefused) {
			return fmt.Errorf("%w: the scratch record was taken away meanwhile", providers.ErrConflict)
		}
	}
	if err != nil && !errors.Is(err, ErrRefused) {
		return fmt.Errorf("sending %s: %w", what, err)
	}
	if found := t.find(ctx); found != nil {
		return found
	}
	if err == nil {
		return fmt.Errorf("%w: %s was accepted", providers.ErrUnproven, what)
	}
	switch {
	case t.is(was):
		return nil
	case t.is(r.Fence.After):
		return fmt.Errorf("%w: %s was refused and has changed the record all the same", providers.ErrUnproven, what)
	}
	return fmt.Errorf("%w: the scratch record changed meanwhile", providers.ErrConflict)
}

// is reports whether the scratch record stands as given.
func (t *trial) is(want *Record) bool {
	if want == nil || t.now == nil {
		return want == nil && t.now == nil
	}
	a, errA := Text(want.Data[0])
	b, errB := Text(t.now.Data[0])
	return errA == nil && errB == nil && a == b
}

func (t *trial) unless(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", providers.ErrUnproven, fmt.Sprintf(format, args...))
}
