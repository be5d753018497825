package fenced

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
)

const (
	// markTTL is the TTL of fences and owners' records, in seconds: nobody
	// reads them through a cache.
	markTTL = 60
	// readTries is how often a zone is read whose fence moves meanwhile.
	readTries = 3
)

// Provider implements providers.Provider, Prover, Keeper and Estimator.
type Provider struct {
	api   API
	owner string
	zones map[string]*zone
	log   zerolog.Logger
}

var (
	_ providers.Provider  = (*Provider)(nil)
	_ providers.Prover    = (*Provider)(nil)
	_ providers.Keeper    = (*Provider)(nil)
	_ providers.Estimator = (*Provider)(nil)
)

// zone is one zone's turn, and what is known of it.
type zone struct {
	turn   chan struct{} // holds a token while nobody writes
	mu     sync.Mutex
	proven bool
}

// Options are what New needs besides the API.
type Options struct {
	// Owner is this Veer's name in every zone: a DNS label.
	Owner string
	// Zones are the names of the zones that the provider has.
	Zones []string
	Log   zerolog.Logger
}

// New makes the provider.
func New(api API, o Options) *Provider {
	p := &Provider{api: api, owner: o.Owner, zones: make(map[string]*zone, len(o.Zones)), log: o.Log}
	for _, name := range o.Zones {
		z := &zone{turn: make(chan struct{}, 1)}
		z.turn <- struct{}{}
		p.zones[providers.CanonicalName(name)] = z
	}
	return p
}

// With returns a provider of the same zones whose requests go by what wrap makes
// of p's API: a test switches the fence off with it.
func (p *Provider) With(wrap func(API) API) *Provider {
	return New(wrap(p.api), Options{Owner: p.owner, Zones: slices.Collect(maps.Keys(p.zones)), Log: p.log})
}

// Caps implements providers.Provider.
func (p *Provider) Caps() providers.Caps { return p.api.Caps() }

// held is a Snapshot's Token: what the zone held, with handles.
type held struct {
	fence *Record // nil: none
	// sets are the steered sets by key, marks the owners' TXT by owned name.
	sets  map[providers.Key]Record
	marks map[string]Record
	// owner is who owns a name; a name without a mark is nobody's, and so is
	// one that only this owner claims.
	owner map[string]string
	// claims are the marks that hold a claim of this owner's, by name.
	claims map[string]Record
	// count is how many steered sets each name has.
	count map[string]int
}

// Read implements providers.Provider: the fence, the records to the last page,
// and the fence again (DESIGN, "Fence").
func (p *Provider) Read(ctx context.Context, zoneName string) (providers.Snapshot, error) {
	name := providers.CanonicalName(zoneName)
	snap, err := p.read(ctx, name)
	if errors.Is(err, ErrUnread) { // here there is no write that it could be taken to speak of
		err = fmt.Errorf("%w: %w", providers.ErrRejected, err)
	}
	if err != nil {
		return providers.Snapshot{}, fmt.Errorf("read zone %s: %w", name, err)
	}
	return snap, nil
}

func (p *Provider) read(ctx context.Context, name string) (providers.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return providers.Snapshot{}, err
	}
	if p.zones[name] == nil {
		return providers.Snapshot{}, errors.New("it is not among the provider's zones in the config")
	}
	for range readTries {
		first, now, err := p.fence(ctx, name)
		if err != nil {
			return providers.Snapshot{}, err
		}
		records, err := p.api.List(ctx, name)
		if err != nil {
			return providers.Snapshot{}, fmt.Errorf("listing its records: %w", err)
		}
		_, after, err := p.fence(ctx, name)
		if err != nil {
			return providers.Snapshot{}, err
		}
		if now == after {
			return p.snapshot(name, first, now, records)
		}
	}
	return providers.Snapshot{}, fmt.Errorf("%w: its fence moved during each of %d reads", providers.ErrConflict, readTries)
}

// fence reads the zone's fence. More than one stops all writes. A first fence
// alone is no fence yet, but the record that the next swap replaces.
func (p *Provider) fence(ctx context.Context, name string) (*Record, providers.Fence, error) {
	at := providers.FenceName(p.owner, name)
	found, err := p.api.Find(ctx, name, at, "TXT")
	if err != nil {
		return nil, providers.Fence{}, fmt.Errorf("reading its fence %s: %w", at, err)
	}
	if len(found) == 0 {
		return nil, providers.Fence{}, nil
	}
	if len(found) > 1 || len(found[0].Data) != 1 {
		return nil, providers.Fence{}, fmt.Errorf("%d fences stand at %s; expected one: somebody wrote there by hand; stop every Veer of owner %s, delete all but the one with the highest write number", max(len(found), len(found[0].Data)), at, p.owner)
	}
	text, err := Text(found[0].Data[0])
	if err != nil {
		return nil, providers.Fence{}, fmt.Errorf("the fence %s: %w; delete it if somebody wrote it by hand", at, err)
	}
	f, err := providers.ParseFence(text)
	if err != nil {
		return nil, providers.Fence{}, fmt.Errorf("the fence %s: %w; delete it if somebody wrote it by hand", at, err)
	}
	if f.Owner != p.owner {
		return nil, providers.Fence{}, fmt.Errorf("the fence %s names the owner %s; expected %s", at, f.Owner, p.owner)
	}
	if f == providers.FirstFence(p.owner) {
		f = providers.Fence{} // it stands for none
	}
	return &found[0], f, nil
}

// snapshot sorts the records into owned and foreign ones.
func (p *Provider) snapshot(name string, fence *Record, f providers.Fence, records []Record) (providers.Snapshot, error) {
	h := &held{fence: fence, sets: map[providers.Key]Record{}, marks: map[string]Record{}, owner: map[string]string{}, claims: map[string]Record{}, count: map[string]int{}}
	for _, r := range records {
		owned, ok := providers.OwnedName(r.Name)
		if !ok || r.Type != "TXT" {
			continue
		}
		who, claimed := p.ownerOf(r)
		if claimed {
			h.claims[owned] = r
		}
		if who != "" {
			h.marks[owned], h.owner[owned] = r, who
		}
	}
	for _, r := range records {
		if r.Foreign != "" && providers.Steered(r.Type) {
			h.owner[providers.CanonicalName(r.Name)] = r.Foreign
		}
	}
	snap := providers.Snapshot{Zone: name, Fence: f, Token: h, Owners: map[string]string{}}
	for owned, who := range h.owner {
		if who == p.owner {
			snap.Owned = append(snap.Owned, owned)
		} else {
			snap.Owners[owned] = who
		}
	}
	slices.Sort(snap.Owned)
	for _, r := range records {
		if !providers.Steered(r.Type) {
			continue
		}
		set := r.Canonical()
		if _, twice := h.sets[set.Key()]; twice {
			return providers.Snapshot{}, fmt.Errorf("the API lists %s %s twice", set.Name, set.Type)
		}
		h.sets[set.Key()] = r
		h.count[set.Name]++
		if h.owner[set.Name] == p.owner {
			snap.Records = append(snap.Records, set)
		} else {
			snap.Foreign = append(snap.Foreign, set)
		}
	}
	slices.SortFunc(snap.Records, providers.Compare)
	slices.SortFunc(snap.Foreign, providers.Compare)
	return snap, nil
}

// ownerOf is who an owner's record names, "" where it holds this owner's claim
// alone, and whether it holds one. A claim beside an owner is void. A record that
// was tampered with names somebody who is surely not this owner.
func (p *Provider) ownerOf(r Record) (who string, claimed bool) {
	var owners, claims []string
	for _, data := range r.Data {
		text, err := Text(data)
		owner, notOwner := providers.ParseOwner(text)
		claimant, notClaim := providers.ParseClaim(text)
		switch {
		case err == nil && notOwner == nil:
			owners = append(owners, owner)
		case err != nil || notClaim != nil:
			owners = append(owners, "(unreadable: "+data+")")
		case claimant == p.owner:
			claimed = true
		default:
			claims = append(claims, claimant)
		}
	}
	if len(owners) == 0 {
		owners = claims
	}
	if len(owners) > 1 {
		return "(several: " + strings.Join(owners, ", ") + ")", claimed
	}
	return strings.Join(owners, ""), claimed
}

// lock waits for the zone's turn.
func (z *zone) lock(ctx context.Context) error {
	select {
	case <-z.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (z *zone) unlock() { z.turn <- struct{}{} }

// mark makes a TXT record of one string.
func (p *Provider) mark(name, text string) *Record {
	caps := p.api.Caps()
	return &Record{RRSet: providers.RRSet{Name: name, Type: "TXT", TTL: min(max(markTTL, caps.MinTTL), caps.MaxTTL), Data: []string{Quote(text)}}}
}

// nonce is random text for scratch records.
func nonce() string { return rand.Text() }
