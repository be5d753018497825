package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers/authority/mmdbtest"
)

// TestClientsOfAGeoService asks a daemon as clients of several places would,
// and has it explain what each is answered.
func TestClientsOfAGeoService(t *testing.T) {
	config := strings.NewReplacer(
		`zones: [{name: example.test`, `geo_file: country.mmdb, ecs: {trust: [127.0.0.0/8]}, zones: [{name: example.test`,
		"    monitor: web\n", `    monitor: web
    policy: geo
    locations:
      - {name: america, continents: [NA], pools: [us-east]}
      - {name: office, networks: [192.0.2.128/25], pools: [us-east]}
`).Replace(liveConfig)
	database := mmdbtest.Write(mmdbtest.Middle, mmdbtest.Networks("203.0.113.0/24 US NA", "192.0.2.0/24 FR EU", "2001:db8::/32 CA NA")...)
	l := startLiveOn(t, config, map[string]string{"country.mmdb": string(database)})
	l.until("eu-west up 1/1, us-east up 1/1", "status")
	l.expect(exitDone, "OK  1 service", "status")
	ask := func(client, want, scope string) {
		t.Helper()
		args := []string{"query", "app.example.test", "--server", l.server, "--client", client}
		l.until("IN A "+want, args...)
		l.expect(exitDone, "holds for "+scope+"\n;; why: veer explain app.example.test --client ", args...)
	}
	ask("203.0.113.7", "198.51.100.10", "203.0.113.0/24")
	ask("192.0.2.7/20", "192.0.2.10", "192.0.0.0/23")
	ask("2001:db8:1::/56", "198.51.100.10", "2001:db8::/32")
	ask("198.18.0.1", "192.0.2.10", "196.0.0.0/6")

	explains(l, "203.0.113.7", "203.0.113.7 is in america, as all of 203.0.113.0/24, and is answered 198.51.100.10")
	explains(l, "192.0.2.200", "192.0.2.200 is in office, as all of 192.0.2.128/25, and is answered 198.51.100.10")
	l.expect(exitUsage, "expected an IP address", "explain", "app.example.test", "--client", "here")
	l.expect(exitUsage, "expected an IP address or a network", "query", "app.example.test", "--server", l.server, "--client", "here")
	_, text := l.veer("explain", "app.example.test", "--client", "203.0.113.7", "-o", "json")
	var e api.Explain
	if err := json.Unmarshal([]byte(text), &e); err != nil || len(e.Rules) == 0 {
		t.Fatalf("%v in %s", err, text)
	}
	for _, r := range e.Rules {
		if r.Location != "" && r.Location != "america" {
			t.Errorf("a client in america is told of %+v", r)
		}
	}

	// Its preferred region drained, every location has the other's pool.
	l.expect(exitDone, "for america", "drain", "us-east", "--for", "1h", "--reason", "test", "-y")
	ask("203.0.113.7", "192.0.2.10", "203.0.113.0/24")
	ask("192.0.2.7", "192.0.2.10", "192.0.2.0/24")
	l.expect(exitDone, "decided again alike", "journal", "--replay")
}

// explains expects a sentence on a client, however its lines are broken.
func explains(l *live, client, want string) {
	l.t.Helper()
	_, text := l.veer("explain", "app.example.test", "--client", client)
	if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
		l.t.Errorf("expected %q in:\n%s", want, text)
	}
}

func TestExplainASharedAnswer(t *testing.T) {
	l := startLive(t)
	l.until("eu-west up 1/1, us-east up 1/1", "status")
	explains(l, "203.0.113.7", "203.0.113.7 is answered 192.0.2.10, as all clients are")
	l.expect(exitDone, "does not believe this host", "query", "app.example.test", "--server", l.server, "--client", "203.0.113.7")
}
