package steering_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
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
		if was, is := recordsOf(s.out), recordsOf(now); !slices.Equal(was, is) {
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

// recordsOf is what an answer's records say, without weights: those follow the
// capacity, which is not known until votes are.
func recordsOf(d steering.Decision) []string {
	var out []string
	for _, a := range d.Answers {
		out = append(out, fmt.Sprintf("%s %s %s %s %v", a.Name, a.Type, a.Location, a.SetID, a.Data))
	}
	return out
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
