package fenced

import (
	"context"
	"errors"
	"fmt"

	"github.com/veerdns/veer/providers"
)

// Apply implements providers.Provider.
func (p *Provider) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	if err := providers.CheckWrite(p.api.Caps(), p.owner, from, next, changes); err != nil {
		return providers.Receipt{}, fmt.Errorf("write zone %s: %w", from.Zone, err)
	}
	return p.write(ctx, from, next, func(h *held) ([]group, error) { return p.groups(h, changes) })
}

// Own implements providers.Keeper.
func (p *Provider) Own(ctx context.Context, from providers.Snapshot, next providers.Fence, take, release []string) (providers.Receipt, error) {
	if err := providers.CheckWrite(p.api.Caps(), p.owner, from, next, nil); err != nil {
		return providers.Receipt{}, fmt.Errorf("write zone %s: %w", from.Zone, err)
	}
	return p.write(ctx, from, next, func(h *held) ([]group, error) { return p.keep(h, take, release) })
}

// write makes the groups' steps in as few requests as they fit in.
func (p *Provider) write(ctx context.Context, from providers.Snapshot, next providers.Fence, what func(*held) ([]group, error)) (providers.Receipt, error) {
	receipt, err := p.writeAll(ctx, from, next, what)
	if err != nil {
		return receipt, fmt.Errorf("write zone %s: %w", from.Zone, err)
	}
	return receipt, nil
}

func (p *Provider) writeAll(ctx context.Context, from providers.Snapshot, next providers.Fence, what func(*held) ([]group, error)) (providers.Receipt, error) {
	z := p.zones[from.Zone]
	h, ok := from.Token.(*held)
	if z == nil || !ok {
		return providers.Receipt{}, errors.New("the snapshot is not of this provider's zones")
	}
	if err := z.lock(ctx); err != nil {
		return providers.Receipt{}, err
	}
	defer z.unlock()
	if err := from.Fence.Admits(next); err != nil {
		return providers.Receipt{}, err
	}
	groups, err := what(h)
	if err != nil {
		return providers.Receipt{}, err
	}
	requests, err := p.pack(from.Zone, groups)
	if err != nil {
		return providers.Receipt{}, err
	}
	if err := p.proveOnce(ctx, z, from.Zone); err != nil {
		return providers.Receipt{}, err
	}
	var receipt providers.Receipt
	was, now := h.fence, from.Fence
	for i, steps := range requests {
		if i > 0 {
			next = next.Next()
		}
		r := Request{Fence: Step{Before: was, After: p.mark(providers.FenceName(p.owner, from.Zone), next.String())}, Steps: steps}
		reply, err := p.swap(ctx, from.Zone, r, now, next)
		receipt.Calls += reply.Calls
		if err != nil {
			return receipt, err
		}
		receipt.Fence, receipt.Change = next, reply.Change
		was, now = &reply.Fence, next
	}
	return receipt, nil
}

// swap sends one request. Whatever became of its reply, that the zone has next
// tells that it was done, since no fence is ever given twice.
func (p *Provider) swap(ctx context.Context, zone string, r Request, from, next providers.Fence) (Reply, error) {
	reply, err := p.api.Swap(ctx, zone, r)
	reply.Calls = max(reply.Calls, 1)
	var busy *providers.BusyError
	if err == nil || errors.As(err, &busy) || errors.Is(err, ErrNothing) || ctx.Err() != nil {
		return reply, err
	}
	found, now, readErr := p.fence(ctx, zone)
	reply.Calls++
	switch {
	case readErr != nil:
		return reply, fmt.Errorf("%w; whether it was written is not known: %w", err, readErr)
	case now == next:
		p.log.Warn().Err(err).Str("zone", zone).Stringer("fence", next).Msg("the reply was lost, the fence tells that the write was done")
		reply.Fence = *found
		return reply, nil
	}
	if guard := providers.Guard(now, from, next); guard != nil {
		return reply, fmt.Errorf("%w (%w)", guard, err)
	}
	if errors.Is(err, ErrRefused) { // the fence stands as it was: a record does not
		return reply, fmt.Errorf("%w: %w", providers.ErrConflict, err)
	}
	return reply, err
}
