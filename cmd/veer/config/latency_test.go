package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

func TestLatencyPolicy(t *testing.T) {
	full := read(t, "testdata/full.yaml")
	c := load(t, full)
	svc := c.Policy().Services[4]
	if diff := cmp.Diff([]steering.Location{{Name: "eu-west"}, {Name: "us-east"}, {Name: "witness"}}, svc.Locations); diff != "" {
		t.Errorf("locations (-want +got):\n%s", diff)
	}
	if want := (steering.Nearness{Percent: 10, Least: 2 * time.Millisecond, For: time.Minute}); svc.Nearness != want {
		t.Errorf("%+v, expected %+v", svc.Nearness, want)
	}
	names := func(list []authority.Location) string {
		var out []string
		for _, l := range list {
			one := l.Name
			if l.Rest {
				one += " and the rest"
			}
			out = append(out, one)
		}
		return strings.Join(out, ", ")
	}
	for region, want := range map[string]string{
		"witness": "witness and the rest, us-east",
		"eu-west": "witness, us-east, eu-west and the rest",
	} {
		c := load(t, strings.Replace(full, "region: witness", "region: "+region, 1))
		if is := names(c.Locations()["near.example.test."]); is != want {
			t.Errorf("in %s: %s, expected %s", region, is, want)
		}
	}
	// A region without a vantage has nobody who measures for it.
	c = load(t, strings.NewReplacer("vantages: [eu-west, us-east, witness]", "vantages: [us-east, witness]", "region: witness", "region: eu-west", "min_voters: 1", "min_voters: 2").Replace(full))
	if is := names(c.Locations()["near.example.test."]); is != "witness, us-east" {
		t.Errorf("without a vantage: %s", is)
	}
	for _, p := range c.Endpoints() {
		measured := p.Endpoint == "raw@192.0.2.40" || p.Endpoint == "raw@198.51.100.40"
		if measured != (p.Measure == MeasureAnswer) || measured != (p.WarmUp == 4) {
			t.Errorf("%s: measure %q, warm-up %d", p.Endpoint, p.Measure, p.WarmUp)
		}
	}
}

// TestLatencyRefuses holds which monitors measure no round trip to the endpoint,
// and what two services must agree on.
func TestLatencyRefuses(t *testing.T) {
	const more = `  ping: {kind: icmp}
  kept: {kind: http, port: 80, keep_alive: true}
  names: {kind: dns, name: example.test}
  script: {kind: exec, command: [/bin/true]}
  errors: {kind: prom, url: "http://127.0.0.1:9090", query: 'up{instance="{{host}}"}', min: 1}
  both: {kind: composite, monitors: [web, kept]}
services:
`
	of := func(monitor, more string) string {
		return "  - name: app.example.test\n    providers: [onprem]\n    policy: latency\n    monitor: " + monitor + "\n" + more + twoPools
	}
	const answer = "    latency: {measure: answer}\n"
	refused := func(monitor, why, expected string) []string {
		return []string{`services[0].monitor: policy latency measures with the monitor, and "` + monitor + `" ` + why + " | " + expected}
	}
	const connecting = "kind http, https, tcp, tls, grpc, grpcs or sql, or latency: {measure: answer}"
	for name, c := range map[string]struct {
		services string
		want     []string
	}{
		"tcp":                 {of("web", ""), nil},
		"tcp, its answer":     {of("web", answer), nil},
		"icmp":                {of("ping", ""), refused("ping", "of kind icmp makes no connection", connecting)},
		"icmp, its answer":    {of("ping", answer), nil},
		"dns":                 {of("names", ""), refused("names", "of kind dns makes no connection", connecting)},
		"dns, its answer":     {of("names", answer), nil},
		"exec":                {of("script", ""), refused("script", "of kind exec makes no connection", connecting)},
		"exec, its answer":    {of("script", answer), nil},
		"a kept connection":   {of("kept", ""), refused("kept", "keeps its connections, so that it seldom connects", "keep_alive: false, or latency: {measure: answer}")},
		"over it, its answer": {of("kept", answer), nil},
		"prom":                {of("errors", answer), refused("errors", "asks Prometheus, not the endpoint", "a monitor that probes the endpoint itself, such as kind tcp")},
		"composite":           {of("both", answer), refused("both", "is of several, whose times are not one", "one of the monitors that it names")},
		"two of one endpoint": {of("web", "") + strings.Replace(of("web", "    latency: {warm_up: 3}\n"), "app.", "b.", 1), nil},
		"two that differ":     {of("web", "") + strings.Replace(of("web", answer), "app.", "b.", 1), []string{"services[1].latency.measure: web@192.0.2.1 is also measured for app.example.test. with measure connect; here it is answer | the same measure, or a monitor of its own for one of the services"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(folder(t, strings.Replace(writtenHead, "services:\n", more, 1)+c.services), noEnv)
			var all Errors
			if err != nil && !errors.As(err, &all) {
				t.Fatal(err)
			}
			var is []string
			for _, e := range all {
				is = append(is, e.Path+": "+e.Problem+" | "+e.Expected)
			}
			if diff := cmp.Diff(c.want, is); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoVantageIsCalledDefault holds that no vantage has the name of all other
// clients' location.
func TestNoVantageIsCalledDefault(t *testing.T) {
	text := strings.Replace(writtenHead, "regions: [eu, us]\n", "regions: [eu, us]\nvantages: [eu, us, default]\n", 1)
	_, err := Load(folder(t, text+"  - {name: app.example.test, providers: [onprem], policy: latency, monitor: web, pools: [{region: eu, endpoints: [192.0.2.1]}]}\n"), noEnv)
	if err == nil || !strings.Contains(err.Error(), "there is a vantage called default") {
		t.Errorf("%v", err)
	}
}

// TestWarmUpOfASharedEndpoint holds that the longer of two counts.
func TestWarmUpOfASharedEndpoint(t *testing.T) {
	one := "  - {name: a.example.test, providers: [onprem], policy: latency, latency: {warm_up: 3}, monitor: web, pools: [{region: eu, endpoints: [192.0.2.1]}]}\n"
	c := loadWritten(t, one+strings.NewReplacer("a.example", "b.example", "warm_up: 3", "warm_up: 7").Replace(one)+strings.NewReplacer("a.example", "c.example").Replace(one))
	if p := c.Endpoints(); len(p) != 1 || p[0].WarmUp != 7 || p[0].Measure != MeasureConnect || p[0].Endpoint != regions.EndpointID("web@192.0.2.1") {
		t.Errorf("%+v", p)
	}
}
