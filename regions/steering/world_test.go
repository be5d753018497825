package steering_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// decide is what the properties are about; a mutant is another one.
type decide func(steering.Input) steering.Decision

// tally is the quorum rule; a mutant is another one.
type tally func(regions.Quorum, regions.EndpointID, []regions.Vote) regions.Verdict

func realTally(q regions.Quorum, id regions.EndpointID, votes []regions.Vote) regions.Verdict {
	return q.Tally(id, votes)
}

// scene is a policy and a story of what happens to its endpoints, drawn once
// and played as often as a property wants.
type scene struct {
	policy    steering.Policy
	quorum    regions.Quorum
	endpoints []regions.EndpointID
	beats     []beat
	met       met // nil: nobody counts
}

// beat is one moment of the story: what is true after some time has passed,
// and what the vantages say of it.
type beat struct {
	after     time.Duration
	truth     map[regions.EndpointID]checks.Health
	faulty    map[regions.Name]fault // always a minority of the vantages
	suspects  []regions.EndpointID
	overrides []steering.Override
	closed    bool
	distances []steering.Distance
}

// fault is what a failing vantage does: say nothing, or say this.
type fault struct {
	silent bool
	says   checks.Health
}

var healths = []checks.Health{checks.Unknown, checks.Down, checks.Degraded, checks.Up}

func drawScene(t *rapid.T) scene {
	var sc scene
	n := rapid.IntRange(1, 5).Draw(t, "vantages")
	for i := range n {
		sc.quorum.Vantages = append(sc.quorum.Vantages, regions.Name(fmt.Sprintf("v%d", i)))
	}
	sc.quorum.Need = n/2 + 1
	sc.quorum.MinVoters = regions.DefaultMinVoters(n)
	for i := range rapid.IntRange(1, 2).Draw(t, "services") {
		sc.policy.Services = append(sc.policy.Services, drawService(t, i))
	}
	for _, svc := range sc.policy.Services {
		for _, p := range svc.Pools {
			for _, e := range p.Endpoints {
				sc.endpoints = append(sc.endpoints, e.ID)
			}
		}
	}
	truth := make(map[regions.EndpointID]checks.Health)
	for _, id := range sc.endpoints {
		truth[id] = checks.Up
	}
	for i := range rapid.IntRange(3, 14).Draw(t, "beats") {
		sc.beats = append(sc.beats, drawBeat(t, i, sc, truth))
	}
	return sc
}

func drawService(t *rapid.T, i int) steering.Service {
	kinds := []steering.Kind{steering.Failover, steering.Failover, steering.Weighted, steering.Multivalue, steering.Geo, steering.Latency}
	svc := steering.Service{
		Name:   fmt.Sprintf("s%d.example.test.", i),
		Kind:   rapid.SampledFrom(kinds).Draw(t, "kind"),
		TTL:    60,
		MinTTL: 5,
		MaxTTL: 60,
		AllDown: rapid.SampledFrom([]steering.AllDown{
			steering.LastGood, steering.LastGood, steering.All, steering.Fallback}).Draw(t, "all_down"),
		Hold:   rapid.SampledFrom([]time.Duration{0, 10 * time.Second, 10 * time.Minute}).Draw(t, "hold"),
		Rejoin: rapid.SampledFrom([]time.Duration{0, 30 * time.Second}).Draw(t, "rejoin"),
		Manual: rapid.IntRange(0, 4).Draw(t, "manual") == 0,
		Shifts: rapid.SampledFrom([]int{0, 0, 0, 2, 4}).Draw(t, "shifts"),

		Flatten: rapid.IntRange(0, 3).Draw(t, "flatten") == 0,
	}
	if rapid.Bool().Draw(t, "damping") {
		svc.Damping = steering.Damping{Suppress: 2500, Reuse: 1000, HalfLife: 15 * time.Minute, Max: time.Hour}
	}
	if svc.AllDown == steering.Fallback {
		svc.Fallback = []string{"192.0.2.250"}
	}
	if rapid.IntRange(0, 3).Draw(t, "demand") == 0 {
		svc.Demand = 900
	}
	for p := range rapid.IntRange(2, 3).Draw(t, "pools") {
		pool := steering.Pool{Region: regions.Name(fmt.Sprintf("r%d", p)), MinUp: 1,
			Weight:   rapid.SampledFrom([]uint32{0, 1, 10}).Draw(t, "weight"),
			Capacity: rapid.SampledFrom([]uint64{0, 500, 1000}).Draw(t, "capacity")}
		for e := range rapid.IntRange(1, 3).Draw(t, "endpoints") {
			address := fmt.Sprintf("192.0.2.%d", 100*i+10*p+e+1)
			if e == 2 {
				address = fmt.Sprintf("2001:db8::%d:%d:%d", i+1, p+1, e)
			}
			if svc.Flatten && e == 1 {
				address = fmt.Sprintf("lb%d-%d.example.net.", i, p)
			}
			pool.Endpoints = append(pool.Endpoints, steering.Endpoint{ID: regions.EndpointID("web@" + address), Address: address})
		}
		if len(pool.Endpoints) > 1 && rapid.IntRange(0, 3).Draw(t, "min_up") == 0 {
			pool.MinUp = 2
		}
		svc.Pools = append(svc.Pools, pool)
	}
	switch svc.Kind {
	case steering.Geo:
		svc.Demand = 0 // validation refuses it
		svc.Locations = drawLocations(t, svc)
	case steering.Latency:
		svc.Demand = 0
		svc.Locations = []steering.Location{{Name: "v0"}}
		svc.Nearness = steering.Nearness{Percent: 20, Least: 5 * time.Millisecond,
			For: rapid.SampledFrom([]time.Duration{0, 10 * time.Second, 10 * time.Minute}).Draw(t, "for")}
	}
	return svc
}

// drawDistances draws what v0 measures to the endpoints of the Latency services.
func drawDistances(t *rapid.T, sc scene) []steering.Distance {
	var all []steering.Distance
	for _, svc := range sc.policy.Services {
		if svc.Kind != steering.Latency {
			continue
		}
		for _, p := range svc.Pools {
			trip := rapid.SampledFrom([]int{0, 10, 11, 100, 110, 200}).Draw(t, "trip")
			for _, e := range p.Endpoints {
				if trip > 0 {
					all = append(all, steering.Distance{Vantage: "v0", Endpoint: e.ID, RoundTrip: time.Duration(trip) * time.Millisecond})
				}
			}
		}
	}
	return all
}

// drawLocations draws what may be beside the default: locations with an order
// of some of the pools.
func drawLocations(t *rapid.T, svc steering.Service) []steering.Location {
	var all []steering.Location
	for i := range rapid.IntRange(0, 2).Draw(t, "locations") {
		l := steering.Location{Name: fmt.Sprintf("l%d", i)}
		for _, p := range svc.Pools {
			if rapid.Bool().Draw(t, "in the order") {
				l.Order = slices.Insert(l.Order, rapid.IntRange(0, len(l.Order)).Draw(t, "place"), p.Region)
			}
		}
		all = append(all, l)
	}
	return all
}

// views are the parts of a service's state that are decided each by itself:
// those of a geo service's locations, or all of it.
func views(svc steering.Service, s steering.ServiceState) []steering.ServiceState {
	if !svc.Kind.Located() {
		return []steering.ServiceState{s}
	}
	var out []steering.ServiceState
	for _, l := range append(slices.Clone(svc.Locations), steering.Location{Name: steering.DefaultLocation}) {
		out = append(out, s.At(l.Name))
	}
	return out
}

// drawBeat changes the truth a little, or a whole region, or all of it.
func drawBeat(t *rapid.T, i int, sc scene, truth map[regions.EndpointID]checks.Health) beat {
	b := beat{truth: make(map[regions.EndpointID]checks.Health), faulty: make(map[regions.Name]fault)}
	b.after = rapid.SampledFrom([]time.Duration{0, time.Second, 9 * time.Second, 11 * time.Second,
		time.Minute, 11 * time.Minute, time.Hour}).Draw(t, "after")
	switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
	case i == 0 && what < 8:
		// Most stories begin with all well.
	case what < 4:
		id := rapid.SampledFrom(sc.endpoints).Draw(t, "endpoint")
		truth[id] = rapid.SampledFrom(healths).Draw(t, "health")
	case what < 7:
		svc := rapid.SampledFrom(sc.policy.Services).Draw(t, "service")
		h := rapid.SampledFrom([]checks.Health{checks.Down, checks.Up, checks.Up}).Draw(t, "region health")
		for _, e := range rapid.SampledFrom(svc.Pools).Draw(t, "pool").Endpoints {
			truth[e.ID] = h
		}
	default:
		h := rapid.SampledFrom([]checks.Health{checks.Down, checks.Up, checks.Up, checks.Unknown}).Draw(t, "all")
		for _, id := range sc.endpoints {
			truth[id] = h
		}
	}
	for id, h := range truth {
		b.truth[id] = h
	}
	minority := (len(sc.quorum.Vantages) - 1) / 2
	for range rapid.IntRange(0, minority).Draw(t, "faulty") {
		name := rapid.SampledFrom(sc.quorum.Vantages).Draw(t, "who")
		b.faulty[name] = fault{rapid.Bool().Draw(t, "silent"), rapid.SampledFrom(healths).Draw(t, "says")}
	}
	if rapid.IntRange(0, 4).Draw(t, "suspicion") == 0 {
		b.suspects = append(b.suspects, rapid.SampledFrom(sc.endpoints).Draw(t, "suspect"))
	}
	if rapid.IntRange(0, 3).Draw(t, "order") == 0 {
		for k := range rapid.IntRange(1, 2).Draw(t, "orders") {
			b.overrides = append(b.overrides, drawOverride(t, k, sc))
		}
	}
	b.closed = rapid.IntRange(0, 5).Draw(t, "window") == 0
	b.distances = drawDistances(t, sc)
	return b
}

func drawOverride(t *rapid.T, k int, sc scene) steering.Override {
	svc := rapid.SampledFrom(sc.policy.Services).Draw(t, "order for")
	p := rapid.SampledFrom(svc.Pools).Draw(t, "order to")
	o := steering.Override{ID: fmt.Sprintf("%02d", k), By: "alice", Why: "test",
		Act:    rapid.SampledFrom([]steering.Act{steering.Drain, steering.Drain, steering.Force, steering.Freeze, steering.FailbackAct}).Draw(t, "act"),
		Target: steering.Target{Service: svc.Name, Region: p.Region},
		Left:   rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "left")}
	switch rapid.IntRange(0, 4).Draw(t, "scope") {
	case 0:
		o.Target.Service = ""
	case 1:
		o.Target.Address = rapid.SampledFrom(p.Endpoints).Draw(t, "address").Address
	}
	return o
}

// votes returns what the vantages say at the beat; with honest, the faulty
// ones say the truth too.
func (sc scene) votes(b beat, honest bool, round uint64) map[regions.EndpointID][]regions.Vote {
	votes := make(map[regions.EndpointID][]regions.Vote)
	for _, id := range sc.endpoints {
		for _, v := range sc.quorum.Vantages {
			f, faulty := b.faulty[v]
			h := b.truth[id]
			if faulty && !honest {
				if f.silent {
					continue
				}
				h = f.says
			}
			votes[id] = append(votes[id], regions.Vote{Vantage: v, Endpoint: id, Health: h, Round: round})
		}
	}
	return votes
}

// step is one decision of a play.
type step struct {
	beat beat
	in   steering.Input
	out  steering.Decision
}

// play tells the story and returns each decision. Every state travels through
// JSON, as it does through the ledger.
func (sc scene) play(dec decide, tal tally, honest bool) []step {
	var steps []step
	var prev steering.State
	var now time.Duration
	for i, b := range sc.beats {
		now += b.after
		in := steering.Input{Now: now, Policy: sc.policy, Suspects: b.suspects, Overrides: b.overrides, Distances: b.distances, Prev: prev}
		votes := sc.votes(b, honest, uint64(i))
		for _, id := range sc.endpoints {
			in.Verdicts = append(in.Verdicts, tal(sc.quorum, id, votes[id]))
		}
		if b.closed {
			for _, svc := range sc.policy.Services {
				in.Calendar.Closed = append(in.Calendar.Closed, svc.Name)
			}
			in.Calendar.Change = time.Hour
		}
		out := dec(in)
		steps = append(steps, step{b, in, out})
		prev = through(out.Next)
	}
	return steps
}

func through(s steering.State) steering.State {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	var back steering.State
	if err := json.Unmarshal(text, &back); err != nil {
		panic(err)
	}
	return back
}

// data is what an answer's records say, without TTLs.
func data(d steering.Decision) []string {
	var out []string
	for _, a := range d.Answers {
		out = append(out, fmt.Sprintf("%s %s %s %s %d %v", a.Name, a.Type, a.Location, a.SetID, a.Weight, a.Data))
	}
	return out
}

func service(d steering.Decision, name string) steering.ServiceState {
	for _, s := range d.Next.Services {
		if s.Name == name {
			return s
		}
	}
	return steering.ServiceState{}
}

func hasRule(d steering.Decision, service string, rule steering.Rule) bool {
	return slices.ContainsFunc(d.Why, func(r steering.Reason) bool { return r.Service == service && r.Rule == rule })
}

// events names what the play had, for the coverage that each property prints.
func (sc scene) events(steps []step) []string {
	var seen []string
	add := func(what string, when bool) {
		if when && !slices.Contains(seen, what) {
			seen = append(seen, what)
		}
	}
	for _, s := range steps {
		add("minority failure", len(s.beat.faulty) > 0)
		add("override", len(s.in.Overrides) > 0)
		for _, svc := range s.out.Next.Services {
			add("failover", hasRule(s.out, svc.Name, steering.RuleDepart))
			add("all-down", svc.AllDown)
			for _, r := range []steering.Rule{steering.RuleHold, steering.RuleDamp, steering.RuleManual, steering.RuleWindow} {
				add("suppressed return", hasRule(s.out, svc.Name, r))
			}
		}
	}
	return seen
}
