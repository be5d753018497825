package steering

import (
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// pool is a Pool with what is known of it now.
type pool struct {
	Pool
	place     int // in the order of preference
	state     PoolState
	endpoints []endpoint
	now       checks.Health // by the present verdicts
	known     checks.Health // by the last verdicts that were not unknown
	drained   bool
	granted   bool // a failback act lets traffic return
}

type endpoint struct {
	Endpoint
	state   EndpointState
	doubted bool // a vantage says down
	unsure  bool // suspected, or the vantages do not agree
	drained bool
}

// newPool carries the pool's state from the last decision to this one.
func newPool(f facts, svc Service, place int, prev PoolState, isNew bool) *pool {
	p := &pool{Pool: svc.Pools[place], place: place}
	had := make(map[regions.EndpointID]EndpointState, len(prev.Endpoints))
	for _, e := range prev.Endpoints {
		had[e.ID] = e
	}
	var was, now, known []checks.Health
	for _, e := range p.Endpoints {
		was = append(was, had[e.ID].Known)
		next := newEndpoint(f, svc.Rejoin, e, had[e.ID], isNew)
		p.endpoints = append(p.endpoints, next)
		now, known = append(now, next.state.Seen), append(known, next.state.Known)
	}
	p.now, p.known = p.health(now), p.health(known)
	p.state = PoolState{
		Region: p.Region, Seen: p.now, Out: prev.Out, Hold: prev.Hold,
		Flaps: prev.Flaps, Suppressed: prev.Suppressed, Held: prev.Held,
	}
	fell := !isNew && p.known == checks.Down && p.health(was) != checks.Down && p.health(was) != checks.Unknown
	p.advance(svc, f.elapsed, prev.Seen, fell)
	for _, e := range p.endpoints {
		p.state.Endpoints = append(p.state.Endpoints, e.state)
	}
	slices.SortFunc(p.state.Endpoints, func(a, b EndpointState) int {
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return p
}

func newEndpoint(f facts, rejoin time.Duration, e Endpoint, prev EndpointState, isNew bool) endpoint {
	v := f.verdicts[e.ID]
	next := EndpointState{ID: e.ID, Address: e.Address, Seen: v.Health, Known: prev.Known, Out: prev.Out, Hold: prev.Hold}
	if v.Health != checks.Unknown {
		next.Known = v.Health
	}
	next.Hold = run(next.Hold, f.elapsed, prev.Seen)
	switch {
	case next.Known == checks.Down:
		next.Out, next.Hold = true, rejoin
	case next.Known == checks.Unknown && isNew && v.Doubted > 0:
		next.Out = true // on the very first start: every endpoint that no vote calls down
	case next.Out && next.Hold == 0 && serves(next.Seen):
		next.Out = false
	}
	return endpoint{Endpoint: e, state: next, doubted: v.Doubted > 0, unsure: f.suspects[e.ID] || v.Split()}
}

// advance runs the pool's timers over the time since the last decision, during
// which the verdict was seen, and lets it back in when they are done.
func (p *pool) advance(svc Service, elapsed time.Duration, seen checks.Health, fell bool) {
	s := &p.state
	s.Hold = run(s.Hold, elapsed, seen)
	if p.known == checks.Down {
		s.Out, s.Hold = true, svc.Hold
	}
	if seen == checks.Unknown {
		elapsed = 0
	}
	s.damp(svc.Damping, elapsed, fell)
}

// admit clears Out once nothing but the policy keeps traffic away.
func (p *pool) admit() {
	if p.state.Out && p.state.Hold == 0 && serves(p.now) && (!p.state.Suppressed || p.granted) {
		p.state.Out = false
	}
}

// run returns what is left of a hold after elapsed, which counts only while
// the verdict said that the thing held was serving.
func run(hold, elapsed time.Duration, seen checks.Health) time.Duration {
	if serves(seen) {
		hold -= elapsed
	}
	return max(hold, 0)
}

func serves(h checks.Health) bool { return h == checks.Up || h == checks.Degraded }

// health is a pool's health from its endpoints' (DESIGN, "Health": a pool is
// up while at least min_up of its endpoints are).
func (p *pool) health(of []checks.Health) checks.Health {
	need := max(p.MinUp, 1)
	var up, degraded, unknown int
	for _, h := range of {
		switch h {
		case checks.Up:
			up++
		case checks.Degraded:
			degraded++
		case checks.Unknown:
			unknown++
		}
	}
	switch {
	case up >= need:
		return checks.Up
	case up+degraded >= need:
		return checks.Degraded
	case up+degraded+unknown >= need:
		return checks.Unknown
	}
	return checks.Down
}

// rank orders pools as targets of traffic, best highest.
type rank int

const (
	rankDown rank = iota
	rankUnknownDown
	rankUnknownDoubted
	rankUnknownNever
	rankUnknownDegraded
	rankUnknownUp
	rankDegraded
	rankHeld // up, but held down or damped: still better than any not up
	rankUp
)

// rank ranks the pool. An unknown pool ranks by its last known verdict, below
// up and above down (DESIGN, "Health").
func (p *pool) rank() rank {
	switch p.now {
	case checks.Up:
		if p.state.Out {
			return rankHeld
		}
		return rankUp
	case checks.Degraded:
		return rankDegraded
	case checks.Down:
		return rankDown
	}
	switch p.known {
	case checks.Up:
		return rankUnknownUp
	case checks.Degraded:
		return rankUnknownDegraded
	case checks.Down:
		return rankUnknownDown
	}
	if slices.ContainsFunc(p.endpoints, func(e endpoint) bool { return !e.doubted }) {
		return rankUnknownNever
	}
	return rankUnknownDoubted
}

// selected returns the endpoints that the pool answers with: never none.
// Those that are held are used only where too few others are left, those that
// are down only where nothing else is.
func (p *pool) selected() []endpoint {
	pick := func(from []endpoint, want func(endpoint) bool) []endpoint {
		return slices.DeleteFunc(slices.Clone(from), func(e endpoint) bool { return !want(e) })
	}
	open := pick(p.endpoints, func(e endpoint) bool { return !e.drained })
	if len(open) == 0 {
		open = p.endpoints
	}
	alive := pick(open, func(e endpoint) bool { return e.state.Known != checks.Down })
	in := pick(alive, func(e endpoint) bool { return !e.state.Out })
	switch {
	case len(in) >= max(p.MinUp, 1):
		return in
	case len(alive) > 0:
		return alive
	}
	return open
}

// effective is what the pool can carry now: capacity x share of endpoints up.
// known is false where the config gives no capacity.
func (p *pool) effective() (capacity uint64, known bool) {
	if p.Capacity == 0 || len(p.endpoints) == 0 {
		return 0, false
	}
	var up uint64
	for _, e := range p.endpoints {
		if serves(e.state.Known) && !e.drained {
			up++
		}
	}
	n := uint64(len(p.endpoints))
	return p.Capacity/n*up + p.Capacity%n*up/n, true
}

// room reports whether the pool can carry the demand, as far as is known.
func (p *pool) room(demand uint64) bool {
	capacity, known := p.effective()
	return demand == 0 || !known || capacity >= demand
}
