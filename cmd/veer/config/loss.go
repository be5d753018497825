package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// RegionLoss says whether a service survives the loss of a region, with its
// endpoints, vantage, etcd member and leader at once (DESIGN, property 11).
type RegionLoss struct {
	Service string       `json:"service"`
	Region  regions.Name `json:"region"`
	// Holds: its traffic moves by itself within Budget.
	Holds bool `json:"holds"`
	// Why is one sentence, also when it holds.
	Why    string          `json:"why"`
	Budget steering.Budget `json:"budget"`
}

// RegionLoss computes the loss of each region, and of each vantage that is no
// region, for each service.
func (c *Config) RegionLoss() []RegionLoss {
	places := slices.Clone(c.Regions)
	for _, v := range c.Vantages {
		if !slices.Contains(places, v) && !c.Votes(v) {
			places = append(places, v)
		}
	}
	out := make([]RegionLoss, 0, len(c.Services)*len(places))
	for _, s := range c.Services {
		budget := c.budget(s)
		for _, place := range places {
			loss := RegionLoss{Service: s.Name, Region: place, Budget: budget}
			var fails []string
			for _, why := range []string{c.votesWithout(s, place), c.ledgerWithout(place), s.poolsWithout(place)} {
				if why != "" {
					fails = append(fails, why)
				}
			}
			if !budget.Holds() {
				fails = append(fails, fmt.Sprintf("the worst case %s is over rto %s", budget.Total, budget.Limit))
			}
			loss.Holds, loss.Why = len(fails) == 0, strings.Join(fails, "; ")
			if loss.Holds {
				loss.Why = c.survives(s, place)
			}
			out = append(out, loss)
		}
	}
	return out
}

// votesWithout says why the vantages that are left cannot decide, or "". That a
// hook votes in time nobody promises.
func (c *Config) votesWithout(s Service, lost regions.Name) string {
	q, ok := c.quorum(s)
	q.Vantages = slices.DeleteFunc(q.Vantages, c.Votes)
	left, decide := q.Without(lost)
	switch {
	case !ok:
		return "its quorum is not valid"
	case decide:
		return ""
	case left < q.Need:
		return fmt.Sprintf("%s left, and the quorum needs %d votes: add a vantage elsewhere (a witness)", vantages(left), q.Need)
	}
	return fmt.Sprintf("%s left, and min_voters is %d: add a vantage elsewhere (a witness)", vantages(left), q.MinVoters)
}

func vantages(n int) string {
	if n == 1 {
		return "1 vantage is"
	}
	return fmt.Sprintf("%d vantages are", n)
}

// ledgerWithout says why etcd would have no quorum, or "". Without members
// there is one, in the process that decides; where that is not known, it may
// be anywhere. A cluster that is reached by endpoints is taken to survive.
func (c *Config) ledgerWithout(lost regions.Name) string {
	members := len(c.shared.Members)
	if members == 0 {
		if len(c.shared.Endpoints) > 0 || c.Host.Region != "" && c.Host.Region != lost {
			return ""
		}
		return "the only etcd member is lost with it, so that nothing decides until it is back: list three under cluster.members"
	}
	left := members
	if _, ok := c.shared.Members[string(lost)]; ok {
		left--
	}
	if left == 0 {
		return "the only etcd member is lost with it, so that nothing decides until it is back: list three under cluster.members"
	}
	if left < members/2+1 {
		return fmt.Sprintf("%d of %d etcd members are left, and they need %d", left, members, members/2+1)
	}
	return ""
}

// poolsWithout says why traffic would have nowhere to go, or "".
func (s Service) poolsWithout(lost regions.Name) string {
	if len(s.Pools) == 1 && s.Pools[0].Region == lost {
		return "all of its endpoints are there: add a pool in another region"
	}
	other := func(p Pool) bool {
		return p.Region != lost && slices.ContainsFunc(p.Endpoints, func(a string) bool { return !s.hosts(lost, a) })
	}
	if s.inRegion(lost) && !slices.ContainsFunc(s.Pools, other) {
		return "every other pool has the same addresses as the pool there"
	}
	return ""
}

func (s Service) inRegion(region regions.Name) bool {
	return slices.ContainsFunc(s.Pools, func(p Pool) bool { return p.Region == region })
}

// hosts reports whether the pool of a region has an address.
func (s Service) hosts(region regions.Name, address string) bool {
	return slices.ContainsFunc(s.Pools, func(p Pool) bool {
		return p.Region == region && slices.Contains(p.Endpoints, address)
	})
}

// survives is the sentence for a loss that holds.
func (c *Config) survives(s Service, lost regions.Name) string {
	budget := c.budget(s)
	text := "no traffic is there, and the other vantages and etcd members still decide"
	if s.inRegion(lost) {
		text = "its traffic moves within " + budget.Total.String()
	}
	if len(c.shared.Endpoints) > 0 {
		text += ", if etcd at cluster.endpoints survives"
	}
	return text
}
