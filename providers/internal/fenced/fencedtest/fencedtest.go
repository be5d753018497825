// Package fencedtest is a fenced.API in memory that holds to all that the
// engine relies upon, and can be told to break one rule of it.
//
// A Vendor has zones of sets of any type. Each API is one client's way to it.
// Both are safe for concurrent use.
package fencedtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
	"github.com/veerdns/veer/providers/providertest"
)

// Rule is something that a Vendor holds to.
type Rule int

// The rules.
const (
	// Precondition: a request whose fence does not stand as given is refused.
	Precondition Rule = iota
	// Absence: a request that creates a fence is refused where there is one.
	Absence
	// Steps: a request of which a step does not find what it expects is
	// refused.
	Steps
	// Firsts: a request of a client that does not claim is refused where it makes
	// the first record of a name that has some.
	Firsts
	// Atomic: a request that is refused makes none of its steps.
	Atomic
	// Unmoved: a request that is refused leaves the fence.
	Unmoved
	// Anew: a request that is the same as the last one is looked at as any.
	Anew
	// Attributes: a change keeps what Veer does not set.
	Attributes
	// Pages: a listing has all pages.
	Pages
)

// page is how many sets a listing without Pages has.
const page = 10

// Vendor has the zones.
type Vendor struct {
	mu     sync.Mutex
	zones  map[string]map[providers.Key]set
	broken map[Rule]bool
	last   string // the last request that was done, in words
	id     int
	swaps  int
}

// set is a set as the Vendor has it.
type set struct {
	providers.RRSet
	id        int
	attribute string // what Veer does not set
}

// New makes a Vendor of empty zones.
func New(zones ...string) *Vendor {
	v := &Vendor{zones: map[string]map[providers.Key]set{}, broken: map[Rule]bool{}}
	for _, z := range zones {
		v.zones[providers.CanonicalName(z)] = map[providers.Key]set{}
	}
	return v
}

// Without makes the Vendor break the rules, and returns it.
func (v *Vendor) Without(rules ...Rule) *Vendor {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range rules {
		v.broken[r] = true
	}
	return v
}

// Put writes a set past every fence.
func (v *Vendor) Put(zone string, s providers.RRSet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s = s.Canonical()
	v.id++
	v.zones[zone][s.Key()] = set{RRSet: s, id: v.id, attribute: v.zones[zone][s.Key()].attribute}
}

// Remove deletes a set past every fence.
func (v *Vendor) Remove(zone string, key providers.Key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.zones[zone], key)
}

// All returns every set of the zone that keep wants, sorted by key.
func (v *Vendor) All(zone string, keep func(providers.RRSet) bool) []providers.RRSet {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []providers.RRSet
	for _, s := range v.zones[zone] {
		if keep(s.RRSet) {
			out = append(out, s.RRSet)
		}
	}
	slices.SortFunc(out, providers.Compare)
	return out
}

// Attribute returns what the set has that Veer does not set, SetAttribute
// sets it.
func (v *Vendor) Attribute(zone string, key providers.Key) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.zones[zone][key].attribute
}

// SetAttribute sets what Attribute returns.
func (v *Vendor) SetAttribute(zone string, key providers.Key, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.zones[zone][key]
	s.attribute = text
	v.zones[zone][key] = s
}

// Swaps is how many writing requests have arrived.
func (v *Vendor) Swaps() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.swaps
}

// API is a client's way to a Vendor. Its fields are set before its first use.
type API struct {
	Vendor *Vendor
	// Carrier brings the requests; nil: straight.
	Carrier providertest.Carrier
	// Most bounds one request. A creation or deletion is one record, a change
	// two; characters are those of the data.
	Most fenced.Size
	// Claims makes it a fenced.Claimer, whose requests create sets beside those of
	// others.
	Claims bool
	// Inexact makes a request insist on its fence alone.
	Inexact bool
}

var (
	_ fenced.API     = (*API)(nil)
	_ fenced.Claimer = (*API)(nil)
)

// ClaimsFirst implements fenced.Claimer.
func (a *API) ClaimsFirst() bool { return a.Claims }

// Caps implements fenced.API.
func (a *API) Caps() providers.Caps {
	return providers.Caps{Weights: true, MaxWeight: 255, MinTTL: 1, MaxTTL: 86400, Exact: !a.Inexact}
}

// List implements fenced.API.
func (a *API) List(ctx context.Context, zone string) ([]fenced.Record, error) {
	return a.read(ctx, zone, func(providers.RRSet) bool { return true })
}

// Find implements fenced.API.
func (a *API) Find(ctx context.Context, zone, name, typ string) ([]fenced.Record, error) {
	return a.read(ctx, zone, func(s providers.RRSet) bool { return s.Name == name && s.Type == typ })
}

func (a *API) read(ctx context.Context, zone string, keep func(providers.RRSet) bool) ([]fenced.Record, error) {
	reply, err := a.carry(ctx, false, func() (any, error) {
		v := a.Vendor
		v.mu.Lock()
		defer v.mu.Unlock()
		var out []fenced.Record
		for _, s := range v.zones[zone] {
			if keep(s.RRSet) {
				out = append(out, fenced.Record{RRSet: s.RRSet, Handle: s.id})
			}
		}
		slices.SortFunc(out, func(x, y fenced.Record) int { return providers.Compare(x.RRSet, y.RRSet) })
		if v.broken[Pages] {
			out = out[:min(len(out), page)]
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	return reply.([]fenced.Record), nil
}

// Swap implements fenced.API.
func (a *API) Swap(ctx context.Context, zone string, r fenced.Request) (fenced.Reply, error) {
	reply, err := a.carry(ctx, true, func() (any, error) { return a.Vendor.swap(zone, r, a.Claims, a.Inexact) })
	if err != nil {
		return fenced.Reply{}, err
	}
	return reply.(fenced.Reply), nil
}

func (a *API) carry(ctx context.Context, write bool, send func() (any, error)) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a.Carrier == nil {
		return send()
	}
	return a.Carrier.Carry(ctx, providertest.Request{Write: write, Send: func(context.Context) (any, error) { return send() }})
}

// Size implements fenced.API.
func (a *API) Size(s fenced.Step) fenced.Size {
	var size fenced.Size
	for _, r := range []*fenced.Record{s.Before, s.After} {
		if r == nil {
			continue
		}
		size.Records++
		for _, d := range r.Data {
			size.Characters += len(d)
		}
	}
	return size
}

// Limit implements fenced.API.
func (a *API) Limit() fenced.Size { return a.Most }

// Quota implements fenced.API.
func (a *API) Quota(calls int) string { return fmt.Sprintf("%d requests", calls) }

// swap does the request, or refuses it.
func (v *Vendor) swap(zone string, r fenced.Request, claims, inexact bool) (fenced.Reply, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.swaps++
	said := words(r)
	if v.broken[Anew] && said == v.last {
		return fenced.Reply{}, nil
	}
	next := maps.Clone(v.zones[zone])
	err := v.step(next, r.Fence, v.broken[Precondition], v.broken[Absence])
	for _, s := range r.Steps {
		if err != nil {
			break
		}
		err = v.step(next, s, v.broken[Steps] || inexact, v.broken[Steps] || inexact)
	}
	if err == nil && !claims && !v.broken[Firsts] {
		err = first(v.zones[zone], r.Steps)
	}
	switch {
	case err == nil:
		v.zones[zone], v.last = next, said
	case v.broken[Atomic]:
		for _, s := range r.Steps {
			_ = v.step(v.zones[zone], s, false, false)
		}
	case v.broken[Unmoved] && r.Fence.After != nil:
		_ = v.step(v.zones[zone], fenced.Step{After: r.Fence.After}, true, true)
	}
	if err != nil {
		return fenced.Reply{}, fmt.Errorf("%w: %w", fenced.ErrRefused, err)
	}
	reply := fenced.Reply{Calls: 1, Change: fmt.Sprintf("change-%d", v.swaps)}
	if r.Fence.After != nil {
		reply.Fence = fenced.Record{RRSet: r.Fence.After.RRSet, Handle: next[r.Fence.After.Key()].id}
	}
	return reply, nil
}

// first refuses a name's first record, which comes with its mark, where the name
// has sets.
func first(sets map[providers.Key]set, steps []fenced.Step) error {
	marked := map[string]bool{}
	for _, s := range steps {
		if s.After != nil && s.After.Type == "TXT" {
			owned, ok := providers.OwnedName(s.After.Name)
			marked[owned] = ok
		}
	}
	for _, s := range steps {
		if s.After == nil || s.Before != nil || !marked[s.After.Name] || !providers.Steered(s.After.Type) {
			continue
		}
		for key := range sets {
			if key.Name == s.After.Name && providers.Steered(key.Type) {
				return fmt.Errorf("%s %s exists", key.Name, key.Type)
			}
		}
	}
	return nil
}

// step makes one step, blind to what it finds before it where told so.
func (v *Vendor) step(sets map[providers.Key]set, s fenced.Step, blind, over bool) error {
	one := s.After
	if one == nil {
		one = s.Before
	}
	key := one.RRSet.Canonical().Key()
	now, ok := sets[key]
	if s.Before != nil && !blind && (!ok || now.id != s.Before.Handle || !now.Equal(s.Before.RRSet)) {
		return fmt.Errorf("%s %s is not as given", key.Name, key.Type)
	}
	if s.Before == nil && ok && !over {
		return fmt.Errorf("%s %s exists", key.Name, key.Type)
	}
	if s.After == nil {
		delete(sets, key)
		return nil
	}
	v.id++
	next := set{RRSet: s.After.Canonical(), id: v.id, attribute: now.attribute}
	if v.broken[Attributes] {
		next.attribute = ""
	}
	sets[key] = next
	return nil
}

// words is a request as text, to tell it from another.
func words(r fenced.Request) string {
	text := ""
	for _, s := range append([]fenced.Step{r.Fence}, r.Steps...) {
		for _, rec := range []*fenced.Record{s.Before, s.After} {
			if rec == nil {
				text += "- "
			} else {
				text += fmt.Sprintf("%v ", rec.RRSet)
			}
		}
	}
	return text
}
