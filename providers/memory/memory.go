// Package memory is a provider in memory: the reference for what a
// providers.Provider does, and the double for tests of what uses one.
//
// A Store is what a vendor would run: zones with records and fences. Each
// Provider is one owner's client of it. Requests between the two go through a
// Carry, by which tests lose, repeat and hold them up as a network does. Both
// are safe for concurrent use.
package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/veerdns/veer/providers"
)

// Carry brings one request to the store: it lets send happen as often as it
// likes, and returns one of the replies, or an error of its own where none
// returned. It stands for the network.
type Carry func(ctx context.Context, write bool, send func(context.Context) (any, error)) (any, error)

// Rule is something that a store holds to.
type Rule int

// The rules. A store without one of them is a planted fault, to show that a
// test finds it.
const (
	// Guarded: a write whose fence is not next is refused.
	Guarded Rule = iota
	// Atomic: a write that is refused changes nothing.
	Atomic
	// Ownership: a name that is not the owner's is not written.
	Ownership
	// Exact: a set that is not as it was read is not written.
	Exact
)

// Store is the way of a client to zones.
type Store struct {
	*shared
	carry Carry
}

// shared is what all clients of the same zones see.
type shared struct {
	mu     sync.Mutex
	zones  map[string]*zone
	broken map[Rule]bool
}

// zone is one zone: its records, who owns which name, and each owner's fence.
type zone struct {
	records map[providers.Key]providers.RRSet
	owners  map[string]string // a name that is not there is nobody's
	fences  map[string]providers.Fence
	serial  uint64 // of its changes
	broken  map[Rule]bool
}

// NewStore returns a store with empty zones, to which requests go without
// fail.
func NewStore(zones ...string) *Store {
	s := &shared{zones: make(map[string]*zone), broken: make(map[Rule]bool)}
	for _, z := range zones {
		s.zones[providers.CanonicalName(z)] = &zone{records: make(map[providers.Key]providers.RRSet), owners: make(map[string]string), fences: make(map[string]providers.Fence), broken: s.broken}
	}
	return &Store{s, func(ctx context.Context, _ bool, send func(context.Context) (any, error)) (any, error) {
		return send(ctx)
	}}
}

// Over returns the same zones, with another way to them.
func (s *Store) Over(carry Carry) *Store { return &Store{s.shared, carry} }

// Without makes the store break the rules, and returns it.
func (s *Store) Without(rules ...Rule) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rules {
		s.broken[r] = true
	}
	return s
}

// Put writes a record past every fence, as somebody else at the vendor's
// console does. The name becomes the owner's; an empty owner leaves it whose it
// is.
func (s *Store) Put(zoneName, owner string, set providers.RRSet) error {
	return s.change(zoneName, func(z *zone) {
		set := set.Canonical()
		z.records[set.Key()] = set
		if owner != "" {
			z.owners[set.Name] = owner
		}
	})
}

// Delete removes a record past every fence.
func (s *Store) Delete(zoneName string, key providers.Key) error {
	return s.change(zoneName, func(z *zone) { delete(z.records, key) })
}

// PutFence sets an owner's fence, as the restore of an old zone does.
func (s *Store) PutFence(zoneName string, f providers.Fence) error {
	return s.change(zoneName, func(z *zone) { z.fences[f.Owner] = f })
}

func (s *Store) change(zoneName string, do func(*zone)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, err := s.zone(zoneName)
	if err != nil {
		return err
	}
	do(z)
	z.serial++
	return nil
}

// All returns every set of the zone, of every type, whoever owns it, sorted by
// key.
func (s *Store) All(zoneName string) ([]providers.RRSet, error) {
	return s.Sets(zoneName, func(string) bool { return true })
}

// Sets is All of certain types.
func (s *Store) Sets(zoneName string, typ func(string) bool) ([]providers.RRSet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, err := s.zone(zoneName)
	if err != nil {
		return nil, err
	}
	return z.list(func(set providers.RRSet) bool { return typ(set.Type) }), nil
}

func (s *shared) zone(name string) (*zone, error) {
	z, ok := s.zones[providers.CanonicalName(name)]
	if !ok {
		return nil, fmt.Errorf("zone %s does not exist here", providers.CanonicalName(name))
	}
	return z, nil
}

func (z *zone) list(want func(providers.RRSet) bool) []providers.RRSet {
	var out []providers.RRSet
	for _, set := range z.records {
		if want(set) {
			set.Data = slices.Clone(set.Data)
			out = append(out, set)
		}
	}
	slices.SortFunc(out, providers.Compare)
	return out
}

// Read returns the owner's view of a zone, by no network.
func (s *Store) Read(owner, zoneName string) (providers.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, err := s.zone(zoneName)
	if err != nil {
		return providers.Snapshot{}, err
	}
	snap := providers.Snapshot{
		Zone:  providers.CanonicalName(zoneName),
		Fence: z.fences[owner],
		Records: z.list(func(set providers.RRSet) bool {
			return providers.Steered(set.Type) && z.owners[set.Name] == owner
		}),
		Foreign: z.list(func(set providers.RRSet) bool {
			return providers.Steered(set.Type) && z.owners[set.Name] != owner
		}),
		Owners: make(map[string]string),
		Token:  z.serial,
	}
	for name, who := range z.owners {
		if who == owner {
			snap.Owned = append(snap.Owned, name)
		} else {
			snap.Owners[name] = who
		}
	}
	slices.Sort(snap.Owned)
	return snap, nil
}

// Swap carries one write to the store. Unlike Provider.Apply it does not settle
// a lost reply: any error but ErrFenced and ErrConflict leaves open whether the
// write happened.
func (s *Store) Swap(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) error {
	return s.send(ctx, write{from: from, next: next, changes: changes})
}

func (s *Store) send(ctx context.Context, w write) error {
	_, err := s.carry(ctx, true, func(context.Context) (any, error) { return nil, s.apply(w) })
	return err
}
