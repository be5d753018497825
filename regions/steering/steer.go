package steering

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
)

// steer decides one service.
type steer struct {
	facts
	svc   Service
	place string // the location, of a Geo or Latency service
	// nearing is where the order of the pools comes from, of a Latency service.
	nearing *nearing
	prev    ServiceState
	first   bool    // nothing was answered before
	pools   []*pool // in order of preference
	frozen  *Override
	forced  *Override
	limited

	next    ServiceState
	serving []*pool // in order of preference
	soon    bool    // the answer may change at any moment
	left    time.Duration
	wake    time.Duration
	why     []Reason
}

func newSteer(f facts, svc Service) *steer {
	s := &steer{facts: f, svc: svc}
	prev, ok := f.prev[svc.Name]
	prev = prev.everywhere()
	s.prev, s.first = prev, !ok || len(prev.Answer) == 0
	had := make(map[regions.Name]PoolState, len(prev.Pools))
	for _, p := range prev.Pools {
		had[p.Region] = p
	}
	for i := range svc.Pools {
		state, known := had[svc.Pools[i].Region]
		s.pools = append(s.pools, newPool(f, svc, i, state, !known))
	}
	s.limited = s.limit()
	return s
}

// run makes s.next and s.why.
func (s *steer) run() {
	s.next = ServiceState{Name: s.svc.Name, MinTTL: s.svc.MinTTL}
	s.override()
	for _, p := range s.pools {
		p.admit()
	}
	s.choose()
	s.next.Rebuilt = s.rebuilt()
	s.answer()
	s.timing()
	for _, p := range s.pools {
		s.next.Pools = append(s.next.Pools, p.state)
	}
	slices.SortFunc(s.next.Pools, func(a, b PoolState) int { return strings.Compare(string(a.Region), string(b.Region)) })
	for _, p := range s.serving {
		s.next.Serving = append(s.next.Serving, p.Region)
	}
	slices.Sort(s.next.Serving)
	s.count()
}

func (s *steer) say(rule Rule, region regions.Name, format string, args ...any) {
	s.why = append(s.why, Reason{Service: s.svc.Name, Region: region, Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// choose sets s.serving and s.next.AllDown.
func (s *steer) choose() {
	switch {
	case len(s.pools) == 0:
	case s.frozen != nil && !s.first:
		s.serving, s.next.AllDown = s.before(), s.prev.AllDown
		s.say(RuleFreeze, "", "frozen by %s: %s; the answer stays as it is", s.frozen.By, s.frozen.Why)
	case s.forced != nil:
		s.chooseForced()
	case s.held:
		s.serving, s.next.AllDown = s.before(), s.prev.AllDown
	case s.svc.Kind == Failover:
		s.chooseOne()
	default:
		s.chooseMany()
	}
}

// before returns the pools that served until now, as far as they still exist.
func (s *steer) before() []*pool {
	var was []*pool
	for _, p := range s.pools {
		if slices.Contains(s.prev.Serving, p.Region) {
			was = append(was, p)
		}
	}
	return was
}

// candidates returns the pools that are not drained.
func (s *steer) candidates() []*pool {
	return slices.DeleteFunc(slices.Clone(s.pools), func(p *pool) bool { return p.drained })
}

// best returns the pools of the highest rank among those not below least, in
// order of preference; pools with room for the demand go before those without
// (property 10).
func (s *steer) best(from []*pool, least rank) []*pool {
	var roomy, any []*pool
	for _, p := range from {
		if p.rank() < least {
			continue
		}
		any = append(any, p)
		if serves(p.known) && p.room(s.svc.Demand) {
			roomy = append(roomy, p)
		}
	}
	if len(roomy) > 0 && s.svc.Kind == Failover {
		any = roomy
	}
	var top rank
	for _, p := range any {
		top = max(top, p.rank())
	}
	return slices.DeleteFunc(any, func(p *pool) bool { return p.rank() < top })
}

// chooseOne is the failover policy.
func (s *steer) chooseOne() {
	var cur *pool
	if was := s.before(); len(was) > 0 {
		cur = was[0]
	}
	switch {
	case s.prev.AllDown:
		s.leave(cur, rankDegraded) // unknown is no way out of all-down
	case cur != nil && s.keeps(cur):
		s.stay(cur)
	default:
		s.leave(cur, rankUnknownDown)
	}
}

// keeps reports whether a pool that serves goes on to. One that is unknown and
// was last known to be down (it was the best of a bad lot, or forced) is left
// for one that is known to work, and for no other: unknown moves nothing.
func (s *steer) keeps(p *pool) bool {
	switch {
	case p.drained || p.now == checks.Down:
		return false
	case p.now == checks.Unknown && p.known == checks.Down:
		return len(s.best(s.candidates(), rankDegraded)) == 0
	}
	return true
}

// leave moves traffic away from cur (nil: from nothing) to the best pool.
func (s *steer) leave(cur *pool, least rank) {
	from := s.candidates()
	to := s.best(from, least)
	if len(to) == 0 {
		s.allDown(cur)
		return
	}
	s.serving = to[:1]
	s.explainMove(cur, to[0])
	if !to[0].room(s.svc.Demand) {
		s.say(RuleCapacity, to[0].Region, "%s cannot carry the demand of %d, and no other pool has room", to[0].Region, s.svc.Demand)
	}
}

func (s *steer) explainMove(cur, to *pool) {
	switch {
	case cur == nil && s.first:
		s.say(RuleFirst, to.Region, "first answer: %s is the most preferred pool that is not down (%s)", to.Region, describe(to))
	case cur == nil:
		s.say(RuleDepart, to.Region, "the pool that served is gone from the config; %s is the best of the others (%s)", to.Region, describe(to))
	case cur == to:
		s.say(RuleReturn, to.Region, "%s is %s again; nothing delays the way out of all-down", to.Region, to.now)
	case cur.drained:
		s.say(RuleDrain, cur.Region, "%s is drained; %s is the best of the others (%s)", cur.Region, to.Region, describe(to))
	case s.prev.AllDown:
		s.say(RuleReturn, to.Region, "%s is %s while all others are down; nothing delays the way out of all-down", to.Region, to.now)
	default:
		s.say(RuleDepart, cur.Region, "%s is down; %s is the best of the others (%s)", cur.Region, to.Region, describe(to))
	}
}

// describe says how a pool stands, in a few words.
func describe(p *pool) string {
	switch {
	case p.now == checks.Unknown && p.known == checks.Unknown:
		return "not known yet"
	case p.now == checks.Unknown:
		return "unknown, last known " + p.known.String()
	case p.now == checks.Up && p.state.Suppressed:
		return "up, damped"
	case p.now == checks.Up && p.state.Out:
		return fmt.Sprintf("up, held for %s more", round(p.state.Hold))
	}
	return p.now.String()
}

// stay keeps traffic on cur unless a more preferred pool may have it back.
func (s *steer) stay(cur *pool) {
	s.serving = []*pool{cur}
	for _, p := range s.pools[:cur.place] {
		if (p.room(s.svc.Demand) || s.noRoom()) && s.mayReturn(p) {
			s.serving = []*pool{p}
			s.say(RuleReturn, p.Region, "%s is up and more preferred than %s; traffic returns to it", p.Region, cur.Region)
			return
		}
	}
	switch {
	case cur.now == checks.Unknown:
		s.say(RuleUnknown, cur.Region, "%s is unknown (last known %s): unknown moves nothing", cur.Region, cur.known)
	case cur.now == checks.Degraded:
		s.say(RuleDegraded, cur.Region, "%s is degraded and keeps its traffic", cur.Region)
	default:
		s.say(RuleKeep, cur.Region, "%s is %s and keeps its traffic", cur.Region, cur.now)
	}
	for _, p := range s.pools[:cur.place] {
		s.explainWait(p)
	}
}

// noRoom reports whether no pool that could serve has room for the demand.
func (s *steer) noRoom() bool {
	return !slices.ContainsFunc(s.candidates(), func(p *pool) bool {
		return serves(p.known) && p.room(s.svc.Demand)
	})
}

// mayReturn reports whether traffic may move to p although nothing forces it:
// p is up, neither drained nor held, failback is open, and its velocity is not
// bounded.
func (s *steer) mayReturn(p *pool) bool {
	switch {
	case p.rank() != rankUp || p.drained:
		return false
	case p.granted || s.first:
		return true
	}
	return !s.svc.Manual && !s.closed[s.svc.Name] && s.spend()
}

// explainWait says why p, which is up, does not get its traffic back yet, and
// when that may change.
func (s *steer) explainWait(p *pool) {
	if p.now != checks.Up {
		return
	}
	switch {
	case p.drained:
		s.say(RuleDrain, p.Region, "%s is up but drained", p.Region)
	case p.state.Suppressed:
		s.say(RuleDamp, p.Region, "%s is up but left %d times lately; damping holds it for %s more", p.Region, len(p.state.Flaps), round(p.state.reuseIn(s.svc.Damping)))
	case p.state.Out:
		s.say(RuleHold, p.Region, "%s is up again; it must stay up for %s more before traffic returns", p.Region, round(p.state.Hold))
	case s.svc.Manual && !p.granted:
		s.say(RuleManual, p.Region, "%s is up; failback is manual: veer failback %s/%s", p.Region, strings.TrimSuffix(s.svc.Name, "."), p.Region)
	case s.closed[s.svc.Name] && !p.granted:
		s.say(RuleWindow, p.Region, "%s is up; traffic returns when the failback window opens", p.Region)
	case s.spent() && !p.granted:
		s.say(RuleVelocity, p.Region, "%s is up, but the traffic has moved %d times within an hour; it returns in %s at the earliest", p.Region, len(s.shifts), round(s.spentFor()))
	case s.starved && !p.granted:
		s.say(RuleVelocity, p.Region, "%s is up, but as many services' traffic as may has returned within a minute; this one's waits for its turn", p.Region)
	case !p.room(s.svc.Demand):
		s.say(RuleCapacity, p.Region, "%s is up but cannot carry the demand of %d yet", p.Region, s.svc.Demand)
	}
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// chooseMany is the policy of weighted and multivalue services: each pool that
// served keeps its traffic while it is not down, and each other one that is up
// may return.
func (s *steer) chooseMany() {
	for _, p := range s.candidates() {
		had := slices.Contains(s.prev.Serving, p.Region)
		switch {
		case s.prev.AllDown && p.rank() < rankDegraded:
		case had && !s.prev.AllDown && s.keeps(p):
			s.serving = append(s.serving, p)
		case s.first && p.rank() > rankUnknownDoubted, s.mayReturn(p):
			s.serving = append(s.serving, p)
		}
	}
	if len(s.serving) == 0 {
		least := rankUnknownDown
		if s.prev.AllDown {
			least = rankDegraded
		}
		s.serving = s.best(s.candidates(), least)
	}
	if len(s.serving) == 0 {
		s.allDown(nil)
		return
	}
	s.explainMany()
}

func (s *steer) explainMany() {
	quiet := true
	for _, p := range s.pools {
		had, has := slices.Contains(s.prev.Serving, p.Region), slices.Contains(s.serving, p)
		switch {
		case s.first && has:
			s.say(RuleFirst, p.Region, "first answer: %s is not down (%s)", p.Region, describe(p))
		case had && !has && p.drained:
			s.say(RuleDrain, p.Region, "%s is drained and leaves the answer", p.Region)
		case had && !has:
			s.say(RuleDepart, p.Region, "%s is down and leaves the answer", p.Region)
		case !had && has:
			s.say(RuleReturn, p.Region, "%s is %s and joins the answer", p.Region, p.now)
		default:
			if !has {
				s.explainWait(p)
			}
			continue
		}
		quiet = false
	}
	for _, p := range s.serving {
		if p.now == checks.Unknown && !s.first {
			s.say(RuleUnknown, p.Region, "%s is unknown (last known %s): unknown moves nothing", p.Region, p.known)
		}
	}
	if quiet {
		s.why = slices.Insert(s.why, 0, Reason{Service: s.svc.Name, Rule: RuleKeep, Text: "nothing speaks for a change"})
	}
}

// allDown keeps what served as the way back, and answers by the policy.
func (s *steer) allDown(cur *pool) {
	s.next.AllDown = true
	s.serving = slices.DeleteFunc(s.before(), func(p *pool) bool { return p.drained })
	if cur != nil && !cur.drained {
		s.serving = []*pool{cur}
	}
	what := map[AllDown]string{
		LastGood: "the last answer that had an up endpoint is kept",
		All:      "all endpoints are answered",
		Fallback: "the fallback is answered",
	}[s.svc.AllDown]
	s.say(RuleAllDown, "", "no pool is up or degraded; %s", what)
}

// sets makes RRsets from groups of endpoints' addresses.
func (s *steer) sets(groups []group) []providers.RRSet {
	byKey := make(map[providers.Key]*providers.RRSet)
	for _, g := range groups {
		for _, address := range g.addresses {
			set := providers.RRSet{Name: s.svc.Name, Type: s.svc.typeOf(address), SetID: g.id, Weight: g.weight, Location: s.place, TTL: s.svc.TTL}
			if had, ok := byKey[set.Key()]; ok {
				had.Data = append(had.Data, address)
				continue
			}
			set.Data = []string{address}
			byKey[set.Key()] = &set
		}
	}
	out := make([]providers.RRSet, 0, len(byKey))
	for _, set := range byKey {
		out = append(out, set.Canonical())
	}
	slices.SortFunc(out, providers.Compare)
	return out
}
