package daemon

import (
	"context"
	"fmt"
	"slices"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/regions/steering"
)

// IAMPolicy is the least IAM policy for a provider of kind route53, as JSON;
// without a name there must be exactly one.
func IAMPolicy(ctx context.Context, c *config.Config, name string, readOnly bool) ([]byte, error) {
	var found []config.Provider
	var known []string
	for _, p := range c.Providers {
		if p.Route53 == nil {
			continue
		}
		if known = append(known, p.Name); name == "" || name == p.Name {
			found = append(found, p)
		}
	}
	switch {
	case len(known) == 0:
		return nil, bad("the config has no provider of kind route53")
	case len(found) == 0:
		return nil, bad("no provider of kind route53 is named %s: there is %s", name, list(known))
	case len(found) > 1:
		return nil, bad("several providers are of kind route53: name one of %s with --provider", list(known))
	}
	p := found[0]
	in := route53.PolicyInput{Owner: c.Owner, ReadOnly: readOnly}
	for _, s := range c.Services {
		if !slices.Contains(s.Providers, p.Name) {
			continue
		}
		in.Names = append(in.Names, s.Name)
		for _, pool := range s.Pools {
			for _, address := range pool.Endpoints {
				in.Types = append(in.Types, steering.TypeOf(address))
			}
		}
		for _, address := range s.Fallback {
			in.Types = append(in.Types, steering.TypeOf(address))
		}
	}
	slices.Sort(in.Types)
	in.Types = slices.Compact(in.Types)
	if slices.ContainsFunc(p.Route53.Zones, func(z route53.Zone) bool { return z.ID == "" }) {
		client, err := route53.New(*p.Route53, route53.Options{Owner: c.Owner, Log: zerolog.Nop()})
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", p.Name, err)
		}
		if in.IDs, err = client.ZoneIDs(ctx); err != nil {
			return nil, fmt.Errorf("provider %s: %w; give the zones' ids in the config, as zones[].id", p.Name, err)
		}
	}
	return p.Route53.Policy(in)
}
