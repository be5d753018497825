package steering_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// unconfirmedHolds gives the services another config: other pools, in another
// order. While it is not confirmed the answers stay, unless one of the addresses
// in them is down: then traffic departs as ever.
func unconfirmedHolds(t *rapid.T, sc scene, dec decide, tal tally) ([]step, error) {
	steps := sc.play(dec, tal, false)
	last := steps[len(steps)-1]
	in := last.in
	in.Prev, in.Overrides, in.Suspects = through(last.out.Next), nil, nil
	in.Policy.Services = slices.Clone(sc.policy.Services)
	for i := range in.Policy.Services {
		svc := &in.Policy.Services[i]
		in.Unconfirmed.Services = append(in.Unconfirmed.Services, svc.Name)
		svc.Pools = slices.Clone(svc.Pools)
		slices.Reverse(svc.Pools)
		for k := range svc.Pools {
			if rapid.Bool().Draw(t, "another address") {
				address := fmt.Sprintf("198.51.100.%d", 10*i+k)
				svc.Pools[k].Endpoints = []steering.Endpoint{{ID: regions.EndpointID("web@" + address), Address: address}}
				in.Verdicts = append(slices.Clone(in.Verdicts), regions.Verdict{Endpoint: svc.Pools[k].Endpoints[0].ID, Health: checks.Up})
			}
		}
	}
	in.Unconfirmed.Config = "new"
	for round := range 3 {
		out := dec(in)
		for _, svc := range in.Policy.Services {
			var was steering.ServiceState
			for _, p := range in.Prev.Services {
				if p.Name == svc.Name {
					was = p
				}
			}
			now := views(svc, service(out, svc.Name))
			for v, was := range views(svc, was) {
				if err := holdsUnlessDown(sc, step{in: in, out: out}, svc, was, now[v], round); err != nil {
					return steps, err
				}
			}
		}
		in.Prev, in.Now = through(out.Next), in.Now+time.Minute
		// One more that is answered falls, which the config may not know.
		for _, s := range in.Prev.Services {
			for _, e := range s.Pending.Answered {
				if rapid.IntRange(0, 3).Draw(t, "falls") == 0 {
					in.Verdicts = slices.DeleteFunc(slices.Clone(in.Verdicts), func(v regions.Verdict) bool { return v.Endpoint == e.ID })
					in.Verdicts = append(in.Verdicts, regions.Verdict{Endpoint: e.ID, Health: checks.Down})
				}
			}
		}
	}
	return steps, nil
}

// holdsUnlessDown checks one view of a service.
func holdsUnlessDown(sc scene, s step, svc steering.Service, was, is steering.ServiceState, round int) error {
	down := answeredDown(s.in, was)
	if round > 0 && was.Pending.Config == "" || was.AllDown || len(was.Answer) == 0 {
		return nil // it was let go before
	}
	sc.met.see("held", !down)
	sc.met.see("down all the same", down)
	if !down && len(was.Pools) > 0 && !sameData(was, is) {
		return fmt.Errorf("%s moved by a config that is not confirmed: from %v to %v", svc.Name, was.Answer, is.Answer)
	}
	if !down {
		return nil
	}
	if err := leavesAtOnce(s, svc, is); err != nil {
		return fmt.Errorf("%s, held for a config that is not confirmed: %w", svc.Name, err)
	}
	if is.Pending.Config != "" {
		return fmt.Errorf("%s is answered with what is down, and is held for a config that is not confirmed", svc.Name)
	}
	return nil
}

func sameData(a, b steering.ServiceState) bool {
	d := func(s steering.ServiceState) (out []string) {
		for _, set := range s.Answer {
			out = append(out, fmt.Sprint(set.Type, set.SetID, set.Weight, set.Data))
		}
		return out
	}
	return slices.Equal(d(a), d(b))
}

// answeredDown reports whether an endpoint whose address is answered is down.
func answeredDown(in steering.Input, was steering.ServiceState) bool {
	known := map[regions.EndpointID]checks.Health{}
	add := func(id regions.EndpointID, address string, h checks.Health) {
		for _, set := range was.Answer {
			if slices.Contains(set.Data, address) {
				known[id] = h
			}
		}
	}
	for _, p := range was.Pools {
		for _, e := range p.Endpoints {
			add(e.ID, e.Address, e.Known)
		}
	}
	for _, e := range was.Pending.Answered {
		add(e.ID, e.Address, e.Known)
	}
	for _, v := range in.Verdicts {
		if _, ok := known[v.Endpoint]; ok && v.Health != checks.Unknown {
			known[v.Endpoint] = v.Health
		}
	}
	for _, h := range known {
		if h == checks.Down {
			return true
		}
	}
	return false
}

func testConfirmed(t *testing.T) {
	in := twoPools()
	in = then(in, checks.Up, checks.Up)
	if got := answer(in); got != "192.0.2.1" {
		t.Fatalf("answered %s", got)
	}
	in.Policy.Services[0].Pools[0].Endpoints = []steering.Endpoint{{ID: "web@192.0.2.9", Address: "192.0.2.9"}}
	in.Unconfirmed = steering.Unconfirmed{Config: "new", Services: []string{in.Policy.Services[0].Name}}
	in.Prev = steering.Decide(in).Next
	if s := in.Prev.Services[0]; s.Pending.Config != "new" || len(s.Pending.Answered) != 1 || s.Pending.Answered[0].ID != "web@192.0.2.1" {
		t.Fatalf("pending %+v", s.Pending)
	}
	if got := answer(in); got != "192.0.2.1" {
		t.Fatalf("not confirmed, and answered %s", got)
	}
	region := steering.Override{ID: "1", Act: steering.Drain, By: "alice", Why: "test", Target: steering.Target{Region: "us"}}
	in.Overrides = []steering.Override{region}
	if got := answer(in); got != "192.0.2.1" {
		t.Fatalf("another region is drained, and answered %s", got)
	}
	in.Overrides[0].Target.Region = "eu"
	if got := answer(in); got != "192.0.2.2" {
		t.Fatalf("its region is drained, and answered %s", got)
	}
	in.Overrides, in.Unconfirmed = nil, steering.Unconfirmed{}
	if got := answer(in); got != "192.0.2.9" {
		t.Fatalf("confirmed, and answered %s", got)
	}
}
