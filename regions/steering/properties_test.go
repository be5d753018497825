package steering_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/regionstest"
	"github.com/veerdns/veer/regions/steering"
)

// property judges a play; it may ask dec about other inputs.
type property func(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error)

// events are those that every property must have met.
var events = []string{"failover", "minority failure", "all-down", "override", "suppressed return"}

// check searches for a counter-example with rapid and counts what was met.
func check(t *testing.T, p property) {
	cov := regionstest.NewCoverage(t, events...)
	regionstest.Holds(t, func(rt *rapid.T) error {
		sc := drawScene(rt)
		steps, err := p(rt, sc, steering.Decide, realTally)
		cov.Run(sc.events(steps)...)
		return err
	})
}

func TestProperty1OrderNeverMatters(t *testing.T)       { check(t, orderNeverMatters) }
func TestProperty2UnknownMovesNothing(t *testing.T)     { check(t, unknownMovesNothing) }
func TestProperty3MinorityChangesNothing(t *testing.T)  { check(t, minorityChangesNothing) }
func TestProperty4NoAnswerIsEmpty(t *testing.T)         { check(t, noAnswerIsEmpty) }
func TestProperty5OnlyReturnsAreDelayed(t *testing.T)   { check(t, onlyReturnsAreDelayed) }
func TestProperty7ReplayDecidesTheSame(t *testing.T)    { check(t, replayDecidesTheSame) }
func TestProperty9OverridesWin(t *testing.T)            { check(t, overridesWin) }
func TestProperty10NoMoveBeyondCapacity(t *testing.T)   { check(t, noMoveBeyondCapacity) }
func TestProperty11ALostRegionIsLeft(t *testing.T)      { check(t, lostRegionIsLeft) }
func TestWakeAtIsWhenTheAnswerChangesNext(t *testing.T) { check(t, wakesInTime) }

func orderNeverMatters(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "shuffle"), 1))
	for i, s := range steps {
		in := s.in
		in.Verdicts = shuffled(r, in.Verdicts)
		in.Distances = shuffled(r, in.Distances)
		in.Suspects = shuffled(r, in.Suspects)
		in.Overrides = shuffled(r, in.Overrides)
		in.Calendar.Closed = shuffled(r, in.Calendar.Closed)
		in.Policy.Services = shuffled(r, in.Policy.Services)
		in.Prev.Services = shuffled(r, in.Prev.Services)
		if a, b := text(s.out), text(dec(in)); !bytes.Equal(a, b) {
			return steps, fmt.Errorf("step %d: the order of inputs matters:\n%s\n%s", i, a, b)
		}
	}
	return steps, nil
}

func shuffled[T any](r *rand.Rand, in []T) []T {
	out := slices.Clone(in)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func text(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func unknownMovesNothing(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i, s := range steps {
		later := s.in
		later.Prev = through(s.out.Next)
		later.Now += rapid.SampledFrom([]time.Duration{0, time.Minute, 24 * time.Hour}).Draw(t, "later")
		later.Verdicts = nil
		for _, v := range s.in.Verdicts {
			if rapid.Bool().Draw(t, "listed") {
				later.Verdicts = append(later.Verdicts, regions.Verdict{Endpoint: v.Endpoint, Need: v.Need, Doubted: v.Doubted})
			}
		}
		if was, is := data(s.out), data(dec(later)); !slices.Equal(was, is) {
			return steps, fmt.Errorf("step %d: all became unknown, and the answer moved:\n%v\n%v", i, was, is)
		}
		some := s.in
		some.Prev, some.Verdicts = later.Prev, slices.Clone(s.in.Verdicts)
		for k := range some.Verdicts {
			if rapid.Bool().Draw(t, "unknown") {
				some.Verdicts[k].Health = checks.Unknown
			}
		}
		if was, is := data(s.out), data(dec(some)); !slices.Equal(was, is) {
			return steps, fmt.Errorf("step %d: some became unknown, and the answer moved:\n%v\n%v", i, was, is)
		}
	}
	return steps, nil
}

// minorityChangesNothing plays the story twice, with the minority failing and
// with it honest. On the very first start alone a single vote counts (DESIGN:
// every endpoint that no vote calls down), so there the truth is known.
func minorityChangesNothing(_ *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	for id, h := range sc.beats[0].truth {
		if h == checks.Unknown {
			sc.beats[0].truth[id] = checks.Up
		}
	}
	steps, honest := sc.play(dec, tal, false), sc.play(dec, tal, true)
	for i := range steps {
		if a, b := data(steps[i].out), data(honest[i].out); !slices.Equal(a, b) {
			return steps, fmt.Errorf("step %d: a minority %v changed the answer:\n%v\n%v", i, sc.beats[i].faulty, b, a)
		}
	}
	return steps, nil
}

func noAnswerIsEmpty(_ *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i, s := range steps {
		for _, svc := range sc.policy.Services {
			known := addresses(svc)
			var weight uint64
			var sets []providers.RRSet
			for _, a := range s.out.Answers {
				if a.Name != svc.Name {
					continue
				}
				sets = append(sets, a.RRSet)
				weight += uint64(a.Weight)
				if len(a.Data) == 0 || a.SetID != "" && a.Weight == 0 {
					return steps, fmt.Errorf("step %d: %v answers nothing", i, a)
				}
				for _, d := range a.Data {
					if !slices.Contains(known, d) {
						return steps, fmt.Errorf("step %d: %s is no address of %s", i, d, svc.Name)
					}
				}
			}
			for _, v := range views(svc, service(s.out, svc.Name)) {
				if len(v.Answer) == 0 {
					return steps, fmt.Errorf("step %d: %s has no answer in a location: %v", i, svc.Name, sets)
				}
			}
			if len(sets) == 0 {
				return steps, fmt.Errorf("step %d: %s has no answer", i, svc.Name)
			}
			if was := service(s.out, svc.Name).Answer; len(providers.Diff(was, sets)) > 0 {
				return steps, fmt.Errorf("step %d: the state remembers another answer than is given", i)
			}
		}
	}
	return steps, nil
}

func addresses(svc steering.Service) []string {
	all := slices.Clone(svc.Fallback)
	for _, p := range svc.Pools {
		for _, e := range p.Endpoints {
			all = append(all, e.Address)
		}
	}
	return all
}

// free reports whether no override concerns the service.
func free(s step, svc steering.Service) bool {
	return !slices.ContainsFunc(s.in.Overrides, func(o steering.Override) bool { return concerns(o.Target, svc) })
}

func concerns(t steering.Target, svc steering.Service) bool {
	return (t.Service == "" || t.Service == svc.Name) && slices.ContainsFunc(svc.Pools, func(p steering.Pool) bool { return covers(t, p, "") })
}

// covers reports whether the target takes in the pool, or its endpoint.
func covers(t steering.Target, p steering.Pool, address string) bool {
	if t.Region != "" && t.Region != p.Region {
		return false
	}
	if address != "" {
		return t.Address == "" || t.Address == address
	}
	return t.Address == "" || slices.ContainsFunc(p.Endpoints, func(e steering.Endpoint) bool { return e.Address == t.Address })
}

// poolVerdict counts a pool's verdicts, in a way of its own.
func poolVerdict(s step, p steering.Pool) checks.Health {
	count := map[checks.Health]int{}
	for _, e := range p.Endpoints {
		for _, v := range s.in.Verdicts {
			if v.Endpoint == e.ID {
				count[v.Health]++
			}
		}
	}
	need := max(p.MinUp, 1)
	switch {
	case count[checks.Up] >= need:
		return checks.Up
	case count[checks.Up]+count[checks.Degraded] >= need:
		return checks.Degraded
	case count[checks.Up]+count[checks.Degraded]+count[checks.Unknown] >= need:
		return checks.Unknown
	}
	return checks.Down
}

func onlyReturnsAreDelayed(_ *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for _, svc := range sc.policy.Services {
		for i, s := range steps {
			if !free(s, svc) {
				continue
			}
			if err := departsAtOnce(s, svc); err != nil {
				return steps, fmt.Errorf("step %d, %s: %w", i, svc.Name, err)
			}
			if err := returnedInTime(steps[:i+1], svc); err != nil {
				return steps, fmt.Errorf("step %d, %s: %w", i, svc.Name, err)
			}
		}
	}
	return steps, nil
}

func departsAtOnce(s step, svc steering.Service) error {
	for _, st := range views(svc, service(s.out, svc.Name)) {
		if err := leavesAtOnce(s, svc, st); err != nil {
			return err
		}
	}
	return nil
}

func leavesAtOnce(s step, svc steering.Service, st steering.ServiceState) error {
	var best checks.Health
	for _, p := range svc.Pools {
		best = max(best, poolVerdict(s, p))
	}
	if st.AllDown && best >= checks.Degraded {
		return fmt.Errorf("a pool is %s, and all-down is still answered", best)
	}
	for _, p := range svc.Pools {
		if best != checks.Up || poolVerdict(s, p) != checks.Down {
			continue
		}
		for _, set := range st.Answer {
			for _, e := range p.Endpoints {
				if slices.Contains(set.Data, e.Address) {
					return fmt.Errorf("%s is down while another pool is up, and %s is answered", p.Region, e.Address)
				}
			}
		}
	}
	return nil
}

// returnedInTime checks a voluntary return in the last step: the pool that got
// traffic back had been up for the whole hold since it was last down.
func returnedInTime(steps []step, svc steering.Service) error {
	last := len(steps) - 1
	if last < 1 {
		return nil
	}
	before, after := views(svc, service(steps[last-1].out, svc.Name)), views(svc, service(steps[last].out, svc.Name))
	for i := range after {
		if err := heldLongEnough(steps, svc, before[i], after[i]); err != nil {
			return err
		}
	}
	return nil
}

func heldLongEnough(steps []step, svc steering.Service, was, is steering.ServiceState) error {
	last := len(steps) - 1
	if was.AllDown || slices.ContainsFunc(was.Serving, func(r regions.Name) bool {
		return knownDown(is, poolOf(svc, r))
	}) {
		return nil // a departure from a pool (last known) down, or the way out of all-down
	}
	if slices.ContainsFunc(steps[last-1:], func(s step) bool { return !free(s, svc) }) {
		return nil // an override ended
	}
	for _, r := range is.Serving {
		if slices.Contains(was.Serving, r) {
			continue
		}
		p := poolOf(svc, r)
		for k := last; k >= 0; k-- {
			if poolVerdict(steps[k], p) != checks.Down {
				continue
			}
			upFor := steps[last].in.Now - steps[k+1].in.Now
			if upFor < svc.Hold {
				return fmt.Errorf("%s was down, is back after %s, and traffic returned before its hold of %s", r, upFor, svc.Hold)
			}
			if svc.Manual || slices.Contains(steps[last].in.Calendar.Closed, svc.Name) {
				return fmt.Errorf("traffic returned to %s although failback is manual or its window is closed", r)
			}
			break
		}
	}
	return nil
}

func knownDown(s steering.ServiceState, p steering.Pool) bool {
	return slices.ContainsFunc(s.Pools, func(st steering.PoolState) bool {
		return st.Region == p.Region && st.Health(p.MinUp) == checks.Down
	})
}

func poolOf(svc steering.Service, region regions.Name) steering.Pool {
	for _, p := range svc.Pools {
		if p.Region == region {
			return p
		}
	}
	return steering.Pool{}
}

func replayDecidesTheSame(_ *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i, s := range steps {
		var e steering.Entry
		if err := json.Unmarshal(text(steering.Entry{Input: s.in, Decision: s.out}), &e); err != nil {
			return steps, err
		}
		if d, same := e.Replay(); !same {
			return steps, fmt.Errorf("step %d: replay decides otherwise:\n%s\n%s", i, text(s.out), text(d))
		}
	}
	return steps, nil
}

func overridesWin(_ *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i, s := range steps {
		for _, svc := range sc.policy.Services {
			var before []providers.RRSet
			if i > 0 {
				before = service(steps[i-1].out, svc.Name).Answer
			}
			if err := obeys(s, svc, before); err != nil {
				return steps, fmt.Errorf("step %d, %s: %w", i, svc.Name, err)
			}
		}
	}
	return steps, nil
}

// obeys checks the strongest override in force: freeze > force > drain.
func obeys(s step, svc steering.Service, before []providers.RRSet) error {
	var of = map[steering.Act][]steering.Target{}
	for _, o := range s.in.Overrides {
		if concerns(o.Target, svc) {
			of[o.Act] = append(of[o.Act], o.Target)
		}
	}
	answer := service(s.out, svc.Name).Answer
	in := func(t steering.Target, address string) bool {
		return slices.ContainsFunc(svc.Pools, func(p steering.Pool) bool {
			return covers(t, p, "") && slices.ContainsFunc(p.Endpoints, func(e steering.Endpoint) bool {
				return e.Address == address && covers(t, p, address)
			})
		})
	}
	any := func(ts []steering.Target, address string) bool {
		return slices.ContainsFunc(ts, func(t steering.Target) bool { return in(t, address) })
	}
	for _, set := range answer {
		for _, d := range set.Data {
			switch {
			case len(of[steering.Freeze]) > 0:
			case len(of[steering.Force]) > 0 && !any(of[steering.Force], d):
				return fmt.Errorf("forced to %v, and %s is answered", of[steering.Force], d)
			case len(of[steering.Force]) == 0 && any(of[steering.Drain], d) && !hasRule(s.out, svc.Name, steering.RuleDrainRefused):
				return fmt.Errorf("%s is drained, and is answered", d)
			}
		}
	}
	if len(of[steering.Freeze]) > 0 && len(before) > 0 && len(providers.Diff(before, answer)) > 0 {
		return fmt.Errorf("frozen, and the answer changed from %v to %v", before, answer)
	}
	return nil
}

func noMoveBeyondCapacity(_ *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i := 1; i < len(steps); i++ {
		for _, svc := range sc.policy.Services {
			if svc.Kind != steering.Failover || svc.Demand == 0 || !free(steps[i], svc) {
				continue
			}
			was, is := service(steps[i-1].out, svc.Name).Serving, service(steps[i].out, svc.Name)
			if len(is.Serving) != 1 || is.AllDown || slices.Equal(was, is.Serving) || carries(steps[i], svc, poolOf(svc, is.Serving[0])) {
				continue
			}
			for _, p := range svc.Pools {
				if poolVerdict(steps[i], p) == checks.Up && carries(steps[i], svc, p) {
					return steps, fmt.Errorf("step %d: traffic moved to %v beyond its capacity while %s has room", i, is.Serving, p.Region)
				}
			}
		}
	}
	return steps, nil
}

// carries reports whether the pool has room for the demand, counting endpoints
// that are known to be up.
func carries(s step, svc steering.Service, p steering.Pool) bool {
	up := 0
	for _, e := range p.Endpoints {
		for _, st := range service(s.out, svc.Name).Pools {
			for _, es := range st.Endpoints {
				if es.ID == e.ID && es.Known >= checks.Degraded {
					up++
				}
			}
		}
	}
	return p.Capacity == 0 || p.Capacity*uint64(up)/uint64(len(p.Endpoints)) >= svc.Demand
}

// wakesInTime checks that nothing changes before WakeAt or the promised time
// of the answer, input unchanged: a late wake-up would be a missed return, a
// wrong promise a stale answer in a cache.
func wakesInTime(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i, s := range steps {
		later := s.in
		later.Prev = through(s.out.Next)
		wait := 24 * time.Hour
		if s.out.WakeAt > 0 {
			wait = s.out.WakeAt - s.in.Now - 1
		}
		if wait < 0 {
			return steps, fmt.Errorf("step %d: WakeAt %s is not after %s", i, s.out.WakeAt, s.in.Now)
		}
		later.Now += time.Duration(rapid.Int64Range(0, int64(wait)).Draw(t, "wait"))
		if was, is := data(s.out), data(dec(later)); !slices.Equal(was, is) {
			return steps, fmt.Errorf("step %d: the answer changed %s later, before WakeAt %s:\n%v\n%v", i, later.Now-s.in.Now, s.out.WakeAt, was, is)
		}
	}
	return steps, nil
}

// lostRegionIsLeft takes a whole region away at the end of the story: its
// endpoints are down for all others, its vantage is silent, and no override is
// in force. Where the quorum that validation computes still decides, the answer
// leaves the region, if another pool is up; where it does not, nothing is
// called down, which is what validation says. How long it takes is the
// budget's matter (cmd/veer/config).
func lostRegionIsLeft(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	last := steps[len(steps)-1]
	i := rapid.IntRange(0, 2).Draw(t, "lost")
	lost, vantage := regions.Name(fmt.Sprintf("r%d", i)), regions.Name(fmt.Sprintf("v%d", i))
	truth := last.beat.truth
	for _, svc := range sc.policy.Services {
		for _, e := range poolOf(svc, lost).Endpoints {
			truth[e.ID] = checks.Down
		}
	}
	end := step{in: last.in, beat: beat{truth: truth, faulty: map[regions.Name]fault{vantage: {silent: true}}}}
	end.in.Prev, end.in.Overrides, end.in.Verdicts, end.in.Suspects = through(last.out.Next), nil, nil, nil
	votes := sc.votes(end.beat, false, 99)
	for _, id := range sc.endpoints {
		end.in.Verdicts = append(end.in.Verdicts, tal(sc.quorum, id, votes[id]))
	}
	end.out = dec(end.in)
	_, decides := sc.quorum.Without(vantage)
	for _, svc := range sc.policy.Services {
		p := poolOf(svc, lost)
		if len(p.Endpoints) == 0 {
			continue
		}
		switch verdict := poolVerdict(end, p); {
		case decides && verdict != checks.Down:
			return steps, fmt.Errorf("%s is lost, the quorum without %s decides, and %s is called %s", lost, vantage, svc.Name, verdict)
		case !decides && verdict == checks.Down:
			return steps, fmt.Errorf("%s is lost, validation says that nothing can be decided, and it is called down", lost)
		case !decides:
			continue
		}
		if err := departsAtOnce(end, svc); err != nil {
			return steps, fmt.Errorf("%s is lost: %w", lost, err)
		}
	}
	return steps, nil
}
