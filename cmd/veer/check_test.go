package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veerdns/veer/checks"
)

const checkConfig = `owner: example
regions: [eu-west, us-east]
providers:
  here: {kind: authority, listen: ["127.0.0.1:5300"], zones: [{name: example.test, file: example.test.zone}]}
monitors:
  web: {kind: tcp, port: PORT}
  plain: {kind: tcp, port: PORT}
  both: {kind: composite, monitors: [web, plain]}
services:
  - name: app.example.test
    monitor: web
    pools:
      - {region: eu-west, endpoints: [127.0.0.1]}
      - {region: us-east, endpoints: [127.0.0.2]}
  - name: both.example.test
    monitor: both
    pools:
      - {region: eu-west, endpoints: [127.0.0.1]}
      - {region: us-east, endpoints: [127.0.0.2]}
host: {region: eu-west, data_dir: data}
`

// configFor writes a config whose monitor connects to the port of the listener on
// 127.0.0.1; on 127.0.0.2 nothing listens there.
func configFor(t *testing.T, l net.Listener) string {
	t.Helper()
	dir := t.TempDir()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"veer.yaml":         strings.ReplaceAll(checkConfig, "PORT", port),
		"example.test.zone": "@ 300 IN SOA ns1 hostmaster 1 7200 900 1209600 300\n@ 300 IN NS ns1\nns1 300 IN A 127.0.0.1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "veer.yaml")
}

func TestCheck(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	path := configFor(t, l)
	for _, c := range []struct {
		name   string
		code   int
		health []checks.Health
	}{
		{"app.example.test", exitDegraded, []checks.Health{checks.Up, checks.Down}},
		{"web@127.0.0.1", exitDone, []checks.Health{checks.Up}},
		{"127.0.0.1", exitDone, []checks.Health{checks.Up, checks.Up}},
		{"both@127.0.0.1", exitDone, []checks.Health{checks.Up}},
		{"both@127.0.0.2", exitDegraded, []checks.Health{checks.Down}},
		{"web@127.0.0.2", exitDegraded, []checks.Health{checks.Down}},
		{"app.example.tst", exitUsage, nil},
	} {
		s := newSession(nil, "", nil)
		if code := s.veer(t, "check", c.name, "-c", path, "-o", "json"); code != c.code {
			t.Errorf("%s: exit code %d, expected %d: %s", c.name, code, c.code, s.stderr.String())
		}
		if c.health == nil {
			continue
		}
		var results []checked
		if err := json.Unmarshal(s.stdout.Bytes(), &results); err != nil {
			t.Fatal(err)
		}
		if len(results) != len(c.health) {
			t.Fatalf("%s: %d results, expected %d", c.name, len(results), len(c.health))
		}
		for i, r := range results {
			if r.Health != c.health[i] || r.Reason == "" || r.Evidence.Address == "" {
				t.Errorf("%s: result %d is %+v, expected %s", c.name, i, r, c.health[i])
			}
		}
	}
	s := newSession(nil, "", nil)
	s.veer(t, "check", "app.example.test", "-c", path)
	for _, want := range []string{"web@127.0.0.1  UP in ", "connect ", "web@127.0.0.2  DOWN in "} {
		if !strings.Contains(s.stdout.String(), want) {
			t.Errorf("expected %q in:\n%s", want, s.stdout.String())
		}
	}
}
