package steering

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// A Latency service is a Geo service whose locations have the names of
// vantages, and whose orders of preference follow what these measure. Its
// clients' distances only permute the pools: health, holds, damping and all
// that bounds returns are those of a Failover service in that order.
//
// A pool goes before another one when it has been clearly nearer for a time.
// What is not known moves nothing: a pool without a figure passes none and is
// passed by none, unless it is down, and the time begins again when a figure is
// lost.

// Nearness says what is clearly nearer.
type Nearness struct {
	// Percent of the other's round trip, and Least, are how much shorter a round
	// trip must be, both; For is for how long.
	Percent int           `json:"percent,omitempty"`
	Least   time.Duration `json:"least,omitempty"`
	For     time.Duration `json:"for,omitempty"`
}

// clearly reports whether a is clearly shorter than b; 0 is not known.
func (n Nearness) clearly(a, b time.Duration) bool {
	return a > 0 && b > 0 && b-a >= max(n.Least, b/100*time.Duration(n.Percent), 1)
}

// Distance is what a vantage measures to an endpoint and back.
type Distance struct {
	Vantage   regions.Name       `json:"vantage"`
	Endpoint  regions.EndpointID `json:"endpoint"`
	RoundTrip time.Duration      `json:"round_trip"`
}

// Gain is a pool that is clearly nearer than another one which goes before it,
// and how long it must still be so.
type Gain struct {
	Region regions.Name  `json:"region"`
	Over   regions.Name  `json:"over"`
	Left   time.Duration `json:"left,omitempty"`
}

// far holds round trips by vantage and endpoint.
type far map[regions.Name]map[regions.EndpointID]time.Duration

func newFar(distances []Distance) far {
	f := make(far)
	for _, d := range distances {
		if f[d.Vantage] == nil {
			f[d.Vantage] = make(map[regions.EndpointID]time.Duration)
		}
		// Of two the longer one holds, so that their order does not matter.
		f[d.Vantage][d.Endpoint] = max(f[d.Vantage][d.Endpoint], d.RoundTrip)
	}
	return f
}

// to is the round trip to a pool, that to its nearest endpoint; 0 is not known.
func (f far) to(vantage regions.Name, p Pool) time.Duration {
	var nearest time.Duration
	for _, e := range p.Endpoints {
		if d := f[vantage][e.ID]; d > 0 && (nearest == 0 || d < nearest) {
			nearest = d
		}
	}
	return nearest
}

// nearing is the order of a Latency service's pools for one location.
type nearing struct {
	rule    Nearness
	order   []regions.Name // nil: the policy's
	gains   []Gain
	trips   map[regions.Name]time.Duration
	vantage regions.Name
	down    map[regions.Name]bool
	passed  []Gain // what moved in this decision
}

// nearest goes on with the order of a location from what it was.
func (f facts) nearest(svc Service, l Location) *nearing {
	vantage := regions.Name(l.Name)
	n := &nearing{rule: svc.Nearness, vantage: vantage, trips: make(map[regions.Name]time.Duration, len(svc.Pools)), down: make(map[regions.Name]bool)}
	before := f.prev[svc.Name]
	for i, p := range svc.Pools {
		had := slices.IndexFunc(before.Pools, func(s PoolState) bool { return s.Region == p.Region })
		state := PoolState{}
		if had >= 0 {
			state = before.Pools[had]
		}
		n.trips[p.Region] = f.far.to(vantage, p)
		n.down[p.Region] = newPool(f, svc, i, state, had < 0).known == checks.Down
	}
	was := LocationState{}
	if i := slices.IndexFunc(before.Locations, func(s LocationState) bool { return s.Name == l.Name }); i >= 0 {
		was = before.Locations[i]
	}
	declared := svc.At(l)
	for _, p := range declared.At(Location{Order: was.Order}).Pools {
		n.order = append(n.order, p.Region)
	}
	left := make(map[[2]regions.Name]time.Duration, len(was.Gains))
	for _, g := range was.Gains {
		left[[2]regions.Name{g.Region, g.Over}] = max(g.Left-f.elapsed, 0)
	}
	n.run(left)
	if slices.EqualFunc(n.order, declared.Pools, func(r regions.Name, p Pool) bool { return r == p.Region }) {
		n.order = nil // so that an edit of the config's order is one of this
	}
	return n
}

// run moves what has been nearer for its time, and counts on for the others.
func (n *nearing) run(left map[[2]regions.Name]time.Duration) {
	gains := func(b, a regions.Name) (time.Duration, bool) {
		if !n.rule.clearly(n.trips[b], n.trips[a]) {
			return 0, false
		}
		if still, had := left[[2]regions.Name{b, a}]; had {
			return still, true
		}
		return n.rule.For, true
	}
	for j := range n.order {
		b := n.order[j]
		to := j
		for i := j - 1; i >= 0; i-- {
			a := n.order[i]
			still, clearly := gains(b, a)
			ripe := clearly && still == 0
			if !ripe && !n.farther(a, b) {
				break
			}
			if ripe {
				to = i
			}
		}
		if to < j {
			n.passed = append(n.passed, Gain{Region: b, Over: n.order[to]})
			n.order = slices.Insert(slices.Delete(n.order, j, j+1), to, b)
		}
	}
	for j, b := range n.order {
		for _, a := range n.order[:j] {
			if still, clearly := gains(b, a); clearly {
				n.gains = append(n.gains, Gain{Region: b, Over: a, Left: still})
			}
		}
	}
	slices.SortFunc(n.gains, func(a, b Gain) int {
		return cmp.Or(strings.Compare(string(a.Region), string(b.Region)), strings.Compare(string(a.Over), string(b.Over)))
	})
}

// farther reports whether b may pass a on its way to before one that it is
// clearly nearer than.
func (n *nearing) farther(a, b regions.Name) bool {
	if n.trips[a] == 0 {
		return n.down[a]
	}
	return n.trips[a] >= n.trips[b]
}

// near says what the order comes from, and counts the times that run.
func (s *steer) near() {
	n := s.nearing
	if n == nil || s.place == DefaultLocation {
		return
	}
	for _, g := range n.passed {
		s.say(RuleNearer, g.Region, "%s has been nearer than %s for long enough and goes before it (%s, %s)", g.Region, g.Over, n.trip(g.Region), n.trip(g.Over))
	}
	for _, g := range n.gains {
		if g.Left == 0 {
			continue
		}
		moves := s.mayMove(g)
		s.soonest(g.Left, moves)
		if moves {
			s.say(RuleNearer, g.Region, "%s is nearer than %s (%s, %s), and gets its traffic if it stays so for %s", g.Region, g.Over, n.trip(g.Region), n.trip(g.Over), round(g.Left))
		}
	}
	var trips []string
	for _, p := range s.pools {
		trips = append(trips, string(p.Region)+" "+n.trip(p.Region))
	}
	s.say(RuleNearer, "", "round trips from %s: %s", n.vantage, strings.Join(trips, ", "))
}

// mayMove reports whether traffic moves when the time of a gain ends.
func (s *steer) mayMove(g Gain) bool {
	if s.frozen != nil || s.forced != nil || s.held || s.next.AllDown || s.svc.Manual || s.closed[s.svc.Name] {
		return false
	}
	to := slices.IndexFunc(s.pools, func(p *pool) bool { return p.Region == g.Region })
	return to >= 0 && s.pools[to].rank() == rankUp && !s.pools[to].drained &&
		slices.ContainsFunc(s.serving, func(p *pool) bool { return p.Region == g.Over })
}

// trip writes a round trip.
func (n *nearing) trip(region regions.Name) string {
	if d := n.trips[region]; d > 0 {
		return d.Round(100 * time.Microsecond).String()
	}
	return "not known"
}

// nears remembers the order of the location that was joined last.
func (s *ServiceState) nears(n *nearing) {
	if n != nil {
		l := &s.Locations[len(s.Locations)-1]
		l.Order, l.Gains = n.order, n.gains
	}
}
