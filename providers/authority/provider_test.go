package authority_test

import (
	"context"
	"errors"
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
	s, err := l.store.Provider(l.owner).Read(ctx, zone)
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
		store, line := memory.NewStore(zone), &providertest.Line{}
		net := store.Over(providertest.Carry(line))
		config := authority.Config{Zones: []authority.Zone{{Name: zone}}}
		return providertest.World{
			Zone: zone, Owner: "shop", Provider: authority.NewProvider(config, "shop", ledger{net, "shop"}),
			Line:     line,
			Throttle: func() { line.Fail(&providers.BusyError{Err: errors.New("too many requests")}) },
			Put:      func(owner string, set providers.RRSet) error { return store.Put(zone, owner, set) },
			Remove:   func(key providers.Key) error { return store.Delete(zone, key) },
			All:      func() ([]providers.RRSet, error) { return store.All(zone) },
			Lacks: map[string]string{
				"Other":     "a ledger is one Veer's",
				"Types":     "the ledger has answers alone; other types are in the zone's file",
				"Attribute": "an answer has nothing that Veer does not set",
				"Page":      "the ledger is read in one transaction",
				"Keeper":    "every answer of the ledger is Veer's",
				"Parts":     "one transaction carries any change",
				"Estimator": "one transaction carries any change",
				"Prover":    "etcd's transactions are its own to prove",
			},
		}
	})
}
