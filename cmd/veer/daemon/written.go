package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/powerdns"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// Opener makes the client of a provider that is written to.
type Opener func(c *config.Config, p config.Provider, log zerolog.Logger) (providers.Provider, error)

// Open is the Opener of the real providers. It sends nothing yet.
func Open(c *config.Config, p config.Provider, log zerolog.Logger) (providers.Provider, error) {
	switch {
	case p.Route53 != nil:
		return route53.New(*p.Route53, route53.Options{Owner: c.Owner, Log: log})
	case p.Cloudflare != nil:
		return cloudflare.New(*p.Cloudflare, cloudflare.Options{Owner: c.Owner, Log: log})
	case p.RFC2136 != nil:
		return rfc2136.New(*p.RFC2136, rfc2136.Options{Owner: c.Owner, Names: namesOf(c, p), Log: log})
	case p.PowerDNS != nil:
		return powerdns.New(*p.PowerDNS, powerdns.Options{Owner: c.Owner, Log: log})
	}
	return nil, fmt.Errorf("the kind %s is not written to", p.Kind)
}

// namesOf are the names of the services that go to the provider.
func namesOf(c *config.Config, p config.Provider) []string {
	var names []string
	for _, s := range c.Services {
		if slices.Contains(s.Providers, p.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

// Written opens every provider that is written to, and lists their zones with
// the services that go there: each to the longest matching zone of each of its
// providers.
func Written(c *config.Config, open Opener, log zerolog.Logger) ([]controller.Written, error) {
	return writtenBy(c, func(p config.Provider) (providers.Provider, error) {
		return open(c, p, log.With().Str("provider", p.Name).Logger())
	})
}

// writtenBy is Written with the clients that open gives.
func writtenBy(c *config.Config, open func(config.Provider) (providers.Provider, error)) ([]controller.Written, error) {
	var out []controller.Written
	for _, p := range c.Providers {
		if p.Written() == nil {
			continue
		}
		client, err := open(p)
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", p.Name, err)
		}
		services := map[string]map[string]bool{} // by zone
		for _, s := range c.Services {
			zone := p.Zone(s.Name)
			if !slices.Contains(s.Providers, p.Name) || zone == "" {
				continue
			}
			if services[zone] == nil {
				services[zone] = map[string]bool{}
			}
			services[zone][s.Name] = true
		}
		for _, zone := range p.Zones() {
			here := services[zone]
			out = append(out, controller.Written{
				Name: p.Name, Zone: zone, Provider: client,
				Takes: func(service string) bool { return here[providers.CanonicalName(service)] },
			})
		}
	}
	return out, nil
}

// fenceWait bounds how long a candidate waits for the fences of a ledger that
// knows nothing, before it stands for election without them.
const fenceWait = 20 * time.Second

// fences are what the zones' fences and records told while the ledger was
// empty.
type fences struct {
	mu      sync.Mutex
	highest regions.Term
	answers map[string]found // by service
}

// found is an answer that a zone has, and the term of the zone's fence.
type found struct {
	term regions.Term
	sets []steering.Answer
}

// saw takes a fence's term down. One beyond what elections can reach was written
// by hand, and is left to whoever reads the log of the zone that refuses.
func (f *fences) saw(term uint64) {
	const beyond = 1 << 62
	if term >= beyond {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.highest = max(f.highest, regions.Term(term))
}

// keep takes the answers of a zone down. Of a name at several providers, the
// one written in the highest term counts.
func (f *fences) keep(have providers.Snapshot, takes func(string) bool) {
	here := map[string][]steering.Answer{}
	for _, set := range have.Records {
		if takes(set.Name) {
			here[set.Name] = append(here[set.Name], steering.Answer{RRSet: set})
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answers == nil {
		f.answers = map[string]found{}
	}
	for name, sets := range here {
		if term := min(regions.Term(have.Fence.Term), f.highest); term > f.answers[name].term {
			f.answers[name] = found{term, sets}
		}
	}
}

func (f *fences) term() regions.Term {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.highest
}

// shards are the answers as a ledger would have them.
func (f *fences) shards() []steering.Shard {
	f.mu.Lock()
	defer f.mu.Unlock()
	byID := map[int]steering.Shard{}
	for _, name := range slices.Sorted(maps.Keys(f.answers)) {
		id := steering.ShardOf(name)
		sh := byID[id]
		sh.ID, sh.Term = id, max(sh.Term, f.answers[name].term)
		sh.Answers = append(sh.Answers, f.answers[name].sets...)
		byID[id] = sh
	}
	return slices.Collect(maps.Values(byID))
}

// readFences reads every written zone where the ledger is empty: it may be a
// rebuilt one, whose terms start again below those of the zones, and which
// would move traffic although nothing is known. What the zones answer holds
// until votes speak against it. A zone that does not answer is asked again until fenceWait is over; a fence
// that is found only when the zone is claimed still raises the term, at the
// price of one more election.
func (d *daemon) readFences(ctx context.Context, written []controller.Written) {
	stored, err := d.joined.Shards(ctx)
	if len(written) == 0 || len(stored) > 0 && err == nil {
		return
	}
	d.seeFences(ctx, written)
}

// readFence reads one zone, and reports whether it answered.
func (d *daemon) readFence(ctx context.Context, w controller.Written) bool {
	for pause := rejoinFirst; ; pause = min(2*pause, rejoinMost) {
		have, err := w.Provider.Read(ctx, w.Zone)
		if err == nil {
			d.fences.saw(have.Fence.Term)
			d.fences.keep(have, w.Takes)
			return true
		}
		log := d.o.Log.Warn().Err(err).Str("provider", w.Name).Str("zone", w.Zone)
		if ctx.Err() != nil {
			log.Msg("the zone's fence cannot be read: going on without it; it counts when the zone answers and is claimed")
			return false
		}
		log.Dur("again_in_ms", pause).Msg("the ledger is empty, or is restored: reading the zone's fence first")
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// termFloor is the highest term that is known beside the ledger.
func (d *daemon) termFloor() regions.Term { return max(d.servedTerm(), d.fences.term()) }
