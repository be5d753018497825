package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// address is an endpoint's address in canonical form, and the type of record
// that the service makes of it.
func (s *Service) address(text string) (canon, typ, problem string) {
	canon, typ, problem = address(text)
	if typ == "CNAME" && s.Type == providers.TypeAlias {
		typ = providers.TypeAlias
	}
	return canon, typ, problem
}

// hostNames are the host names that the service can lead to, each once.
func (s *Service) hostNames() []string {
	var out []string
	add := func(addresses []string) {
		for _, a := range addresses {
			if canon, _, problem := address(a); problem == "" && steering.TypeOf(canon) == "CNAME" && !slices.Contains(out, canon) {
				out = append(out, canon)
			}
		}
	}
	for _, p := range s.Pools {
		add(p.Endpoints)
	}
	add(s.Fallback)
	return out
}

// alias checks a service whose host names are answered with their addresses.
func (l *loader) alias(s *Service, path string) {
	if s.Type != providers.TypeAlias || !l.clean(path) {
		return
	}
	if len(s.hostNames()) == 0 {
		l.bad(path+".type", "the service has no host name to look up", "a host name among its endpoints, or no type", "")
		return
	}
	flattens := func(c providers.Caps) bool { return c.Flatten }
	if without := l.without(s, flattens); len(without) > 0 {
		expected := "only providers of kind authority, or one host name in each pool and no type, which makes a CNAME (an alias record at Route 53, with aliases)"
		if able := l.able(s, flattens); able != "" {
			expected += "; of yours " + able
		}
		l.bad(path+".type", "type ALIAS needs host names to be looked up, which "+strings.Join(without, " and ")+" cannot", expected, "")
		return
	}
	for _, name := range s.Providers {
		if p, _ := l.c.Providers.find(name); p.Authority != nil && len(p.Authority.Alias.Resolver) == 0 && l.clean("providers."+name+".alias") {
			l.bad(path+".type", "the provider "+name+" has no resolver to look host names up", fmt.Sprintf("providers.%s.alias: {resolver: [\"192.0.2.53:53\"]}, with a recursive resolver of yours", name), "")
		}
	}
}

// resolvers refuses a resolver that is any of the authorities on this host:
// whoever looked up its own names there would hear itself.
func (l *loader) resolvers(p Provider, path string) {
	for i, server := range p.Authority.Alias.Resolver {
		for _, other := range l.c.Providers {
			if other.Authority != nil && other.Name != p.Name && slices.ContainsFunc(other.Authority.Listen, func(listen string) bool { return reaches(server, listen) }) {
				l.bad(fmt.Sprintf("%s.alias.resolver[%d]", path, i), fmt.Sprintf("%s is where the provider %s serves, Veer's own server, which resolves nothing", quote(server), other.Name), "a recursive resolver", "")
			}
		}
	}
}

// circles refuses services whose host names are services' names that lead back
// to them: an address that is looked up there would be the service's own echo.
func (l *loader) circles() {
	next := map[string][]string{}
	for i := range l.c.Services {
		s := &l.c.Services[i]
		next[s.Name] = s.hostNames()
	}
	for i := range l.c.Services {
		s, path := &l.c.Services[i], fmt.Sprintf("services[%d]", i)
		if s.Type != providers.TypeAlias || s.Name == "" || !l.clean(path) {
			continue
		}
		if way := wayBack(s.Name, next); way != nil {
			l.bad(path+".pools", "the service leads back to itself, by "+strings.Join(way, " and "), "host names that lead to other addresses", "")
		}
	}
}

// wayBack returns the names on the way from a service to itself, nil for none.
func wayBack(name string, next map[string][]string) []string {
	seen := map[string]bool{}
	var walk func(at string) []string
	walk = func(at string) []string {
		for _, to := range next[at] {
			if to == name {
				return []string{at}
			}
			if seen[to] {
				continue
			}
			seen[to] = true
			if way := walk(to); way != nil {
				return append([]string{at}, way...)
			}
		}
		return nil
	}
	if way := walk(name); way != nil {
		return way[1:]
	}
	return nil
}

// AliasHosts are the host names that the provider's services can lead to with
// their addresses, each once.
func (c *Config) AliasHosts(provider string) []string {
	var out []string
	for i := range c.Services {
		if s := &c.Services[i]; s.Type == providers.TypeAlias && slices.Contains(s.Providers, provider) {
			out = append(out, s.hostNames()...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
