package config

import (
	"slices"
	"strings"

	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/powerdns"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/route53"
)

// The kinds of providers.
const (
	// KindAuthority is the embedded authoritative server.
	KindAuthority  = "authority"
	KindRoute53    = "route53"
	KindCloudflare = "cloudflare"
	KindRFC2136    = "rfc2136"
	KindPowerDNS   = "powerdns"
)

func providerKinds() []string {
	return []string{KindAuthority, KindRoute53, KindCloudflare, KindRFC2136, KindPowerDNS}
}

// choose makes the Config of the provider's kind and returns it, or nil for an
// unknown kind.
func (p *Provider) choose() any {
	switch p.Kind {
	case KindAuthority:
		p.Authority = &authority.Config{}
		return p.Authority
	case KindRoute53:
		p.Route53 = &route53.Config{}
		return p.Route53
	case KindCloudflare:
		p.Cloudflare = &cloudflare.Config{}
		return p.Cloudflare
	case KindRFC2136:
		p.RFC2136 = &rfc2136.Config{}
		return p.RFC2136
	case KindPowerDNS:
		p.PowerDNS = &powerdns.Config{}
		return p.PowerDNS
	}
	return nil
}

// own returns the kind's Config, or nil.
func (p Provider) own() any {
	if w := p.Written(); w != nil {
		return w
	}
	if p.Authority != nil {
		return *p.Authority
	}
	return nil
}

// zoneNames are where the names of a written provider's zones stand.
func (p Provider) zoneNames() []*string {
	var out []*string
	switch {
	case p.Route53 != nil:
		for i := range p.Route53.Zones {
			out = append(out, &p.Route53.Zones[i].Name)
		}
	case p.Cloudflare != nil:
		for i := range p.Cloudflare.Zones {
			out = append(out, &p.Cloudflare.Zones[i].Name)
		}
	case p.RFC2136 != nil:
		for i := range p.RFC2136.Zones {
			out = append(out, &p.RFC2136.Zones[i].Name)
		}
	case p.PowerDNS != nil:
		for i := range p.PowerDNS.Zones {
			out = append(out, &p.PowerDNS.Zones[i].Name)
		}
	}
	return out
}

func (ps *Providers) fromNode(d decoder, n *node, path string) {
	d.named(n, path, "providers", providerKinds(), func(name string) (*string, func() any) {
		*ps = append(*ps, Provider{Name: name})
		p := &(*ps)[len(*ps)-1]
		return &p.Kind, p.choose
	})
}

func (ps Providers) toNode(e encoder) *node {
	out := &node{shape: mapping}
	for _, p := range ps {
		out.add(p.Name, e.kinded(p.Kind, p.own()))
	}
	return out
}

// names lists the providers, for messages.
func (ps Providers) names() []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = p.Name
	}
	return out
}

// find returns the provider of that name.
func (ps Providers) find(name string) (Provider, bool) {
	i := slices.IndexFunc(ps, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, false
	}
	return ps[i], true
}

// zoneList names every zone of every provider, for messages.
func (ps Providers) zoneList() string {
	var all []string
	for _, p := range ps {
		for _, z := range p.Zones() {
			all = append(all, z+" ("+p.Name+")")
		}
	}
	return strings.Join(all, ", ")
}
