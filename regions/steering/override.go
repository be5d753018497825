package steering

import (
	"slices"

	"github.com/veerdns/veer/checks"
)

// matches reports whether the target concerns the service at all.
func (t Target) matches(svc Service) bool {
	if t.Service != "" && t.Service != svc.Name {
		return false
	}
	return slices.ContainsFunc(svc.Pools, func(p Pool) bool { return t.pool(p) })
}

// pool reports whether the target concerns the pool.
func (t Target) pool(p Pool) bool {
	if t.Region != "" && t.Region != p.Region {
		return false
	}
	return t.Address == "" || slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return t.endpoint(e) })
}

// endpoint reports whether the target concerns the endpoint of a pool that it
// concerns.
func (t Target) endpoint(e Endpoint) bool {
	return t.Address == "" || canonicalAddress(t.Address) == canonicalAddress(e.Address)
}

// override applies the orders to the pools: freeze > force > drain (property
// 9). Of several that freeze or force, the newest (highest ID) is named.
func (s *steer) override() {
	for _, o := range s.acts {
		if !o.Target.matches(s.svc) {
			continue
		}
		switch o.Act {
		case Freeze:
			s.frozen = &o
		case Force:
			s.forced = &o
		case FailbackAct:
			for _, p := range s.pools {
				p.granted = p.granted || o.Target.pool(p.Pool)
			}
		case Drain:
			s.drain(o)
		}
	}
}

// drain takes the target's endpoints out, unless that would leave nothing to
// answer with (property 4): then this drain is refused, those given before it
// stay in force.
func (s *steer) drain(o Override) {
	var out []*endpoint
	for _, p := range s.pools {
		if !o.Target.pool(p.Pool) {
			continue
		}
		for i := range p.endpoints {
			if e := &p.endpoints[i]; !e.drained && o.Target.endpoint(e.Endpoint) {
				e.drained = true
				out = append(out, e)
			}
		}
	}
	s.markDrained()
	if len(s.candidates()) > 0 {
		return
	}
	for _, e := range out {
		e.drained = false
	}
	s.markDrained()
	s.say(RuleDrainRefused, o.Target.Region, "the drain by %s (%s) would leave no endpoint and is not in force", o.By, o.Why)
}

// markDrained marks the pools that drains leave too few endpoints.
func (s *steer) markDrained() {
	for _, p := range s.pools {
		left := 0
		for _, e := range p.endpoints {
			if !e.drained {
				left++
			}
		}
		p.drained = left == 0 || left < len(p.endpoints) && left < max(p.MinUp, 1)
	}
}

// chooseForced answers with the forced target only.
func (s *steer) chooseForced() {
	o := s.forced
	for _, p := range s.pools {
		if !o.Target.pool(p.Pool) {
			continue
		}
		for i := range p.endpoints {
			p.endpoints[i].drained = !o.Target.endpoint(p.endpoints[i].Endpoint)
		}
		s.serving = append(s.serving, p)
		if s.svc.Kind == Failover {
			break
		}
	}
	s.say(RuleForce, s.serving[0].Region, "forced to %s by %s: %s", s.serving[0].Region, o.By, o.Why)
	for _, p := range s.serving {
		if p.known == checks.Down {
			s.say(RuleForce, p.Region, "%s is down and answered all the same, because it is forced", p.Region)
		}
	}
}
