package daemon_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers/powerdns/powerdnstest"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/prober"
)

// The child's environment: the folder, its name in it, the socket of etcd, and
// whether it has the fault.
const (
	envPauseDir   = "VEERTEST_PAUSE_DIR"
	envPauseName  = "VEERTEST_PAUSE_NAME"
	envPauseEtcd  = "VEERTEST_PAUSE_ETCD"
	envPauseFault = "VEERTEST_PAUSE_FAULT"
)

const pauseConfig = `owner: pause
regions: [a, b]
vantages: [here]
providers:
  dns: {kind: powerdns, url: %q, api_key_file: key, zones: [{name: example.test}]}
monitors:
  web: {kind: tcp, port: 1, interval: 1s, timeout: 200ms}
services:
  - name: app.example.test
    providers: [dns]
    monitor: web
    quorum: {need: any, min_voters: 1}
    damping: off
    ttl: {min: 5s, max: 5s}
    pools:
      - {region: a, endpoints: [127.0.1.1]}
      - {region: b, endpoints: [127.0.1.2]}
`

// pauseChild is a daemon that only leads.
func pauseChild(dir string) int {
	name := os.Getenv(envPauseName)
	env := map[string]string{"VEER_REGION": name, "VEER_DATA_DIR": filepath.Join(dir, name), "VEER_CLUSTER_ENDPOINTS": os.Getenv(envPauseEtcd)}
	c, err := config.Load(filepath.Join(dir, name+".yaml"), func(key string) (string, bool) { v, ok := env[key]; return v, ok })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := daemon.Signals(context.Background())
	defer stop()
	err = daemon.Run(ctx, daemon.Options{Config: c, ConfigPath: "veer.yaml", Roles: []string{daemon.RoleController}, Version: "pause",
		Log: zerolog.New(os.Stderr), Hooks: daemon.Hooks{LeaseOverrun: os.Getenv(envPauseFault) != ""}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// front is the way of one process to the provider's emulator: it takes down the
// writes that come, and can hold the end of the next reading up.
type front struct {
	server *powerdnstest.Server
	kick   func()

	mu     sync.Mutex
	writes int
	hold   chan struct{} // not nil: the next reading waits until it is closed
	held   chan struct{} // is closed when it waits
	listed bool          // all that is left of the reading is the fence
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer f.kick()
	reply, err := f.server.RoundTrip(r)
	f.mu.Lock()
	if powerdnstest.Writes(r) {
		f.writes++
	}
	hold, held := f.hold, f.held
	fence := r.Method == http.MethodGet && r.URL.Query().Get("rrset_name") != ""
	if last := fence && f.listed; hold != nil && last {
		f.hold = nil // the reply to it was made
	} else {
		hold = nil
	}
	f.listed = r.Method == http.MethodGet && !fence
	f.mu.Unlock()
	if hold != nil {
		close(held)
		<-hold
	}
	if err != nil {
		return // the process is gone
	}
	w.WriteHeader(reply.StatusCode)
	_, _ = io.Copy(w, reply.Body) // so it is
}

func (f *front) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// pausing is a provider's emulator, an etcd, and two processes that can lead.
type pausing struct {
	t      *testing.T
	dir    string
	etcd   *cluster.Cluster
	seat   prober.Seat
	round  uint64
	pulse  chan struct{}
	fronts map[string]*front
	server *powerdnstest.Server
}

func newPausing(t *testing.T) *pausing {
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	p := &pausing{t: t, dir: dir, pulse: make(chan struct{}, 1), fronts: map[string]*front{}, server: powerdnstest.New("example.test", "")}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p.etcd, err = cluster.Start(t.Context(), cluster.Config{}, cluster.Options{Owner: "pause", Name: "etcd", DataDir: filepath.Join(dir, "etcd"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	if p.seat, err = p.etcd.Join(t.Context(), "here"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var renewing sync.WaitGroup
	renewing.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				_ = p.seat.Renew(ctx) // a cast fails if it is lost
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	})
	t.Cleanup(func() {
		stop()
		renewing.Wait()
		if err := p.etcd.Close(); err != nil {
			t.Error(err)
		}
	})
	p.write("key", powerdnstest.Key)
	for _, name := range []string{"a", "b"} {
		f := &front{server: p.server, kick: p.kick}
		web := httptest.NewServer(f)
		t.Cleanup(web.Close)
		p.fronts[name] = f
		p.write(name+".yaml", fmt.Sprintf(pauseConfig, web.URL))
	}
	return p
}

func (p *pausing) write(name, text string) {
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pausing) kick() {
	select {
	case p.pulse <- struct{}{}:
	default:
	}
}

// start starts a process, which the test's end kills.
func (p *pausing) start(name, fault string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), envPauseDir+"="+p.dir, envPauseName+"="+name, envPauseEtcd+"=unix://"+p.etcd.Socket(), envPauseFault+"="+fault)
	log := zerolog.NewTestWriter(p.t)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return cmd
}

// vote says how the endpoints of a and b are.
func (p *pausing) vote(a, b checks.Health) {
	p.round++
	cast := func(address string, h checks.Health) regions.Vote {
		return regions.Vote{Vantage: "here", Endpoint: regions.EndpointID("web@" + address), Health: h, Round: p.round, Why: "test"}
	}
	if err := p.seat.Cast(p.t.Context(), regions.Ballot{Vantage: "here", Votes: []regions.Vote{cast("127.0.1.1", a), cast("127.0.1.2", b)}}); err != nil {
		p.t.Fatal(err)
	}
}

// until waits, from one request at the emulator to the next and at least now
// and then, until ok.
func (p *pausing) until(what string, ok func() bool) {
	p.t.Helper()
	late, tick := time.After(patience), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-p.pulse:
		case <-tick.C:
		case <-late:
			p.t.Fatalf("%s: it did not come to be", what)
		}
	}
}

func (p *pausing) has(want string) func() bool {
	return func() bool {
		return slices.ContainsFunc(p.server.All(), func(s powerdnstest.RRset) bool {
			return s.Name == appName && s.Type == "A" && len(s.Records) == 1 && s.Records[0].Content == want
		})
	}
}

// pauseALeader stops a leader with SIGSTOP while it waits for the reading of the
// zone that it is about to write, lets another take over and write, and lets it
// go on after the pause. It returns how many requests it then sent to write.
func (p *pausing) pauseALeader(fault string, pause time.Duration) int {
	p.vote(checks.Up, checks.Up)
	a := p.start("a", fault)
	p.until("the first answer", p.has("127.0.1.1"))
	front := p.fronts["a"]
	hold, held := make(chan struct{}), make(chan struct{})
	front.mu.Lock()
	front.hold, front.held = hold, held
	front.mu.Unlock()
	p.vote(checks.Down, checks.Up)
	p.until("the reading before the write", func() bool {
		select {
		case <-held:
			return true
		default:
			return false
		}
	})
	if err := a.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(a.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		p.t.Fatalf("it did not stop: %v, %v", status, err)
	}
	over := time.After(pause)
	before := front.count()
	close(hold) // the reply waits in its socket
	p.start("b", "")
	p.until("the other's answer", p.has("127.0.1.2"))
	if fault == "" { // it has all reasons to decide and commit
		p.vote(checks.Down, checks.Down)
		p.vote(checks.Up, checks.Down)
		p.until("the other's next answer", p.has("127.0.1.1"))
	}
	<-over
	if err := a.Process.Signal(syscall.SIGCONT); err != nil {
		p.t.Fatal(err)
	}
	// It stands again once all that it did as a leader has ended.
	p.until("it stands again", func() bool {
		names, err := p.etcd.Candidates(p.t.Context())
		return err == nil && strings.Join(names, " ") == "b a"
	})
	return front.count() - before
}

// TestALeaderThatWasPausedWritesNothing, with a real process.
func TestALeaderThatWasPausedWritesNothing(t *testing.T) {
	p := newPausing(t)
	if n := p.pauseALeader("", pauseFor); n != 0 {
		t.Errorf("it sent %d requests to write after another had taken over", n)
	}
	shards, err := p.etcd.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards {
		if s.Term < 2 && len(s.Answers) > 0 {
			t.Errorf("shard %d is of term %d", s.ID, s.Term)
		}
	}
	if !p.has("127.0.1.1")() {
		t.Error("the zone does not have the other's answer")
	}
}

// TestMutantLeaseOverrun: without the check, the same pause lets it send a
// write, which the fence then refuses.
func TestMutantLeaseOverrun(t *testing.T) {
	p := newPausing(t)
	if n := p.pauseALeader("overrun", 0); n == 0 {
		t.Error("a leader that does not look at its lease sent nothing: the test above would not catch it")
	}
	if !p.has("127.0.1.2")() {
		t.Error("the zone does not have the other's answer")
	}
}
