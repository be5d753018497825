//go:build realservers

package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

const (
	appName = "app.example.test."
	// patience bounds every wait for an event; no test passes by waiting so long.
	patience = 30 * time.Second

	one, two, tri = "127.0.0.11", "127.0.0.12", "127.0.0.13"
)

var regionNames = []string{"eu-west", "us-east", "ap-south"}

const zoneText = `$TTL 60
@   IN SOA ns1 hostmaster 1 7200 1800 259200 60
@   IN NS  ns1
ns1 IN A   127.0.0.1
`

const configText = `owner: e2e
cluster: {vote_lease: 2s}
regions: [eu-west, us-east, ap-south]
providers:
  here: {kind: authority, listen: ["127.0.0.1:%d"], zones: [{name: example.test, file: example.test.zone}]}
monitors:
  web: {kind: http, path: /, port: %d, interval: 1s, timeout: 900ms, fall: 2, rise: 2, recheck: 100ms}
services:
  - name: app.example.test
    monitor: web
    pools:
      - {region: eu-west, endpoints: [127.0.0.11]}
      - {region: us-east, endpoints: [127.0.0.12]}
      - {region: ap-south, endpoints: [127.0.0.13]}
    ttl: {min: 1s, max: 5s}
    rto: 60s
    failback: {mode: auto, hold: 1s}
    damping: off
  - name: %s
    monitor: web
    pools:
      - {region: eu-west, endpoints: [127.0.0.11]}
      - {region: us-east, endpoints: [127.0.0.12]}
    ttl: {min: 1s, max: 5s}
`

// stack is a folder with a config, backends, and the processes on it.
type stack struct {
	t     *testing.T
	dir   string
	veer  string
	dns   int
	web   int // the backends' port
	decoy int // where three other backends live, for a vantage that lies
	dead  int // where nothing listens, for another
	procs map[string]*lab.Process
	stop  map[string]func() // backends, by address and port
}

// newStack makes the folder and starts the backends. The test's goroutine
// stays on its thread, whose end is the end of every child.
func newStack(t *testing.T, veer string) *stack {
	t.Helper()
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "v") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, dir: dir, veer: veer, procs: map[string]*lab.Process{}, stop: map[string]func(){}}
	t.Cleanup(s.close)
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for _, port := range []*int{&s.dns, &s.web, &s.decoy, &s.dead} {
		if *port, err = lab.FreePort(random, "127.0.0.1", one, two, tri); err != nil {
			t.Fatal(err)
		}
	}
	s.write("example.test.zone", zoneText)
	for name, port := range map[string]int{"veer.yaml": s.web, "lies-up.yaml": s.decoy, "lies-down.yaml": s.dead} {
		s.write(name, fmt.Sprintf(configText, s.dns, port, marker()))
	}
	for _, address := range []string{one, two, tri} {
		s.serve(address, s.web)
	}
	return s
}

func (s *stack) write(name, text string) {
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// close stops the probers, then the daemon, then the backends.
func (s *stack) close() {
	for name, p := range s.procs {
		if name != "main" {
			p.Kill()
		}
	}
	if p := s.procs["main"]; p != nil {
		if p.Stop(10*time.Second) && !s.t.Failed() {
			s.t.Error("the daemon did not stop within 10 s")
		}
	}
	for _, stop := range s.stop {
		stop()
	}
	if s.t.Failed() {
		for name, p := range s.procs {
			s.t.Logf("the last lines of %s:\n%s", name, lab.Tail(p.Log, 12))
		}
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Error(err)
	}
}

func at(address string, port int) string { return net.JoinHostPort(address, strconv.Itoa(port)) }

// serve starts a backend and returns when it listens.
func (s *stack) serve(address string, port int) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := lab.ServeBackend(ctx, at(address, port), address, out)
		_ = out.CloseWithError(io.EOF) // always nil
		ended <- err
	}()
	if line, err := io.ReadAll(io.LimitReader(ready, 6)); err != nil || string(line) != "ready\n" {
		cancel()
		s.t.Fatalf("the backend %s: %v", at(address, port), <-ended)
	}
	s.stop[at(address, port)] = sync.OnceFunc(func() { cancel(); <-ended })
}

// kill ends backends: connections to them are refused.
func (s *stack) kill(addresses ...string) {
	for _, a := range addresses {
		s.stop[at(a, s.web)]()
	}
}

// start starts a process of a region.
func (s *stack) start(name, region, config string, roles ...string) {
	s.t.Helper()
	spec := lab.Spec{
		Name: name, Path: s.veer, Dir: s.dir, Log: filepath.Join(s.dir, name+".log"),
		Args: []string{"run", "--log-format", "json", "-c", filepath.Join(s.dir, config)},
		Env:  []string{"VEER_REGION=" + region, "VEER_DATA_DIR=" + filepath.Join(s.dir, name)},
	}
	for _, r := range roles {
		spec.Args = append(spec.Args, "--role", r)
	}
	if name != "main" {
		spec.Env = append(spec.Env, "VEER_CLUSTER_ENDPOINTS=unix://"+filepath.Join(s.dir, "main", "etcd.sock"))
	}
	p, err := lab.Start(spec)
	if err != nil {
		s.t.Fatal(err)
	}
	s.procs[name] = p
}

// startAll starts one daemon and two probers, the last one with the config,
// and waits until all three vote and the first decision is made.
func (s *stack) startAll(last string) {
	s.t.Helper()
	s.start("main", "eu-west", "veer.yaml")
	s.start("us-east", "us-east", "veer.yaml", "prober")
	s.start("ap-south", "ap-south", last, "prober")
	s.ready()
}

func (s *stack) ready() {
	s.t.Helper()
	s.until("three vantages vote and a leader decided", func(st api.Status) bool {
		return st.Leader.Name != "" && len(app(st).Serving) > 0 &&
			!slices.ContainsFunc(st.Voters, func(v api.Vantage) bool { return !v.Fresh || v.Votes != 3 })
	})
}

func app(st api.Status) api.Service {
	for _, svc := range st.Serves {
		if svc.Name == appName {
			return svc
		}
	}
	return api.Service{}
}

func voter(st api.Status, name regions.Name) api.Vantage {
	for _, v := range st.Voters {
		if v.Name == name {
			return v
		}
	}
	return api.Vantage{}
}

// until asks the main daemon for its status until that is as wanted.
func (s *stack) until(what string, ok func(api.Status) bool) {
	s.t.Helper()
	var last string
	s.poll(what, func() (bool, string) {
		st, err := api.NewClient(s.socket()).Status(s.t.Context())
		last = fmt.Sprintf("%+v %v", st, err)
		return err == nil && ok(st), last
	})
}

// poll tries again and again.
func (s *stack) poll(what string, try func() (bool, string)) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		ok, last := try()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-late.C:
			s.t.Fatalf("%s: it did not come to be; the last was %s", what, last)
		}
	}
}

func (s *stack) socket() string { return filepath.Join(s.dir, "main", api.SocketName) }

// marker is a service in the ledger shard of app.
func marker() string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("m%d.example.test.", i)
		if steering.ShardOf(name) == steering.ShardOf(appName) {
			return name
		}
	}
}

// flush returns when the authority serves what the leader made of all that
// was in etcd before: it forces a service of app's shard to its other pool,
// and the command returns when that is in force, so that dig must see it.
func (s *stack) flush() {
	s.t.Helper()
	name := strings.TrimSuffix(marker(), ".")
	region, want := "us-east", two
	if s.dig(name).data == two {
		region, want = "eu-west", one
	}
	cmd := exec.CommandContext(s.t.Context(), s.veer, "force", name+"/"+region, "--reason", "flush", "--forever", "--yes",
		"--socket", s.socket(), "-c", filepath.Join(s.dir, "veer.yaml"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "done, in force after ") || !strings.Contains(string(out), " -> "+want) {
		s.t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	if got := s.dig(name); got.data != want {
		s.t.Fatalf("the order is in force and dig says %+v, want %s", got, want)
	}
}
