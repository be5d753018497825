package daemon_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// The child's environment: its folder, and where it is to block.
const (
	envKillDir   = "VEERTEST_KILL_DIR"
	envKillStage = "VEERTEST_KILL_STAGE"
)

// TestMain runs the tests, or, started by one, a daemon to be killed or paused.
func TestMain(m *testing.M) {
	if dir := os.Getenv(envKillDir); dir != "" {
		os.Exit(victim(dir, os.Getenv(envKillStage)))
	}
	if dir := os.Getenv(envPauseDir); dir != "" {
		os.Exit(pauseChild(dir))
	}
	if dir := os.Getenv(envChildDir); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

const killPools = 8

const killConfig = `owner: kill
regions: [r1, r2, r3, r4, r5, r6, r7, r8]
vantages: [here]
providers:
  dns: {kind: authority, listen: ["127.0.0.1:0"], zones: [{name: example.test, file: example.test.zone}]}
monitors:
  web: {kind: tcp, port: 1, interval: 1s, timeout: 200ms, fall: 2, rise: 2, recheck: 100ms}
services:
  - name: app.example.test
    monitor: web
    quorum: {need: any, min_voters: 1}
    pools:
`

// decision is a committed version of the service's shard.
type decision struct {
	term, seq uint64
	data      string
}

func (d decision) newer(o decision) bool { return d.term > o.term || d.term == o.term && d.seq > o.seq }

// killing is the parent's knowledge.
type killing struct {
	t       *testing.T
	dir     string
	random  *rand.Rand
	orders  int
	last    decision // the newest that is known to be committed
	history []string // data of commits, each once in a row
	pending string   // data that an order asks for and no commit has shown yet
	counts  map[string]int
	firsts  map[string]int // what the first answers after a restart were
}

// run is one life of the child.
type life struct {
	cmd     *exec.Cmd
	lines   chan string
	stderr  *strings.Builder
	server  string
	ready   bool // the controller runs
	loaded  bool // the ledger's answers are served
	ordered bool
	orders  sync.WaitGroup // those given to it
}

// TestKill kills the daemon with SIGKILL at seeded moments. After each restart
// the first answers come from the snapshot, then they are the last committed
// decision's, and the data folder opens.
func TestKill(t *testing.T) {
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text := killConfig
	for i := 1; i <= killPools; i++ {
		text += fmt.Sprintf("      - {region: r%d, endpoints: [127.0.1.%d]}\n", i, i)
	}
	for name, text := range map[string]string{"veer.yaml": text, "example.test.zone": labZone} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := &killing{t: t, dir: dir, random: rand.New(rand.NewPCG(killSeed, 1)), counts: map[string]int{}, firsts: map[string]int{}}
	k.calm() // the first start, ended in good order
	for _, kind := range k.plan() {
		k.kill(kind)
	}
	k.calm()
	t.Logf("seed %d: %d kills: %d between commit and swap, %d during the start, %d at random times; first answers after a restart: %v",
		killSeed, k.counts["swap"]+k.counts["start"]+k.counts["random"], k.counts["swap"], k.counts["start"], k.counts["random"], k.firsts)
	if k.counts["swap"] < kills/5 || k.counts["start"] < kills/10 {
		t.Fatalf("void: of %d kills at least %d must be between commit and swap and %d during the start", kills, kills/5, kills/10)
	}
}

// plan is the seeded order of kinds of kills.
func (k *killing) plan() []string {
	var kinds []string
	for i := range kills {
		kinds = append(kinds, []string{"swap", "random", "start", "swap", "random", "swap", "start", "random", "swap", "start"}[i%10])
	}
	k.random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	return kinds
}

func (k *killing) start(stage string) *life {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), envKillDir+"="+k.dir, envKillStage+"="+stage)
	l := &life{cmd: cmd, lines: make(chan string, 1000), stderr: &strings.Builder{}}
	cmd.Stderr = l.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	go func() {
		defer close(l.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			l.lines <- s.Text()
		}
	}()
	return l
}

// kill starts a child and kills it at a moment of the kind.
func (k *killing) kill(kind string) {
	stage := kind
	if kind == "start" {
		stages := []string{daemon.StageAuthority, daemon.StageAPI, daemon.StageCluster, daemon.StageProber, daemon.StageController}
		stage = "start:" + stages[k.random.IntN(len(stages))]
	}
	moment := time.Duration(k.random.Int64N(int64(800 * time.Millisecond)))
	l := k.start(stage)
	var timer <-chan time.Time
	if kind == "random" {
		timer = time.After(moment)
	}
	at := k.follow(l, timer, func() bool { return false })
	if at == kind || kind == "random" && at == "time" {
		k.counts[kind]++
	} else {
		k.t.Fatalf("a child meant for %s ended at %q: %s", stage, at, l.stderr)
	}
	_ = l.cmd.Process.Kill() // SIGKILL
	k.drain(l)
	var exit *exec.ExitError
	if err := l.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		k.t.Fatalf("the child was not killed: %v: %s", err, l.stderr)
	}
}

// calm starts a child, waits until it serves what was ordered, and stops it.
func (k *killing) calm() {
	l := k.start("")
	k.follow(l, nil, func() bool { return l.ready && l.loaded && l.ordered && k.pending == "" })
	l.orders.Wait()
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		k.t.Fatal(err)
	}
	k.drain(l)
	if err := l.cmd.Wait(); err != nil {
		k.t.Fatalf("the child did not stop in good order: %v: %s", err, l.stderr)
	}
}

// drain takes in what the child still said.
func (k *killing) drain(l *life) {
	for line := range l.lines {
		k.hear(l, line, false)
	}
	l.orders.Wait()
}

// follow hears the child until it says that it is at its stage, the timer
// rings, or enough.
func (k *killing) follow(l *life, timer <-chan time.Time, enough func() bool) string {
	late := time.After(patience)
	for !enough() {
		select {
		case line, ok := <-l.lines:
			if !ok {
				return "its own end"
			}
			if where, at := strings.CutPrefix(line, "AT "); at {
				return where
			}
			k.hear(l, line, true)
			if l.ready && l.loaded && !l.ordered {
				l.ordered = true
				k.order(l)
			}
		case <-timer:
			return "time"
		case <-late:
			return "no event"
		}
	}
	return "enough"
}

// hear takes one line in, and checks the answers while the child lives.
func (k *killing) hear(l *life, line string, alive bool) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "STAGE":
		l.ready = l.ready || rest == daemon.StageController
	case "SERVING":
		l.server = rest
		k.checkFirst(l)
	case "COMMIT":
		k.committed(rest)
	case "LOADED":
		d := parseDecision(k.t, rest)
		if k.last.newer(d) || d.term == k.last.term && d.seq == k.last.seq && d.data != k.last.data {
			k.t.Fatalf("the ledger lost a decision: it has %+v, %+v was committed", d, k.last)
		}
		k.committed(rest)
	case "SWAPPED":
		if first := !l.loaded; first && alive {
			k.checkLedger(l)
		}
		l.loaded = true
	}
}

func parseDecision(t *testing.T, text string) (d decision) {
	if _, err := fmt.Sscan(text, &d.term, &d.seq, &d.data); err != nil {
		t.Fatalf("line %q: %v", text, err)
	}
	return d
}

func (k *killing) committed(text string) {
	d := parseDecision(k.t, text)
	if !d.newer(k.last) {
		return
	}
	if d.data != k.last.data {
		k.history = append(k.history, d.data)
	}
	k.last = d
	if d.data == k.pending {
		k.pending = ""
	}
}

// checkFirst checks the answers that are served before etcd is up: those of
// the snapshot, which is written right after each swap and so may miss the
// last commits of a process that was killed.
func (k *killing) checkFirst(l *life) {
	if len(k.history) == 0 {
		return
	}
	got := k.ask(l)
	for back := 0; back < 3 && back < len(k.history); back++ {
		if got == k.history[len(k.history)-1-back] {
			k.firsts[fmt.Sprintf("%d back", back)]++
			return
		}
	}
	k.t.Fatalf("the first answer after a restart is %s: commits were %v", got, k.history)
}

// checkLedger checks the answers once the ledger was heard: those of the last
// committed decision, or of an order that a new leader has carried out since.
func (k *killing) checkLedger(l *life) {
	if got := k.ask(l); got != k.last.data && got != k.pending {
		k.t.Fatalf("after a restart the answer is %s: the last commit is %+v (ordered %q)", got, k.last, k.pending)
	}
}

func (k *killing) ask(l *life) string {
	data, err := ask(l.server, appName)
	if err != nil {
		k.t.Fatalf("%v: %s", err, l.stderr)
	}
	return strings.Join(data, ",")
}

// order forces the service to the next pool. Its reply comes when it is in
// force, so the child's lines are heard meanwhile. Whether it was taken is not
// known when the child is killed.
func (k *killing) order(l *life) {
	k.orders++
	n := k.orders%killPools + 1
	if want := fmt.Sprintf("127.0.1.%d", n); k.last.data != want {
		k.pending = want
	}
	l.orders.Go(func() {
		ctx, cancel := context.WithTimeout(k.t.Context(), patience)
		defer cancel()
		_, err := api.NewClient(filepath.Join(k.dir, "data", api.SocketName)).Order(ctx, api.OrderRequest{
			Act: steering.Force, Why: "kill", Target: steering.Target{Service: appName, Region: regions.Name(fmt.Sprintf("r%d", n))},
		}, false)
		var refused *api.Problem
		if errors.As(err, &refused) {
			k.t.Errorf("the order: %v", err)
		}
	})
}
