package steering_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/regionstest"
	"github.com/veerdns/veer/regions/steering"
)

func TestPanicMovesNothing(t *testing.T)        { checkLimits(t, panicMovesNothing, "held", "moves without") }
func TestPanicHoldsNoMoreThanFell(t *testing.T) { checkLimits(t, panicHoldsNoMore, "held", "departs") }
func TestShiftsAreBounded(t *testing.T)         { checkLimits(t, shiftsAreBounded, "bounded", "returned") }
func TestReturnsAreShared(t *testing.T)         { checkLimits(t, returnsAreShared, "waits", "returned") }
func TestAnUnconfirmedConfigHolds(t *testing.T) {
	checkLimits(t, unconfirmedHolds, "held", "down all the same")
}
func TestWhatIsConfirmedIsDecided(t *testing.T)     { testConfirmed(t) }
func TestAPanicIsRememberedInTheState(t *testing.T) { testPanicState(t) }

// met counts what a property of the limits has met, for its coverage.
type met map[string]bool

// checkLimits searches for a counter-example and counts what was met.
func checkLimits(t *testing.T, p property, events ...string) {
	cov := regionstest.NewCoverage(t, events...)
	regionstest.Holds(t, func(rt *rapid.T) error {
		sc := drawScene(rt)
		sc.met = met{}
		_, err := p(rt, sc, steering.Decide, realTally)
		var seen []string
		for _, e := range events {
			if sc.met[e] {
				seen = append(seen, e)
			}
		}
		cov.Run(seen...)
		return err
	})
}

// see notes that something was met, where anybody counts.
func (m met) see(what string, when bool) {
	if m != nil && when {
		m[what] = true
	}
}

// fall draws endpoints that fall right after a step, and the panic that holds
// some of them.
func fall(t *rapid.T, sc scene, s step) (in steering.Input, held map[regions.EndpointID]bool) {
	in = s.in
	in.Prev, in.Overrides, in.Suspects = through(s.out.Next), s.in.Overrides, nil
	in.Verdicts = slices.Clone(s.in.Verdicts)
	held = map[regions.EndpointID]bool{}
	for i, v := range in.Verdicts {
		if v.Health == checks.Down || !rapid.Bool().Draw(t, "falls") {
			continue
		}
		in.Verdicts[i] = regions.Verdict{Endpoint: v.Endpoint, Need: v.Need, Health: checks.Down, For: sc.quorum.Vantages, Doubted: len(sc.quorum.Vantages)}
		held[v.Endpoint] = true
		in.Panic.Held = append(in.Panic.Held, v.Endpoint)
	}
	in.Panic.Left, in.Panic.Why = time.Minute, "test"
	return in, held
}

// panicMovesNothing: what falls in a panic moves nothing, while it lasts.
func panicMovesNothing(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i, s := range steps {
		in, held := fall(t, sc, s)
		out := dec(in)
		if was, is := data(s.out), data(out); !slices.Equal(was, is) {
			return steps, fmt.Errorf("step %d: a panic holds the falls of %v, and the answer moved:\n%v\n%v", i, in.Panic.Held, was, is)
		}
		later := in
		later.Prev, later.Now = through(out.Next), in.Now+in.Panic.Left-1
		later.Panic.Left = 1
		// Timers of what did not fall may end meanwhile, as they would beside
		// endpoints that are unknown.
		unknown := later
		unknown.Panic, unknown.Verdicts = steering.Panic{}, slices.Clone(later.Verdicts)
		for k, v := range unknown.Verdicts {
			if held[v.Endpoint] {
				unknown.Verdicts[k].Health = checks.Unknown
			}
		}
		if was, is := data(steering.Decide(unknown)), data(dec(later)); !slices.Equal(was, is) {
			return steps, fmt.Errorf("step %d: the panic is not over, and the answer is not that of the unknown:\n%v\n%v", i, was, is)
		}
		in.Panic = steering.Panic{}
		sc.met.see("held", len(held) > 0)
		sc.met.see("moves without", !slices.Equal(data(s.out), data(steering.Decide(in))))
	}
	return steps, nil
}

// panicHoldsNoMore: what a panic does not name departs as ever, and when it is
// over the decision is what it would have been without it.
func panicHoldsNoMore(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i, s := range steps {
		in, held := fall(t, sc, s)
		for id := range held {
			if rapid.Bool().Draw(t, "let") {
				delete(held, id)
			}
		}
		in.Panic.Held = slices.DeleteFunc(in.Panic.Held, func(id regions.EndpointID) bool { return !held[id] })
		now := step{beat: s.beat, in: in, out: dec(in)}
		sc.met.see("held", len(held) > 0)
		for _, svc := range sc.policy.Services {
			if !free(now, svc) {
				continue
			}
			seen := now
			seen.in.Verdicts = slices.Clone(in.Verdicts)
			for k, v := range seen.in.Verdicts {
				if held[v.Endpoint] {
					seen.in.Verdicts[k].Health = checks.Unknown
				}
			}
			sc.met.see("departs", hasRule(now.out, svc.Name, steering.RuleDepart))
			if err := departsAtOnce(seen, svc); err != nil {
				return steps, fmt.Errorf("step %d, %s, in a panic that holds %v: %w", i, svc.Name, in.Panic.Held, err)
			}
		}
		over := in
		over.Prev, over.Panic = through(now.out.Next), steering.Panic{}
		after := step{beat: s.beat, in: over, out: dec(over)}
		for _, svc := range sc.policy.Services {
			if !free(after, svc) {
				continue
			}
			if err := departsAtOnce(after, svc); err != nil {
				return steps, fmt.Errorf("step %d, %s, after a panic: %w", i, svc.Name, err)
			}
		}
	}
	return steps, nil
}

// shiftsAreBounded: traffic that nothing forces does not return once the service
// has shifted as often within an hour as it may. Holds are none, so that only
// this bounds it; at each step another may lead.
func shiftsAreBounded(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	for i := range sc.policy.Services {
		svc := &sc.policy.Services[i]
		svc.Hold, svc.Rejoin, svc.Manual, svc.Damping = 0, 0, false, steering.Damping{}
		svc.Shifts, svc.Demand = rapid.IntRange(1, 3).Draw(t, "bound"), 0
	}
	for i := range sc.beats {
		sc.beats[i].overrides = nil
	}
	steps := sc.play(dec, tal, false)
	for _, svc := range sc.policy.Services {
		for view := range views(svc, steering.ServiceState{}) {
			if err := shiftsOf(sc, svc, steps, view); err != nil {
				return steps, err
			}
		}
	}
	return steps, nil
}

// shiftsOf checks one view of a service.
func shiftsOf(sc scene, svc steering.Service, steps []step, view int) error {
	var shifts []time.Duration
	for i, s := range steps {
		if i == 0 || len(service(steps[i-1].out, svc.Name).Answer) == 0 {
			continue
		}
		was, is := views(svc, service(steps[i-1].out, svc.Name))[view], views(svc, service(s.out, svc.Name))[view]
		recent := 0
		for _, at := range shifts {
			if s.in.Now-at < time.Hour {
				recent++
			}
		}
		sc.met.see("bounded", recent >= svc.Shifts)
		if !slices.Equal(was.Serving, is.Serving) {
			shifts = append(shifts, s.in.Now)
		}
		if !wanted(s, svc, was, is) {
			continue
		}
		sc.met.see("returned", true)
		if recent >= svc.Shifts {
			return fmt.Errorf("step %d, %s: traffic returned from %v to %v after %d shifts within an hour, of %d", i, svc.Name, was.Serving, is.Serving, recent, svc.Shifts)
		}
	}
	return nil
}

// wanted reports whether traffic moved to a pool although nothing forced it.
func wanted(s step, svc steering.Service, was, is steering.ServiceState) bool {
	if was.AllDown || is.AllDown || !slices.ContainsFunc(is.Serving, func(r regions.Name) bool { return !slices.Contains(was.Serving, r) }) {
		return false
	}
	return !slices.ContainsFunc(was.Serving, func(r regions.Name) bool { return knownDown(is, poolOf(svc, r)) })
}

// returnsAreShared: of services that would all return at once, no more do than
// may; what is forced to move does, and the way out of all-down is free.
func returnsAreShared(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i, s := range steps {
		in := s.in
		in.Velocity = steering.Velocity{Scarce: true, Returns: rapid.IntRange(0, 1).Draw(t, "may"), Retry: 7 * time.Second}
		in.Overrides = nil
		// All is up from now on, or what it was.
		if rapid.Bool().Draw(t, "up") {
			in.Verdicts = slices.Clone(in.Verdicts)
			for k := range in.Verdicts {
				in.Verdicts[k].Health = checks.Up
			}
			in.Prev, in.Now = through(s.out.Next), in.Now+2*time.Hour
			in.Prev.Services = dec(in).Next.Services
			for k := range in.Prev.Services { // what was held has waited long enough
				forgetShifts(&in.Prev.Services[k])
			}
			in.Prev.Clock, in.Now = in.Now, in.Now+2*time.Hour
		}
		out := dec(in)
		n := 0
		for _, svc := range sc.policy.Services {
			var was steering.ServiceState
			for _, p := range in.Prev.Services {
				if p.Name == svc.Name {
					was = p
				}
			}
			is := service(out, svc.Name)
			sc.met.see("waits", is.Waits)
			if err := departsAtOnce(step{in: in, out: out}, svc); err != nil {
				return steps, fmt.Errorf("step %d, %s: %w", i, svc.Name, err)
			}
			if is.Waits && (out.WakeAt == 0 || out.WakeAt > in.Now+in.Velocity.Retry) {
				return steps, fmt.Errorf("step %d: %s waits for its turn, and WakeAt is %s, not within %s", i, svc.Name, out.WakeAt, in.Velocity.Retry)
			}
			now, returned := views(svc, is), false
			for v, was := range views(svc, was) {
				returned = returned || len(was.Answer) > 0 && wanted(step{in: in, out: out}, svc, was, now[v])
			}
			if returned && !drained(s.in, svc) {
				n++
			}
		}
		sc.met.see("returned", n > 0)
		if n > in.Velocity.Returns {
			return steps, fmt.Errorf("step %d: traffic of %d services returned, and of %d may", i, n, in.Velocity.Returns)
		}
	}
	return steps, nil
}

func forgetShifts(s *steering.ServiceState) {
	s.Shifts = nil
	for i := range s.Locations {
		s.Locations[i].Shifts = nil
	}
}

// drained reports whether an override that has just ended concerned a service.
func drained(in steering.Input, svc steering.Service) bool {
	return slices.ContainsFunc(in.Overrides, func(o steering.Override) bool { return concerns(o.Target, svc) })
}

func testPanicState(t *testing.T) {
	in := twoPools()
	in = then(in, checks.Up, checks.Up)
	in.Panic = steering.Panic{Held: []regions.EndpointID{"web@192.0.2.2", "web@192.0.2.1"}, Left: time.Minute, Why: "2 of 2 fell"}
	in.Verdicts = []regions.Verdict{{Endpoint: "web@192.0.2.1", Health: checks.Down}, {Endpoint: "web@192.0.2.2", Health: checks.Up}}
	d := steering.Decide(in)
	if !hasRule(d, in.Policy.Services[0].Name, steering.RulePanic) || d.WakeAt != in.Now+time.Minute || d.Answers[0].Left != time.Minute {
		t.Errorf("rules %+v, wakes at %s, answers %+v", d.Why, d.WakeAt, d.Answers)
	}
	if p := d.Next.Panic; p.Left != time.Minute || len(p.Held) != 2 || p.Held[0] != "web@192.0.2.1" {
		t.Errorf("remembered %+v", p)
	}
	in.Overrides = []steering.Override{{ID: "1", Act: steering.Drain, By: "alice", Why: "test", Target: steering.Target{Region: "eu"}}}
	if got := answer(in); got != "192.0.2.2" {
		t.Errorf("drained in a panic, and answered %s", got)
	}
}

// twoPools is a failover service of two regions, one endpoint each.
func twoPools() steering.Input {
	svc := steering.Service{Name: "s.example.test.", Kind: steering.Failover, AllDown: steering.LastGood, TTL: 60, MinTTL: 5, MaxTTL: 60}
	for i, r := range []regions.Name{"eu", "us"} {
		address := fmt.Sprintf("192.0.2.%d", i+1)
		svc.Pools = append(svc.Pools, steering.Pool{Region: r, MinUp: 1, Endpoints: []steering.Endpoint{{ID: regions.EndpointID("web@" + address), Address: address}}})
	}
	return steering.Input{Now: 1, Policy: steering.Policy{Services: []steering.Service{svc}}}
}

// then decides on what the two endpoints are, and goes on a second later.
func then(in steering.Input, eu, us checks.Health) steering.Input {
	in.Verdicts = []regions.Verdict{{Endpoint: "web@192.0.2.1", Health: eu}, {Endpoint: "web@192.0.2.2", Health: us}}
	in.Prev = through(steering.Decide(in).Next)
	in.Now += time.Second
	in.Policy.Services = slices.Clone(in.Policy.Services)
	in.Policy.Services[0].Pools = slices.Clone(in.Policy.Services[0].Pools)
	return in
}

// answer is the first address answered.
func answer(in steering.Input) string { return steering.Decide(in).Answers[0].Data[0] }
