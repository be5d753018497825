package memory_test

import (
	"testing"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/providers/providertest"
)

func TestContract(t *testing.T) {
	providertest.Run(t, func(*testing.T) providertest.World {
		store := memory.NewStore("example.test")
		return World(store, store.Provider("shop"))
	})
}

// World puts a store behind a provider of the owner "shop".
func World(store *memory.Store, p providers.Provider) providertest.World {
	const zone = "example.test."
	return providertest.World{
		Zone: zone, Owner: "shop", Provider: p,
		Put:         func(owner string, set providers.RRSet) error { return store.Put(zone, owner, set) },
		All:         func() ([]providers.RRSet, error) { return store.All(zone) },
		LoseRequest: func() { store.Inject(memory.LoseRequest) },
		LoseReply:   func() { store.Inject(memory.LoseReply) },
		Duplicate:   func() { store.Inject(memory.Duplicate) },
		Hold:        store.Hold, Deliver: store.Deliver,
	}
}

func TestOwnersHaveFencesOfTheirOwn(t *testing.T) {
	store := memory.NewStore("example.test")
	for _, owner := range []string{"shop", "blog"} {
		p := store.Provider(owner)
		from, err := p.Read(t.Context(), "example.test")
		if err != nil {
			t.Fatal(err)
		}
		set := providers.RRSet{Name: owner + ".example.test.", Type: "A", TTL: 30, Data: []string{"192.0.2.1"}}
		next := providers.Fence{Owner: owner, Term: 1, Holder: "h", Write: 1}
		if _, err := p.Apply(t.Context(), from, next, providers.Diff(from.Records, []providers.RRSet{set})); err != nil {
			t.Fatalf("owner %s: %v", owner, err)
		}
		after, err := p.Read(t.Context(), "example.test")
		if err != nil || len(after.Records) != 1 || after.Fence != next {
			t.Fatalf("owner %s reads %+v, %v; want its own record and fence", owner, after, err)
		}
	}
}
