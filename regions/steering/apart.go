package steering

import (
	"slices"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
)

// Narrow is `isolation: local`: what one server that is cut off answers, by
// what its own vantage sees alone. Of each RRset, and of the weighted ones of a
// name, type and location together, it leaves out the addresses that are seen down, if
// one at least is seen up or degraded; else the answer stays as it is. An
// address that is not known, or is no endpoint, stays. So no answer becomes
// empty, and none gets an address that the ledger's has not. What is narrowed
// may change at any moment, and has the TTL's floor.
func Narrow(p Policy, answers []Answer, seen map[regions.EndpointID]checks.Health) []Answer {
	type group struct{ name, typ, location string }
	healths := make(map[string]map[string]checks.Health)
	for _, svc := range p.Services {
		healths[svc.Name] = byAddress(svc, seen)
	}
	up := make(map[group]bool)
	for _, a := range answers {
		for _, d := range a.Canonical().Data {
			g := group{a.Name, a.Type, a.Location}
			up[g] = up[g] || serves(healths[a.Name][d])
		}
	}
	out := make([]Answer, 0, len(answers))
	for _, a := range answers {
		left := slices.DeleteFunc(slices.Clone(a.Canonical().Data), func(d string) bool { return healths[a.Name][d] == checks.Down })
		switch {
		case !up[group{a.Name, a.Type, a.Location}] || len(left) == len(a.Data):
			out = append(out, a)
		case len(left) > 0:
			a.Data, a.Left = left, 1
			out = append(out, a)
		}
	}
	return out
}

// byAddress is what is seen of a service's addresses. Of one that several
// monitors probe, the best counts: what is not surely down stays.
func byAddress(svc Service, seen map[regions.EndpointID]checks.Health) map[string]checks.Health {
	rank := func(h checks.Health) int {
		switch {
		case serves(h):
			return 2
		case h == checks.Down:
			return 0
		}
		return 1
	}
	out := make(map[string]checks.Health)
	for _, pool := range svc.Pools {
		for _, e := range pool.Endpoints {
			address := canonicalAddress(e.Address)
			if had, ok := out[address]; !ok || rank(seen[e.ID]) > rank(had) {
				out[address] = seen[e.ID]
			}
		}
	}
	return out
}

// Ordered is what the answers become by orders alone, where no votes can be
// had: `veer drain --local` and `veer takeover`. Services that no order is
// about, and those whose data stays the same, keep their answers byte for byte.
// standing are the other overrides in force, which an order may yield to. state
// is used where it is the answers' own, so that a pool which was last known to
// be down is not chosen; else it is made from the answers.
func Ordered(p Policy, state State, answers []Answer, standing, orders []Override) ([]Answer, []Reason) {
	byName := make(map[string][]Answer)
	for _, a := range answers {
		byName[a.Name] = append(byName[a.Name], a)
	}
	replaced := make(map[string][]Answer)
	var why []Reason
	for _, svc := range p.Services {
		last := byName[svc.Name]
		about := slices.ContainsFunc(orders, func(o Override) bool { return o.Target.matches(svc) })
		if len(last) == 0 || !about {
			continue
		}
		d := Decide(Input{
			Now: 1, Policy: Policy{Services: []Service{svc}}, Overrides: slices.Concat(standing, orders),
			Prev: State{Clock: 1, Services: []ServiceState{stateOf(svc, state, last)}},
		})
		why = append(why, d.Why...)
		if len(d.Answers) > 0 && !sameData(last, d.Answers) {
			replaced[svc.Name] = d.Answers
		}
	}
	out := make([]Answer, 0, len(answers))
	for _, a := range answers {
		now, moved := replaced[a.Name]
		if !moved {
			out = append(out, a)
			continue
		}
		out = append(out, now...)
		replaced[a.Name] = nil // once
	}
	return out, why
}

// stateOf is the state that belongs to the answers.
func stateOf(svc Service, state State, answers []Answer) ServiceState {
	sets := setsOf(answers)
	for _, s := range state.Services {
		if s.Name == svc.Name && slices.EqualFunc(s.Answer, sets, equalData) {
			return s
		}
	}
	return rebuildService(svc, answers)
}

func sameData(a, b []Answer) bool { return slices.EqualFunc(setsOf(a), setsOf(b), equalData) }

// equalData compares two sets, whatever their TTL.
func equalData(a, b providers.RRSet) bool {
	a.TTL, b.TTL = 0, 0
	return a.Equal(b)
}
