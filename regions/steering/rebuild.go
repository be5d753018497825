package steering

import (
	"slices"
	"strings"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
)

// Rebuild makes the state of a ledger that was lost from the answers that are
// still served, so that the next decision holds them until votes speak against
// them (property 2), shares included. Timers that are lost with the ledger start
// again in full: a hold becomes longer, never shorter. Services that the policy
// does not list are held as they are.
func Rebuild(p Policy, served []Answer) State {
	byName := make(map[string][]Answer)
	for _, a := range served {
		name := providers.CanonicalName(a.Name)
		byName[name] = append(byName[name], a)
	}
	var state State
	for _, svc := range p.Services {
		if answers, ok := byName[svc.Name]; ok {
			state.Services = append(state.Services, rebuildService(svc, answers))
			delete(byName, svc.Name)
		}
	}
	for name, answers := range byName {
		state.Services = append(state.Services, ServiceState{Name: name, Answer: setsOf(answers), MinTTL: answers[0].MinTTL})
	}
	slices.SortFunc(state.Services, func(a, b ServiceState) int { return strings.Compare(a.Name, b.Name) })
	return state
}

func rebuildService(svc Service, answers []Answer) ServiceState {
	sets := setsOf(answers)
	s := ServiceState{Name: svc.Name, Answer: sets, LastGood: sets, MinTTL: svc.MinTTL, Rebuilt: svc.Kind == Weighted}
	in := answered(sets)
	for _, p := range svc.Pools {
		pool := PoolState{Region: p.Region}
		serves := slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return in[canonicalAddress(e.Address)] })
		for _, e := range p.Endpoints {
			state := EndpointState{ID: e.ID, Address: e.Address}
			switch {
			case in[canonicalAddress(e.Address)]:
				state.Known = checks.Up
			case serves: // left out beside others, so for a reason
				state.Known, state.Out, state.Hold = checks.Down, true, svc.Rejoin
			default:
				state.Out, state.Hold = true, svc.Rejoin
			}
			pool.Endpoints = append(pool.Endpoints, state)
		}
		if serves {
			s.Serving = append(s.Serving, p.Region)
		} else {
			pool.Out, pool.Hold = true, svc.Hold
		}
		slices.SortFunc(pool.Endpoints, func(a, b EndpointState) int { return strings.Compare(string(a.ID), string(b.ID)) })
		s.Pools = append(s.Pools, pool)
	}
	// No pool's addresses are the fallback's; those of several pools are no
	// failover's, and without the pools' weights not a weighted service's.
	s.AllDown = len(s.Serving) == 0 || svc.Kind == Failover && len(s.Serving) > 1 ||
		svc.Kind == Weighted && len(sets) > 0 && sets[0].SetID == ""
	if svc.Kind.Located() {
		s.Locations, s.AllDown = rebuildLocations(svc, answers)
	}
	slices.Sort(s.Serving)
	slices.SortFunc(s.Pools, func(a, b PoolState) int { return strings.Compare(string(a.Region), string(b.Region)) })
	return s
}

// answered are the addresses that the sets have.
func answered(sets []providers.RRSet) map[string]bool {
	all := make(map[string]bool)
	for _, set := range sets {
		for _, d := range set.Data {
			all[d] = true
		}
	}
	return all
}

func setsOf(answers []Answer) []providers.RRSet {
	sets := make([]providers.RRSet, 0, len(answers))
	for _, a := range answers {
		sets = append(sets, a.Canonical())
	}
	slices.SortFunc(sets, providers.Compare)
	return sets
}
