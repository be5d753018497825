package memory_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/providers/providertest"
)

// twin is a provider of which some methods are broken.
type twin struct {
	*memory.Provider
	store *memory.Store // by the World's line
	read  func(context.Context, twin, string) (providers.Snapshot, error)
	apply func(context.Context, twin, providers.Snapshot, providers.Fence, []providers.Change) (providers.Receipt, error)
}

func (w twin) Read(ctx context.Context, zone string) (providers.Snapshot, error) {
	if w.read == nil {
		return w.Provider.Read(ctx, zone)
	}
	return w.read(ctx, w, zone)
}

func (w twin) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	if w.apply == nil {
		return w.Provider.Apply(ctx, from, next, changes)
	}
	return w.apply(ctx, w, from, next, changes)
}

// raw sends the write and settles nothing.
func (w twin) raw(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) error {
	if err := errors.Join(ctx.Err(), from.Fence.Admits(next), providers.CheckWrite(w.Caps(), next.Owner, from, next, changes)); err != nil {
		return err
	}
	return w.store.Swap(ctx, from, next, changes)
}

// TestMutantProvider shows that the contract finds each fault, by the test that
// is about it.
func TestMutantProvider(t *testing.T) {
	type fault struct {
		name, by string
		broken   []memory.Rule
		twin     twin
	}
	faults := []fault{
		{name: "no fence is compared", by: "a late write of a fenced controller is refused", broken: []memory.Rule{memory.Guarded}},
		{name: "half of a refused write is made", by: "changes are made all or none", broken: []memory.Rule{memory.Atomic}},
		{name: "foreign names are written", by: "foreign records stay untouched", broken: []memory.Rule{memory.Ownership}},
		{name: "a name's first record goes in beside others'", by: "what comes in between read and a name's first record stays", broken: []memory.Rule{memory.Ownership}},
		{name: "another owner's names are written", by: "two owners in one zone never meet", broken: []memory.Rule{memory.Ownership}},
		{name: "records are not compared", by: "a foreign change between read and apply conflicts", broken: []memory.Rule{memory.Exact}},
		{name: "records are read before the fence", by: "the fence is read before the records", twin: twin{read: recordsFirst}},
		{name: "foreign records are read as owned", by: "foreign records stay untouched", twin: twin{read: allOwned}},
		{name: "who owns what is not told", by: "two owners in one zone never meet", twin: twin{read: noOwners}},
		{name: "the end of the context is not seen", by: "an ended context ends the call", twin: twin{read: deaf}},
		{name: "write numbers are made up", by: "a write number that does not grow is fenced", twin: twin{apply: ownNumbers}},
		{name: "a lost reply is settled by writing again", by: "a lost reply is settled by the fence", twin: twin{apply: again}},
		{name: "a lost reply is taken for done", by: "a lost request is an error that changes nothing", twin: twin{apply: hopes}},
		{name: "a lost reply is taken for lost", by: "a lost reply is settled by the fence", twin: twin{apply: gives}},
		{name: "a throttled write is made", by: "a throttled write changes nothing, and is made later", twin: twin{apply: busyAfter}},
		{name: "a name is deleted with all its types", by: "types that Veer does not steer stay untouched", twin: twin{apply: allTypes}},
		{name: "a TTL is cut to what fits", by: "the bounds of the TTL are what Caps says", twin: twin{apply: cuts}},
		{name: "a claim writes nothing", by: "a claim is a swap without changes", twin: twin{apply: lazy}},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			failed := providertest.Failures(t, func(*testing.T) providertest.World {
				store := memory.NewStore(zone).Without(f.broken...)
				w := World(store)
				net := store.Over(providertest.Carry(w.Line))
				broken := func(owner string) providers.Provider {
					b := f.twin
					b.Provider, b.store = net.Provider(owner), net
					return b
				}
				w.Provider, w.Other = broken("shop"), broken
				return w
			})
			said, ok := failed[f.by]
			if !ok {
				t.Fatalf("not found by %q; found by %v", f.by, failed)
			}
			t.Logf("found by %q: %s", f.by, strings.SplitN(said, "\n", 2)[0])
		})
	}
}

func recordsFirst(ctx context.Context, w twin, zone string) (providers.Snapshot, error) {
	snap, err := w.Provider.Read(ctx, zone)
	if err != nil {
		return snap, err
	}
	again, err := w.Provider.Read(ctx, zone)
	snap.Fence = again.Fence
	return snap, err
}

func allOwned(ctx context.Context, w twin, zone string) (providers.Snapshot, error) {
	snap, err := w.Provider.Read(ctx, zone)
	snap.Records = append(snap.Records, snap.Foreign...)
	slices.SortFunc(snap.Records, providers.Compare)
	return snap, err
}

func noOwners(ctx context.Context, w twin, zone string) (providers.Snapshot, error) {
	snap, err := w.Provider.Read(ctx, zone)
	snap.Owners = nil
	return snap, err
}

func deaf(ctx context.Context, w twin, zone string) (providers.Snapshot, error) {
	return w.Provider.Read(context.WithoutCancel(ctx), zone)
}

func ownNumbers(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	next.Write = max(next.Write, from.Fence.Write+1)
	return w.Provider.Apply(ctx, from, next, changes)
}

// again sends the write once more where an error leaves open what became of it.
func again(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	err := w.raw(ctx, from, next, changes)
	if errors.Is(err, providertest.ErrLost) {
		err = w.raw(ctx, from, next, changes)
	}
	return providers.Receipt{Fence: next, Calls: 2}, err
}

func hopes(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	err := w.raw(ctx, from, next, changes)
	if errors.Is(err, providertest.ErrLost) {
		err = nil
	}
	return providers.Receipt{Fence: next, Calls: 1}, err
}

func gives(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	return providers.Receipt{Fence: next, Calls: 1}, w.raw(ctx, from, next, changes)
}

func busyAfter(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	r, err := w.Provider.Apply(ctx, from, next, changes)
	var busy *providers.BusyError
	if errors.As(err, &busy) {
		if _, late := w.Provider.Apply(ctx, from, next, changes); late != nil {
			return r, late
		}
	}
	return r, err
}

func allTypes(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	r, err := w.Provider.Apply(ctx, from, next, changes)
	for _, c := range changes {
		if err == nil && c.After == nil {
			err = w.store.Delete(from.Zone, providers.Key{Name: c.Before.Name, Type: "MX"})
		}
	}
	return r, err
}

func cuts(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	for i, c := range changes {
		if c.After != nil {
			set := *c.After
			set.TTL = min(max(set.TTL, memory.MinTTL), memory.MaxTTL)
			changes[i].After = &set
		}
	}
	return w.Provider.Apply(ctx, from, next, changes)
}

func lazy(ctx context.Context, w twin, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	if len(changes) == 0 {
		return providers.Receipt{Fence: next, Calls: 1}, nil
	}
	return w.Provider.Apply(ctx, from, next, changes)
}
