package steering

import (
	"net/netip"
	"slices"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
)

// group is what one pool contributes to the answer.
type group struct {
	id        string // SetID; empty for simple sets
	weight    uint32
	addresses []string
}

// TypeOf returns the record type that answers with the address.
func TypeOf(address string) string {
	a, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		return "CNAME"
	case a.Unmap().Is4():
		return "A"
	}
	return "AAAA"
}

// typeOf is TypeOf for the addresses of this service.
func (s Service) typeOf(address string) string {
	if typ := TypeOf(address); typ != "CNAME" || !s.Flatten {
		return typ
	}
	return providers.TypeAlias
}

// answer sets s.next.Answer and LastGood from what serves. It is never empty
// while the service has an endpoint (property 4).
func (s *steer) answer() {
	s.next.LastGood = s.prev.LastGood
	switch {
	case s.frozen != nil && !s.first, s.held:
		s.next.Answer = s.prev.Answer
		return
	case s.next.AllDown:
		s.next.Answer = s.answerAllDown()
		return
	}
	s.next.Answer = s.sets(s.groups())
	s.explainEndpoints()
	for _, p := range s.serving {
		for _, e := range p.selected() {
			if serves(e.state.Known) {
				s.next.LastGood = s.next.Answer
				return
			}
		}
	}
}

// groups makes the answer's groups from what serves.
func (s *steer) groups() []group {
	var all []string
	var weighted []group
	weights := s.weights()
	for i, p := range s.serving {
		var addresses []string
		for _, e := range p.selected() {
			addresses = append(addresses, e.Address)
		}
		all = append(all, addresses...)
		if weights[i] > 0 {
			weighted = append(weighted, group{id: string(p.Region), weight: weights[i], addresses: addresses})
		}
	}
	if s.svc.Kind == Weighted {
		return weighted
	}
	return []group{{addresses: all}}
}

// weights returns the share of each serving pool: its weight, or all alike
// where none has one, so that never all are 0. Where a demand is declared and
// a pool would get more than it can carry, what is beyond goes to the others
// in proportion, as far as they have room (property 10). A rebuilt state keeps its
// shares at first.
func (s *steer) weights() []uint32 {
	w := make([]uint32, len(s.serving))
	if s.next.Rebuilt {
		for i, p := range s.serving {
			w[i] = s.prev.share(p.Region)
		}
		if !slices.Contains(w, 0) {
			return w
		}
	}
	var sum uint64
	for i, p := range s.serving {
		w[i] = p.Weight
		sum += uint64(p.Weight)
	}
	if sum == 0 {
		for i := range w {
			w[i] = 1
		}
	}
	if s.svc.Demand == 0 || s.svc.Kind != Weighted {
		return w
	}
	limits := make([]uint64, len(w))
	for i, p := range s.serving {
		limits[i] = s.svc.Demand
		if capacity, known := p.effective(); known {
			limits[i] = capacity
		}
	}
	placed, over := place(s.svc.Demand, w, limits)
	if over {
		s.say(RuleCapacity, "", "the demand of %d is beyond what the serving pools can carry; shares are by capacity", s.svc.Demand)
	}
	return placed
}

// rebuilt reports whether the shares are to stay as they were: the ledger was lost,
// and what serves has not all been heard of since.
func (s *steer) rebuilt() bool {
	return s.prev.Rebuilt && slices.Equal(s.prev.Serving, names(s.serving)) &&
		slices.ContainsFunc(s.serving, func(p *pool) bool { return p.now == checks.Unknown })
}

// share is the weight that a pool of a Weighted service has in the answer.
func (s ServiceState) share(of regions.Name) uint32 {
	for _, set := range s.Answer {
		if set.SetID == string(of) {
			return set.Weight
		}
	}
	return 0
}

// explainEndpoints says which endpoints joined or left a pool that goes on
// serving, where nothing else explains the change.
func (s *steer) explainEndpoints() {
	if s.first || !slices.Equal(s.prev.Serving, names(s.serving)) {
		return
	}
	was, is := answered(s.prev.Answer), answered(s.next.Answer)
	for _, p := range s.serving {
		for _, e := range p.endpoints {
			address := canonicalAddress(e.Address)
			switch {
			case is[address] && !was[address]:
				s.say(RuleEndpoint, p.Region, "%s joins the answer (%s)", e.Address, e.state.Seen)
			case !is[address] && was[address]:
				s.say(RuleEndpoint, p.Region, "%s leaves the answer (%s)", e.Address, e.state.Seen)
			}
		}
	}
}

func names(pools []*pool) []regions.Name {
	var n []regions.Name
	for _, p := range pools {
		n = append(n, p.Region)
	}
	slices.Sort(n)
	return n
}

// answerAllDown is the answer while every pool is down.
func (s *steer) answerAllDown() []providers.RRSet {
	if s.svc.AllDown == Fallback && len(s.svc.Fallback) > 0 {
		return s.sets([]group{{addresses: s.svc.Fallback}})
	}
	allowed := make(map[string]bool)
	var all []string
	for _, p := range s.candidates() {
		for _, e := range p.endpoints {
			if !e.drained {
				allowed[canonicalAddress(e.Address)] = true
				all = append(all, e.Address)
			}
		}
	}
	if len(all) == 0 { // endpoint drains alone left nothing
		for _, p := range s.pools {
			for _, e := range p.endpoints {
				all = append(all, e.Address)
			}
		}
	}
	if s.svc.AllDown != All {
		for _, good := range [][]providers.RRSet{s.prev.LastGood, s.prev.Answer} {
			if kept := s.keep(good, allowed); len(kept) > 0 {
				return kept
			}
		}
	}
	if len(s.svc.Pools) > 0 && s.svc.typeOf(all[0]) == "CNAME" {
		all = all[:1] // a name has one CNAME (RFC 1034, section 3.6.2)
	}
	return s.sets([]group{{addresses: all}})
}

func canonicalAddress(a string) string {
	return providers.RRSet{Type: TypeOf(a), Data: []string{a}}.Canonical().Data[0]
}

// keep returns the sets with only the allowed addresses, the present TTL, and
// the type that host names have now: the config may have changed it since.
func (s *steer) keep(sets []providers.RRSet, allowed map[string]bool) []providers.RRSet {
	var kept []providers.RRSet
	for _, set := range sets {
		set.Data = slices.DeleteFunc(slices.Clone(set.Data), func(d string) bool { return !allowed[d] })
		set.TTL = s.svc.TTL
		if set.Type == providers.TypeAlias && !s.svc.Flatten {
			continue // may be several, of which no CNAME can be made
		}
		if len(set.Data) > 0 {
			set.Type = s.svc.typeOf(set.Data[0])
			kept = append(kept, set)
		}
	}
	return kept
}

// place shares demand out by weight within limits, in whole units. over says
// that the limits' sum is below the demand: then shares are by limit.
func place(demand uint64, weights []uint32, limits []uint64) (shares []uint32, over bool) {
	shares = make([]uint32, len(weights))
	full := make([]bool, len(weights))
	left := demand
	for {
		var sum uint64
		for i, w := range weights {
			if !full[i] {
				sum += uint64(w)
			}
		}
		if sum == 0 {
			return placeOver(weights, limits)
		}
		again, rest := false, left
		for i, w := range weights {
			if !full[i] && limits[i] < rest*uint64(w)/sum {
				full[i], again = true, true
				shares[i] = clamp(limits[i])
				left -= limits[i]
			}
		}
		if again {
			continue
		}
		if !slices.Contains(full, true) {
			return weights, false // nobody is over: the weights as they are
		}
		for i, w := range weights {
			if !full[i] {
				shares[i] = clamp(left * uint64(w) / sum)
			}
		}
		return shares, false
	}
}

func placeOver(weights []uint32, limits []uint64) ([]uint32, bool) {
	shares := make([]uint32, len(weights))
	var sum uint64
	for i := range weights {
		shares[i] = clamp(limits[i])
		sum += uint64(shares[i])
	}
	if sum == 0 {
		return weights, true
	}
	return shares, true
}

func clamp(v uint64) uint32 { return uint32(min(v, 1<<31-1)) }

// timing sets s.left, s.soon and s.wake.
func (s *steer) timing() {
	for _, o := range s.acts {
		if o.Left > 0 && o.Target.matches(s.svc) {
			s.soonest(o.Left, true)
		}
	}
	held := s.frozen != nil || s.forced != nil || s.held
	s.timeLimits()
	s.near()
	for _, p := range s.pools {
		serving := slices.Contains(s.serving, p)
		s.timePool(p, serving && !s.next.AllDown, held)
		chosen := p.selected()
		for _, e := range p.endpoints {
			if serving && e.state.Out && e.state.Hold > 0 && serves(e.state.Seen) {
				answered := slices.ContainsFunc(chosen, func(c endpoint) bool { return c.ID == e.ID })
				s.soonest(e.state.Hold, !held && !answered)
			}
			if e.unsure && !held && (serving || s.next.AllDown) {
				s.soon = true
			}
		}
	}
	if s.next.AllDown && !held {
		s.soon = true // the first recovery is answered at once
	}
}

// timePool counts the timers of one pool.
func (s *steer) timePool(p *pool, serving, held bool) {
	if !serves(p.now) {
		return
	}
	wanted := !serving && !p.drained && !held && s.wants(p)
	if p.state.Out {
		s.soonest(p.state.Hold, wanted && !s.svc.Manual && !s.closed[s.svc.Name] && !p.state.Suppressed)
	}
	if p.state.Suppressed {
		s.soonest(p.state.reuseIn(s.svc.Damping), wanted)
	}
	if wanted && s.spent() {
		s.soonest(s.spentFor(), !p.state.Out)
	}
	if wanted && s.closed[s.svc.Name] {
		s.soonest(s.change, !p.state.Out)
	}
}

// wants reports whether traffic would move to p if it might.
func (s *steer) wants(p *pool) bool {
	return s.svc.Kind != Failover || len(s.serving) == 0 || p.place < s.serving[0].place
}

// soonest counts a timer: to wake at its end and, where the answer may change
// then, to lower the TTL until then.
func (s *steer) soonest(d time.Duration, changes bool) {
	s.wake = sooner(s.wake, d)
	if changes {
		s.left = sooner(s.left, d)
	}
}

// answers returns the answers with the time for which they surely hold.
func (s *steer) answers() []Answer {
	left := s.left
	if s.soon {
		left = 1 // no time at all is sure: the TTL's floor
	}
	return answersOf(s.next, left)
}

func answersOf(s ServiceState, left time.Duration) []Answer {
	out := make([]Answer, 0, len(s.Answer))
	for _, set := range s.Answer {
		out = append(out, Answer{RRSet: set, MinTTL: s.MinTTL, Left: left})
	}
	return out
}

// Health returns the health of a pool of the service by what the state knows:
// its endpoints' last verdicts that were not unknown.
func (s PoolState) Health(minUp int) checks.Health {
	known := make([]checks.Health, 0, len(s.Endpoints))
	for _, e := range s.Endpoints {
		known = append(known, e.Known)
	}
	return (&pool{Pool: Pool{MinUp: minUp}}).health(known)
}
