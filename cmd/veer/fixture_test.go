package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with testdata/golden/name, and checks its width.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	for i, line := range strings.Split(text, "\n") {
		if n := utf8.RuneCountInString(line); n > width {
			t.Errorf("%s line %d has %d characters, more than %d: %s", name, i+1, n, width, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("%s line %d ends in a space: %q", name, i+1, line)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s differs (-want +got), write it anew with -update:\n%s", name, diff)
	}
}

// noon is every test's now.
func noon() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

// fake is a daemon of fixed replies that records what it was asked.
type fake struct {
	status  api.Status
	explain api.Explain
	entries []steering.Entry
	notes   []api.Note
	heads   []api.Export
	result  api.OrderResult
	pass    api.Pass

	takeover api.Takeover
	ended    api.TakeoverEnd
	members  api.Members
	member   api.MemberResult

	plan     api.Plan
	standing []api.Standing
	outcome  api.Applied
	applied  controller.Request
	file     []byte
	restored api.RestoreRequest
	err      error
	asked    []string
	request  api.OrderRequest
	onAsk    func()
}

func (f *fake) note(what string) {
	f.asked = append(f.asked, what)
	if f.onAsk != nil {
		f.onAsk()
	}
}

func (f *fake) Status(context.Context) (api.Status, error) {
	f.note("status")
	return f.status, f.err
}

func (f *fake) ExplainFor(_ context.Context, name, at, client string) (api.Explain, error) {
	f.note(strings.TrimRight("explain "+name+" "+at+" "+client, " "))
	return f.explain, f.err
}

func (f *fake) Notes(_ context.Context, limit int) ([]api.Note, error) {
	f.note(fmt.Sprintf("notes %d", limit))
	return f.notes, f.err
}

func (f *fake) Exports(context.Context) ([]api.Export, error) {
	f.note("exports")
	return f.heads, f.err
}

func (f *fake) Journal(_ context.Context, name string, _ int, moved bool) ([]steering.Entry, error) {
	f.note(fmt.Sprintf("journal %s %v", name, moved))
	return f.entries, f.err
}

func (f *fake) Order(_ context.Context, r api.OrderRequest, dryRun bool) (api.OrderResult, error) {
	return f.ordered("order", r, dryRun)
}

func (f *fake) EndOrder(_ context.Context, r api.OrderRequest, dryRun bool) (api.OrderResult, error) {
	return f.ordered("end", r, dryRun)
}

func (f *fake) Takeover(_ context.Context, _ api.TakeoverRequest, dryRun bool) (api.Takeover, error) {
	f.note(fmt.Sprintf("takeover dry %v", dryRun))
	return f.takeover, f.err
}

func (f *fake) EndTakeover(context.Context, api.TakeoverRequest) (api.TakeoverEnd, error) {
	f.note("end takeover")
	return f.ended, f.err
}

func (f *fake) Once(context.Context) (api.Pass, error) {
	f.note("once")
	return f.pass, f.err
}

func (f *fake) Plan(_ context.Context, prune bool) (api.Plan, error) {
	f.note(fmt.Sprintf("plan %v", prune))
	return f.plan, f.err
}

func (f *fake) Standing(_ context.Context, names []string) ([]api.Standing, error) {
	f.note("standing " + strings.Join(names, " "))
	return f.standing, f.err
}

func (f *fake) Members(context.Context) (api.Members, error) {
	f.note("members")
	return f.members, f.err
}

func (f *fake) ChangeMember(_ context.Context, r api.MemberRequest) (api.MemberResult, error) {
	f.note(fmt.Sprintf("%s %s force=%v by %s: %s", r.Act, r.Name, r.Force, r.By, r.Why))
	return f.member, f.err
}

func (f *fake) Apply(_ context.Context, r controller.Request) (api.Applied, error) {
	f.note("apply")
	f.applied = r
	return f.outcome, f.err
}

func (f *fake) Backup(context.Context) ([]byte, error) {
	f.note("backup")
	return f.file, f.err
}

func (f *fake) Restore(_ context.Context, file []byte, r api.RestoreRequest) (api.Restored, error) {
	f.note("restore")
	f.restored = r
	b, err := daemon.ReadBackup(file)
	return api.Restored{Backup: b, Term: 41, Unread: []string{"example.org at bind"}}, errors.Join(err, f.err)
}

func (f *fake) ordered(what string, r api.OrderRequest, dryRun bool) (api.OrderResult, error) {
	if dryRun {
		what += " dry"
	}
	f.note(what)
	f.request = r
	return f.result, f.err
}

// session is an app whose streams are buffers, with a daemon at every socket.
type session struct {
	*app
	stdout, stderr bytes.Buffer
}

func newSession(d daemonClient, stdin string, env map[string]string) *session {
	s := &session{}
	s.app = &app{
		in: strings.NewReader(stdin), out: &s.stdout, err: &s.stderr, plain: true,
		env:  func(key string) (string, bool) { v, ok := env[key]; return v, ok },
		now:  noon,
		user: "lea",
		dial: func(string) daemonClient { return d },
	}
	return s
}

func (s *session) veer(t *testing.T, args ...string) int {
	t.Helper()
	return s.run(t.Context(), append(args, "--socket", "v.sock"))
}

func set(name, typ string, ttl uint32, data ...string) providers.RRSet {
	return providers.RRSet{Name: name, Type: typ, TTL: ttl, Data: data}
}

func verdict(id regions.EndpointID, h checks.Health, yes, no, missing []regions.Name) regions.Verdict {
	return regions.Verdict{Endpoint: id, Health: h, Need: 2, For: yes, Against: no, Missing: missing}
}

func voted(v regions.Name, id regions.EndpointID, h checks.Health, why string, age time.Duration) api.Vote {
	return api.Vote{Vote: regions.Vote{Vantage: v, Endpoint: id, Health: h, Why: why}, Age: age}
}

// west is app.example.test after eu-west went down.
func west() api.Service {
	const a, b = "web@192.0.2.10", "web@198.51.100.10"
	all := []regions.Name{"ap-south", "eu-west", "us-east"}
	return api.Service{
		Name: "app.example.test.", Kind: steering.Failover, Serving: []regions.Name{"us-east"},
		TTL: 12, Steady: 30, Since: 190 * time.Second,
		Answer: []providers.RRSet{set("app.example.test.", "A", 12, "198.51.100.10")},
		Pools: []api.Pool{
			{Region: "eu-west", Health: checks.Down, Up: 0, Total: 1, Hold: 10 * time.Minute, Endpoints: []api.Endpoint{{
				Address: "192.0.2.10", Verdict: verdict(a, checks.Down, all[1:], nil, all[:1]),
				Votes: []api.Vote{
					voted("eu-west", a, checks.Down, "GET http://192.0.2.10:8080/healthz: connection refused", 12*time.Second),
					voted("us-east", a, checks.Down, "GET http://192.0.2.10:8080/healthz: status 503 Service Unavailable, expected 200 to 399", 11400*time.Millisecond),
				},
			}}},
			{Region: "us-east", Health: checks.Up, Serving: true, Up: 1, Total: 1, Endpoints: []api.Endpoint{{
				Address: "198.51.100.10", Verdict: verdict(b, checks.Up, all, nil, nil),
				Votes: []api.Vote{voted("us-east", b, checks.Up, "", 26*time.Hour)},
			}}},
		},
		Why: []steering.Reason{{Service: "app.example.test.", Region: "eu-west", Rule: steering.RuleDepart, Text: "eu-west is down"}},
	}
}

func healthy() api.Status {
	s := west()
	s.Serving, s.TTL, s.Since = []regions.Name{"eu-west"}, 30, 51*time.Hour
	s.Answer = []providers.RRSet{set(s.Name, "A", 30, "192.0.2.10")}
	s.Pools[0].Health, s.Pools[0].Up, s.Pools[0].Hold, s.Pools[0].Serving = checks.Up, 1, 0, true
	s.Pools[1].Serving = false
	return api.Status{
		Version: "v0.2.0", Owner: "shop-prod", Region: "eu-west", Roles: []string{"prober", "controller", "authority"},
		Uptime: 3*time.Hour + 12*time.Minute, Leader: api.Leader{Name: "eu-west", Term: 7, Itself: true},
		Voters: []api.Vantage{{Name: "eu-west", Fresh: true, Votes: 2}, {Name: "us-east", Fresh: true, Votes: 2}, {Name: "ap-south", Fresh: true, Votes: 2}},
		Serves: []api.Service{s}, Orders: []controller.Order{}, Warnings: []string{},
	}
}

func asked() api.Status {
	st := healthy()
	st.Traffic = []api.Traffic{
		{Provider: "here", Zone: "example.test", Answer: "NOERROR", PerSecond: 1234.5678, Queries: 98765432},
		{Provider: "here", Zone: "example.test", Answer: "NXDOMAIN", PerSecond: 0.04, Queries: 1},
		{Provider: "here", Service: "app.example.test.", Answer: "eu-west", PerSecond: 1200, Queries: 98760000},
		{Provider: "here", Service: "app.example.test.", Answer: "eu-west+us-east", Queries: 12},
		{Provider: "here", Service: "app.example.test.", Answer: "us-east"},
	}
	return st
}

func degraded() api.Status {
	st := healthy()
	long := strings.Repeat("very-long-label.", 6) + "example.test."
	st.Serves = []api.Service{west(), {
		Name: long, Kind: steering.Multivalue, AllDown: true, TTL: 2147483647, Steady: 60, Since: 300 * 24 * time.Hour,
		Pools: []api.Pool{
			{Region: "a-region-with-a-name-that-is-much-too-long-for-any-table-whatsoever", Health: checks.Unknown, Total: 3},
			{Region: "us-east", Health: checks.Degraded, Up: 1, Total: 2}, {Region: "ap-south", Health: checks.Down, Total: 256},
			{Region: "sa-east", Health: checks.Up, Up: 2, Total: 2},
		},
	}}
	st.Leader = api.Leader{Term: 7}
	st.Voters[1] = api.Vantage{Name: "us-east"}
	st.Voters[2].Suspect, st.Voters[2].Why = true, "2 of 2 references fail: tcp://192.0.2.53:53 timed out after 2 s"
	st.Orders = []controller.Order{
		{Override: steering.Override{ID: "2", Act: steering.Freeze, Target: steering.Target{Service: long, Region: "us-east", Address: "2001:db8::10"}, By: "max", Why: "release night"}},
		{Override: steering.Override{ID: "1", Act: steering.Drain, Target: steering.Target{Region: "us-east"}, By: "lea", Why: "kernel upgrade of every host\n\x1b[31min the region, which takes the whole afternoon"}, Until: noon().Add(42 * time.Minute)},
	}
	st.Warnings = []string{
		"app.example.test: eu-west is down, as 2 of 3 vantages say; us-east serves instead of it",
		"no leader for 14 s: answers stay as they are",
	}
	return st
}

func explained() api.Explain {
	s := west()
	timings := steering.Timings{Interval: 5500 * time.Millisecond, Timeout: 2 * time.Second, Recheck: 500 * time.Millisecond, Fall: 3,
		RTT: 80 * time.Millisecond, Write: 100 * time.Millisecond, Leader: 14 * time.Second}
	return api.Explain{
		Service: s,
		Rules: []steering.Reason{
			{Service: s.Name, Region: "eu-west", Rule: steering.RuleDepart, Text: "2 of 3 vantages say that every endpoint of eu-west is down; 2 are needed"},
			{Service: s.Name, Rule: steering.RuleKeep, Text: "us-east is the most preferred pool that is up"},
		},
		Next:   []api.Next{{What: "eu-west may serve again, if it is up until then", In: 10 * time.Minute}},
		Budget: timings.WithTTL(30, 90*time.Second),
		Term:   7, Seq: 41, Shard: 13, Time: "2026-11-20T11:56:50Z", Cause: "verdict on web@192.0.2.10",
	}
}

// decided is a journal entry that this version made, of a failover.
func decided(t *testing.T) steering.Entry {
	t.Helper()
	in := steering.Input{
		Now: time.Minute,
		Policy: steering.Policy{Services: []steering.Service{{
			Name: "app.example.test.", Kind: steering.Failover, AllDown: steering.LastGood, TTL: 30, MinTTL: 5, MaxTTL: 60,
			Pools: []steering.Pool{
				{Region: "eu-west", MinUp: 1, Endpoints: []steering.Endpoint{{ID: "web@192.0.2.10", Address: "192.0.2.10"}}},
				{Region: "us-east", MinUp: 1, Endpoints: []steering.Endpoint{{ID: "web@198.51.100.10", Address: "198.51.100.10"}}},
			},
		}}},
		Verdicts: []regions.Verdict{
			{Endpoint: "web@192.0.2.10", Health: checks.Up, Need: 1, For: []regions.Name{"eu-west"}},
			{Endpoint: "web@198.51.100.10", Health: checks.Up, Need: 1, For: []regions.Name{"eu-west"}},
		},
	}
	first := steering.Decide(in)
	in.Now, in.Prev = 2*time.Minute, first.Next
	in.Verdicts[0].Health = checks.Down
	e := steering.Entry{Term: 7, Seq: 41, Shard: steering.ShardOf("app.example.test."), Config: "c0ffee", Version: version,
		Time: "2026-11-20T11:56:50Z", Cause: "verdict on web@192.0.2.10", Input: in, Decision: steering.Decide(in)}
	// As it comes from the ledger: through JSON.
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var out steering.Entry
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
