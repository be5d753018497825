package authority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// Held is what the ledger's answers say in one zone at one moment.
type Held struct {
	// Fence is that of the owner's last write to the zone; zero: none yet.
	Fence providers.Fence
	// Records are the answers in the zone, sorted by key.
	Records []providers.RRSet
	// Token is the ledger's own precondition for a swap, opaque to Provider.
	Token any
}

// Ledger keeps answers for Provider. It is safe for concurrent use.
type Ledger interface {
	// ReadAnswers returns what the answers say in the zone (canonical).
	ReadAnswers(ctx context.Context, zone string) (Held, error)
	// SwapAnswers makes the changes and writes next, in one transaction that
	// holds only if the zone's answers and fence are still as in from. It
	// returns providers.Guard's errors, wrapped; after any other error it may
	// have happened or not.
	SwapAnswers(ctx context.Context, zone string, from Held, next providers.Fence, changes []providers.Change) error
}

// Provider is the authority as a providers.Provider: its control plane is the
// ledger, from which every authority server takes its answers.
type Provider struct {
	ledger Ledger
	owner  string
	zones  map[string]bool
}

var _ providers.Provider = (*Provider)(nil)

// NewProvider returns the provider of the config's zones.
func NewProvider(c Config, owner string, l Ledger) *Provider {
	p := &Provider{ledger: l, owner: owner, zones: make(map[string]bool, len(c.Zones))}
	for _, z := range c.Zones {
		p.zones[providers.CanonicalName(z.Name)] = true
	}
	return p
}

// Caps implements providers.Provider.
func (p *Provider) Caps() providers.Caps { return Caps() }

// Caps is what an authority's records can express.
func Caps() providers.Caps {
	return providers.Caps{Weights: true, Geo: true, Flatten: true, MinTTL: 0, MaxTTL: maxTTL, Exact: true}
}

// Read implements providers.Provider.
func (p *Provider) Read(ctx context.Context, zone string) (providers.Snapshot, error) {
	zone = providers.CanonicalName(zone)
	if !p.zones[zone] {
		return providers.Snapshot{}, fmt.Errorf("authority: zone %s is not in the config", zone)
	}
	held, err := p.ledger.ReadAnswers(ctx, zone)
	if err != nil {
		return providers.Snapshot{}, fmt.Errorf("authority: read the answers in zone %s: %w", zone, err)
	}
	return providers.Snapshot{Zone: zone, Fence: held.Fence, Records: held.Records, Token: held.Token}, nil
}

// Apply implements providers.Provider.
func (p *Provider) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	if err := p.check(from, next, changes); err != nil {
		return providers.Receipt{}, fmt.Errorf("authority: write zone %s: %w", from.Zone, err)
	}
	if err := from.Fence.Admits(next); err != nil {
		return providers.Receipt{}, fmt.Errorf("authority: write zone %s: %w", from.Zone, err)
	}
	held := Held{Fence: from.Fence, Records: from.Records, Token: from.Token}
	err := p.ledger.SwapAnswers(ctx, from.Zone, held, next, changes)
	if err == nil {
		return providers.Receipt{Fence: next, Calls: 1}, nil
	}
	if !errors.Is(err, providers.ErrFenced) {
		// The reply may be what was lost, or what was refused the second of two
		// that arrived: the fence tells.
		now, readErr := p.ledger.ReadAnswers(ctx, from.Zone)
		if readErr == nil && now.Fence == next {
			return providers.Receipt{Fence: next, Calls: 2}, nil
		}
	}
	return providers.Receipt{}, fmt.Errorf("authority: write zone %s: %w", from.Zone, err)
}

// check refuses what could not be served.
func (p *Provider) check(from providers.Snapshot, next providers.Fence, changes []providers.Change) error {
	if !p.zones[from.Zone] {
		return errors.New("it is not in the config")
	}
	if err := providers.CheckWrite(p.Caps(), p.owner, from, next, changes); err != nil {
		return err
	}
	for _, c := range changes {
		if c.After == nil {
			continue
		}
		if c.After.Type == providers.TypeAlias {
			if err := checkHosts(c.After.Data); err != nil {
				return fmt.Errorf("%s: %w", c.After.Name, err)
			}
			continue
		}
		if _, err := compileAnswer(steering.Answer{RRSet: c.After.Canonical()}, time.Time{}); err != nil {
			return fmt.Errorf("%s %s: %w", c.After.Name, c.After.Type, err)
		}
	}
	return nil
}
