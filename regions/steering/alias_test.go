package steering_test

import (
	"testing"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// TestAliasKeepsLastGood: a last good answer gets the type that host names have
// now, also where the config changed it while all is down.
func TestAliasKeepsLastGood(t *testing.T) {
	svc := steering.Service{Name: "app.example.test.", Kind: steering.Failover, AllDown: steering.LastGood, TTL: 60, MinTTL: 5, MaxTTL: 60,
		Pools: []steering.Pool{
			{Region: "eu", MinUp: 1, Endpoints: []steering.Endpoint{{ID: "web@a", Address: "lb-1.example.net."}}},
			{Region: "us", MinUp: 1, Endpoints: []steering.Endpoint{{ID: "web@b", Address: "lb-2.example.net."}}},
		}}
	var prev steering.State
	decide := func(flatten bool, h checks.Health) string {
		svc.Flatten = flatten
		in := steering.Input{Now: prev.Clock + 1, Policy: steering.Policy{Services: []steering.Service{svc}}, Prev: prev}
		for _, id := range []regions.EndpointID{"web@a", "web@b"} {
			in.Verdicts = append(in.Verdicts, regions.Verdict{Endpoint: id, Health: h})
		}
		d := steering.Decide(in)
		prev = d.Next
		if len(d.Answers) != 1 || len(d.Answers[0].Data) != 1 {
			t.Fatalf("answers %+v", d.Answers)
		}
		return d.Answers[0].Type + " " + d.Answers[0].Data[0]
	}
	for i, step := range []struct {
		flatten bool
		health  checks.Health
		want    string
	}{
		{false, checks.Up, "CNAME lb-1.example.net."},
		{false, checks.Down, "CNAME lb-1.example.net."},
		{true, checks.Down, "ALIAS lb-1.example.net."},
		{false, checks.Down, "CNAME lb-1.example.net."},
		{true, checks.Up, "ALIAS lb-1.example.net."},
	} {
		if got := decide(step.flatten, step.health); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}
