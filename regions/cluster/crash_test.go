package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

const (
	crashDir  = "VEER_TEST_CRASH_DIR"
	slowLease = "VEER_TEST_SLOW_LEASE"
)

// TestMain runs the victim of TestKilled instead of the tests when told to.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Println("error:", victim(dir))
		os.Exit(1)
	}
	if text := os.Getenv(memberEnv); text != "" {
		fmt.Println("error:", memberVictim(text))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim votes, leads and commits until it is killed, and says each committed
// seq on its standard output.
func victim(dir string) error {
	ctx := context.Background()
	fmt.Println("begin")
	conf := fast()
	if os.Getenv(slowLease) != "" {
		conf.VoteLease, conf.LeaderLease = 0, 0
	}
	c, err := cluster.Start(ctx, conf, cluster.Options{Owner: "test", Name: "victim", DataDir: dir, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	seat, err := c.Join(ctx, "eu")
	if err != nil {
		return err
	}
	l, err := c.Campaign(ctx, "victim")
	if err != nil {
		return err
	}
	all, err := c.Shards(ctx)
	if err != nil {
		return err
	}
	var rev controller.Revision
	var seq uint64
	if len(all) > 0 {
		rev, seq = all[0].At, all[0].Seq
	}
	for {
		seq++
		s := steering.Shard{ID: 1, Term: l.Term(), Seq: seq}
		if rev, err = c.Commit(ctx, l, rev, s, &steering.Entry{Term: l.Term(), Seq: seq, Shard: 1}); err != nil {
			return err
		}
		fmt.Println("committed", seq)
		vote := regions.Vote{Vantage: "eu", Endpoint: "e", Health: checks.Health(seq % 4), Round: seq}
		if err := errors.Join(seat.Cast(ctx, regions.Ballot{Vantage: "eu", Votes: []regions.Vote{vote}}), seat.Renew(ctx)); err != nil {
			return err
		}
	}
}

// TestKilled kills a process at start-up and while it commits. The folder must
// open again, with every commit that was said to hold; the successor must not
// have to wait for the dead one's leases.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := clustertest.ShortDir(t)
	last := uint64(0)
	for round, lines := range []int{1, 20, 2, 7, 1, 40} { // line 1 is "begin"
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir, slowLease+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var errs testWriter
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		scan := bufio.NewScanner(out)
		for lines > 0 && scan.Scan() {
			lines--
			if strings.HasPrefix(scan.Text(), "error:") {
				t.Fatalf("round %d: %s", round, scan.Text())
			}
			_, _ = fmt.Sscanf(scan.Text(), "committed %d", &last) // other lines leave it
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for scan.Scan() { // what it still said before it died holds as well
			_, _ = fmt.Sscanf(scan.Text(), "committed %d", &last)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the victim ended by itself")
		}
		if errs.String() != "" {
			t.Errorf("round %d: the embedded etcd wrote to standard error: %s", round, errs.String())
		}
	}
	conf := fast()
	conf.VoteLease, conf.LeaderLease = maxLease, maxLease
	c := start(t, conf, cluster.Options{Owner: "test", Name: "heir", DataDir: dir})
	shards, err := c.Shards(within(t))
	if err != nil || len(shards) != 1 || shards[0].Seq < last {
		t.Errorf("after the crashes the ledger holds %+v (%v), want seq %d or later", shards, err, last)
	}
}

// TestSuccessorTakesOver: with leases of ten minutes, a process that opens the
// folder of a dead one can vote and lead at once.
func TestSuccessorTakesOver(t *testing.T) {
	t.Parallel()
	dir := clustertest.ShortDir(t)
	conf := fast()
	conf.VoteLease, conf.LeaderLease = maxLease, maxLease
	for range 3 {
		c := start(t, conf, cluster.Options{Owner: "test", Name: "a", DataDir: dir})
		if _, err := c.Join(within(t), "eu"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Campaign(within(t), "a"); err != nil {
			t.Fatal(err)
		}
		clustertest.Close(t, c) // with neither Leave nor Resign: as if killed
	}
}

const maxLease = 10 * 60 * 1e9 // ten minutes

// TestFolder: sockets and folders are private, no TCP port is open, and a long
// path with spaces works for both sides.
func TestFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(clustertest.ShortDir(t), strings.Repeat("long folder % name/", 8), "x")
	c := start(t, fast(), cluster.Options{Owner: "test", Name: "a", DataDir: dir})
	if got := c.Socket(); got != filepath.Join(dir, "etcd.sock") {
		t.Errorf("the socket is %s", got)
	}
	for path, want := range map[string]os.FileMode{c.Socket(): 0o600 | os.ModeSocket, filepath.Join(dir, "etcd"): 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v (%v), want %v", path, info.Mode(), err, want)
		}
	}
	conf := fast()
	conf.Endpoints = []string{"unix://" + c.Socket()}
	other := start(t, conf, cluster.Options{Owner: "test", Name: "b"})
	l, err := other.Campaign(within(t), "b")
	if err != nil {
		t.Fatal(err)
	}
	if name, term, err := c.Leader(within(t)); err != nil || name != "b" || term != l.Term() {
		t.Errorf("the leader is %q in term %d (%v)", name, term, err)
	}
}
