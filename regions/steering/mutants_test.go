package steering_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/regionstest"
	"github.com/veerdns/veer/regions/steering"
)

// searches is how many stories a broken twin is given to be caught in.
const searches = 3000

// TestMutants runs deliberately broken twins of Decide and of the quorum rule
// through the properties: each must be caught, or the property proves nothing.
func TestMutants(t *testing.T) {
	d, q := steering.Decide, realTally
	for _, m := range []struct {
		name string
		prop property
		dec  decide
		tal  tally
	}{
		{"1: takes overrides as they come", orderNeverMatters, firstOverrideOnly, q},
		{"1: the last verdict listed is believed first", orderNeverMatters, lastVerdictOnly, q},
		{"2: unknown counts as down", unknownMovesNothing, unknownIsDown, q},
		{"2: a hold runs out while unknown", unknownMovesNothing, unknownIsLastKnown, q},
		{"3: one vote decides", minorityChangesNothing, d, oneVoteDecides},
		{"3: live denominator", minorityChangesNothing, d, liveDenominator},
		{"3: a missing vote is against", minorityChangesNothing, d, missingIsDown},
		{"4: answers only what is up", noAnswerIsEmpty, onlyUp, q},
		{"4: the last drain is obeyed", noAnswerIsEmpty, obeysLastDrain, q},
		{"5: holds the departure", onlyReturnsAreDelayed, holdsDeparture, q},
		{"5: forgets the hold", onlyReturnsAreDelayed, forgetsHold, q},
		{"5: holds the way out of all-down", onlyReturnsAreDelayed, holdsWayOut, q},
		{"7: decides by what is not in the input", replayDecidesTheSame, moody(), q},
		{"9: a drain beats a force", overridesWin, drainBeatsForce, q},
		{"9: a freeze thaws", overridesWin, ignores(steering.Freeze), q},
		{"9: a drain is ignored", overridesWin, ignores(steering.Drain), q},
		{"10: capacity is ignored", noMoveBeyondCapacity, ignoresDemand, q},
		{"11: all must vote", lostRegionIsLeft, d, allMustVote},
		{"11: holds the departure", lostRegionIsLeft, holdsDeparture, q},
		{"11: the survivors are enough", lostRegionIsLeft, d, liveDenominator},
		{"panic: is ignored", panicMovesNothing, ignoresPanic, q},
		{"panic: holds what did not fall in it", panicHoldsNoMore, panicHoldsAll, q},
		{"panic: holds longer than unknown", panicHoldsNoMore, panicFreezes, q},
		{"velocity: shifts are not counted", shiftsAreBounded, ignoresShifts, q},
		{"velocity: a new leader forgets them", shiftsAreBounded, forgetsShifts, q},
		{"velocity: departures are bounded too", onlyReturnsAreDelayed, boundsDepartures, q},
		{"velocity: all return at once", returnsAreShared, ignoresScarcity, q},
		{"velocity: the way out of all-down is bounded", returnsAreShared, boundsWayOut, q},
		{"unconfirmed: is decided", unconfirmedHolds, ignoresUnconfirmed, q},
		{"unconfirmed: holds what is down", unconfirmedHolds, holdsUnconfirmed, q},
		{"wake: never wakes", wakesInTime, neverWakes, q},
	} {
		regionstest.Caught(t, searches, m.name, func(rt *rapid.T) error {
			_, err := m.prop(rt, drawScene(rt), m.dec, m.tal)
			return err
		})
	}
}

func firstOverrideOnly(in steering.Input) steering.Decision {
	in.Overrides = in.Overrides[:min(len(in.Overrides), 1)]
	return steering.Decide(in)
}

func lastVerdictOnly(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	if n := len(in.Verdicts); n > 0 {
		d.Why = append(d.Why, steering.Reason{Text: string(in.Verdicts[n-1].Endpoint)})
	}
	return d
}

func eachVerdict(in steering.Input, change func(*regions.Verdict)) steering.Input {
	in.Verdicts = slices.Clone(in.Verdicts)
	for i := range in.Verdicts {
		change(&in.Verdicts[i])
	}
	return in
}

func unknownIsDown(in steering.Input) steering.Decision {
	return steering.Decide(eachVerdict(in, func(v *regions.Verdict) {
		if v.Health == checks.Unknown {
			v.Health = checks.Down
		}
	}))
}

// unknownIsLastKnown lets timers run on by what was known before.
func unknownIsLastKnown(in steering.Input) steering.Decision {
	known := map[regions.EndpointID]checks.Health{}
	for _, s := range in.Prev.Services {
		for _, p := range s.Pools {
			for _, e := range p.Endpoints {
				known[e.ID] = e.Known
			}
		}
	}
	listed := map[regions.EndpointID]bool{}
	in = eachVerdict(in, func(v *regions.Verdict) {
		listed[v.Endpoint] = true
		if v.Health == checks.Unknown {
			v.Health = known[v.Endpoint]
		}
	})
	for id, h := range known {
		if !listed[id] {
			in.Verdicts = append(in.Verdicts, regions.Verdict{Endpoint: id, Health: h})
		}
	}
	return steering.Decide(in)
}

func oneVoteDecides(q regions.Quorum, id regions.EndpointID, votes []regions.Vote) regions.Verdict {
	q.Need, q.MinVoters = 1, 1
	return q.Tally(id, votes)
}

func liveDenominator(q regions.Quorum, id regions.EndpointID, votes []regions.Vote) regions.Verdict {
	var live []regions.Name
	for _, v := range votes {
		if v.Health != checks.Unknown {
			live = append(live, v.Vantage)
		}
	}
	q.Vantages, q.Need, q.MinVoters = live, len(live)/2+1, 1
	return q.Tally(id, votes)
}

func allMustVote(q regions.Quorum, id regions.EndpointID, votes []regions.Vote) regions.Verdict {
	q.Need = len(q.Vantages)
	return q.Tally(id, votes)
}

func missingIsDown(q regions.Quorum, id regions.EndpointID, votes []regions.Vote) regions.Verdict {
	v := q.Tally(id, votes)
	if v.Health == checks.Up && len(v.Missing) > 0 {
		v.Health = checks.Down
	}
	return v
}

func onlyUp(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	for _, s := range d.Next.Services {
		if s.AllDown {
			d.Answers = slices.DeleteFunc(d.Answers, func(a steering.Answer) bool { return a.Name == s.Name })
		}
	}
	return d
}

func obeysLastDrain(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	d.Answers = slices.DeleteFunc(d.Answers, func(a steering.Answer) bool {
		return hasRule(d, a.Name, steering.RuleDrainRefused)
	})
	return d
}

func holdsDeparture(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	for i, s := range d.Next.Services {
		if hasRule(d, s.Name, steering.RuleDepart) && in.Now-in.Prev.Clock < time.Minute {
			for _, was := range in.Prev.Services {
				if was.Name == s.Name && len(was.Answer) > 0 {
					d.Next.Services[i].Answer, d.Next.Services[i].Serving = was.Answer, was.Serving
				}
			}
		}
	}
	return d
}

func forgetsHold(in steering.Input) steering.Decision {
	in.Policy.Services = slices.Clone(in.Policy.Services)
	for i := range in.Policy.Services {
		in.Policy.Services[i].Hold /= 2
	}
	return steering.Decide(in)
}

func holdsWayOut(in steering.Input) steering.Decision {
	down := map[regions.EndpointID]bool{}
	for _, s := range in.Prev.Services {
		for _, p := range s.Pools {
			for _, e := range p.Endpoints {
				down[e.ID] = s.AllDown && e.Known == checks.Down
			}
		}
	}
	return steering.Decide(eachVerdict(in, func(v *regions.Verdict) {
		if down[v.Endpoint] {
			v.Health = checks.Down
		}
	}))
}

// moody decides a little differently each time.
func moody() decide {
	n := 0
	return func(in steering.Input) steering.Decision {
		n++
		in.Now += time.Duration(n)
		return steering.Decide(in)
	}
}

func ignores(act steering.Act) decide {
	return func(in steering.Input) steering.Decision {
		in.Overrides = slices.DeleteFunc(slices.Clone(in.Overrides), func(o steering.Override) bool { return o.Act == act })
		return steering.Decide(in)
	}
}

func drainBeatsForce(in steering.Input) steering.Decision {
	if slices.ContainsFunc(in.Overrides, func(o steering.Override) bool { return o.Act == steering.Drain }) {
		return ignores(steering.Force)(in)
	}
	return steering.Decide(in)
}

func ignoresDemand(in steering.Input) steering.Decision {
	in.Policy.Services = slices.Clone(in.Policy.Services)
	for i := range in.Policy.Services {
		in.Policy.Services[i].Demand = 0
	}
	return steering.Decide(in)
}

func neverWakes(in steering.Input) steering.Decision {
	d := steering.Decide(in)
	d.WakeAt = 0
	return d
}
