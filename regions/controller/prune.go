package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/veerdns/veer/regions/steering"
)

// pruning is an order to forget the services that the config does not list.
type pruning struct {
	Request
	none bool       // nothing is forgotten: the round of the loop is all that is asked
	done chan error // holds one
}

// askPrune has the reign's loop forget what the config does not list, and
// waits until the ledger agreed.
func (r *reign) askPrune(ctx context.Context, req Request) error {
	return r.askLoop(ctx, &pruning{Request: req, done: make(chan error, 1)})
}

// Settle returns when the leader's loop has looked at the world after the call,
// decided what was due and had it agreed, as far as that could be. It returns
// ErrNotLeader when this process does not lead.
func (c *Controller) Settle(ctx context.Context) error {
	r := c.reigning.Load()
	if r == nil {
		return ErrNotLeader
	}
	return r.askLoop(ctx, &pruning{none: true, done: make(chan error, 1)})
}

func (r *reign) askLoop(ctx context.Context, p *pruning) error {
	select {
	case r.prunes <- p:
	case <-r.over:
		return ErrNotLeader
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-p.done:
		return err
	case <-r.over:
		return ErrNotLeader
	case <-ctx.Done():
		return ctx.Err()
	}
}

// prune marks the shards that hold such services, so that their next decision
// is made without them.
func (r *reign) prune(p *pruning) error {
	if p.none {
		return nil
	}
	if err := r.accept(p.Request); err != nil || !p.Prune {
		return err
	}
	gone, all := 0, 0
	for _, sh := range r.shards {
		gone += len(sh.kept.State.Services) - len(sh.listed())
		all += len(sh.kept.State.Services)
	}
	if guard := guardText(gone, all); guard != "" && !p.AllowMany {
		return fmt.Errorf("%w: the ledger holds %d services, and %d of them are not in this config", ErrGuarded, all, gone)
	}
	for _, sh := range r.shards {
		if len(sh.listed()) < len(sh.kept.State.Services) {
			sh.pruned, sh.dirty = true, true
			sh.causes.add(fmt.Sprintf("pruned by %s: %s", p.By, p.Why))
		}
	}
	return nil
}

// pruneDone reports what is not agreed yet.
func (r *reign) pruneDone() error {
	for _, sh := range r.shards {
		if sh.waits(r.o.ConfigHash) {
			return fmt.Errorf("the ledger has not agreed to the config's answers in shard %d yet: try again", sh.id)
		}
		if sh.pruned {
			return fmt.Errorf("the ledger has not agreed to forget services of shard %d yet: try again", sh.id)
		}
	}
	return nil
}

// listed are the states of services that the policy lists.
func (sh *shard) listed() []steering.ServiceState {
	return slices.DeleteFunc(slices.Clone(sh.kept.State.Services), func(s steering.ServiceState) bool {
		return !slices.ContainsFunc(sh.services, func(p steering.Service) bool { return p.Name == s.Name })
	})
}
