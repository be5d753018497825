// Package memory is a provider in memory: the reference for what a
// providers.Provider does, and the double for tests of what uses one.
//
// A Store is what a vendor would run: zones with records and fences. Each
// Provider is one owner's client of it. Faults strike between the two, as they
// would on a network: replies are lost, requests are held up or arrive twice.
// Both are safe for concurrent use.
package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/veerdns/veer/providers"
)

// Fault is what befalls one write.
type Fault int

// The faults.
const (
	// None: the write arrives once, and so does its reply.
	None Fault = iota
	// LoseRequest: the write never arrives.
	LoseRequest
	// LoseReply: the write arrives; its reply does not.
	LoseReply
	// Duplicate: the write arrives twice; the first one's reply counts.
	Duplicate
	// delay: see Hold.
	delay
)

// errLost is what a client sees of a lost request or reply.
var errLost = errors.New("the connection was lost")

// Store holds zones.
type Store struct {
	mu     sync.Mutex
	zones  map[string]*zone
	faults []Fault
	late   []func() error
	held   []chan struct{} // one for each delay in faults, in order
}

// zone is one zone: its records, who owns which name, and each owner's fence.
type zone struct {
	records map[providers.Key]providers.RRSet
	owners  map[string]string // a name that is not there is nobody's
	fences  map[string]providers.Fence
	serial  uint64 // of its changes
}

// NewStore returns a store with empty zones.
func NewStore(zones ...string) *Store {
	s := &Store{zones: make(map[string]*zone)}
	for _, z := range zones {
		s.zones[providers.CanonicalName(z)] = &zone{records: make(map[providers.Key]providers.RRSet), owners: make(map[string]string), fences: make(map[string]providers.Fence)}
	}
	return s
}

// Inject makes the faults befall the next writes, one each, in order.
func (s *Store) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Hold makes the next write (after those that have a fault already) be under
// way until Deliver is called; its reply never arrives, and its caller waits
// until its context ends. The channel is closed when the write is under way.
func (s *Store) Hold() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.faults, s.held = append(s.faults, delay), append(s.held, held)
	return held
}

// Deliver lets every write that is held arrive, in order, and returns what became
// of each.
func (s *Store) Deliver() []error {
	s.mu.Lock()
	late := s.late
	s.late = nil
	s.mu.Unlock()
	results := make([]error, 0, len(late))
	for _, write := range late {
		results = append(results, write())
	}
	return results
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

// All returns every record of the zone, whoever owns it, sorted by key.
func (s *Store) All(zoneName string) ([]providers.RRSet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, err := s.zone(zoneName)
	if err != nil {
		return nil, err
	}
	return z.list(func(providers.RRSet) bool { return true }), nil
}

func (s *Store) zone(name string) (*zone, error) {
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

// Read returns the owner's view of a zone.
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

// Swap carries one write to the store, with whatever fault is due. Unlike
// Provider.Apply it does not settle a lost reply: any error but ErrFenced and
// ErrConflict leaves open whether the write happened.
func (s *Store) Swap(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) error {
	return s.send(ctx, write{from: from, next: next, changes: changes})
}

func (s *Store) send(ctx context.Context, w write) error {
	s.mu.Lock()
	fault := None
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	if fault == delay {
		s.late = append(s.late, func() error { return s.apply(w) })
		close(s.held[0])
		s.held = s.held[1:]
	}
	s.mu.Unlock()
	switch fault {
	case LoseRequest:
		return errLost
	case LoseReply:
		s.apply(w) //nolint:errcheck // the reply is what is lost
		return errLost
	case Duplicate:
		first := s.apply(w)
		s.apply(w) //nolint:errcheck // nobody waits for the second reply
		return first
	case delay:
		<-ctx.Done()
		return fmt.Errorf("%w: %w", errLost, ctx.Err())
	}
	return s.apply(w)
}
