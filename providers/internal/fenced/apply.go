package fenced

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	r := run{p: p, zone: from.Zone, was: h.fence, now: from.Fence, next: next}
	claims, groups := p.claims(groups)
	stages := [][]group{claims, groups}
	if len(claims) == 0 {
		stages = stages[1:]
	}
	requests := make([][][]Step, len(stages))
	for i, stage := range stages {
		if requests[i], err = p.pack(from.Zone, stage); err != nil {
			return providers.Receipt{}, err
		}
	}
	if err := p.proveOnce(ctx, z, from.Zone); err != nil {
		return providers.Receipt{}, err
	}
	for i := range stages {
		if err := r.send(ctx, requests[i]); err != nil {
			return r.receipt, err
		}
		if i < len(stages)-1 {
			if err := r.look(ctx, claims, groups); err != nil {
				return r.receipt, err
			}
		}
	}
	return r.receipt, nil
}

// run is the sending of one write's requests, each with the next fence.
type run struct {
	p       *Provider
	zone    string
	was     *Record // the fence that stands there
	now     providers.Fence
	next    providers.Fence
	receipt providers.Receipt
}

func (r *run) send(ctx context.Context, requests [][]Step) error {
	for _, steps := range requests {
		req := Request{Fence: Step{Before: r.was, After: r.p.mark(providers.FenceName(r.p.owner, r.zone), r.next.String())}, Steps: steps}
		reply, err := r.p.swap(ctx, r.zone, req, r.now, r.next)
		r.receipt.Calls += reply.Calls
		if err == nil || errors.Is(err, ErrIncomplete) {
			r.receipt.Fence, r.receipt.Change = r.next, reply.Change
		}
		if err != nil {
			return err
		}
		r.was, r.now, r.next = &reply.Fence, r.next, r.next.Next()
	}
	return nil
}

// claims makes the claims of names that get their first record, where the API
// needs them, and has the groups turn them into owners' records: Before of that
// step is known once the claim was seen.
func (p *Provider) claims(groups []group) (claims, rest []group) {
	if c, ok := p.api.(Claimer); !ok || !c.ClaimsFirst() {
		return nil, groups
	}
	for _, g := range groups {
		mark := slices.IndexFunc(g.steps, func(s Step) bool { return s.Before == nil && s.After.Type == "TXT" })
		if mark < 0 || len(g.steps) == 1 { // a name that is only taken keeps its records
			rest = append(rest, g)
			continue
		}
		claim := p.mark(providers.OwnerName(g.name), providers.ClaimText(p.owner))
		steps := slices.Clone(g.steps)
		steps[mark].Before = &Record{RRSet: claim.RRSet}
		sortSteps(steps)
		claims, rest = append(claims, group{g.name, []Step{{After: claim}}}), append(rest, group{g.name, steps})
	}
	return claims, rest
}

// look makes sure that the names that were claimed had no records and are
// nobody else's, and gives back those that are. It tells the groups which claims
// they replace.
func (r *run) look(ctx context.Context, claims, groups []group) error {
	records, err := r.p.api.List(ctx, r.zone)
	if err != nil {
		return fmt.Errorf("looking at the names that were claimed: %w", err)
	}
	marks, taken := map[string]Record{}, map[string]bool{}
	for _, rec := range records {
		if owned, ok := providers.OwnedName(rec.Name); ok && rec.Type == "TXT" {
			marks[owned] = rec
		}
		if providers.Steered(rec.Type) {
			taken[rec.Name] = true
		}
	}
	var back []group
	var names []string
	for _, g := range claims {
		mark := marks[g.name]
		who, claimed := r.p.ownerOf(mark)
		if !claimed || who != "" || taken[g.name] {
			names = append(names, g.name)
		}
		if step, ours := r.p.unclaim(mark); ours {
			back = append(back, group{g.name, []Step{step}})
		}
	}
	if len(names) == 0 {
		replace(groups, marks)
		return nil
	}
	conflict := fmt.Errorf("%w: somebody made records at %s meanwhile, or owns it; nothing was written there", providers.ErrConflict, strings.Join(names, ", "))
	if len(back) == 0 {
		return conflict
	}
	requests, err := r.p.pack(r.zone, back)
	if err == nil {
		err = r.send(ctx, requests)
	}
	if err != nil {
		return fmt.Errorf("%w; giving the name back: %w", conflict, err)
	}
	return conflict
}

// replace makes the steps that take a claimed name replace the claim as it
// stands there.
func replace(groups []group, marks map[string]Record) {
	for _, g := range groups {
		for _, s := range g.steps {
			if mark := marks[g.name]; s.Before != nil && s.Before.Handle == nil && s.Before.Type == "TXT" && mark.Type == "TXT" {
				*s.Before = mark
			}
		}
	}
}

// unclaim takes this owner's claim, and nothing else, out of a mark.
func (p *Provider) unclaim(mark Record) (Step, bool) {
	rest := mark.RRSet
	rest.Data = slices.DeleteFunc(slices.Clone(mark.Data), func(d string) bool {
		text, err := Text(d)
		return err == nil && text == providers.ClaimText(p.owner)
	})
	switch len(rest.Data) {
	case len(mark.Data):
		return Step{}, false
	case 0:
		return Step{Before: &mark}, true
	}
	return Step{Before: &mark, After: &Record{RRSet: rest}}, true
}

// swap sends one request. Whatever became of its reply, that the zone has next
// tells that it was done, since no fence is ever given twice.
func (p *Provider) swap(ctx context.Context, zone string, r Request, from, next providers.Fence) (Reply, error) {
	// The controller's context tells by the clock whether it still leads.
	if err := ctx.Err(); err != nil {
		return Reply{}, fmt.Errorf("nothing was sent: %w", err)
	}
	reply, err := p.api.Swap(ctx, zone, r)
	reply.Calls = max(reply.Calls, 1)
	if errors.Is(err, ErrIncomplete) {
		return reply, fmt.Errorf("%w: %w", providers.ErrConflict, err)
	}
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
