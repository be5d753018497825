package steering_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// story is a service whose decisions a file in testdata/stories tells.
type story struct {
	svc       steering.Service
	health    map[string]checks.Health
	split     map[string]bool
	overrides []steering.Override
	closed    bool
	now       time.Duration
	prev      steering.State
	wake      time.Duration
}

// TestStories reads testdata/stories: `service` declares one, `then` changes
// what is true after some time and prints the decision.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		var s *story
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "service":
				s = newStory(t, d)
				return "ok\n"
			case "then":
				s.change(t, d)
				return s.decide()
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

func duration(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newStory(t *testing.T, d *datadriven.TestData) *story {
	s := &story{health: map[string]checks.Health{}, split: map[string]bool{}}
	s.svc = steering.Service{Name: "app.example.test.", Kind: steering.Failover, AllDown: steering.LastGood, TTL: 60, MinTTL: 5, MaxTTL: 60}
	for _, arg := range d.CmdArgs {
		switch v := strings.Join(arg.Vals, ","); arg.Key {
		case "policy":
			s.svc.Kind = steering.Kind(v)
		case "hold":
			s.svc.Hold = duration(t, v)
		case "rejoin":
			s.svc.Rejoin = duration(t, v)
		case "flatten":
			s.svc.Flatten = true
		case "manual":
			s.svc.Manual = true
		case "all-down":
			s.svc.AllDown = steering.AllDown(v)
		case "fallback":
			s.svc.Fallback = []string{v}
		case "demand":
			arg.Scan(t, 0, &s.svc.Demand)
		case "damping":
			s.svc.Damping = steering.Damping{Suppress: 2500, Reuse: 1000, HalfLife: 15 * time.Minute, Max: time.Hour}
		default:
			d.Fatalf(t, "unknown key %s", arg.Key)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
		words := strings.Fields(line)
		p := steering.Pool{Region: regions.Name(words[0]), MinUp: 1}
		for _, w := range words[1:] {
			switch key, v, found := strings.Cut(w, "="); {
			case !found:
				p.Endpoints = append(p.Endpoints, steering.Endpoint{ID: regions.EndpointID("web@" + w), Address: w})
			case key == "capacity":
				fmt.Sscan(v, &p.Capacity)
			case key == "weight":
				fmt.Sscan(v, &p.Weight)
			case key == "min_up":
				fmt.Sscan(v, &p.MinUp)
			}
		}
		s.svc.Pools = append(s.svc.Pools, p)
	}
	return s
}

// change reads lines such as "up 192.0.2.1", "drain eu", "clear".
func (s *story) change(t *testing.T, d *datadriven.TestData) {
	if d.HasArg("after") {
		var after string
		d.ScanArgs(t, "after", &after)
		if after == "wake" {
			s.now = s.wake
		} else {
			s.now += duration(t, after)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "up", "down", "degraded", "unknown":
			var h checks.Health
			if err := h.UnmarshalText([]byte(words[0])); err != nil {
				t.Fatal(err)
			}
			for _, a := range words[1:] {
				s.health[a], s.split[a] = h, false
			}
		case "split":
			s.split[words[1]] = true
		case "open", "closed":
			s.closed = words[0] == "closed"
		case "clear":
			s.overrides = nil
		default:
			s.order(words)
		}
	}
}

func (s *story) order(words []string) {
	o := steering.Override{ID: fmt.Sprintf("%02d", len(s.overrides)), Act: steering.Act(words[0]), By: "alice", Why: "test",
		Target: steering.Target{Service: s.svc.Name}}
	for _, p := range s.svc.Pools {
		if string(p.Region) == words[1] {
			o.Target.Region = p.Region
		}
	}
	if o.Target.Region == "" && words[1] != "all" {
		o.Target.Address = words[1]
	}
	s.overrides = append(s.overrides, o)
}

func (s *story) decide() string {
	in := steering.Input{Now: s.now, Policy: steering.Policy{Services: []steering.Service{s.svc}}, Overrides: s.overrides, Prev: s.prev}
	for _, p := range s.svc.Pools {
		for _, e := range p.Endpoints {
			v := regions.Verdict{Endpoint: e.ID, Health: s.health[e.Address], Need: 2}
			if s.split[e.Address] {
				v.Doubted, v.Against = 1, []regions.Name{"us"}
			}
			in.Verdicts = append(in.Verdicts, v)
		}
	}
	if s.closed {
		in.Calendar = steering.Calendar{Closed: []string{s.svc.Name}, Change: time.Hour}
	}
	d := steering.Decide(in)
	s.prev, s.wake = through(d.Next), d.WakeAt
	var b strings.Builder
	fmt.Fprintf(&b, "at %s", s.now)
	if d.WakeAt > 0 {
		fmt.Fprintf(&b, ", wake at %s", d.WakeAt)
	}
	b.WriteString("\n")
	for _, a := range d.Answers {
		fmt.Fprintf(&b, "%s %s", a.Type, strings.Join(a.Data, " "))
		if a.SetID != "" {
			fmt.Fprintf(&b, " (%s weight %d)", a.SetID, a.Weight)
		}
		if a.Left > 0 {
			fmt.Fprintf(&b, " left %s", a.Left)
		}
		b.WriteString("\n")
	}
	for _, w := range d.Why {
		fmt.Fprintf(&b, "  %s: %s\n", w.Rule, w.Text)
	}
	return b.String()
}
