package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/regions/steering"
)

func loadText(t *testing.T, text string) (*Config, error) {
	t.Helper()
	return loadIn(t, filepath.Dir(folder(t, text)), text)
}

func called(t *testing.T, change ...string) *Config {
	t.Helper()
	c, err := loadText(t, strings.NewReplacer(change...).Replace(read(t, "testdata/called.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAlertTargets: labels to what they are about.
func TestAlertTargets(t *testing.T) {
	rules := called(t).Hooks["alerts"].Rules
	const app, jobs = "app.example.test.", "jobs.example.test."
	for _, c := range []struct {
		labels map[string]string
		rule   int // -1: none
		want   steering.Target
	}{
		{map[string]string{"alertname": "InstanceDown", "job": "a b", "instance": "192.0.2.10:9100"}, 0, steering.Target{Service: app, Address: "192.0.2.10"}},
		{map[string]string{"alertname": "InstanceDown", "job": "a b", "instance": "[2001:DB8::10]:9100"}, 0, steering.Target{Service: app, Address: "2001:db8::10"}},
		{map[string]string{"alertname": "InstanceDown", "job": "a b", "instance": "2001:db8::10"}, 0, steering.Target{Service: app, Address: "2001:db8::10"}},
		{map[string]string{"alertname": "InstanceDown", "job": "a b", "instance": "https://192.0.2.10:8443/metrics"}, 0, steering.Target{Service: app, Address: "192.0.2.10"}},
		{map[string]string{"alertname": "InstanceDown", "job": "a b", "instance": "Host.example:80"}, 0, steering.Target{Service: app, Address: "host.example."}},
		{map[string]string{"alertname": "InstanceDown", "job": "a b", "instance": "::"}, -1, steering.Target{}},
		{map[string]string{"alertname": "InstanceDown", "job": "a b"}, -1, steering.Target{}},
		{map[string]string{"alertname": "InstanceDown", "instance": "192.0.2.10"}, -1, steering.Target{}},
		{map[string]string{"alertname": "Slow", "region": "us-east"}, 1, steering.Target{Service: app, Region: "us-east"}},
		{map[string]string{"alertname": "Slow"}, -1, steering.Target{}},
		{map[string]string{"alertname": "Down"}, 2, steering.Target{Service: jobs, Region: "eu-west", Address: "192.0.2.20"}},
	} {
		matched := -1
		for i, r := range rules {
			if got, ok := r.Target(c.labels); ok {
				if matched = i; got != c.want {
					t.Errorf("%v: %+v, expected %+v", c.labels, got, c.want)
				}
			}
		}
		if matched != c.rule {
			t.Errorf("%v: rule %d, expected %d", c.labels, matched, c.rule)
		}
	}
}

// TestHookVantages: what hooks vote on, and that no promise rests on them.
func TestHookVantages(t *testing.T) {
	c := called(t)
	if got := strings.Join(c.HookVantages(), " "); got != "alerts ops" || !c.Votes("ops") || c.Votes("pager") || c.Votes("eu-west") {
		t.Errorf("hooks that vote: %s", got)
	}
	ids := ""
	for _, p := range c.HookEndpoints("alerts") {
		ids += string(p.Endpoint) + " "
	}
	if ids != "web@192.0.2.10 web@2001:db8::10 beat@192.0.2.20 " {
		t.Errorf("alerts may speak of %s", ids)
	}
	warned := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{"when eu-west is lost (3 vantages are left, and the quorum needs 4", "the vantage ops is a hook that says nothing of some services, where its vote is missing all the time: mixed.example.test."} {
		if !strings.Contains(warned, want) {
			t.Errorf("the warnings lack %q:\n%s", want, warned)
		}
	}
	if strings.Contains(warned, "when alerts is lost") || strings.Contains(warned, "host.http.listen") {
		t.Errorf("too much is warned of:\n%s", warned)
	}
	c = called(t, `, http: {listen: "127.0.0.1:9153", pprof: true}`, "")
	if w := strings.Join(c.Warnings(), "\n"); !strings.Contains(w, "no call can come in here: monitor beat, monitor slow, hook alerts, hook ops, hook pager") {
		t.Errorf("without a listener: %s", w)
	}
	for _, place := range c.Places() {
		if place == "alerts" || place == "ops" {
			t.Errorf("a hook is a place: %v", c.Places())
		}
	}
}

// TestSilenceIsInTheBudget: what a service waits for before a heartbeat's silence
// counts, also as a part of a composite.
func TestSilenceIsInTheBudget(t *testing.T) {
	c := called(t)
	loss, _ := c.shared.LeaderLoss()
	want := 30*time.Second + 3*time.Second + time.Second + 3*time.Second + loss
	for _, s := range c.Services {
		detection := c.Budgets()[s.Name].Terms[0]
		switch heart := s.Monitor != "web"; {
		case heart && (c.timings(s).Silence != want || !strings.Contains(detection.How, "silence "+want.String()) || detection.Took < want):
			t.Errorf("%s: %+v, expected a silence of %s", s.Name, detection, want)
		case heart && c.Recovery()[s.Name].FirstSign < want:
			t.Errorf("%s: the first sign may take longer than %s", s.Name, c.Recovery()[s.Name].FirstSign)
		case !heart && c.timings(s).Silence != 0:
			t.Errorf("%s: %+v", s.Name, detection)
		}
	}
	beats := c.Heartbeats()
	for _, id := range []string{"beat@192.0.2.20", "beat@198.51.100.20", "beat@192.0.2.30", "beat@198.51.100.30"} {
		if beats[id].Heartbeat == nil {
			t.Errorf("%s does not call in: %v", id, beats)
		}
	}
	if len(beats) != 4 {
		t.Errorf("who calls in: %v", beats)
	}
	_, err := loadText(t, strings.Replace(read(t, "testdata/called.yaml"), "    monitor: beat\n", "    monitor: beat\n    rto: 30s\n", 1))
	if err == nil || !strings.Contains(err.Error(), "lower the within of the monitor beat") {
		t.Errorf("an rto that is too short: %v", err)
	}
}

// FuzzAlertTarget holds that a label leads to a canonical address or to none.
func FuzzAlertTarget(f *testing.F) {
	for _, seed := range []string{"192.0.2.10:9100", "[2001:db8::10]:9100", "https://[2001:db8::1]/metrics", "host.example:80", "::", "", "://", "a:b:c"} {
		f.Add(seed)
	}
	rule := HookRule{Service: "a.", AddressLabel: "instance"}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := rule.Target(map[string]string{"instance": text})
		if ok != (got.Address != "") {
			t.Fatalf("%q: %+v, %v", text, got, ok)
		}
		if again := EndpointAddress(got.Address); ok && again != got.Address {
			t.Fatalf("%q: %q is canonical as %q", text, got.Address, again)
		}
	})
}
