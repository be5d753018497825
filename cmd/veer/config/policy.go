package config

import (
	"maps"
	"slices"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// Policy is what is to be steered, in the form that decisions take.
func (c *Config) Policy() steering.Policy {
	out := steering.Policy{Services: make([]steering.Service, 0, len(c.Services))}
	for _, s := range c.Services {
		ttl, _ := c.timings(s).SteadyTTL(seconds(s.TTL.Min), seconds(s.TTL.Max), s.RTO)
		one := steering.Service{
			Name:     s.Name,
			Kind:     s.Policy,
			AllDown:  s.AllDown,
			Fallback: slices.Clone(s.Fallback),
			Demand:   s.Demand,
			Manual:   s.Failback.Mode == FailbackManual,
			Hold:     s.Failback.Hold,
			Rejoin:   s.Rejoin,
			Damping:  s.Damping.steering(),
			TTL:      ttl,
			MinTTL:   seconds(s.TTL.Min),
			MaxTTL:   seconds(s.TTL.Max),
			Shifts:   c.Velocity.Shifts,

			Locations: c.steered(s),
			Nearness:  s.nearness(),
			Flatten:   s.Type == providers.TypeAlias,
		}
		for _, p := range s.Pools {
			one.Pools = append(one.Pools, p.steering(s))
		}
		out.Services = append(out.Services, one)
	}
	return out
}

func (p Pool) steering(s Service) steering.Pool {
	out := steering.Pool{Region: p.Region, Capacity: p.Capacity, MinUp: p.MinUp}
	if s.Policy == steering.Weighted {
		out.Weight = p.Weight
	}
	for _, a := range p.Endpoints {
		out.Endpoints = append(out.Endpoints, steering.Endpoint{ID: endpointID(s.Monitor, a), Address: a})
	}
	return out
}

// quorum is the service's rule, or false when it is not valid.
func (c *Config) quorum(s Service) (regions.Quorum, bool) {
	need, err := regions.ParseNeed(s.Quorum.Need, len(c.Vantages))
	if err != nil || len(c.Vantages) == 0 {
		return regions.Quorum{}, false
	}
	return regions.Quorum{Vantages: slices.Clone(c.Vantages), Need: need, MinVoters: s.Quorum.MinVoters}, true
}

// Quorums is the rule for each endpoint.
func (c *Config) Quorums() map[regions.EndpointID]regions.Quorum {
	out := map[regions.EndpointID]regions.Quorum{}
	for _, s := range c.Services {
		q, ok := c.quorum(s)
		if !ok {
			continue
		}
		for _, p := range s.Pools {
			for _, a := range p.Endpoints {
				out[endpointID(s.Monitor, a)] = q
			}
		}
	}
	return out
}
