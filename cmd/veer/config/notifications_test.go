package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told are the sections of notifications and of the journal, with every key.
const told = `notifications:
  group: 30s
  receivers:
    oncall: {kind: pagerduty, key_file: token, url: "https://events.eu.pagerduty.com/v2/enqueue", events: [moved, all-down], ca_file: ca.pem}
    ops: {kind: slack, url_file: token, timeout: 5s, queue: 7}
    hook: {kind: webhook, url: "https://hooks.example.org/veer", secret_file: token, events: [leader]}
    hidden: {kind: webhook, url_file: token, secret_file: token}
    mail: {kind: email, server: "smtp.example.org:465", tls: tls, username: veer, password_file: token, from: veer@example.org, to: [a@example.org, "B <b@example.org>"]}
journal:
  file: {path: "out/{region}.jsonl", size: 1000000, keep: 3}
  syslog: {server: "syslog.example.org:6514", ca_file: ca.pem, name: logs.example.org, cert_file: cert.pem, key_file: key.pem, facility: 16, timeout: 3s}
`

// TestNotificationsAndJournal: every key is read, and written back alike.
func TestNotificationsAndJournal(t *testing.T) {
	c := load(t, read(t, "testdata/minimal.yaml")+told)
	if n := c.Notifications; len(n.Receivers) != 5 || n.Receivers[0].PagerDuty == nil || n.Receivers[4].Email.To[1] != "B <b@example.org>" || n.Receivers[1].Common().QueueOr() != 7 {
		t.Errorf("read %+v", n)
	}
	if f := c.Journal.File; f == nil || f.Path != filepath.Join(c.dir, "out", "{region}.jsonl") || c.Journal.Syslog.Facility != 16 {
		t.Errorf("read %+v", c.Journal)
	}
	for _, defaults := range []bool{false, true} {
		shown := c.YAML(defaults)
		path := filepath.Join(c.dir, StarterFile)
		if err := os.WriteFile(path, shown, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := Load(path, noEnv)
		if err != nil {
			t.Fatalf("%v\n%s", err, shown)
		}
		if diff := cmp.Diff(c, again, same()); diff != "" {
			t.Errorf("read back (-was +is):\n%s\n%s", diff, shown)
		}
	}
}

// TestBadNotifications: each mistake is refused, at its place, and no secret is
// repeated.
func TestBadNotifications(t *testing.T) {
	for _, c := range []struct{ was, is, want string }{
		{"group: 30s", "group: 6m", "notifications.group: found 6m; 0s to 5m"},
		{"kind: slack, url_file: token", "kind: slak, url_file: token", "did you mean slack"},
		{"kind: slack, url_file: token", "kind: slack, url: https://hunter2", `"url"`},
		{"kind: slack, url_file: token", "kind: slack", "the key url_file is missing"},
		{"kind: slack, url_file: token", "kind: slack, url_file: token, from: a@b", `unknown key "from"`},
		{"queue: 7", "queue: 7000", "1 to 1000"},
		{"events: [leader]", "events: [leeder]", `found "leeder"`},
		{"events: [leader]", "events: [leader, leader]", "listed twice"},
		{"https://hooks.example.org/veer", "http://hooks.example.org/veer", "it begins with http"},
		{"https://hooks.example.org/veer", "https://hunter2@hooks.example.org/", "a user in it"},
		{`veer", secret_file: token, events`, `veer", secret: hunter2, events`, "would hold a secret"},
		{`veer", secret_file: token, events`, `veer", events`, "the key secret_file is missing"},
		{`veer", secret_file: token, events`, `veer", url_env: X, secret_file: token, events`, "url"},
		{"pagerduty, key_file: token", "pagerduty, key: hunter2", "would hold a secret"},
		{"smtp.example.org:465", "smtp.example.org", "a host and a port"},
		{"tls: tls", "tls: none", "starttls or tls"},
		{"tls: tls", "tls: ssl", "starttls, tls or none"},
		{"username: veer, ", "", "both or none"},
		{"from: veer@example.org", "from: veer", "an address"},
		{"to: [a@example.org", "to: [a", "an address"},
		{"size: 1000000", "size: 10", "65536 to"},
		{`path: "out/{region}.jsonl", `, "", "the key path is missing"},
		{"syslog.example.org:6514", "syslog.example.org", "a host and a port"},
		{"facility: 16", "facility: 24", "1 to 23"},
		{"cert_file: cert.pem, ", "", "both or none"},
	} {
		text := read(t, "testdata/minimal.yaml") + strings.Replace(told, c.was, c.is, 1)
		_, err := Load(folder(t, text), noEnv)
		if err == nil || !strings.Contains(strings.Join(strings.Fields(err.Error()), " "), strings.Join(strings.Fields(c.want), " ")) && !strings.Contains(err.Error(), strings.SplitN(c.want, ";", 2)[0]) {
			t.Errorf("%s: %v, expected %q", c.is, err, c.want)
		}
		if err != nil {
			refused(t, err)
			for _, line := range strings.Split(err.Error(), "\n") {
				if strings.Contains(line, "hunter2") && !strings.Contains(line, " | ") {
					t.Errorf("%s: a secret is repeated: %v", c.is, err)
				}
			}
		}
	}
	for what, text := range map[string]string{"notifications: {receivers: {}}\n": "there is no receiver", "journal: {}\n": "there is no output", "notifications: {receivers: {a: {url_file: token}}}\n": "the key kind is missing"} {
		if _, err := Load(folder(t, read(t, "testdata/minimal.yaml")+what), noEnv); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
