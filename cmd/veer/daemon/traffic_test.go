package daemon

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

func TestAnswerNames(t *testing.T) {
	pool := func(region regions.Name, addresses ...string) steering.Pool {
		p := steering.Pool{Region: region}
		for _, a := range addresses {
			p.Endpoints = append(p.Endpoints, steering.Endpoint{Address: a})
		}
		return p
	}
	names := answerNames(steering.Policy{Services: []steering.Service{
		{Name: "app.example.test.", Fallback: []string{"203.0.113.1"}, Pools: []steering.Pool{
			pool("eu-west", "192.0.2.10", "2001:db8::10"), pool("us-east", "198.51.100.10", "192.0.2.10"), pool("ap-south", "203.0.113.10"),
		}},
		{Name: "cdn.example.test.", Pools: []steering.Pool{pool("eu-west", "LB.outside.example"), pool("us-east", "other.outside.example.")}},
	}})
	for _, c := range []struct {
		service string
		data    []string
		want    string
	}{
		{"app.example.test.", []string{"192.0.2.10"}, "eu-west"}, // of two pools' the preferred one's
		{"app.example.test.", []string{"2001:db8:0::10"}, "eu-west"},
		{"app.example.test.", []string{"203.0.113.10", "192.0.2.10", "2001:db8::10"}, "eu-west+ap-south"},
		{"app.example.test.", []string{"203.0.113.1"}, "FALLBACK"},
		{"app.example.test.", []string{"192.0.2.10", "192.0.2.99"}, ""}, // of an older config
		{"cdn.example.test.", []string{"lb.outside.example."}, "eu-west"},
		{"unknown.example.test.", []string{"192.0.2.10"}, ""},
		{"app.example.test.", nil, ""},
	} {
		if got := names(c.service, c.data); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.service, c.data, got, c.want)
		}
	}
}

func TestTrafficRates(t *testing.T) {
	began := time.Now()
	zone, eu, us := trafficKey{provider: "here", zone: "example.test", answer: "NOERROR"}, trafficKey{provider: "here", service: "app.example.test.", answer: "eu-west"}, trafficKey{provider: "here", service: "app.example.test.", answer: "us-east"}
	was := tallied{began, map[trafficKey]uint64{zone: 100, eu: 90}}
	now := tallied{began.Add(8 * time.Second), map[trafficKey]uint64{zone: 180, eu: 90, us: 80}}
	want := []api.Traffic{
		{Provider: "here", Zone: "example.test", Answer: "NOERROR", PerSecond: 10, Queries: 180},
		{Provider: "here", Service: "app.example.test.", Answer: "eu-west", Queries: 90},
		{Provider: "here", Service: "app.example.test.", Answer: "us-east", PerSecond: 10, Queries: 80},
	}
	if diff := cmp.Diff(want, now.since(was, []trafficKey{zone, eu, us})); diff != "" {
		t.Error(diff)
	}
	if got := now.since(tallied{}, []trafficKey{zone}); got[0].PerSecond != 0 {
		t.Errorf("%v a second since no time at all", got[0].PerSecond)
	}
}
