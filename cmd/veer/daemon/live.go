package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/providers"
)

const (
	// liveTimeout bounds the look at one zone, liveAtOnce how many are looked at
	// at the same time.
	liveTimeout = 2 * time.Minute
	liveAtOnce  = 4
)

// LiveZone is what `veer validate --live` finds of one zone of a provider.
type LiveZone struct {
	Provider string `json:"provider"`
	Kind     string `json:"kind"`
	Zone     string `json:"zone"`
	// Read: it was found and read, in ReadTook, with the credentials of the
	// config.
	Read     bool          `json:"read"`
	ReadTook time.Duration `json:"read_took"`
	// Proven: it was shown to refuse a stale write, in ProofTook.
	Proven    bool          `json:"proven"`
	ProofTook time.Duration `json:"proof_took"`
	// Unproven: it was seen to take one, and is only read.
	Unproven bool `json:"unproven,omitempty"`
	// Error is why it could not be read or proven.
	Error string   `json:"error,omitempty"`
	Can   LiveCaps `json:"can"`
	// Fence is the last write of this owner; empty: there was none yet.
	Fence string     `json:"fence,omitempty"`
	Names []LiveName `json:"names"`
	// Held are owned names that no service has here.
	Held []string `json:"held"`
}

// LiveCaps is what a provider's records can express.
type LiveCaps struct {
	Weights      bool   `json:"weights"`
	Alias        bool   `json:"alias"`
	MinTTL       uint32 `json:"min_ttl"`
	MaxTTL       uint32 `json:"max_ttl"`
	BatchRecords int    `json:"batch_records,omitempty"`
}

// The states of a service's name in a zone.
const (
	NameOwned   = "owned"
	NameFree    = "free"
	NameForeign = "foreign"
	NameOther   = "other owner"
)

// LiveName is a service's name as a zone has it.
type LiveName struct {
	Name string `json:"name"`
	// State is owned, free, foreign (records that no Veer owns: refused until
	// `veer import`) or "other owner" (refused).
	State string `json:"state"`
	// Owner is the other one.
	Owner   string            `json:"owner,omitempty"`
	Records []providers.RRSet `json:"records"`
}

// Failed reports whether the zone could not be looked at.
func (z LiveZone) Failed() bool { return z.Error != "" && !z.Unproven }

// Refuses reports whether Veer would not write the zone, or a name of it.
func (z LiveZone) Refuses() bool {
	return z.Unproven || slices.ContainsFunc(z.Names, func(n LiveName) bool { return n.State == NameForeign || n.State == NameOther })
}

// Live looks at every written zone of the config: it reads it, and proves on a
// scratch record, which it removes again, that the zone keeps a stale write
// out. No other record is written. The zones are in the order of the config.
func Live(ctx context.Context, c *config.Config, open Opener, log zerolog.Logger) []LiveZone {
	if open == nil {
		open = Open
	}
	out := []LiveZone{}
	var clients []providers.Provider
	for _, p := range c.Providers {
		if p.Written() == nil {
			continue
		}
		client, err := open(c, p, log.With().Str("provider", p.Name).Logger())
		for _, zone := range p.Zones() {
			z := LiveZone{Provider: p.Name, Kind: p.Kind, Zone: zone, Can: capsOf(p.Caps()), Names: []LiveName{}, Held: []string{}}
			if err != nil {
				z.Error = err.Error()
			}
			out, clients = append(out, z), append(clients, client)
		}
	}
	var all errgroup.Group
	all.SetLimit(liveAtOnce)
	for i := range out {
		if out[i].Error == "" {
			all.Go(func() error { out[i].look(ctx, c, clients[i]); return nil })
		}
	}
	_ = all.Wait() // the functions return nil
	return out
}

func capsOf(c providers.Caps) LiveCaps {
	return LiveCaps{Weights: c.Weights, Alias: c.Alias, MinTTL: c.MinTTL, MaxTTL: c.MaxTTL, BatchRecords: c.BatchRecords}
}

// look fills in what the zone answers.
func (z *LiveZone) look(ctx context.Context, c *config.Config, client providers.Provider) {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	began := time.Now()
	have, err := client.Read(ctx, z.Zone)
	z.ReadTook = time.Since(began)
	if err != nil {
		z.Error = err.Error()
		return
	}
	z.Read = true
	if have.Fence != (providers.Fence{}) {
		z.Fence = have.Fence.String()
	}
	z.names(c, have)
	prover, ok := client.(providers.Prover)
	if !ok {
		z.Proven = true // by what it is
		return
	}
	began = time.Now()
	err = prover.Prove(ctx, z.Zone)
	z.ProofTook = time.Since(began)
	z.Proven, z.Unproven = err == nil, errors.Is(err, providers.ErrUnproven)
	if err != nil {
		z.Error = err.Error()
	}
}

// names tells who owns the names of the services that go to the zone.
func (z *LiveZone) names(c *config.Config, have providers.Snapshot) {
	here := map[string]bool{}
	for _, s := range c.Services {
		if !goesTo(c, s, z.Provider, z.Zone) {
			continue
		}
		here[s.Name] = true
		n := LiveName{Name: s.Name, State: NameFree, Records: at(s.Name, have.Records, have.Foreign)}
		switch {
		case have.Owners[s.Name] != "":
			n.State, n.Owner = NameOther, have.Owners[s.Name]
		case slices.Contains(have.Owned, s.Name):
			n.State = NameOwned
		case len(n.Records) > 0:
			n.State = NameForeign
		}
		z.Names = append(z.Names, n)
	}
	slices.SortFunc(z.Names, func(a, b LiveName) int { return strings.Compare(a.Name, b.Name) })
	for _, name := range have.Owned {
		if !here[name] {
			z.Held = append(z.Held, name)
		}
	}
}

// goesTo reports whether a service's answers go to the zone.
func goesTo(c *config.Config, s config.Service, provider, zone string) bool {
	if !slices.Contains(s.Providers, provider) {
		return false
	}
	i := slices.IndexFunc(c.Providers, func(p config.Provider) bool { return p.Name == provider })
	return i >= 0 && c.Providers[i].Zone(s.Name) == zone
}

func at(name string, lists ...[]providers.RRSet) []providers.RRSet {
	out := []providers.RRSet{}
	for _, list := range lists {
		for _, set := range list {
			if set.Name == name {
				out = append(out, set)
			}
		}
	}
	return out
}
