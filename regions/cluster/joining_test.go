package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions/cluster"
)

const memberEnv = "VEER_TEST_MEMBER"

// memberCase is what a member's process of its own is told.
type memberCase struct {
	Conf   cluster.Config
	Name   string
	Dir    string
	HangAt string
}

// memberVictim starts a member, says each stage, and hangs at one of them.
func memberVictim(text string) error {
	var m memberCase
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	o := cluster.Options{Owner: "trio", Name: m.Name, DataDir: m.Dir, Log: zerolog.Nop(), Stage: func(stage string) {
		fmt.Println("stage", stage)
		if stage == m.HangAt {
			select {}
		}
	}}
	if _, err := cluster.Start(context.Background(), m.Conf, o); err != nil {
		return err
	}
	select {}
}

// killAt runs a member in a process of its own until it is at a stage, and
// kills it there.
func (x *trio) killAt(name, stage string) {
	x.t.Helper()
	text, err := json.Marshal(memberCase{Conf: x.conf, Name: name, Dir: x.dirs[name], HangAt: stage})
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
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	scan := bufio.NewScanner(out)
	last := ""
	for scan.Scan() {
		if last = scan.Text(); last == "stage "+stage {
			break
		}
	}
	_ = cmd.Process.Kill() // it may have ended by itself: then last tells
	_ = cmd.Wait()
	if last != "stage "+stage {
		x.t.Fatalf("%s did not come to %s; the last was %q", name, stage, last)
	}
}

// TestKilledWhileJoining kills a member that rejoins at each stage of it; the
// next start goes on, and the ledger is as before.
func TestKilledWhileJoining(t *testing.T) {
	t.Parallel()
	x := newTrio(t)
	x.start(trioNames...)
	x.settled("a", 3)
	fill(t, x.running["a"])
	before := contents(t, x.running["a"])
	x.stop("c")
	for _, stage := range []string{cluster.StageMarked, cluster.StageRemoved, cluster.StageAdded, cluster.StageStarted, cluster.StagePromoted} {
		x.lose("c")
		x.killAt("c", stage)
		if stage == cluster.StageAdded || stage == cluster.StageStarted { // and what it left is lost at once
			x.killAt("c", stage)
		}
		x.start("c")
		x.settled("c", 3)
		same(t, "killed at "+stage, before, contents(t, x.running["c"]))
		x.stop("c")
	}
}

// TestKilledWhileTheClusterIsMade kills one of three at each stage of the
// first start. One cluster comes of it, with all three.
func TestKilledWhileTheClusterIsMade(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{cluster.StageMarked, cluster.StageAgreed, cluster.StageStarted} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			x := newTrio(t)
			var wg sync.WaitGroup
			for _, name := range []string{"a", "b"} {
				wg.Go(func() {
					if _, err := x.open(within(t), x.conf, x.options(name)); err != nil {
						t.Errorf("start %s: %v", name, err)
					}
				})
			}
			x.killAt("c", stage)
			x.start("c")
			wg.Wait()
			x.settled("a", 3)
			fill(t, x.running["b"])
			same(t, "killed at "+stage, contents(t, x.running["a"]), contents(t, x.running["c"]))
		})
	}
}
