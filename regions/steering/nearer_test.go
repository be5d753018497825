package steering_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/regionstest"
	"github.com/veerdns/veer/regions/steering"
)

// trips is what v0 measures to each pool at a moment, in milliseconds; 0 is not
// known.
type trips struct {
	at time.Duration
	ms []int
}

// nearScene is a Latency service of which all is up, and what v0 measures.
type nearScene struct {
	svc   steering.Service
	trips []trips
}

func drawNear(rt *rapid.T) nearScene {
	svc := steering.Service{Name: "s.example.test.", Kind: steering.Latency, AllDown: steering.LastGood, TTL: 60, MinTTL: 5, MaxTTL: 60,
		Locations: []steering.Location{{Name: "v0"}},
		Nearness: steering.Nearness{Percent: 20, Least: 5 * time.Millisecond,
			For: rapid.SampledFrom([]time.Duration{10 * time.Second, 5 * time.Minute}).Draw(rt, "for")}}
	for i := range rapid.IntRange(2, 4).Draw(rt, "pools") {
		address := fmt.Sprintf("192.0.2.%d", i+1)
		svc.Pools = append(svc.Pools, steering.Pool{Region: regions.Name(fmt.Sprintf("r%d", i)), MinUp: 1,
			Endpoints: []steering.Endpoint{{ID: regions.EndpointID("web@" + address), Address: address}}})
	}
	sc := nearScene{svc: svc}
	now := time.Duration(0)
	ms := make([]int, len(svc.Pools))
	for range rapid.IntRange(2, 16).Draw(rt, "moments") {
		now += rapid.SampledFrom([]time.Duration{time.Second, 4 * time.Second, 10 * time.Second, time.Minute, 6 * time.Minute}).Draw(rt, "after")
		for i := range ms {
			if rapid.IntRange(0, 2).Draw(rt, "changes") == 0 {
				ms[i] = rapid.SampledFrom([]int{0, 2, 4, 10, 50, 55, 80, 100, 300}).Draw(rt, "ms")
			}
		}
		sc.trips = append(sc.trips, trips{now, slices.Clone(ms)})
	}
	return sc
}

// play decides at each moment, and returns the pools that v0's clients and all
// others have, by number.
func (sc nearScene) play(dec decide) (near, others []int) {
	var prev steering.State
	for _, t := range sc.trips {
		in := steering.Input{Now: t.at, Policy: steering.Policy{Services: []steering.Service{sc.svc}}, Prev: prev}
		for i, p := range sc.svc.Pools {
			in.Verdicts = append(in.Verdicts, regions.Verdict{Endpoint: p.Endpoints[0].ID, Health: checks.Up})
			if t.ms[i] > 0 {
				in.Distances = append(in.Distances, steering.Distance{Vantage: "v0", Endpoint: p.Endpoints[0].ID, RoundTrip: time.Duration(t.ms[i]) * time.Millisecond})
			}
		}
		d := dec(in)
		prev = through(d.Next)
		number := func(location string) int {
			return slices.IndexFunc(sc.svc.Pools, func(p steering.Pool) bool { return p.Endpoints[0].Address == at(d, location) })
		}
		near, others = append(near, number("v0")), append(others, number(steering.DefaultLocation))
	}
	return near, others
}

// clearly is the rule in a way of its own, for 20 % and 5 ms.
func clearly(b, a int) bool { return a > 0 && b > 0 && b+5 <= a && 5*b <= 4*a }

// clearFor is how long b has been clearly nearer than a, at a moment; -1: it is not.
func (sc nearScene) clearFor(moment, b, a int) time.Duration {
	since := time.Duration(-1)
	for k := moment; k >= 0 && clearly(sc.trips[k].ms[b], sc.trips[k].ms[a]); k-- {
		since = sc.trips[moment].at - sc.trips[k].at
	}
	return since
}

// movesToTheNearer holds that traffic moves to what is clearly nearer, has been
// for its time, and not for anything else.
func movesToTheNearer(sc nearScene, dec decide) (moves int, err error) {
	near, others := sc.play(dec)
	for t := range near {
		where := func(format string, args ...any) error {
			return fmt.Errorf("%s at moment %d of %v: %v", fmt.Sprintf(format, args...), t, sc.trips, near)
		}
		if others[t] != 0 {
			return moves, where("all others have r%d, and nobody measures for them", others[t])
		}
		if t == 0 {
			if near[0] != 0 {
				return moves, where("the first answer is not the first pool's")
			}
			continue
		}
		is, was := near[t], near[t-1]
		if is != was {
			moves++
			if sc.clearFor(t, is, was) < sc.svc.Nearness.For {
				return moves, where("r%d has the traffic of r%d, and has been nearer for %s of %s", is, was, sc.clearFor(t, is, was), sc.svc.Nearness.For)
			}
		}
		for b := range sc.svc.Pools {
			if b != was && sc.isNearest(t, b) && sc.clearFor(t, b, was) >= sc.svc.Nearness.For && is == was {
				return moves, where("r%d is the nearest, and has been nearer than r%d for %s", b, was, sc.clearFor(t, b, was))
			}
		}
	}
	return moves, nil
}

// isNearest reports whether a pool is the nearest, and all are known.
func (sc nearScene) isNearest(moment, b int) bool {
	for i, ms := range sc.trips[moment].ms {
		if ms == 0 || i != b && ms <= sc.trips[moment].ms[b] {
			return false
		}
	}
	return true
}

func TestNearestPool(t *testing.T) {
	runs, moved := 0, 0
	for range 5 { // times rapid's number of runs: enough for the share below
		regionstest.Holds(t, func(rt *rapid.T) error {
			moves, err := movesToTheNearer(drawNear(rt), steering.Decide)
			if runs++; moves > 0 {
				moved++
			}
			return err
		})
	}
	if t.Logf("traffic moved in %d of %d runs", moved, runs); moved*10 < runs {
		t.Error("traffic moved in less than 10 % of the runs, so that the property hardly looked at it")
	}
}

// changed decides after a change of the input's services and distances.
func changed(change func(svc *steering.Service, distances []steering.Distance) []steering.Distance) decide {
	return func(in steering.Input) steering.Decision {
		in.Policy.Services = slices.Clone(in.Policy.Services)
		in.Distances = change(&in.Policy.Services[0], slices.Clone(in.Distances))
		return steering.Decide(in)
	}
}

// filled gives every endpoint of which nothing is known a round trip.
func filled(svc *steering.Service, distances []steering.Distance, trip func(regions.EndpointID) time.Duration) []steering.Distance {
	for _, p := range svc.Pools {
		id := p.Endpoints[0].ID
		if !slices.ContainsFunc(distances, func(d steering.Distance) bool { return d.Endpoint == id }) {
			distances = append(distances, steering.Distance{Vantage: "v0", Endpoint: id, RoundTrip: trip(id)})
		}
	}
	return distances
}

func TestMutantsOfNearness(t *testing.T) {
	for name, twin := range map[string]func() decide{
		"at once": func() decide {
			return changed(func(svc *steering.Service, d []steering.Distance) []steering.Distance { svc.Nearness.For = 0; return d })
		},
		"any difference counts": func() decide {
			return changed(func(svc *steering.Service, d []steering.Distance) []steering.Distance {
				svc.Nearness.Percent, svc.Nearness.Least = 0, 0
				return d
			})
		},
		"not known is near": func() decide {
			return changed(func(svc *steering.Service, d []steering.Distance) []steering.Distance {
				return filled(svc, d, func(regions.EndpointID) time.Duration { return time.Millisecond })
			})
		},
		"not known is far": func() decide {
			return changed(func(svc *steering.Service, d []steering.Distance) []steering.Distance {
				return filled(svc, d, func(regions.EndpointID) time.Duration { return time.Second })
			})
		},
		"figures never run out": func() decide {
			last := map[regions.EndpointID]time.Duration{}
			return changed(func(svc *steering.Service, d []steering.Distance) []steering.Distance {
				for _, one := range d {
					last[one.Endpoint] = one.RoundTrip
				}
				return filled(svc, d, func(id regions.EndpointID) time.Duration { return last[id] })
			})
		},
		"nothing is measured": func() decide {
			return changed(func(*steering.Service, []steering.Distance) []steering.Distance { return nil })
		},
		"all clients are v0's": func() decide {
			return changed(func(_ *steering.Service, d []steering.Distance) []steering.Distance {
				for _, one := range d {
					one.Vantage = steering.DefaultLocation
					d = append(d, one)
				}
				return d
			})
		},
		"the times are forgotten": func() decide {
			return func(in steering.Input) steering.Decision {
				d := steering.Decide(in)
				for i := range d.Next.Services[0].Locations {
					d.Next.Services[0].Locations[i].Gains = nil
				}
				return d
			}
		},
		"the order is forgotten": func() decide {
			return func(in steering.Input) steering.Decision {
				d := steering.Decide(in)
				for i := range d.Next.Services[0].Locations {
					d.Next.Services[0].Locations[i].Order = nil
				}
				return d
			}
		},
	} {
		regionstest.Caught(t, searches, name, func(rt *rapid.T) error {
			_, err := movesToTheNearer(drawNear(rt), twin())
			return err
		})
	}
}

// TestALatencyLocationIsAFailoverService decides each step of a story again, with
// each location as a failover service in the order that its state has. So what
// holds of failover services holds of each location, whatever is measured.
func TestALatencyLocationIsAFailoverService(t *testing.T) {
	regionstest.Holds(t, func(rt *rapid.T) error { return latencyIsFailover(rt, steering.Decide) })
}

func TestMutantsOfLatencyLocations(t *testing.T) {
	for name, dec := range map[string]decide{
		"the nearest pool serves whatever its health": func(in steering.Input) steering.Decision {
			in.Verdicts = slices.Clone(in.Verdicts)
			for i := range in.Verdicts {
				in.Verdicts[i].Health = checks.Up
			}
			return steering.Decide(in)
		},
		"a location forgets where it was": forgetsLocations,
	} {
		regionstest.Caught(t, searches, name, func(rt *rapid.T) error { return latencyIsFailover(rt, dec) })
	}
}

func latencyIsFailover(rt *rapid.T, dec decide) error {
	sc := drawScene(rt)
	for i := range sc.policy.Services {
		svc := &sc.policy.Services[i]
		svc.Kind, svc.Demand, svc.Locations = steering.Latency, 0, []steering.Location{{Name: "v0"}}
		svc.Nearness = steering.Nearness{Percent: 20, Least: 5 * time.Millisecond, For: 10 * time.Second}
	}
	for i := range sc.beats {
		sc.beats[i].distances = drawDistances(rt, sc)
	}
	for i, s := range sc.play(dec, realTally, false) {
		for _, svc := range sc.policy.Services {
			is := service(s.out, svc.Name)
			for _, l := range is.Locations {
				alone := s.in
				alone.Policy.Services = []steering.Service{svc.At(steering.Location{Name: l.Name, Order: l.Order})}
				alone.Prev.Services = nil
				for _, was := range s.in.Prev.Services {
					if was.Name == svc.Name {
						was = was.At(l.Name)
						alone.Prev.Services = []steering.ServiceState{was}
					}
				}
				want := service(steering.Decide(alone), svc.Name)
				if got := is.At(l.Name); !sameData(want, got) || !slices.Equal(want.Serving, got.Serving) || want.AllDown != got.AllDown {
					return fmt.Errorf("step %d: %s in %s has %v of %v; a failover service in the order %v has %v of %v", i, svc.Name, l.Name, got.Answer, got.Serving, l.Order, want.Answer, want.Serving)
				}
			}
		}
	}
	return nil
}

// TestNearerStories tells what happens, step by step.
func TestNearerStories(t *testing.T) {
	in := twoPools()
	svc := &in.Policy.Services[0]
	svc.Kind, svc.Locations = steering.Latency, []steering.Location{{Name: "far"}, {Name: "mute"}}
	svc.Nearness = steering.Nearness{Percent: 20, Least: 5 * time.Millisecond, For: time.Minute}
	measure := func(eu, us time.Duration) []steering.Distance {
		var out []steering.Distance
		for i, d := range []time.Duration{eu, us} {
			if d > 0 {
				out = append(out, steering.Distance{Vantage: "far", Endpoint: svc.Pools[i].Endpoints[0].ID, RoundTrip: d})
			}
		}
		return out
	}
	const eu, us = "192.0.2.1", "192.0.2.2"
	ms := time.Millisecond
	in = then(in, checks.Up, checks.Up)
	for _, step := range []struct {
		name      string
		after     time.Duration
		distances []steering.Distance
		eu, us    checks.Health
		want      string
		why       string
	}{
		{"nothing is measured yet", time.Second, nil, checks.Up, checks.Up, eu, "round trips from far: eu not known, us not known"},
		{"us is nearer", time.Second, measure(80*ms, 20*ms), checks.Up, checks.Up, eu, "us is nearer than eu (20ms, 80ms), and gets its traffic if it stays so for 1m0s"},
		{"the figure of us is lost", 50 * time.Second, measure(80*ms, 0), checks.Up, checks.Up, eu, "eu 80ms, us not known"},
		{"and is back", time.Second, measure(80*ms, 20*ms), checks.Up, checks.Up, eu, "stays so for 1m0s"},
		{"not yet", 59 * time.Second, measure(80*ms, 20*ms), checks.Up, checks.Up, eu, "stays so for 1s"},
		{"now", time.Second, measure(80*ms, 20*ms), checks.Up, checks.Up, us, "us has been nearer than eu for long enough and goes before it (20ms, 80ms)"},
		{"eu is a little nearer", time.Hour, measure(18*ms, 20*ms), checks.Up, checks.Up, us, "round trips from far: us 20ms, eu 18ms"},
		{"failover wins", time.Second, measure(80*ms, 20*ms), checks.Up, checks.Down, eu, "us is down"},
		{"back to the nearer", time.Hour, measure(80*ms, 20*ms), checks.Up, checks.Up, us, ""},
		{"nothing is known any more", time.Hour, nil, checks.Up, checks.Up, us, "us not known, eu not known"},
		{"eu is nearer", time.Second, measure(10*ms, 20*ms), checks.Up, checks.Up, us, "stays so for 1m0s"},
		{"eu has been nearer", time.Minute, measure(10*ms, 20*ms), checks.Up, checks.Up, eu, "eu has been nearer than us for long enough"},
	} {
		in.Now, in.Distances = in.Prev.Clock+step.after, step.distances
		in.Verdicts = []regions.Verdict{{Endpoint: svc.Pools[0].Endpoints[0].ID, Health: step.eu}, {Endpoint: svc.Pools[1].Endpoints[0].ID, Health: step.us}}
		d := steering.Decide(in)
		if at(d, "far") != step.want {
			t.Errorf("%s: %s is answered, expected %s: %v", step.name, at(d, "far"), step.want, d.Why)
		}
		if step.us == checks.Up && (at(d, "mute") != eu || at(d, steering.DefaultLocation) != eu) {
			t.Errorf("%s: those for whom nobody measures have %s and %s", step.name, at(d, "mute"), at(d, steering.DefaultLocation))
		}
		said := slices.ContainsFunc(d.Why, func(r steering.Reason) bool { return strings.Contains(r.Text, step.why) })
		if !said {
			t.Errorf("%s: no reason says %q: %+v", step.name, step.why, d.Why)
		}
		in.Prev = through(d.Next)
	}
}
