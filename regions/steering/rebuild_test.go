package steering_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// TestARebuiltStateMovesNothing loses the ledger after each decision, with its
// votes: what is served stays until votes speak against it.
func TestARebuiltStateMovesNothing(t *testing.T) { check(t, rebuiltStateMovesNothing) }

func rebuiltStateMovesNothing(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	for i, s := range steps {
		state := steering.Rebuild(sc.policy, s.out.Answers)
		now := dec(steering.Input{Now: 1, Policy: sc.policy, Overrides: s.in.Overrides, Prev: through(state)})
		if was, is := data(s.out), data(now); !slices.Equal(was, is) {
			return steps, fmt.Errorf("step %d: the ledger was lost, and the answer moved:\n%v\n%v", i, was, is)
		}
		known := steering.Rebuild(steering.Policy{}, s.out.Answers)
		held := dec(steering.Input{Now: 1, Prev: through(known)})
		if was, is := data(s.out), data(held); !slices.Equal(was, is) {
			return steps, fmt.Errorf("step %d: ledger and config were lost, and the answer moved:\n%v\n%v", i, was, is)
		}
	}
	return steps, nil
}

// TestARebuiltStateReturnsLate has the preferred pool up at once after the
// loss: its hold starts again in full.
func TestARebuiltStateReturnsLate(t *testing.T) {
	sc := rapid.Custom(drawScene).Example(1)
	svc := sc.policy.Services[0]
	svc.Kind, svc.Hold, svc.Manual, svc.Demand = steering.Failover, 1000, false, 0
	policy := steering.Policy{Services: []steering.Service{svc}}
	other := svc
	other.Pools = svc.Pools[1:2]
	second := steering.Policy{Services: []steering.Service{other}}
	served := steering.Decide(steering.Input{Policy: second}).Answers
	in := steering.Input{Now: 1, Policy: policy, Prev: steering.Rebuild(policy, served)}
	for _, p := range svc.Pools {
		for _, e := range p.Endpoints {
			v := sc.quorum.Tally(e.ID, nil)
			v.Health = checks.Up
			in.Verdicts = append(in.Verdicts, v)
		}
	}
	d := steering.Decide(in)
	if got := service(d, svc.Name).Serving; !slices.Equal(got, []regions.Name{svc.Pools[1].Region}) {
		t.Fatalf("served by %v at once after the loss", got)
	}
}

// TestARebuiltStateKeeps what nobody could tell from the health of the pools alone.
func TestARebuiltStateKeeps(t *testing.T) {
	pool := func(region regions.Name, weight uint32, capacity uint64, addresses ...string) steering.Pool {
		p := steering.Pool{Region: region, MinUp: 1, Weight: weight, Capacity: capacity}
		for _, a := range addresses {
			p.Endpoints = append(p.Endpoints, steering.Endpoint{ID: regions.EndpointID("web@" + a), Address: a})
		}
		return p
	}
	answer := func(location, id string, weight uint32, addresses ...string) steering.Answer {
		return steering.Answer{MinTTL: 5, RRSet: providers.RRSet{Name: "app.example.test.", Type: "A", Location: location, SetID: id, Weight: weight, TTL: 60, Data: addresses}}
	}
	located := steering.Service{Kind: steering.Geo, AllDown: steering.LastGood, Locations: []steering.Location{{Name: "asia"}},
		Pools: []steering.Pool{pool("eu", 0, 0, "192.0.2.1", "192.0.2.2"), pool("us", 0, 0, "192.0.2.11")}}
	shared := steering.Service{Kind: steering.Weighted, Demand: 900,
		Pools: []steering.Pool{pool("eu", 1, 1000, "192.0.2.1", "192.0.2.2"), pool("us", 0, 0, "192.0.2.11")}}
	over := []steering.Answer{answer("", "eu", 500, "192.0.2.1", "192.0.2.2"), answer("", "us", 900, "192.0.2.11")}
	for _, c := range []struct {
		name   string
		svc    steering.Service
		served []steering.Answer
		up     []regions.EndpointID
		want   []steering.Answer
	}{
		{"a last good answer beside one of all", located, []steering.Answer{
			answer("asia", "", 0, "192.0.2.1", "192.0.2.11", "192.0.2.2"), answer(steering.DefaultLocation, "", 0, "192.0.2.1")}, nil, nil},
		{"a share beyond the weights", shared, over, nil, nil},
		{"a share, until all that serves is known", shared, over, []regions.EndpointID{"web@192.0.2.11"}, nil},
		{"no share of nothing", shared, []steering.Answer{answer("", "eu", 0, "192.0.2.1", "192.0.2.2")}, nil,
			[]steering.Answer{answer("", "eu", 1, "192.0.2.1", "192.0.2.2")}},
		{"a share no longer", shared, over, []regions.EndpointID{"web@192.0.2.11", "web@192.0.2.1", "web@192.0.2.2"},
			[]steering.Answer{answer("", "eu", 1, "192.0.2.1", "192.0.2.2")}},
	} {
		c.svc.Name, c.svc.TTL, c.svc.MinTTL, c.svc.MaxTTL = "app.example.test.", 60, 5, 60
		if c.want == nil {
			c.want = c.served
		}
		in := steering.Input{Now: 1, Policy: steering.Policy{Services: []steering.Service{c.svc}}}
		in.Prev = through(steering.Rebuild(in.Policy, c.served))
		for _, id := range c.up {
			in.Verdicts = append(in.Verdicts, regions.Verdict{Endpoint: id, Health: checks.Up})
		}
		if got, want := data(steering.Decide(in)), data(steering.Decision{Answers: c.want}); !slices.Equal(got, want) {
			t.Errorf("%s: the answer is\n%v, want\n%v", c.name, got, want)
		}
	}
}
