package memory_test

import (
	"errors"
	"testing"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/providers/providertest"
)

func TestContract(t *testing.T) {
	providertest.Run(t, func(*testing.T) providertest.World { return World(memory.NewStore(zone)) })
}

const zone = "example.test."

// World puts a network before a store, and behind it a provider of the owner
// "shop".
func World(store *memory.Store) providertest.World {
	line := &providertest.Line{}
	net := store.Over(providertest.Carry(line))
	return providertest.World{
		Zone: zone, Owner: "shop", Provider: net.Provider("shop"),
		Line:     line,
		Throttle: func() { line.Fail(&providers.BusyError{Err: errors.New("one too many")}) },
		Put:      func(owner string, set providers.RRSet) error { return store.Put(zone, owner, set) },
		Remove:   func(key providers.Key) error { return store.Delete(zone, key) },
		All:      func() ([]providers.RRSet, error) { return store.Sets(zone, providers.Steered) },
		Types: func() ([]providers.RRSet, error) {
			return store.Sets(zone, func(typ string) bool { return !providers.Steered(typ) })
		},
		Other: func(owner string) providers.Provider { return net.Provider(owner) },
		Lacks: map[string]string{
			"Attribute": "sets in memory have nothing that Veer does not set",
			"Page":      "memory lists all in one reply",
			"Parts":     "memory takes any number of changes in one request",
			"Estimator": "memory takes any number of changes in one request",
			"Prover":    "the store is the reference for the swap, of one process",
		},
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
