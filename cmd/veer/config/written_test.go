package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// written is a config of one service and providers of every kind.
const writtenHead = `owner: shop
regions: [eu, us]
providers:
  onprem: {kind: authority, listen: ["127.0.0.1:5300"], zones: [{name: example.test, file: example.test.zone}]}
  aws: {kind: route53, zones: [{name: example.test, id: Z0123456789ABCDEFGHIJ}, {name: example.com}], aliases: {lb.example.com: {zone_id: Z32O12XQLNTSW2}, LB2.example.com: {zone_id: Z32O12XQLNTSW2, ttl: 90}}}
  cf: {kind: cloudflare, token_file: token, zones: [{name: example.test}, {name: example.net}]}
  bind: {kind: rfc2136, servers: ["192.0.2.53:53"], tsig: {name: veer., secret_file: token}, zones: [{name: example.test}, {name: example.org}]}
  pdns: {kind: powerdns, url: "http://127.0.0.1:8081", api_key_file: token, zones: [{name: deep.example.test}]}
monitors:
  web: {kind: tcp, port: 80}
services:
`

func service(name, more string) string {
	return "  - name: " + name + "\n    monitor: web\n" + more
}

const twoPools = "    pools: [{region: eu, endpoints: [192.0.2.1]}, {region: us, endpoints: [192.0.2.2]}]\n"

// TestWrittenRefuses holds what is refused since a provider's records cannot
// express it, and that what can is named.
func TestWrittenRefuses(t *testing.T) {
	nameOf := func(n int) string { // of n characters
		const end = ".example.test"
		labels := strings.Repeat(strings.Repeat("a", 49)+".", 5)
		return strings.TrimRight(labels[:n-len(end)], ".") + end
	}
	for name, c := range map[string]struct {
		service string
		want    []string // "path: problem | expected", or none
	}{
		"weights": {
			service("app.example.test", "    policy: weighted\n"+twoPools),
			[]string{"services[0].policy: policy weighted needs weights, which the records of cf and bind do not have | policy failover or multivalue, or only providers that can; of yours onprem and aws can"},
		},
		"weights where none can": {
			service("app.example.net", "    policy: weighted\n"+twoPools),
			[]string{"services[0].policy: policy weighted needs weights, which the records of cf do not have | policy failover or multivalue"},
		},
		"geo": {
			service("app.example.test", "    policy: geo\n    locations: [{name: office, networks: [203.0.113.0/24], pools: [us]}]\n"+twoPools),
			[]string{"services[0].policy: policy geo needs answers that depend on the client, which the records that Veer writes to aws and cf and bind do not have | policy failover, or a provider of kind authority; of yours onprem can"},
		},
		"geo where none can": {
			service("app.example.net", "    policy: geo\n    locations: [{name: office, networks: [203.0.113.0/24], pools: [us]}]\n"+twoPools),
			[]string{"services[0].policy: policy geo needs answers that depend on the client, which the records that Veer writes to cf do not have | policy failover, or a provider of kind authority"},
		},
		"latency": {
			service("app.example.test", "    policy: latency\n"+twoPools),
			[]string{"services[0].policy: policy latency needs answers that depend on the client, by round trips that Veer measures itself, which the records that Veer writes to aws and cf and bind do not have | policy failover, or a provider of kind authority; of yours onprem can"},
		},
		"an HTTPS record": {
			service("app.example.net", "    https: {alpn: [h2]}\n"+twoPools),
			[]string{"services[0].https: HTTPS records are served by a provider of kind authority, and cf is not one | only providers of kind authority, or no https"},
		},
		"weights where all can": {service("app.example.test", "    policy: weighted\n    providers: [onprem, aws]\n"+twoPools), nil},
		"a TTL below the least": {
			service("app.example.test", "    ttl: {min: 5s}\n"+twoPools),
			[]string{"services[0].ttl.min: found 5s, and the provider cf takes no TTL below 1m | at least 1m, or only providers that take less; of yours onprem and aws and bind can"},
		},
		"a largest TTL below the least": {
			service("app.example.net", "    ttl: {max: 59s}\n"+twoPools),
			[]string{"services[0].ttl.max: found 59s, and the provider cf takes no TTL below 1m | at least 1m"},
		},
		"a TTL that the others take":      {service("app.example.test", "    ttl: {min: 5s}\n    providers: [onprem, aws, bind]\n"+twoPools), nil},
		"a default TTL rises without ado": {service("app.example.test", twoPools), nil},
		"a host name at the top of a zone": {
			service("example.net", "    pools: [{region: eu, endpoints: [lb.example.com]}]\n"),
			[]string{"services[0].pools[0].endpoints[0]: example.net. is the top of its zone, where no CNAME can stand (RFC 1034, section 3.6.2) | IP addresses"},
		},
		"an alias at the top of a zone": {service("example.com", "    pools: [{region: eu, endpoints: [lb.example.com]}, {region: us, endpoints: [lb2.example.com]}]\n"), nil},
		"an alias at the top of a zone, and a host name that is none": {
			service("example.com", "    pools: [{region: eu, endpoints: [lb.example.com]}, {region: us, endpoints: [lb3.example.com]}]\n"),
			[]string{"services[0].pools[0].endpoints[0]: example.com. is the top of its zone, where no CNAME can stand (RFC 1034, section 3.6.2) | IP addresses"},
		},
		"an alias at the top of a zone, and a fallback that is none": {
			service("example.com", "    all_down: fallback\n    fallback: [sorry.example.com]\n    pools: [{region: eu, endpoints: [lb.example.com]}]\n"),
			[]string{"services[0].pools[0].endpoints[0]: example.com. is the top of its zone, where no CNAME can stand (RFC 1034, section 3.6.2) | IP addresses"},
		},
		"an alias beside a host name in one answer": {
			service("app.example.com", "    policy: weighted\n    pools: [{region: eu, endpoints: [lb.example.com]}, {region: us, endpoints: [lb3.example.com]}]\n"),
			[]string{"services[0].pools[0].endpoints[0]: lb.example.com. is an alias at the provider aws and lb3.example.com. is not, which cannot share a name | all host names of a weighted service among providers.aws.aliases, or none"},
		},
		"a name of Veer's own records": {
			service("_veer-proof.shop.example.test", twoPools),
			[]string{`services[0].name: "_veer-proof.shop.example.test." is where Veer keeps its own records | another name`},
		},
		"a name that leaves no room for its owner's record": {
			service(nameOf(248), twoPools),
			[]string{"services[0].name: the record that says who owns it, \"_veer.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"…, has a name of 254 characters | at most 253 (RFC 1035, section 2.3.4), so a name of at most 247"},
		},
		"a name that leaves just enough":              {service(nameOf(247), twoPools), nil},
		"a name of the authority alone may be longer": {service(nameOf(253), "    providers: [onprem]\n"+twoPools), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(folder(t, writtenHead+c.service), noEnv)
			wantErrors(t, err, c.want)
		})
	}
}

func wantErrors(t *testing.T, err error, want []string) {
	t.Helper()
	var all Errors
	if err != nil && !errors.As(err, &all) || len(all) != len(want) {
		t.Fatalf("%d errors, want %d:\n%v", len(all), len(want), err)
	}
	for i, e := range all {
		got := e.Path + ": " + e.Problem + " | " + e.Expected
		if !strings.HasPrefix(got, want[i]) {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
	}
}

func loadWritten(t *testing.T, services string) *Config {
	t.Helper()
	c, err := Load(folder(t, writtenHead+services), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A name goes to the longest of each provider's zones.
func TestWrittenZones(t *testing.T) {
	c := loadWritten(t, service("a.deep.example.test", twoPools))
	for provider, zone := range map[string]string{
		"onprem": "example.test.", "aws": "example.test.", "cf": "example.test.", "bind": "example.test.", "pdns": "deep.example.test.",
	} {
		p, ok := c.Providers.find(provider)
		if got := p.Zone("a.deep.example.test."); !ok || got != zone {
			t.Errorf("%s: zone %q, want %q", provider, got, zone)
		}
	}
	if got := strings.Join(c.Services[0].Providers, " "); got != "onprem aws cf bind pdns" {
		t.Errorf("served by %s", got)
	}
}

// The default of ttl.min is the least that all providers take; an alias lives
// as long as its target; the budget has the slowest provider.
func TestWrittenBudget(t *testing.T) {
	c := loadWritten(t, service("app.example.test", twoPools)+
		service("app.example.com", "    rto: 10m\n    pools: [{region: eu, endpoints: [lb.example.com]}, {region: us, endpoints: [LB2.example.com]}]\n")+
		service("app.example.org", twoPools))
	for i, want := range []struct {
		min                time.Duration
		queue, propagation time.Duration
		ttl                time.Duration
	}{
		{time.Minute, 5 * time.Second, time.Minute, time.Minute}, // aws is the slowest
		{5 * time.Second, 5 * time.Second, time.Minute, 90 * time.Second},
		{5 * time.Second, 2 * time.Second, 10 * time.Second, time.Minute},
	} {
		s := c.Services[i]
		terms := map[string]time.Duration{}
		for _, term := range c.Budgets()[s.Name].Terms {
			terms[term.Name] = term.Took
		}
		if s.TTL.Min != want.min || terms["queue"] != want.queue || terms["propagation"] != want.propagation || terms["ttl"] != want.ttl {
			t.Errorf("%s: ttl.min %s, terms %v, want %+v", s.Name, s.TTL.Min, terms, want)
		}
	}
	times := c.ProviderTimes(c.Services[0])
	if len(times) != 4 || times[0] != (ProviderTime{Provider: "onprem"}) || times[1] != (ProviderTime{"aws", 5 * time.Second, time.Minute}) {
		t.Errorf("%+v", times)
	}
}

// Every TTL that a config may have is one that every kind of provider takes, so
// that only the least one needs a check.
func TestProvidersTakeTheLargestTTL(t *testing.T) {
	c := loadWritten(t, service("app.example.test", twoPools))
	for _, p := range c.Providers {
		if got := p.Caps().MaxTTL; got < seconds(maxTTL) {
			t.Errorf("%s takes TTLs up to %d s; ttl.max may be %s", p.Name, got, maxTTL)
		}
	}
	if kinds := providerKinds(); len(c.Providers) != len(kinds) {
		t.Errorf("the test has %d of %d kinds", len(c.Providers), len(kinds))
	}
}

// What is secret stands in files, whose paths the config shows and whose
// content it never does: the hash does not depend on it.
func TestWrittenSecrets(t *testing.T) {
	c := loadWritten(t, service("app.example.test", twoPools))
	for _, defaults := range []bool{false, true} {
		if text := string(c.YAML(defaults)); strings.Contains(text, "s3cret") || !strings.Contains(text, "/token") {
			t.Errorf("the effective config is\n%s", text)
		}
	}
}
