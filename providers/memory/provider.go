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

var _ providers.Provider = (*Provider)(nil)

// Provider returns the owner's client.
func (s *Store) Provider(owner string) *Provider { return &Provider{s, owner} }

// Caps implements providers.Provider.
func (p *Provider) Caps() providers.Caps {
	return providers.Caps{Weights: true, MinTTL: MinTTL, MaxTTL: MaxTTL}
}

// Read implements providers.Provider.
func (p *Provider) Read(ctx context.Context, zone string) (providers.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return providers.Snapshot{}, fmt.Errorf("read zone %s: %w", zone, err)
	}
	snap, err := p.store.Read(p.owner, zone)
	if err != nil {
		return providers.Snapshot{}, fmt.Errorf("read zone %s: %w", zone, err)
	}
	return snap, nil
}

// Apply implements providers.Provider.
func (p *Provider) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return providers.Receipt{}, fmt.Errorf("write zone %s: %w", from.Zone, err)
	}
	if err := check(p.owner, from, next, changes); err != nil {
		return providers.Receipt{}, fmt.Errorf("write zone %s: %w", from.Zone, err)
	}
	err := p.store.Swap(ctx, from, next, changes)
	if errors.Is(err, errLost) {
		// Whether it arrived is told by the fence, and by nothing else.
		now, readErr := p.store.Read(p.owner, from.Zone)
		if readErr == nil && now.Fence == next {
			return providers.Receipt{Fence: next, Calls: 2}, nil
		}
	}
	if err != nil {
		return providers.Receipt{}, fmt.Errorf("write zone %s: %w", from.Zone, err)
	}
	return providers.Receipt{Fence: next, Calls: 1}, nil
}

// check refuses what no provider could write.
func check(owner string, from providers.Snapshot, next providers.Fence, changes []providers.Change) error {
	if next.Owner != owner {
		return fmt.Errorf("fence %s is another owner's; expected %s", next, owner)
	}
	for _, c := range changes {
		for _, set := range []*providers.RRSet{c.Before, c.After} {
			if set != nil && !providers.InZone(set.Name, from.Zone) {
				return fmt.Errorf("%s %s is not in the zone", set.Name, set.Type)
			}
		}
		switch {
		case c.Before == nil && c.After == nil:
			return errors.New("a change of nothing to nothing")
		case c.Before != nil && c.After != nil && c.Before.Canonical().Key() != c.After.Canonical().Key():
			return fmt.Errorf("a change of %s %s to %s %s; expected one key", c.Before.Name, c.Before.Type, c.After.Name, c.After.Type)
		case c.After != nil && len(c.After.Data) == 0:
			return fmt.Errorf("%s %s has no data; a set is never empty", c.After.Name, c.After.Type)
		case c.After != nil && (c.After.TTL < MinTTL || c.After.TTL > MaxTTL):
			return fmt.Errorf("%s %s has TTL %d; expected %d to %d", c.After.Name, c.After.Type, c.After.TTL, MinTTL, MaxTTL)
		}
	}
	return nil
}

// write is one request.
type write struct {
	from    providers.Snapshot
	next    providers.Fence
	changes []providers.Change
}

// apply does the write as the vendor would: all of it or nothing.
func (s *Store) apply(w write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, err := s.zone(w.from.Zone)
	if err != nil {
		return err
	}
	if err := providers.Guard(z.fences[w.next.Owner], w.from.Fence, w.next); err != nil {
		return err
	}
	for _, c := range w.changes {
		if err := z.admits(w.next.Owner, c); err != nil {
			return err
		}
	}
	for _, c := range w.changes {
		if c.After == nil {
			delete(z.records, c.Before.Canonical().Key())
			continue
		}
		set := c.After.Canonical()
		z.records[set.Key()] = owned{set, w.next.Owner}
	}
	z.fences[w.next.Owner] = w.next
	z.serial++
	return nil
}

// admits reports whether the record that a change is about is still as the
// change has it, and is the owner's.
func (z *zone) admits(owner string, c providers.Change) error {
	key := keyOf(c)
	held, ok := z.records[key]
	switch {
	case ok && held.owner != owner:
		return fmt.Errorf("%w: %s %s is not owned by %s; import it or remove it", providers.ErrConflict, key.Name, key.Type, owner)
	case ok && c.Before == nil:
		return fmt.Errorf("%w: %s %s exists already", providers.ErrConflict, key.Name, key.Type)
	case !ok && c.Before != nil:
		return fmt.Errorf("%w: %s %s does not exist any more", providers.ErrConflict, key.Name, key.Type)
	case ok && !held.set.Equal(*c.Before):
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
