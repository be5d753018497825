package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/veerdns/veer/regions/cluster"
)

// process runs a member in a process of its own until the test ends, and
// returns when it votes.
func (x *trio) process(name string) <-chan *os.Process {
	x.t.Helper()
	text, err := json.Marshal(memberCase{Conf: x.conf, Name: name, Dir: x.dirs[name]})
	if err != nil {
		x.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memberEnv+"="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		x.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() {
		_ = cmd.Process.Kill() // a stopped process ends, too
		_ = cmd.Wait()
	})
	up := make(chan *os.Process, 1)
	go func() { // it ends with the process
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if scan.Text() == "stage "+cluster.StagePromoted {
				up <- cmd.Process
			}
		}
		close(up)
	}()
	return up
}

// fails runs a member in a process of its own, which a start that fails ends,
// and returns what it says. What etcd leaves of such a start would stay in
// this process.
func (x *trio) fails(name string) string {
	x.t.Helper()
	text, err := json.Marshal(memberCase{Conf: x.conf, Name: name, Dir: x.dirs[name]})
	if err != nil {
		x.t.Fatal(err)
	}
	cmd := exec.CommandContext(within(x.t), os.Args[0])
	cmd.Env = append(os.Environ(), memberEnv+"="+string(text))
	out, err := cmd.Output()
	if err == nil {
		x.t.Fatalf("%s ended well: %s", name, out)
	}
	return string(out)
}

// TestAClientLeavesAHungMember stops a member's process with SIGSTOP: its
// connections stay open and silent. A client of the three goes on with the
// others, and keeps its seat, though the connection is not given up.
func TestAClientLeavesAHungMember(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	up := x.process("c")
	x.start("a", "b")
	hung := <-up
	if hung == nil {
		t.Fatal("member c did not start")
	}
	x.settled("a", 3)
	conf := x.conf
	conf.VoteLease = 5 * time.Second
	o := x.options("prober")
	o.DataDir, o.Client, o.KeepAlive = "", true, time.Hour
	client := start(t, conf, o)
	seat, err := client.Join(within(t), "eu")
	if err != nil {
		t.Fatal(err)
	}
	if err := hung.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx := within(t)
	for quick := 0; quick < 30; {
		asked := time.Now()
		ask, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		if _, _, err := client.Leader(ask); err != nil {
			quick = 0
		} else {
			quick++
		}
		cancel()
		if err := seat.Renew(ctx); err != nil {
			quick = 0
			t.Logf("after %s: %v", time.Since(began), err)
		}
		select {
		case <-seat.Lost():
			t.Fatalf("the seat is lost %s after a member hung", time.Since(began))
		case <-ctx.Done():
			t.Fatalf("after %s requests still go to the member that hangs", time.Since(began))
		default:
		}
		if time.Since(asked) > time.Second {
			quick = 0
		}
	}
	t.Logf("left after %s", time.Since(began))
	if err := hung.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for len(client.RTT()) < 3 { // it is asked again, until it is known how far it is
		select {
		case <-ctx.Done():
			t.Fatalf("the round trips are %v", client.RTT())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestAClientOfNobody: members without client URLs cannot be reached.
func TestAClientOfNobody(t *testing.T) {
	t.Parallel()
	conf := cluster.Config{Members: map[string]cluster.Member{"a": {Peer: "http://127.0.0.1:2"}}}
	_, err := cluster.Start(within(t), conf, cluster.Options{Owner: "x", Name: "p", Client: true})
	if err == nil || !strings.Contains(err.Error(), "none has a client URL") {
		t.Errorf("started: %v", err)
	}
}

// TestASpoiltFolderIsNamed: etcd's database, and its log, are overwritten. The
// error names the folder and what to do, and once it is moved away the member
// rejoins.
func TestASpoiltFolderIsNamed(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	x.start(trioNames...)
	x.settled("a", 3)
	fill(t, x.running["a"])
	before := contents(t, x.running["a"])
	for _, spoil := range []string{"snap/db", "wal/*.wal"} {
		x.stop("b")
		files, err := filepath.Glob(filepath.Join(x.dirs["b"], "etcd", "member", spoil))
		if err != nil || len(files) == 0 {
			t.Fatalf("nothing to spoil at %s (%v)", spoil, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for i := 64; i < len(text); i++ {
				text[i] ^= 0x5a
			}
			if err := os.WriteFile(f, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		folder := filepath.Join(x.dirs["b"], "etcd")
		said := x.fails("b")
		for _, want := range []string{cluster.ErrSpoilt.Error(), "move " + folder + " away", "rejoins"} {
			if !strings.Contains(said, want) {
				t.Fatalf("%s is spoilt; expected %q in: %s", spoil, want, said)
			}
		}
		if err := os.Rename(folder, filepath.Join(x.dirs["b"], "spoilt-"+strings.ReplaceAll(spoil, "/", "-"))); err != nil {
			t.Fatal(err)
		}
		x.start("b")
		x.settled("b", 3)
		same(t, "after "+spoil+" was spoilt", before, contents(t, x.running["b"]))
	}
}
