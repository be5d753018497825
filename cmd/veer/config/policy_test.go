package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

func TestPolicyAndQuorums(t *testing.T) {
	c := load(t, read(t, "testdata/full.yaml"))
	got := c.Policy().Services[0]
	want := steering.Service{
		Name: "app.example.test.", Kind: steering.Weighted, AllDown: steering.Fallback, Fallback: []string{"192.0.2.99"},
		Demand: 900, Manual: true, TTL: 120, MinTTL: 10, MaxTTL: 120, Shifts: 12,
		Pools: []steering.Pool{
			{Region: "eu-west", Capacity: 1000, Weight: 3, MinUp: 2, Endpoints: []steering.Endpoint{
				{ID: "web@192.0.2.10", Address: "192.0.2.10"}, {ID: "web@192.0.2.11", Address: "192.0.2.11"},
			}},
			{Region: "us-east", Capacity: 1000, MinUp: 1, Endpoints: []steering.Endpoint{{ID: "web@198.51.100.10", Address: "198.51.100.10"}}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if got, want := c.Panic.Rule(), (regions.Panic{Percent: 60, Span: 20 * time.Second, Hold: 2 * time.Minute}); got != want {
		t.Errorf("panic %+v, expected %+v", got, want)
	}
	usual, off := load(t, read(t, "testdata/minimal.yaml")), load(t, read(t, "testdata/minimal.yaml")+"panic: off\nvelocity: off\n")
	if got, want := usual.Panic.Rule(), (regions.Panic{Percent: 50, Span: 30 * time.Second, Hold: 5 * time.Minute}); got != want || off.Panic.Rule() != (regions.Panic{}) {
		t.Errorf("panic %+v and, off, %+v; expected %+v and nothing", got, off.Panic.Rule(), want)
	}
	if v := usual.Velocity; v.Shifts != 120 || v.Share != 25 || off.Velocity.Share != 0 || off.Policy().Services[0].Shifts != 0 {
		t.Errorf("velocity %+v and, off, %+v with %d shifts", v, off.Velocity, off.Policy().Services[0].Shifts)
	}
	cname, v6 := c.Policy().Services[1], c.Policy().Services[2]
	if a := cname.Pools[0].Endpoints[0]; a.Address != "lb.example.net." || a.ID != "script@lb.example.net." {
		t.Errorf("host name endpoint %+v", a)
	}
	if cname.Damping.Suppress != 3000 || v6.Damping.Suppress != 2500 || got.Damping.Suppress != 0 {
		t.Errorf("damping %v %v %v", cname.Damping, v6.Damping, got.Damping)
	}
	if v6.Name != "xn--bcher-kva.test." || v6.TTL != 3 || v6.MinTTL != 3 || v6.Pools[0].Endpoints[0].ID != "raw@2001:db8::1" {
		t.Errorf("IDN service %+v", v6)
	}
	geo := c.Policy().Services[3]
	if diff := cmp.Diff([]steering.Location{{Name: "office", Order: []regions.Name{"us-east", "eu-west"}}}, geo.Locations); diff != "" {
		t.Errorf("locations (-want +got):\n%s", diff)
	}
	if at := c.Locations()["map.example.test."]; len(c.Locations()) != 2 || len(at) != 1 || len(at[0].Networks) != 3 || at[0].Networks[1].String() != "192.0.2.7/32" {
		t.Errorf("the authority's locations %+v", c.Locations())
	}
	voters := []regions.Name{"eu-west", "us-east", "witness"}
	for id, want := range map[regions.EndpointID]regions.Quorum{
		"web@192.0.2.10":  {Vantages: voters, Need: 2, MinVoters: 1},
		"raw@2001:db8::1": {Vantages: voters, Need: 2, MinVoters: 2},
	} {
		if diff := cmp.Diff(want, c.Quorums()[id]); diff != "" {
			t.Errorf("quorum of %s (-want +got):\n%s", id, diff)
		}
	}
	if n := len(c.Endpoints()); n != 11 || len(c.Quorums()) != n {
		t.Errorf("%d endpoints and %d quorums, expected 11 of both", n, len(c.Quorums()))
	}
	refs := c.ReferenceProbes()
	if len(refs) != 2 || refs[0].Target.Port != 53 || refs[1].Monitor.HTTP.Path != "/ok?x=1" {
		t.Errorf("references %+v", refs)
	}
	if p := c.Providers[0]; p.Zone("x.deep.example.test.") != "deep.example.test." || p.Zone("app.example.test.") != "example.test." {
		t.Error("a service goes to the longest matching zone")
	}
	if got := c.Monitors["script"].Exec.Command[0]; got != filepath.Join(c.dir, "check.sh") {
		t.Errorf("the command's path is %s", got)
	}
}

func TestBudgets(t *testing.T) {
	c := load(t, Starter())
	b := c.Budgets()["app.example.test."]
	if !b.Holds() || b.Limit != 90*time.Second {
		t.Errorf("budget %s of %s", b, b.Limit)
	}
	var sum time.Duration
	for _, term := range b.Terms {
		sum += term.Took
	}
	if sum != b.Total {
		t.Errorf("the terms add up to %s, the total is %s", sum, b.Total)
	}
	// 5.5 s + 3 x 2 s + 2 x 500 ms of detection and 2 x 100 ms of writes, which
	// outlast 2.5 s without a leader, leave 17 whole seconds of 30.
	short := load(t, strings.Replace(Starter(), "rto: 90s", "rto: 30s", 1))
	if ttl := short.Policy().Services[0].TTL; ttl != 17 {
		t.Errorf("the steady TTL is %d", ttl)
	}
	if w := strings.Join(short.Warnings(), "\n"); !strings.Contains(w, "ttl.max 1m is never reached") {
		t.Errorf("warnings: %s", w)
	}
}

func TestHash(t *testing.T) {
	c := load(t, read(t, "testdata/full.yaml"))
	elsewhere := load(t, read(t, "testdata/full.yaml")) // in another folder
	if c.Hash() != elsewhere.Hash() {
		t.Error("the hash depends on the folder")
	}
	path := filepath.Join(c.dir, StarterFile)
	host, err := Load(path, environ(map[string]string{EnvRegion: "eu-west", EnvDataDir: "/x", EnvEndpoints: "unix:///run/etcd.sock"}))
	if err != nil {
		t.Fatal(err)
	}
	if host.Hash() != c.Hash() {
		t.Error("the hash depends on the host")
	}
	if got := host.Cluster.Endpoints; len(got) != 1 || len(host.Cluster.Members) != 0 {
		t.Errorf("cluster %+v", host.Cluster)
	}
	other := load(t, strings.Replace(read(t, "testdata/full.yaml"), "rto: 3m", "rto: 4m", 1))
	if other.Hash() == c.Hash() {
		t.Error("another rto has the same hash")
	}
}

func TestPrecedence(t *testing.T) {
	path := folder(t, Starter()) // host.region is eu-west there
	region := func(env map[string]string, flags ...Flag) string {
		c, err := Load(path, environ(env), flags...)
		if err != nil {
			t.Fatal(err)
		}
		return string(c.Host.Region)
	}
	if got := region(nil); got != "eu-west" {
		t.Errorf("the file: %s", got)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), hostFile), []byte("region: us-east\ndata_dir: state\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := region(nil); got != "us-east" {
		t.Errorf("host.yaml: %s", got)
	}
	env := map[string]string{EnvRegion: "ap-south"}
	if got := region(env); got != "ap-south" {
		t.Errorf("the environment: %s", got)
	}
	if got := region(env, Flag{"--region", EnvRegion, "eu-west"}); got != "eu-west" {
		t.Errorf("the flag: %s", got)
	}
	c, err := Load(path, noEnv)
	if err != nil || c.Host.DataDir != filepath.Join(filepath.Dir(path), "state") {
		t.Errorf("data_dir %v, %v", c, err)
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	if got, err := Find("x.yaml", noEnv); got != "x.yaml" || err != nil {
		t.Errorf("the flag: %s, %v", got, err)
	}
	if got, err := Find("", environ(map[string]string{EnvConfig: "y.yaml"})); got != "y.yaml" || err != nil {
		t.Errorf("the environment: %s, %v", got, err)
	}
	if err := os.WriteFile("veer.yaml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Find("", noEnv); got != "veer.yaml" || err != nil {
		t.Errorf("the folder: %s, %v", got, err)
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none.yaml"), dir} {
		_, err := Load(path, noEnv)
		var all Errors
		if !errors.As(err, &all) || len(all) != 1 || !strings.Contains(all[0].Problem, "cannot read it") {
			t.Errorf("%s: %v", path, err)
		}
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("#\n", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(big, noEnv); err == nil || !strings.Contains(err.Error(), "expected at most 1048576") {
		t.Errorf("too large: %v", err)
	}
}

func TestManyErrors(t *testing.T) {
	_, err := Load(folder(t, strings.Repeat("x", 3)+": 1\n"+strings.Replace(Starter(), "monitor: web", "monitr: web", 1)), noEnv)
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Fatalf("expected two errors, got %v", err)
	}
	text, err := all.JSON()
	if err != nil || !strings.Contains(string(text), `"hint": "did you mean monitor?"`) || !strings.Contains(string(text), `"line": 1,`) {
		t.Errorf("JSON %s, %v", text, err)
	}
	var many strings.Builder
	for i := range 500 {
		many.WriteString("k" + strings.Repeat("x", i) + ": 1\n")
	}
	_, err = Load(folder(t, many.String()), noEnv)
	if !errors.As(err, &all) || len(all) != maxErrors || !strings.Contains(all[maxErrors-1].Hint, "more errors") {
		t.Errorf("%d errors", len(all))
	}
}
