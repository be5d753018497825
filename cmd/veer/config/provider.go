package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers/authority"
)

// KindAuthority is the embedded authoritative server.
const KindAuthority = "authority"

// laterKinds are words that the design knows and this version cannot write to.
func laterKinds() []string { return []string{"route53", "cloudflare", "rfc2136"} }

func (ps *Providers) fromNode(d decoder, n *node, path string) {
	if n.shape != mapping {
		d.mismatch(n, path, "names of providers, each with its keys below it", "")
		return
	}
	for _, p := range n.pairs {
		one := Provider{Name: p.key.text}
		one.read(d, p, join(path, p.key.text))
		*ps = append(*ps, one)
	}
}

func (p *Provider) read(d decoder, at pair, path string) {
	n := at.value
	if n.shape != mapping {
		d.mismatch(n, path, "keys and values below it, such as kind: authority", "")
		return
	}
	kind := n.get("kind")
	if kind == nil {
		d.bad(at.key, path, Error{Problem: "the key kind is missing", Expected: "kind: " + KindAuthority})
		return
	}
	d.value(kind, join(path, "kind"), addressable(&p.Kind))
	switch {
	case p.Kind == KindAuthority:
		p.Authority = &authority.Config{}
		d.structs(n, path, addressable(&struct {
			Kind string `yaml:"kind"`
		}{}), addressable(p.Authority))
	case slices.Contains(laterKinds(), p.Kind):
		d.bad(kind, join(path, "kind"), Error{
			Problem:  "this version of Veer cannot write to " + p.Kind + " yet",
			Expected: KindAuthority + ", Veer's own authoritative server",
		})
		d.secretsBelow(n, path)
	default:
		d.unknownWord(kind, join(path, "kind"), append([]string{KindAuthority}, laterKinds()...))
		d.secretsBelow(n, path)
	}
}

// secretsBelow reports inline secrets under keys that are not read further.
func (d decoder) secretsBelow(n *node, path string) {
	for _, p := range n.pairs {
		if at := join(path, p.key.text); inlineSecret(p.key.text) {
			d.inlineSecret(p.key, at, []string{p.key.text + "_file"})
		} else {
			d.secretsBelow(p.value, at)
		}
	}
	for _, item := range n.items {
		d.secretsBelow(item, path)
	}
}

func (ps Providers) toNode(e encoder) *node {
	out := &node{shape: mapping}
	for _, p := range ps {
		one := &node{shape: mapping}
		one.add("kind", textNode(p.Kind))
		if p.Authority != nil {
			one.pairs = append(one.pairs, e.value(reflect.ValueOf(*p.Authority)).pairs...)
		}
		out.add(p.Name, one)
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
