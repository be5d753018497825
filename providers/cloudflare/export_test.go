package cloudflare

import "github.com/veerdns/veer/providers/internal/fenced"

// Unclaimed makes a provider that claims no names: a planted fault.
func Unclaimed(c Config, o Options) *Provider {
	a := &api{config: c.withDefaults(), owner: o.Owner, log: o.Log, zones: newZones(c)}
	a.client = newClient(a.config, o)
	return &Provider{fenced.New(struct{ fenced.API }{a}, fenced.Options{Owner: o.Owner, Zones: c.ZoneNames(), Log: o.Log})}
}
