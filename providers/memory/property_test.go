package memory_test

import (
	"context"
	"errors"
	"testing"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/providertest/propertytest"
	"github.com/veerdns/veer/regions/regionstest"
)

// properties is a fresh store for a property; broken makes its clients.
func properties(broken func(twin) providers.Provider, rules ...memory.Rule) func() propertytest.World {
	return func() propertytest.World {
		store := memory.NewStore(zone).Without(rules...)
		return propertytest.World{
			Zone: zone,
			Client: func(owner string, c providertest.Carrier) providers.Provider {
				net := store.Over(providertest.Carry(c))
				return broken(twin{Provider: net.Provider(owner), store: net})
			},
			Put:    func(owner string, s providers.RRSet) error { return store.Put(zone, owner, s) },
			Remove: func(key providers.Key) error { return store.Delete(zone, key) },
			All:    func() ([]providers.RRSet, error) { return store.All(zone) },
		}
	}
}

func whole(w twin) providers.Provider { return w.Provider }

func TestProperty6(t *testing.T) {
	cov := regionstest.NewCoverage(t, propertytest.Events6...)
	regionstest.Holds(t, propertytest.Property6(properties(whole), cov))
}

func TestProperty8(t *testing.T) {
	cov := regionstest.NewCoverage(t, propertytest.Events8...)
	regionstest.Holds(t, propertytest.Property8(properties(whole), cov))
}

// TestMutantProperties shows that each property tells a broken provider from
// the right one.
func TestMutantProperties(t *testing.T) {
	as := func(read, apply bool, f twin) func(twin) providers.Provider {
		return func(w twin) providers.Provider {
			if read {
				w.read = f.read
			}
			if apply {
				w.apply = f.apply
			}
			return w
		}
	}
	for _, m := range []struct {
		name   string
		p      func(func() propertytest.World, *regionstest.Coverage) regionstest.Find
		client func(twin) providers.Provider
		rules  []memory.Rule
	}{
		{"property 6: no fence is compared", propertytest.Property6, whole, []memory.Rule{memory.Guarded}},
		{"property 6: neither fence nor records are compared", propertytest.Property6, whole, []memory.Rule{memory.Guarded, memory.Exact}},
		{"property 6: a lost reply is taken for done", propertytest.Property6, as(false, true, twin{apply: hopes}), nil},
		{"property 6: what is refused is written on the newest fence", propertytest.Property6, as(false, true, twin{apply: stubborn}), []memory.Rule{memory.Exact}},
		{"property 6: a settled write is not looked at", propertytest.Property6, as(false, true, twin{apply: anyFence}), nil},
		{"property 8: foreign names are written", propertytest.Property8, whole, []memory.Rule{memory.Ownership}},
		{"property 8: half of a refused write is made", propertytest.Property8, whole, []memory.Rule{memory.Atomic}},
		{"property 8: a name is deleted with all its types", propertytest.Property8, as(false, true, twin{apply: allTypes}), nil},
		{"property 8: TTLs are not written", propertytest.Property8, as(false, true, twin{apply: noTTL}), nil},
		{"property 8: foreign records are read as owned", propertytest.Property8, as(true, false, twin{read: allOwned}), []memory.Rule{memory.Ownership}},
	} {
		regionstest.Caught(t, 1000, m.name, m.p(properties(m.client, m.rules...), nil))
	}
}

// stubborn writes again, on whatever fence stands there now.
func stubborn(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	r, err := w.Provider.Apply(ctx, from, next, changes)
	if errors.Is(err, providers.ErrFenced) || errors.Is(err, providers.ErrConflict) {
		now, readErr := w.Provider.Read(ctx, from.Zone)
		if readErr != nil {
			return r, readErr
		}
		next.Term = max(next.Term, now.Fence.Term)
		if next.Term == now.Fence.Term {
			next.Holder = now.Fence.Holder
		}
		next.Write = max(next.Write, now.Fence.Write+1)
		return w.Provider.Apply(ctx, now, next, changes)
	}
	return r, err
}

// anyFence takes a write for done when the zone has any fence of its term.
func anyFence(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	err := w.raw(ctx, from, next, changes)
	if errors.Is(err, providertest.ErrLost) {
		now, readErr := w.Provider.Read(ctx, from.Zone)
		if readErr == nil && now.Fence.Term == next.Term {
			err = nil
		}
	}
	return providers.Receipt{Fence: next, Calls: 2}, err
}

func noTTL(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	out := make([]providers.Change, 0, len(changes))
	for _, c := range changes {
		if c.Before != nil && c.After != nil {
			set := *c.After
			set.TTL = c.Before.TTL
			c.After = &set
		}
		out = append(out, c)
	}
	return w.Provider.Apply(ctx, from, next, out)
}
