package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const compared = `owner: lab
regions: [eu-west, us-east]
providers:
  here: {kind: authority, listen: ["127.0.0.1:5300"], zones: [{name: example.test, file: example.test.zone}]}
  cf: {kind: cloudflare, token_file: cf.token, zones: [{name: example.net, id: 0123456789abcdef0123456789abcdef}]}
monitors:
  web: {kind: http, path: /healthz, port: 8080}
  other: {kind: tcp, port: 80}
services:
  - name: app.example.test
    providers: [here]
    monitor: web
    pools:
      - {region: eu-west, endpoints: [192.0.2.10]}
      - {region: us-east, endpoints: [192.0.2.20]}
    rto: 5m
  - name: other.example.test
    providers: [here]
    monitor: other
    pools:
      - {region: eu-west, endpoints: [192.0.2.10]}
      - {region: us-east, endpoints: [192.0.2.20]}
    rto: 5m
host: {region: eu-west, data_dir: /tmp/veer}
`

func compareLoad(t *testing.T, edits ...string) *Config {
	t.Helper()
	dir := t.TempDir()
	text := strings.NewReplacer(edits...).Replace(compared)
	if len(edits) > 0 && text == compared {
		t.Fatalf("nothing is edited by %q", edits)
	}
	zone := "$TTL 60\n@ IN SOA ns1 hostmaster 1 7200 1800 259200 60\n@ IN NS ns1\nns1 IN A 127.0.0.1\n"
	for name, content := range map[string]string{"veer.yaml": text, "example.test.zone": zone, "sub.zone": zone, "cf.token": "x", "cf2.token": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(filepath.Join(dir, "veer.yaml"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return c.at("/etc/veer")
}

// at is the config as if it lay elsewhere: each Load has a folder of its own.
func (c *Config) at(dir string) *Config {
	out := *c
	for i, p := range out.Providers {
		if p.Authority != nil {
			a := *p.Authority
			for j := range a.Zones {
				a.Zones[j].File = filepath.Join(dir, filepath.Base(a.Zones[j].File))
			}
			out.Providers[i].Authority = &a
		}
		if p.Cloudflare != nil {
			cf := *p.Cloudflare
			cf.TokenFile = filepath.Join(dir, filepath.Base(cf.TokenFile))
			out.Providers[i].Cloudflare = &cf
		}
	}
	return &out
}

func TestCompare(t *testing.T) {
	base := compareLoad(t)
	for _, c := range []struct {
		name        string
		edits       []string
		want, fixed []string
	}{
		{"nothing", nil, nil, nil},
		{"a comment", []string{"owner: lab\n", "# a word\nowner: lab\n"}, nil, nil},
		{"a monitor", []string{"path: /healthz", "path: /ready"}, []string{"monitor web: path: /healthz -> /ready"}, nil},
		{"an endpoint", []string{"  - name: app.example.test\n    providers: [here]\n    monitor: web\n    pools:\n      - {region: eu-west, endpoints: [192.0.2.10]}", "  - name: app.example.test\n    providers: [here]\n    monitor: web\n    pools:\n      - {region: eu-west, endpoints: [192.0.2.11, 192.0.2.12]}"},
			[]string{"service app.example.test: pools[eu-west].endpoints: [192.0.2.10] -> [192.0.2.11, 192.0.2.12]"}, nil},
		{"a service", []string{"  - name: other.example.test", "  - name: third.example.test"},
			[]string{"service other.example.test: removed", "service third.example.test: added"}, nil},
		{"a token's file", []string{"token_file: cf.token", "token_file: cf2.token"}, []string{"provider cf: token_file: /etc/veer/cf.token -> /etc/veer/cf2.token"}, nil},
		{"a written provider", []string{"  cf: {kind: cloudflare", "  cg: {kind: cloudflare"}, []string{"provider cf: removed", "provider cg: added"}, nil},
		{"a zone", []string{"zones: [{name: example.test, file: example.test.zone}]", "zones: [{name: example.test, file: example.test.zone}, {name: sub.test, file: sub.zone}]"},
			[]string{"provider here: zones[sub.test]: none -> {name: sub.test., file: /etc/veer/sub.zone}"}, nil},
		{"an address", []string{"127.0.0.1:5300", "127.0.0.1:5301"},
			[]string{`provider here: listen: ["127.0.0.1:5300"] -> ["127.0.0.1:5301"]`}, []string{"provider here: listen: changed"}},
		{"the data folder", []string{"data_dir: /tmp/veer", "data_dir: /tmp/other"},
			[]string{"host: data_dir: /tmp/veer -> /tmp/other"}, []string{"host: data_dir: /tmp/veer -> /tmp/other"}},
		{"the owner", []string{"owner: lab", "owner: shop"}, []string{"owner: lab -> shop"}, []string{"owner: lab -> shop"}},
		{"the cluster", []string{"host: {", "cluster: {endpoints: [\"http://127.0.0.1:2379\"]}\nhost: {"},
			[]string{`cluster: endpoints: none -> ["http://127.0.0.1:2379"]`}, []string{`cluster: endpoints: none -> ["http://127.0.0.1:2379"]`}},
	} {
		is := compareLoad(t, c.edits...)
		if got := fmt.Sprint(Compare(base, is)); got != fmt.Sprint(c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, fmt.Sprint(c.want))
		}
		if got := fmt.Sprint(Fixed(base, is)); got != fmt.Sprint(c.fixed) {
			t.Errorf("%s needs a restart:\n got %s\nwant %s", c.name, got, fmt.Sprint(c.fixed))
		}
		if same := base.Hash() == is.Hash(); c.want == nil && !same {
			t.Errorf("%s: nothing differs, and the hash does", c.name)
		}
	}
	if got := fmt.Sprint(base.Files()); got != "map[providers.cf.token_file:/etc/veer/cf.token]" {
		t.Errorf("the files are %s", got)
	}
}

// What calls in, what hooks vote on, the hooks themselves and the journal's
// outputs are those of the start.
func TestFixedOfCallers(t *testing.T) {
	text := read(t, "testdata/called.yaml")
	dir := filepath.Dir(folder(t, text))
	load := func(from, to string) *Config {
		t.Helper()
		if !strings.Contains(text, from) {
			t.Fatalf("the config has no %q", from)
		}
		c, err := loadIn(t, dir, strings.Replace(text, from, to, 1))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	base := load("", "")
	for _, c := range []struct{ name, from, to, want string }{
		{"nothing", "", "", ""},
		{"an endpoint that nobody speaks of", "endpoints: [192.0.2.30]", "endpoints: [192.0.2.30]}\n      - {region: ap-south, endpoints: [192.0.2.30]", ""},
		{"an endpoint calls in, too", "endpoints: [192.0.2.30]", "endpoints: [192.0.2.30, 192.0.2.31]", "heartbeat of beat@192.0.2.31: added"},
		{"an endpoint calls in no more", "  - name: mixed.example.test\n    monitor: both", "  - name: mixed.example.test\n    monitor: web",
			"heartbeat of beat@192.0.2.30: removed\nheartbeat of beat@198.51.100.30: removed"},
		{"another token", "within: 30s, token_file: token", "within: 30s, token_env: VEER_TEST_SECRET",
			"heartbeat of beat@192.0.2.20: changed\nheartbeat of beat@192.0.2.30: changed\nheartbeat of beat@198.51.100.20: changed\nheartbeat of beat@198.51.100.30: changed"},
		{"an endpoint that hooks vote on", "endpoints: [192.0.2.10]", "endpoints: [192.0.2.11]",
			"hook alerts: the endpoints that it votes on: changed\nhook ops: the endpoints that it votes on: changed"},
		{"a hook", "silence: 10m", "silence: 20m", "hooks: alerts.silence: 10m -> 20m"},
		{"the journal", "hooks:\n", "journal: {file: {path: /var/log/veer.jsonl}}\nhooks:\n", "journal: file.path: none -> /var/log/veer.jsonl"},
	} {
		var got []string
		for _, d := range Fixed(base, load(c.from, c.to)) {
			got = append(got, d.String())
		}
		if all := strings.Join(got, "\n"); all != c.want {
			t.Errorf("%s needs a restart:\n got %s\nwant %s", c.name, all, c.want)
		}
	}
}
