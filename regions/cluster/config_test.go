package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func check(c Config) []string {
	var out []string
	c.Check(func(field, format string, args ...any) {
		out = append(out, field+": "+fmt.Sprintf(format, args...))
	})
	return out
}

func TestCheck(t *testing.T) {
	three := "members: {a: {peer: 'https://10.0.1.10:2380', client: 'https://10.0.1.10:2379'}, b: {peer: 'https://10.1.1.10:2380', client: 'https://10.1.1.10:2379'}, c: {peer: 'https://[fd99::1]:2380', client: 'https://[fd99::1]:2379'}}\n"
	for _, c := range []struct{ yaml, want string }{
		{"{}", ""},
		{three + "rtt: 80ms", ""},
		{"endpoints: ['https://etcd-1:2379', 'http://127.0.0.1:2379', 'unix:///var/lib/veer/etcd.sock']", ""},
		{"vote_lease: 10s\nleader_lease: 3s\njournal: {entries: 5, bytes: 1048576}", ""},
		{three + "endpoints: ['https://e:1']", "endpoints: members and endpoints are both set"},
		{"members: {a: {peer: 'https://10.0.0.1:1', client: 'https://10.0.0.1:2'}, b: {peer: 'https://10.0.0.2:1', client: 'https://10.0.0.2:2'}}", "members: found 2 members, expected 1, 3, 5 or 7"},
		{strings.Replace(three, ", client: 'https://10.1.1.10:2379'", "", 1), "members.b.client: is missing: expected the URL"},
		{"members: {a: {}}", "members.a.peer: is missing"},
		{"members: {a: {peer: 'http://10.0.0.1:1'}}", "members.a.peer: \"http://10.0.0.1:1\": expected https"},
		{"members: {a: {peer: 'https://etcd.example:1'}}", "expected an IP address"},
		{"members: {a: {peer: 'https://10.0.0.1:0'}}", "with a port"},
		{"members: {a: {peer: 'https://10.0.0.1:1/x'}}", "nothing after the port"},
		{"members: {a: {peer: 'tcp://10.0.0.1:1'}}", "expected https://IP:PORT"},
		{"members: {a: {peer: 'https://10.0.0.1:1', client: 'https://10.0.0.1:1'}}", "members.a.client: \"https://10.0.0.1:1\" is also a.peer"},
		{"endpoints: ['etcd-1:2379']", "endpoints[0]: \"etcd-1:2379\": expected https://HOST:PORT"},
		{"endpoints: ['https://etcd-1']", "expected a host and a port"},
		{"endpoints: ['https://e:1', 'https://e:1']", "endpoints[1]: \"https://e:1\" is listed twice"},
		{"endpoints: ['unix://etcd.sock']", "expected an absolute path"},
		{"endpoints: ['https://u:p@e:1']", "no user"},
		{"rtt: 3s", "rtt: found 3s, expected from 0s to 2s"},
		{"rtt: -1s", "rtt: found -1s"},
		{"vote_lease: 1500ms", "vote_lease: found 1.5s, expected whole seconds"},
		{"rtt: 100ms\nleader_lease: 1s", "leader_lease: found 1s, expected from 2s"},
		{"leader_lease: 1h", "leader_lease: found 1h0m0s"},
		{"journal: {entries: -1}", "journal.entries: found -1"},
		{"journal: {bytes: 10}", "journal.bytes: found 10, expected from 1048576"},
	} {
		var conf Config
		if err := yaml.UnmarshalWithOptions([]byte(c.yaml), &conf, yaml.Strict()); err != nil {
			t.Fatalf("%s: %v", c.yaml, err)
		}
		got := check(conf)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: found %q, expected no problem", c.yaml, got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
			t.Errorf("%s: found %q, expected one that says %q", c.yaml, got, c.want)
		}
	}
}

// TestTiming fixes what the RTO budget is computed from.
func TestTiming(t *testing.T) {
	const ms = time.Millisecond
	member := map[string]Member{"a": {}, "b": {}, "c": {}}
	type timing struct{ Heartbeat, Election, Vote, Leader, Loss, Twice time.Duration }
	for _, c := range []struct {
		conf Config
		want timing
	}{
		{Config{}, timing{50 * ms, 500 * ms, 5000 * ms, 2000 * ms, 2500 * ms, 2500 * ms}},
		{Config{Members: member}, timing{50 * ms, 500 * ms, 5000 * ms, 2000 * ms, 2200 * ms, 2200 * ms}},
		{Config{Members: member, RTT: 80 * ms}, timing{80 * ms, 800 * ms, 5000 * ms, 2000 * ms, 2520 * ms, 3580 * ms}},
		{Config{Members: member, RTT: 200 * ms}, timing{200 * ms, 2000 * ms, 5000 * ms, 3000 * ms, 5600 * ms, 9600 * ms}},
		{Config{RTT: 200 * ms, VoteLease: time.Second}, timing{200 * ms, 2000 * ms, 3000 * ms, 3000 * ms, 3500 * ms, 3500 * ms}},
	} {
		d := c.conf.Defaults()
		loss, twice := c.conf.LeaderLoss()
		got := timing{d.Heartbeat(), d.Election(), d.VoteLease, d.LeaderLease, loss, twice}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.conf, diff)
		}
	}
}
