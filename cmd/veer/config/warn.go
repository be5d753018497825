package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// Warnings are sentences on what is valid and yet likely not meant, in the
// order of the file; those of several services are told once.
func (c *Config) Warnings() []string {
	var out []string
	for _, group := range c.grouped() {
		out = append(out, group.what+": "+strings.Join(group.services, ", "))
	}
	out = append(out, c.isolationWarnings()...)
	out = append(out, c.calledIn()...)
	return append(out, c.sharedAddresses()...)
}

type warning struct {
	what     string
	services []string
}

// grouped collects the services that the same warning is for.
func (c *Config) grouped() []warning {
	var out []warning
	add := func(service, what string) {
		i := slices.IndexFunc(out, func(w warning) bool { return w.what == what })
		if i < 0 {
			out = append(out, warning{what: what})
			i = len(out) - 1
		}
		if !slices.Contains(out[i].services, service) {
			out[i].services = append(out[i].services, service)
		}
	}
	for _, loss := range c.RegionLoss() {
		if !loss.Holds {
			add(loss.Service, fmt.Sprintf("no traffic moves by itself when %s is lost (%s)", loss.Region, loss.Why))
		}
	}
	for _, s := range c.Services {
		c.serviceWarnings(s, func(format string, args ...any) { add(s.Name, fmt.Sprintf(format, args...)) })
	}
	return out
}

func (c *Config) serviceWarnings(s Service, add func(format string, args ...any)) {
	if q, ok := c.quorum(s); ok && q.Need*2 <= len(c.Vantages) {
		add("quorum.need is %d of %d vantages, not more than half: two parts of a split network may decide differently", q.Need, len(c.Vantages))
	}
	b := c.budget(s)
	if ttl, ok := c.timings(s).SteadyTTL(seconds(s.TTL.Min), seconds(s.TTL.Max), s.RTO); ok && ttl < seconds(s.TTL.Max) {
		add("rto %s leaves %d s for the TTL (%s), so that ttl.max %s is never reached", showDuration(s.RTO), ttl, b, showDuration(s.TTL.Max))
	}
	if s.Demand > 0 {
		for _, p := range s.Pools {
			if room := s.roomWithout(p.Region); room < s.Demand {
				add("without %s the other pools can carry %d of a demand of %d: there is no room for all of it", p.Region, room, s.Demand)
			}
		}
	}
	if missing := s.withoutType("AAAA"); len(missing) > 0 && len(missing) < len(s.Pools) {
		add("there is no IPv6 address in %s, so that the name has none while traffic is there", strings.Join(text(missing), " and "))
	}
	if missing := s.withoutType("A"); len(missing) > 0 && len(missing) < len(s.Pools) {
		add("there is no IPv4 address in %s, so that the name has none while traffic is there", strings.Join(text(missing), " and "))
	}
}

// roomWithout is what can be carried when a region is lost: by the largest
// pool where one pool answers, by all together otherwise.
func (s Service) roomWithout(lost regions.Name) uint64 {
	var room uint64
	for _, p := range s.Pools {
		switch {
		case p.Region == lost:
		case s.Policy == steering.Failover || s.Policy.Located():
			room = max(room, p.Capacity)
		case room+p.Capacity < room:
			return ^uint64(0)
		default:
			room += p.Capacity
		}
	}
	return room
}

// withoutType names the regions whose pool has no address of a type.
func (s Service) withoutType(typ string) []regions.Name {
	var out []regions.Name
	for _, p := range s.Pools {
		has := slices.ContainsFunc(p.Endpoints, func(a string) bool {
			_, t, _ := s.address(a)
			return t == typ || t == providers.TypeAlias // whose types are seen when it is looked up
		})
		if !has {
			out = append(out, p.Region)
		}
	}
	return out
}

// sharedAddresses warns of an address that is in several regions.
func (c *Config) sharedAddresses() []string {
	where := map[string][]string{}
	for _, s := range c.Services {
		for _, p := range s.Pools {
			for _, a := range p.Endpoints {
				if !slices.Contains(where[a], string(p.Region)) {
					where[a] = append(where[a], string(p.Region))
				}
			}
		}
	}
	var out []string
	for _, a := range sortedKeys(where) {
		if len(where[a]) > 1 {
			out = append(out, fmt.Sprintf("%s is an endpoint in several regions (%s): losing one of them does not move its traffic", a, strings.Join(where[a], ", ")))
		}
	}
	return out
}
