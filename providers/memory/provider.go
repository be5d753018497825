package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/veerdns/veer/providers"
)

// MinTTL and MaxTTL are the TTLs that a Provider takes, in seconds.
const (
	MinTTL = 1
	MaxTTL = 86400
)

// Provider is one owner's client of a Store.
type Provider struct {
	store *Store
	owner string
}

var (
	_ providers.Provider = (*Provider)(nil)
	_ providers.Keeper   = (*Provider)(nil)
)

// Provider returns the owner's client.
func (s *Store) Provider(owner string) *Provider { return &Provider{s, owner} }

// Caps implements providers.Provider.
func (p *Provider) Caps() providers.Caps {
	return providers.Caps{Weights: true, MinTTL: MinTTL, MaxTTL: MaxTTL, Exact: true}
}

// Read implements providers.Provider.
func (p *Provider) Read(ctx context.Context, zone string) (providers.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return providers.Snapshot{}, fmt.Errorf("read zone %s: %w", zone, err)
	}
	snap, err := p.store.carry(ctx, false, func(context.Context) (any, error) { return p.store.Read(p.owner, zone) })
	if err != nil {
		return providers.Snapshot{}, fmt.Errorf("read zone %s: %w", zone, err)
	}
	return snap.(providers.Snapshot), nil
}

// Apply implements providers.Provider.
func (p *Provider) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	return p.send(ctx, write{from: from, next: next, changes: changes})
}

// Own implements providers.Keeper.
func (p *Provider) Own(ctx context.Context, from providers.Snapshot, next providers.Fence, take, release []string) (providers.Receipt, error) {
	return p.send(ctx, write{from: from, next: next, take: take, release: release})
}

func (p *Provider) send(ctx context.Context, w write) (providers.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return providers.Receipt{}, fmt.Errorf("write zone %s: %w", w.from.Zone, err)
	}
	if err := providers.CheckWrite(p.Caps(), p.owner, w.from, w.next, w.changes); err != nil {
		return providers.Receipt{}, fmt.Errorf("write zone %s: %w", w.from.Zone, err)
	}
	if err := w.from.Fence.Admits(w.next); err != nil {
		return providers.Receipt{}, fmt.Errorf("write zone %s: %w", w.from.Zone, err)
	}
	err := p.store.send(ctx, w)
	var busy *providers.BusyError
	if err != nil && !errors.As(err, &busy) && ctx.Err() == nil {
		// Whether it arrived is told by the fence, and by nothing else: what
		// was refused may be the second of two that arrived.
		now, readErr := p.Read(ctx, w.from.Zone)
		if readErr == nil && now.Fence == w.next {
			return providers.Receipt{Fence: w.next, Calls: 2}, nil
		}
	}
	if err != nil {
		return providers.Receipt{}, fmt.Errorf("write zone %s: %w", w.from.Zone, err)
	}
	return providers.Receipt{Fence: w.next, Calls: 1}, nil
}

// write is one request.
type write struct {
	from          providers.Snapshot
	next          providers.Fence
	changes       []providers.Change
	take, release []string
}

// apply does the write as the vendor would: all of it or nothing.
func (s *shared) apply(w write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, err := s.zone(w.from.Zone)
	if err != nil {
		return err
	}
	if err := providers.Guard(z.fences[w.next.Owner], w.from.Fence, w.next); err != nil && !z.broken[Guarded] {
		return err
	}
	if err := z.admits(w); err != nil {
		if z.broken[Atomic] {
			z.changeSome(w)
		}
		return err
	}
	z.change(w)
	z.fences[w.next.Owner] = w.next
	z.serial++
	return nil
}

// changeSome makes the changes up to the first that is refused.
func (z *zone) changeSome(w write) {
	for i, c := range w.changes {
		if z.admit(w.next.Owner, c) != nil {
			w.changes = w.changes[:i]
			break
		}
	}
	z.change(w)
}

func (z *zone) change(w write) {
	for _, c := range w.changes {
		key := keyOf(c)
		if c.After != nil {
			z.records[key] = c.After.Canonical()
			z.owners[key.Name] = w.next.Owner
			continue
		}
		delete(z.records, key)
	}
	for _, c := range w.changes {
		if name := keyOf(c).Name; !z.steered(name) {
			delete(z.owners, name)
		}
	}
	for _, name := range w.take {
		z.owners[providers.CanonicalName(name)] = w.next.Owner
	}
	for _, name := range w.release {
		delete(z.owners, providers.CanonicalName(name))
	}
}

// steered reports whether the name has a set that Veer may write.
func (z *zone) steered(name string) bool {
	for key := range z.records {
		if key.Name == name && providers.Steered(key.Type) {
			return true
		}
	}
	return false
}

// admits reports whether all that the write is about is still as it has it,
// and is the owner's.
func (z *zone) admits(w write) error {
	for _, c := range w.changes {
		if err := z.admit(w.next.Owner, c); err != nil {
			return err
		}
	}
	for _, name := range w.take {
		if who := z.owners[providers.CanonicalName(name)]; who != "" && who != w.next.Owner {
			return fmt.Errorf("%w: %s belongs to %s", providers.ErrConflict, name, who)
		}
	}
	for _, name := range w.release {
		if z.owners[providers.CanonicalName(name)] != w.next.Owner {
			return fmt.Errorf("%w: %s is not owned by %s", providers.ErrConflict, name, w.next.Owner)
		}
	}
	return nil
}

func (z *zone) admit(owner string, c providers.Change) error {
	key := keyOf(c)
	held, ok := z.records[key]
	who := z.owners[key.Name]
	switch {
	case who != owner && !z.broken[Ownership] && (who != "" || c.Before != nil || z.steered(key.Name)):
		return fmt.Errorf("%w: %s is not owned by %s; import it or remove it", providers.ErrConflict, key.Name, owner)
	case z.broken[Exact] || z.broken[Ownership] && who != owner:
		return nil
	case ok && c.Before == nil:
		return fmt.Errorf("%w: %s %s exists already", providers.ErrConflict, key.Name, key.Type)
	case !ok && c.Before != nil:
		return fmt.Errorf("%w: %s %s does not exist any more", providers.ErrConflict, key.Name, key.Type)
	case ok && !held.Equal(*c.Before):
		return fmt.Errorf("%w: %s %s is not as it was read", providers.ErrConflict, key.Name, key.Type)
	}
	return nil
}

func keyOf(c providers.Change) providers.Key {
	if c.After != nil {
		return c.After.Canonical().Key()
	}
	return c.Before.Canonical().Key()
}
