package authority_test

import (
	"context"
	"testing"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/providers/providertest"
)

// ledger is a memory.Store as authority.Ledger.
type ledger struct {
	store *memory.Store
	owner string
}

func (l ledger) ReadAnswers(ctx context.Context, zone string) (authority.Held, error) {
	if err := ctx.Err(); err != nil {
		return authority.Held{}, err
	}
	s, err := l.store.Read(l.owner, zone)
	return authority.Held{Fence: s.Fence, Records: s.Records, Token: s.Token}, err
}

func (l ledger) SwapAnswers(ctx context.Context, zone string, from authority.Held, next providers.Fence, changes []providers.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	snap := providers.Snapshot{Zone: zone, Fence: from.Fence, Records: from.Records, Token: from.Token}
	return l.store.Swap(ctx, snap, next, changes)
}

func TestProviderContract(t *testing.T) {
	const zone = "example.test."
	providertest.Run(t, func(*testing.T) providertest.World {
		store := memory.NewStore(zone)
		config := authority.Config{Zones: []authority.Zone{{Name: zone}}}
		return providertest.World{
			Zone: zone, Owner: "shop", Provider: authority.NewProvider(config, "shop", ledger{store, "shop"}),
			Put:         func(owner string, set providers.RRSet) error { return store.Put(zone, owner, set) },
			All:         func() ([]providers.RRSet, error) { return store.All(zone) },
			LoseRequest: func() { store.Inject(memory.LoseRequest) },
			LoseReply:   func() { store.Inject(memory.LoseReply) },
			Duplicate:   func() { store.Inject(memory.Duplicate) },
			Hold:        store.Hold, Deliver: store.Deliver,
		}
	})
}
