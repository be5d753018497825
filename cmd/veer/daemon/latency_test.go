package daemon_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
)

// latencyConfig is the lab's with a service that follows round trips. Each
// vantage asks for a path of its own, so that the backends can be far from one
// and near to another.
const latencyConfig = `owner: lab
regions: [eu-west, us-east, ap-south]
providers:
  here: {kind: authority, listen: ["127.0.0.1:0"], ecs: {trust: [127.0.0.0/8]}, zones: [{name: example.test, file: example.test.zone}]}
monitors:
  web: {kind: http, path: /%s, port: %d, interval: 500ms, timeout: 490ms, fall: 2, rise: 2, recheck: 30ms}
services:
  - name: app.example.test
    policy: latency
    monitor: web
    pools:
      - {region: eu-west, endpoints: [127.0.0.11]}
      - {region: us-east, endpoints: [127.0.0.12]}
    locations:
      - {name: eu-west, networks: [192.0.2.0/24]}
      - {name: us-east, networks: [198.51.100.0/24]}
    latency: {measure: answer, margin: 30%%, least: 40ms, for: 3s, warm_up: 3}
    ttl: {min: 1s, max: 5s}
    failback: {mode: auto, hold: 1s}
    damping: off
`

const (
	nearFor  = 3 * time.Second
	far      = 180 * time.Millisecond
	european = "192.0.2.7"
	american = "198.51.100.7"
)

// launchAt starts a region's daemon with the monitor's path of that region.
func (l *lab) launchAt(region string, roles ...string) {
	l.write("veer.yaml", fmt.Sprintf(latencyConfig, region, l.port))
	l.start(region, roles...)
}

// asClient asks a server as a resolver would whose client has an address;
// empty: it does not tell.
func (l *lab) asClient(server, client string) string {
	l.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(appName, dns.TypeA)
	if client != "" {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.ParseIP(client).Mask(net.CIDRMask(24, 32))})
	}
	r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, server)
	if err != nil {
		l.t.Fatal(err)
	}
	var out []string
	for _, rr := range r.Answer {
		out = append(out, rr.(*dns.A).A.String())
	}
	return strings.Join(out, " ")
}

func (l *lab) slow(host string, paths ...string) {
	slow := func(path string) time.Duration {
		for _, p := range paths {
			if path == "/"+p {
				return far
			}
		}
		return 0
	}
	l.backends[host].slow.Store(&slow)
}

// measures reports whether the observer sees a vantage's figures of both
// endpoints.
func (l *lab) measures(vantage regions.Name) bool {
	n := 0
	for _, b := range l.observer.View().Ballots {
		for _, v := range b.Votes {
			if b.Vantage == vantage && v.Distance() > 0 {
				n++
			}
		}
	}
	return n == 2
}

// TestLatencyThroughDNS has two regions to which different backends are near.
// Clients go to what is near to their region after the time that it takes, stay
// while nothing is known, and leave it at once when it is down.
func TestLatencyThroughDNS(t *testing.T) {
	t.Parallel() // it waits more than it works
	l := newLab(t)
	l.slow("127.0.0.11", "us-east") // the first pool is far from us-east,
	l.slow("127.0.0.12", "eu-west") // and the second one from eu-west
	l.launchAt("eu-west")
	l.launchAt("ap-south", daemon.RoleProber)
	l.launchAt("us-east", daemon.RoleProber, daemon.RoleAuthority)
	l.watch()
	here, there := l.serverOf("eu-west"), l.serverOf("us-east")
	l.server = here // the one that stays
	if is := l.asClient(here, american); is != "127.0.0.11" {
		t.Fatalf("nothing is measured yet, and the answer is %s, expected the first pool's", is)
	}
	until := func(client, want string) {
		t.Helper()
		l.until(client+" is answered "+want, func() bool { return l.asClient(here, client) == want })
	}

	// The vantage of us-east learns that the second pool is nearer, and its
	// clients go there no sooner than it takes.
	l.until("us-east measures", func() bool { return l.measures("us-east") })
	known := time.Now()
	until(american, "127.0.0.12")
	if took := time.Since(known); took < nearFor-time.Second {
		t.Errorf("traffic moved %s after the figures were known, expected %s", took, nearFor)
	}
	if is := l.asClient(here, european); is != "127.0.0.11" {
		t.Errorf("the clients of eu-west are answered %s", is)
	}
	// Clients in no location are those of the server's region.
	l.until("us-east's server has heard", func() bool { return l.asClient(there, american) == "127.0.0.12" })
	if near, over := l.asClient(here, ""), l.asClient(there, ""); near != "127.0.0.11" || over != "127.0.0.12" {
		t.Errorf("without a client's network the servers answer %s and %s", near, over)
	}
	e, err := l.client("eu-west").ExplainFor(t.Context(), appName, "", american)
	if err != nil {
		t.Fatal(err)
	}
	said := false
	for _, r := range e.Rules {
		said = said || strings.HasPrefix(r.Text, "round trips from us-east: us-east ") && strings.Contains(r.Text, "s, eu-west ") && !strings.Contains(r.Text, "not known")
	}
	if e.Client.Location != "us-east" || e.Client.Answer[0].Data[0] != "127.0.0.12" || !said {
		t.Errorf("explained to a client in us-east: %+v, %+v", e.Client, e.Rules)
	}

	// Failover wins over what is near, at once, and traffic comes back.
	l.down("127.0.0.12")
	until(american, "127.0.0.11")
	l.up("127.0.0.12")
	until(american, "127.0.0.12")

	// Now the first pool is near to us-east.
	l.slow("127.0.0.11")
	l.slow("127.0.0.12", "us-east")
	until(american, "127.0.0.11")
	l.slow("127.0.0.11", "us-east")
	l.slow("127.0.0.12")
	until(american, "127.0.0.12")

	// The vantage falls silent: its figures run out, and nothing moves.
	l.halt("us-east")
	l.until("us-east is silent", func() bool { return len(l.observer.View().Ballots) == 2 })
	l.until("the leader has heard", func() bool {
		e, err := l.client("eu-west").ExplainFor(t.Context(), appName, "", american)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range e.Rules {
			if strings.HasPrefix(r.Text, "round trips from us-east: ") && strings.Count(r.Text, "not known") == 2 {
				return true
			}
		}
		return false
	})
	if is := l.asClient(here, american); is != "127.0.0.12" {
		t.Errorf("the vantage is silent, and the answer became %s", is)
	}
	l.down("127.0.0.12")
	until(american, "127.0.0.11")
}
