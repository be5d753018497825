package daemon_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers"
)

// reloads has a region's daemon reload, and wants a result.
func (l *lab) reloads(region string, want api.ReloadResult) api.Reload {
	l.t.Helper()
	r, err := l.client(region).Reload(l.t.Context(), api.ReloadRequest{By: "alice"}, false)
	if err != nil {
		l.t.Fatal(err)
	}
	if r.Result != want {
		l.t.Fatalf("the reload is %s, want %s: %s %+v %v %v", r.Result, want, r.Why, r.Errors, r.Restart, r.Changes)
	}
	return r
}

// said are the changes in a line each.
func said(list []api.ConfigChange) string {
	var out []string
	for _, c := range list {
		out = append(out, config.Difference(c).String())
	}
	return strings.Join(out, "\n")
}

// swapLab is a written lab whose leader has decided.
func swapLab(t *testing.T) (*lab, *stores, *atomic.Int32) {
	l, s := newWrittenLab(t)
	open, opens := l.open, new(atomic.Int32)
	l.open = func(c *config.Config, p config.Provider, log zerolog.Logger) (providers.Provider, error) {
		if p.Name == "one" {
			opens.Add(1)
		}
		return open(c, p, log)
	}
	l.write("cookies", "000102030405060708090a0b0c0d0e0f\n")
	l.write("veer.yaml", strings.Replace(l.read("veer.yaml"), `listen: ["127.0.0.1:0"],`, `listen: ["127.0.0.1:0"], cookies: {secret_file: cookies},`, 1))
	l.edit(patient()...)
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.watch()
	l.answers("127.0.0.11")
	l.has(s.one, "example.test", "127.0.0.11")
	return l, s, opens
}

// TestReloadTakesOver: each kind of change has its effect, is named, and is the
// only one.
func TestReloadTakesOver(t *testing.T) {
	l, s, opens := swapLab(t)
	base := l.read("veer.yaml")
	first := l.reloads("eu-west", api.ReloadUnchanged)
	if len(first.Changes) > 0 || first.Config != first.Was {
		t.Errorf("nothing changed, and it tells of %v", first.Changes)
	}
	edit := func(from, to string) {
		t.Helper()
		text := l.read("veer.yaml")
		if !strings.Contains(text, from) {
			t.Fatalf("the config has no %q", from)
		}
		l.write("veer.yaml", strings.Replace(text, from, to, 1))
	}
	tells := func(r api.Reload, want string) {
		t.Helper()
		if got := said(r.Changes); got != want {
			t.Errorf("it tells of\n%s\nwant\n%s", got, want)
		}
	}

	// An endpoint, and with it the answer here and at a provider.
	edit("endpoints: [127.0.0.11]", "endpoints: [127.0.0.13]")
	dry, err := l.client("eu-west").Reload(t.Context(), api.ReloadRequest{}, true)
	if err != nil || dry.Result != api.ReloadChanged || dry.Config != first.Config {
		t.Errorf("the dry run: %+v (%v)", dry, err)
	}
	l.answers("127.0.0.11")
	r := l.reloads("eu-west", api.ReloadChanged)
	tells(r, "service app.example.test: pools[eu-west].endpoints: [127.0.0.11] -> [127.0.0.13]")
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "us-east") {
		t.Errorf("the notes are %q, want that us-east runs another config", r.Notes)
	}
	l.answers("127.0.0.13")
	l.reloads("us-east", api.ReloadChanged)
	l.has(s.one, "example.test", "127.0.0.13")
	entries, err := l.client("eu-west").Journal(t.Context(), "app.example.test", 100, false)
	if err != nil || !strings.Contains(fmt.Sprint(entries), "the config changed: reloaded in eu-west by alice") {
		t.Errorf("the journal does not say who changed the config (%v)", err)
	}
	notes, err := l.client("eu-west").Notes(t.Context(), 0)
	if err != nil || !slices.ContainsFunc(notes, func(n api.Note) bool { return n.By == "alice" && strings.Contains(n.Act, r.Config) }) {
		t.Errorf("the notes are %v (%v)", notes, err)
	}

	// A service, and a monitor's path.
	var probed atomic.Bool
	hook := func(path string) time.Duration {
		if path == "/other" {
			probed.Store(true)
			l.kick()
		}
		return 0
	}
	l.backends["127.0.0.12"].slow.Store(&hook)
	l.write("veer.yaml", strings.Replace(base, "services:\n", "services:\n  - name: new.example.test\n    providers: [here]\n    monitor: other\n    pools:\n      - {region: us-east, endpoints: [127.0.0.12]}\n    ttl: {min: 1s, max: 5s}\n", 1))
	edit("monitors:\n", fmt.Sprintf("monitors:\n  other: {kind: http, path: /other, port: %d, interval: 300ms, timeout: 150ms, fall: 2, rise: 2, recheck: 30ms}\n", l.port))
	r = l.reloads("eu-west", api.ReloadChanged)
	if got := said(r.Changes); !strings.Contains(got, "service new.example.test: added") || !strings.Contains(got, "monitor other: added") {
		t.Errorf("it tells of\n%s", got)
	}
	l.until("the new service is answered", func() bool { return l.gives("new.example.test.", "127.0.0.12") })
	l.until("the new monitor probes", probed.Load)

	// Zones: one more, another file, who may ask, one less.
	l.write("veer.yaml", base)
	l.write("sub.zone", labZone+"www IN A 127.0.0.99\n")
	edit("{name: example.test, file: example.test.zone}", "{name: example.test, file: example.test.zone}, {name: other.test, file: sub.zone}")
	r = l.reloads("eu-west", api.ReloadChanged)
	if got := said(r.Changes); !strings.Contains(got, "provider here: zones[other.test]: none -> ") {
		t.Errorf("it tells of\n%s", got)
	}
	if !l.gives("www.other.test.", "127.0.0.99") {
		t.Error("the new zone is not served")
	}
	l.write("sub.zone", labZone+"www IN A 127.0.0.98\n")
	tells(l.reloads("eu-west", api.ReloadChanged), "provider here: zone file of other.test: changed")
	if !l.gives("www.other.test.", "127.0.0.98") {
		t.Error("the zone file's new data is not served")
	}
	edit("file: sub.zone}", "file: sub.zone, allow: [192.0.2.0/24]}")
	l.reloads("eu-west", api.ReloadChanged)
	if l.gives("www.other.test.", "127.0.0.98") {
		t.Error("the zone answers who may not ask")
	}
	l.write("veer.yaml", base)
	l.reloads("eu-west", api.ReloadChanged)
	if _, err := ask(l.server, "www.other.test."); err == nil {
		t.Error("a zone that is gone is served")
	}

	// Secrets, of which only that they are others is told.
	opened := opens.Load()
	l.write("key", "another-k3y")
	l.write("cookies", "ff0102030405060708090a0b0c0d0e0f\n")
	was := cookie(t, l.server, "0123456789abcdef")
	if again := cookie(t, l.server, was); again != was {
		t.Errorf("a fresh cookie is not kept: %s, then %s", was, again)
	}
	tells(l.reloads("eu-west", api.ReloadChanged), "provider here: content of cookies.secret_file: changed\nprovider one: content of api_key_file: changed")
	if opens.Load() != opened+1 {
		t.Errorf("with another key the provider was opened %d times", opens.Load()-opened)
	}
	if cookie(t, l.server, was) == was {
		t.Error("a cookie of the secret of before is taken")
	}
	l.reloads("eu-west", api.ReloadUnchanged)
	if opens.Load() != opened+1 {
		t.Error("nothing changed, and the provider was opened")
	}
}

// cookie is the cookie that a client gets that sends one.
func cookie(t *testing.T, server, sent string) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("ns1.example.test.", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: sent})
	r, err := dns.Exchange(m, server)
	if err != nil {
		t.Fatal(err)
	}
	return r.IsEdns0().Option[0].(*dns.EDNS0_COOKIE).Cookie
}

// TestReloadRefuses: what is bad, or needs a restart, changes nothing, though
// good changes stand beside it.
func TestReloadRefuses(t *testing.T) {
	l, s, opens := swapLab(t)
	files := map[string]string{}
	for _, name := range []string{"veer.yaml", "example.test.zone", "key", "cookies"} {
		files[name] = l.read(name)
	}
	good := strings.Replace(files["veer.yaml"], "endpoints: [127.0.0.11]", "endpoints: [127.0.0.13]", 1) // would move the answer
	before, opened := l.reloads("eu-west", api.ReloadUnchanged), opens.Load()
	for _, c := range []struct {
		name, file, from, to string
		result               api.ReloadResult
		says                 string
	}{
		{"no YAML", "veer.yaml", "services:", "services: [", api.ReloadInvalid, "a list that is not closed"},
		{"an unknown key", "veer.yaml", "    ttl:", "    tttl:", api.ReloadInvalid, "tttl"},
		{"over budget", "veer.yaml", "rto: 60s", "rto: 1s", api.ReloadInvalid, "rto"},
		{"a bad record", "example.test.zone", "ns1 IN A", "ns1 IN AAAA", api.ReloadInvalid, "example.test.zone"},
		{"a CNAME at the service", "example.test.zone", "ns1 IN A", "app IN CNAME ns1\nns1 IN A", api.ReloadInvalid, "app.example.test"},
		{"an empty secret", "key", "k3y", " ", api.ReloadRefused, "providers.one.api_key_file"},
		{"a bad cookie secret", "cookies", "0001", "xxxx", api.ReloadInvalid, "cookies"},
		{"another owner", "veer.yaml", "owner: lab", "owner: bal", api.ReloadRefused, "owner: lab -> bal"},
		{"another address", "veer.yaml", `listen: ["127.0.0.1:0"]`, `listen: ["127.0.0.1:0", "127.0.0.1:0"]`, api.ReloadRefused, "provider here: listen: changed"},
		{"another cluster", "veer.yaml", "monitors:", "cluster: {rtt: 33ms}\nmonitors:", api.ReloadRefused, "cluster: rtt"},
	} {
		l.write("veer.yaml", good)
		text := files[c.file]
		if c.file == "veer.yaml" {
			text = good
		}
		if !strings.Contains(text, c.from) {
			t.Fatalf("%s: %s has no %q", c.name, c.file, c.from)
		}
		l.write(c.file, strings.Replace(text, c.from, c.to, 1))
		r := l.reloads("eu-west", c.result)
		all := fmt.Sprintf("%s %+v %s", r.Why, r.Errors, said(r.Restart))
		if !strings.Contains(all, c.says) || r.Config != before.Config {
			t.Errorf("%s: it says %s, config %s", c.name, all, r.Config)
		}
		if strings.Contains(all, "k3y") || strings.Contains(all, "0405060708") {
			t.Errorf("%s: it tells a secret: %s", c.name, all)
		}
		st, err := l.client("eu-west").Status(t.Context())
		if err != nil || st.Config != before.Config || !strings.Contains(strings.Join(st.Warnings, " "), "the last reload") {
			t.Errorf("%s: status has config %s and the warnings %q (%v)", c.name, st.Config, st.Warnings, err)
		}
		l.flush() // what would have moved has
		l.answers("127.0.0.11")
		l.has(s.one, "example.test", "127.0.0.11")
		for name, text := range files {
			l.write(name, text)
		}
		l.reloads("eu-west", api.ReloadUnchanged)
	}
	if opens.Load() != opened {
		t.Errorf("a provider was opened %d times for what was refused", opens.Load()-opened)
	}
	st, err := l.client("eu-west").Status(t.Context())
	if err != nil || strings.Contains(strings.Join(st.Warnings, " "), "the last reload") {
		t.Errorf("it is mended, and status warns %q (%v)", st.Warnings, err)
	}
}
