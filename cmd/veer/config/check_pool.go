package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// pools checks a service's pools and makes their addresses canonical.
func (l *loader) pools(s *Service, path string) {
	if !l.require(path, "pools", "the endpoints by region, like - {region: eu-west, endpoints: [192.0.2.10]}") || !l.clean(path+".pools") {
		return
	}
	if n := len(s.Pools); n < 1 || n > maxPools {
		l.bad(path+".pools", fmt.Sprintf("found %d pools", n), fmt.Sprintf("1 to %d", maxPools), "")
	}
	var taken []regions.Name
	types := map[string]string{} // type to the first place that has it
	for i := range s.Pools {
		p, at := &s.Pools[i], fmt.Sprintf("%s.pools[%d]", path, i)
		l.poolRegion(p, at, taken)
		taken = append(taken, p.Region)
		l.endpoints(s, p, at, types)
		l.load(s, p, at)
	}
	if s.Policy == steering.Weighted && !slices.ContainsFunc(s.Pools, func(p Pool) bool { return p.Weight > 0 }) {
		l.bad(path+".pools", "every weight is 0", "at least one pool with a weight above 0", "")
	}
	l.recordType(s, path, types)
	l.fallback(s, path, types)
}

func (l *loader) poolRegion(p *Pool, path string, taken []regions.Name) {
	if !l.require(path, "region", "the name of a region") {
		return
	}
	switch {
	case len(l.c.Regions) > 0 && !slices.Contains(l.c.Regions, p.Region):
		l.unknown(path+".region", "region", string(p.Region), text(l.c.Regions))
	case slices.Contains(taken, p.Region):
		l.bad(path+".region", "the service has a pool in "+quote(string(p.Region))+" already", "one pool a region, with all of its endpoints", "")
	}
}

func (l *loader) endpoints(s *Service, p *Pool, path string, types map[string]string) {
	if !l.require(path, "endpoints", "a list of addresses, like [192.0.2.10]") {
		return
	}
	if n := len(p.Endpoints); n < 1 || n > maxEndpoints {
		l.bad(path+".endpoints", fmt.Sprintf("found %d endpoints", n), fmt.Sprintf("1 to %d", maxEndpoints), "")
	}
	for i, text := range p.Endpoints {
		at := fmt.Sprintf("%s.endpoints[%d]", path, i)
		canon, typ, problem := s.address(text)
		switch {
		case problem != "":
			l.bad(at, problem, "an IP address or a host name", "")
			continue
		case slices.Contains(p.Endpoints[:i], canon):
			l.bad(at, quote(text)+" is listed twice", "each endpoint once", "")
		case canon == s.Name:
			l.bad(at, quote(text)+" is the service itself", "a host name that the service can point to", "")
		case typ == "CNAME" && len(p.Endpoints) > 1:
			l.bad(at, fmt.Sprintf("the host name %s stands beside another endpoint", quote(text)), "one host name alone, since a name has one CNAME (RFC 2181, section 10.1), or IP addresses, or type: ALIAS", "")
		}
		p.Endpoints[i] = canon
		if types[typ] == "" {
			types[typ] = at
		}
	}
	if p.MinUp < 1 || p.MinUp > max(len(p.Endpoints), 1) {
		l.bad(path+".min_up", fmt.Sprintf("found %d", p.MinUp), fmt.Sprintf("1 to the number of endpoints, %d", len(p.Endpoints)), "")
	}
}

// load checks capacity and weight against what the service says.
func (l *loader) load(s *Service, p *Pool, path string) {
	if s.Demand > 0 && p.Capacity == 0 {
		l.bad(path+".capacity", "there is no capacity, while the service has a demand", fmt.Sprintf("what this pool can carry, in the unit of demand: %d", s.Demand), "")
	}
	if s.Policy != steering.Weighted && l.has(path+".weight") && l.clean(path+".weight") {
		l.bad(path+".weight", "a weight has no meaning with policy "+string(s.Policy), "policy: weighted, or no weight", "")
	}
	if p.Weight > 1_000_000 {
		l.bad(path+".weight", fmt.Sprintf("found %d", p.Weight), "0 to 1000000", "")
	}
}

// recordType checks the addresses against each other, the type and the policy.
func (l *loader) recordType(s *Service, path string, types map[string]string) {
	at, named := types["CNAME"]
	if named && len(types) > 1 {
		l.bad(at, "the service has a host name here and IP addresses elsewhere", "one kind in all pools, since a CNAME has no records beside it (RFC 1034, section 3.6.2); or type: ALIAS, which answers with the host's addresses", "")
		return
	}
	if s.Type == providers.TypeAlias {
		return // alias looks at it
	}
	for typ, where := range types {
		if s.Type != "" && typ != s.Type && l.clean(path+".type") {
			l.bad(where, "this endpoint makes a record of type "+typ, "type "+s.Type+", as the service says", "")
		}
	}
	if !named {
		return
	}
	if s.Policy == steering.Multivalue {
		l.bad(path+".policy", "multivalue answers with several records, and a name has one CNAME (RFC 2181, section 10.1)", "failover or weighted, or IP addresses", "")
	}
	for _, name := range s.Providers {
		p, _ := l.c.Providers.find(name)
		aliases, plain := p.aliased(s)
		switch {
		case s.Name != "" && slices.Contains(p.Zones(), s.Name) && len(plain) > 0:
			l.bad(at, s.Name+" is the top of its zone, where no CNAME can stand (RFC 1034, section 3.6.2)", "IP addresses, or type: ALIAS with a provider of kind authority", "")
		case s.Policy == steering.Weighted && len(aliases) > 0 && len(plain) > 0:
			l.bad(at, fmt.Sprintf("%s is an alias at the provider %s and %s is not, which cannot share a name", aliases[0], name, plain[0]), "all host names of a weighted service among providers."+name+".aliases, or none", "")
		}
	}
}

// aliased parts the service's host names into those that the provider answers
// with alias records and those that take a CNAME.
func (p Provider) aliased(s *Service) (aliases, plain []string) {
	known := p.Caps().Aliases
	for _, pool := range s.Pools {
		for _, host := range pool.Endpoints {
			if _, ok := known[host]; ok {
				aliases = append(aliases, host)
			} else {
				plain = append(plain, host)
			}
		}
	}
	for _, host := range s.Fallback {
		if _, ok := known[providers.CanonicalName(host)]; !ok && s.AllDown == steering.Fallback {
			plain = append(plain, host)
		}
	}
	return aliases, plain
}

// fallback checks the addresses for all_down: fallback.
func (l *loader) fallback(s *Service, path string, types map[string]string) {
	if s.AllDown != steering.Fallback {
		if len(s.Fallback) > 0 && l.clean(path+".all_down") {
			l.bad(path+".fallback", "fallback has no meaning with all_down: "+string(s.AllDown), "all_down: fallback, or no fallback", "")
		}
		return
	}
	if len(s.Fallback) == 0 && l.clean(path+".fallback") {
		l.bad(path+".fallback", "all_down is fallback, and there is no fallback", "at least one address, like fallback: [192.0.2.99]", "")
	}
	for i, text := range s.Fallback {
		at := fmt.Sprintf("%s.fallback[%d]", path, i)
		canon, typ, problem := s.address(text)
		switch {
		case problem != "":
			l.bad(at, problem, "an IP address or a host name, as the pools have", "")
			continue
		case slices.Contains(s.Fallback[:i], canon):
			l.bad(at, quote(text)+" is listed twice", "each address once", "")
		case s.Type == providers.TypeAlias && canon == s.Name:
			l.bad(at, quote(text)+" is the service itself", "another host name, or an IP address", "")
		case s.Type == providers.TypeAlias: // of any kind
		case len(types) > 0 && types[typ] == "":
			l.bad(at, "this address makes a record of type "+typ, "one that the pools have: "+strings.Join(sortedKeys(types), ", "), "")
		case typ == "CNAME" && (len(s.Fallback) > 1 || canon == s.Name):
			l.bad(at, "a CNAME points to one other name", "one host name alone", "")
		}
		s.Fallback[i] = canon
	}
}
