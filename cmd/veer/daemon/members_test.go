package daemon_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
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

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
)

// The environment of a daemon in a process of its own.
const (
	envChildDir    = "VEERTEST_CHILD_DIR"
	envChildRegion = "VEERTEST_CHILD_REGION"
	envChildData   = "VEERTEST_CHILD_DATA"
	envChildRole   = "VEERTEST_CHILD_ROLE"
	envChildUser   = "VEERTEST_CHILD_USER" // a number; empty: as the parent
)

// child is that process.
func child(dir string) int {
	if err := becomeOther(os.Getenv(envChildUser)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	env := map[string]string{"VEER_REGION": os.Getenv(envChildRegion), "VEER_DATA_DIR": filepath.Join(dir, os.Getenv(envChildData))}
	c, err := config.Load(filepath.Join(dir, "veer.yaml"), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := daemon.Signals(context.Background())
	defer stop()
	err = daemon.Run(ctx, daemon.Options{Config: c, Roles: []string{os.Getenv(envChildRole)}, Version: "child", Log: zerolog.Nop(), Hooks: daemon.Hooks{
		Started: func(stage string) { fmt.Println("STAGE", stage) },
		Serving: func(addresses []string) { fmt.Println("SERVING", addresses[0]) },
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	switch {
	case errors.Is(err, daemon.ErrRestart):
		return childRestarts
	case err != nil:
		return 1
	}
	return 0
}

// childRestarts is how a child ends that is to be started anew.
const childRestarts = 3

// spawn starts a daemon in a process of its own, and returns when it runs,
// with the address on which it serves, if any. The test's end kills it.
func (l *lab) spawn(region, data, role string) (*exec.Cmd, string) {
	l.t.Helper()
	return l.spawnUntil(daemon.StageController, region, data, role)
}

// child is a daemon in a process of its own that is to be started.
func (l *lab) child(region, data, role string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), envChildDir+"="+l.dir, envChildRegion+"="+region, envChildData+"="+data, envChildRole+"="+role)
	return cmd
}

// spawnUntil is spawn that returns after a stage of the start.
func (l *lab) spawnUntil(stage, region, data, role string) (*exec.Cmd, string) {
	l.t.Helper()
	cmd := l.child(region, data, role)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	var once sync.Once
	kill := func() {
		once.Do(func() {
			_ = cmd.Process.Kill() // a stopped process ends, too
			_ = cmd.Wait()
		})
	}
	l.t.Cleanup(kill)
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	server := ""
	for scan := bufio.NewScanner(out); scan.Scan(); {
		word, rest, _ := strings.Cut(scan.Text(), " ")
		switch {
		case word == "SERVING":
			server = rest
		case word == "STAGE" && rest == stage:
			return cmd, server
		}
	}
	l.t.Fatalf("%s as %s did not start", data, role)
	return nil, ""
}

// free returns a loopback address of 127.9/16 that nothing else listens on.
func free(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.9.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }() // it is free from here
	return ln.Addr().String()
}

// members puts etcd members of the regions into the lab's config.
func (l *lab) members(names ...string) {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "veer.yaml"))
	if err != nil {
		l.t.Fatal(err)
	}
	head := "cluster:\n  vote_lease: 2s\n  members:\n"
	for _, name := range names {
		head += fmt.Sprintf("    %s: {peer: \"http://%s\", client: \"http://%s\"}\n", name, free(l.t), free(l.t))
	}
	l.write("veer.yaml", head+string(text))
}

// TestTwoRegionsAndAWitness: the third member is a witness. It votes, in the
// verdicts and in etcd: a region with all that is in it is lost at once, and
// traffic moves. It leads never, and serves nothing.
func TestTwoRegionsAndAWitness(t *testing.T) {
	l := newLab(t)
	l.members(vantageNames...)
	all := []*running{
		l.launch("us-east", l.config("us-east")),
		l.launch("ap-south", l.config("ap-south"), daemon.RoleWitness),
		l.launch("eu-west", l.config("eu-west")),
	}
	for _, r := range all {
		l.await(r)
	}
	for i, m := range l.every("ap-south", 3).Members {
		if want := []string{"ap-south", "eu-west", "us-east"}[i]; m.Name != want || m.Version == "" || m.Bytes == 0 {
			t.Errorf("member %d is %+v, want %s", i, m, want)
		}
	}
	l.status("eu-west", func(st api.Status) bool {
		return st.Leader.Name != "" && !slices.ContainsFunc(st.Voters, func(v api.Vantage) bool { return v.Votes < 3 })
	})
	server := l.serverOf("us-east")
	l.halt("eu-west")
	l.down("127.0.0.11")
	l.server = server
	l.watchAt(filepath.Join(l.dir, "us-east"))
	l.answers("127.0.0.12")
	st := l.status("ap-south", func(st api.Status) bool { return st.Leader.Name == "us-east" })
	if !slices.Contains(st.Roles, daemon.RoleProber) || slices.Contains(st.Roles, daemon.RoleController) {
		t.Errorf("the witness's roles are %v", st.Roles)
	}

	// Another member must not go now, from whichever daemon it is asked.
	_, err := l.client("ap-south").ChangeMember(t.Context(), api.MemberRequest{Act: api.MemberRemove, Name: "us-east"})
	var problem *api.Problem
	if !errors.As(err, &problem) || !problem.Refused || !strings.Contains(problem.What, "it would have no quorum") {
		t.Fatalf("removed us-east with eu-west away: %v", err)
	}
	for _, r := range []api.MemberRequest{
		{Act: "promote", Name: "us-east"}, {Act: api.MemberRemove}, {Act: api.MemberRemove, Name: "us-east", Force: true},
		{Act: api.MemberAdd, Name: "nowhere"}, {Act: api.MemberRemove, Name: "nowhere"},
	} {
		if _, err := l.client("us-east").ChangeMember(t.Context(), r); !errors.As(err, &problem) || problem.Code/100 != 4 || problem.Refused {
			t.Errorf("%+v: %v", r, err)
		}
	}
	// The one that is away may, and the journal tells of it.
	done, err := l.client("us-east").ChangeMember(t.Context(), api.MemberRequest{Act: api.MemberRemove, Name: "eu-west", Why: "gone", By: "lea"})
	if err != nil || !done.Changed {
		t.Fatalf("remove eu-west: %+v, %v", done, err)
	}
	l.every("us-east", 2)
	notes, err := l.client("us-east").Notes(t.Context(), 1)
	if err != nil || len(notes) != 1 || notes[0].Act != "member eu-west removed" || notes[0].By != "lea" || notes[0].Why != "gone" {
		t.Errorf("the journal says %+v (%v)", notes, err)
	}

	// A member that is removed while it runs is started anew, as a client of
	// the one that is left: it votes on, and says so.
	witness := l.daemons["ap-south"]
	if _, err := l.client("us-east").ChangeMember(t.Context(), api.MemberRequest{Act: api.MemberRemove, Name: "ap-south", By: "lea", Why: "gone"}); err != nil {
		t.Fatal(err)
	}
	l.restarts(witness, cluster.ErrRemoved)
	for range 2 { // a restart changes nothing of it
		l.await(l.launch("ap-south", l.config("ap-south"), daemon.RoleWitness))
		l.status("ap-south", func(st api.Status) bool {
			return st.Leader.Name == "us-east" && slices.ContainsFunc(st.Voters, func(v api.Vantage) bool { return v.Name == "ap-south" && v.Fresh && v.Votes == 3 }) &&
				slices.ContainsFunc(st.Warnings, func(w string) bool {
					return strings.Contains(w, cluster.ErrRemoved.Error()) && strings.Contains(w, "client of the others")
				})
		})
		l.every("ap-south", 1)
		if removed, err := cluster.Removed(filepath.Join(l.dir, "ap-south")); err != nil || !removed {
			t.Fatalf("the folder does not say that its member was removed (%v)", err)
		}
		l.halt("ap-south")
	}

	// Its folder is moved away while it runs: it joins again.
	witness = l.launch("ap-south", l.config("ap-south"), daemon.RoleWitness)
	l.await(witness)
	folder := filepath.Join(l.dir, "ap-south", "etcd")
	if err := os.Rename(folder, folder+".removed"); err != nil {
		t.Fatal(err)
	}
	l.restarts(witness, daemon.ErrRestart)
	l.await(l.launch("ap-south", l.config("ap-south"), daemon.RoleWitness))
	l.every("us-east", 2)
}

// restarts requires that a daemon ends to be started anew.
func (l *lab) restarts(r *running, why error) {
	l.t.Helper()
	select {
	case err := <-r.done:
		delete(l.daemons, r.region) // nothing is left to halt
		if !errors.Is(err, daemon.ErrRestart) || !errors.Is(err, why) {
			l.t.Fatalf("%s ended with %v, want a restart for %v", r.region, err, why)
		}
	case <-time.After(patience):
		l.t.Fatalf("%s goes on", r.region)
	}
}

// TestAProberOrAuthorityCostsOnlyItsVotes has one member, and probers and an
// authority that are its clients, in processes of their own. Each is stopped
// and killed: the answers stay, and a second process of a vantage takes over.
func TestAProberOrAuthorityCostsOnlyItsVotes(t *testing.T) {
	l := newLab(t)
	l.members("eu-west")
	l.await(l.launch("eu-west", l.config("eu-west")))
	l.watchAt(filepath.Join(l.dir, "eu-west"))
	home := l.server
	usEast, _ := l.spawn("us-east", "us-1", daemon.RoleProber)
	apSouth, _ := l.spawn("ap-south", "ap-1", daemon.RoleProber)
	authority, far := l.spawn("ap-south", "ap-2", daemon.RoleAuthority)
	fresh := func(name regions.Name, want bool) api.Status {
		t.Helper()
		return l.status("eu-west", func(st api.Status) bool {
			return slices.ContainsFunc(st.Voters, func(v api.Vantage) bool { return v.Name == name && v.Fresh == want && (!want || v.Votes == 3) })
		})
	}
	stay := func(when string) {
		t.Helper()
		for _, server := range []string{home, far} {
			if data, err := ask(server, appName); err != nil || !slices.Equal(data, []string{"127.0.0.11"}) {
				t.Errorf("%s, %s answers %v (%v)", when, server, data, err)
			}
		}
	}
	fresh("us-east", true)
	fresh("ap-south", true)
	l.server = far
	l.answers("127.0.0.11")
	l.server = home
	stay("with all")

	signal := func(cmd *exec.Cmd, s syscall.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	// One prober hangs: its votes go, and nothing else; then it goes on.
	signal(apSouth, syscall.SIGSTOP)
	fresh("ap-south", false)
	stay("with a prober that hangs")
	signal(apSouth, syscall.SIGCONT)
	fresh("ap-south", true)

	// A second process of us-east stands by. When the first hangs, and ap-south
	// too, its vote is the second of the two that are needed.
	second := l.launch("us-2", l.configIn("us-east", "us-2"), daemon.RoleProber)
	l.await(second)
	signal(usEast, syscall.SIGSTOP)
	stay("with a second process")
	signal(apSouth, syscall.SIGSTOP)
	fresh("ap-south", false)
	l.down("127.0.0.11")
	l.answers("127.0.0.12")

	// The authority far away hangs: the rest goes on. It has the new answer
	// once it goes on.
	signal(authority, syscall.SIGSTOP)
	l.down("127.0.0.12")
	l.answers("127.0.0.13")
	signal(authority, syscall.SIGCONT)
	l.server = far
	l.answers("127.0.0.13")
}

// TestASpoiltFolderIsAwaited: etcd's folder cannot be opened. The daemon says
// so and serves; it is started anew only once the folder was moved away.
func TestASpoiltFolderIsAwaited(t *testing.T) {
	l := newLab(t)
	l.write("veer.yaml", string(oneVantage(t, l)))
	first := l.start("eu-west", daemon.RoleAll)
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.halt("eu-west")
	folder := filepath.Join(first.dataDir, "etcd")
	if err := os.WriteFile(filepath.Join(folder, "member", "snap", "db"), []byte(strings.Repeat("spoilt", 1<<14)), 0o600); err != nil {
		t.Fatal(err)
	}
	waits := &sign{text: []byte("started again when its folder was moved away"), seen: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		done <- daemon.Run(t.Context(), daemon.Options{Config: l.config("eu-west"), Version: "test", Log: zerolog.New(waits),
			Hooks: daemon.Hooks{Serving: func(addresses []string) { l.server = addresses[0] }}})
	}()
	select {
	case <-waits.seen:
	case err := <-done:
		t.Fatalf("the daemon ended with its etcd: %v", err)
	case <-time.After(patience):
		t.Fatal("nobody says that the folder is awaited")
	}
	l.answers("127.0.0.12")
	l.status("eu-west", func(st api.Status) bool {
		return slices.ContainsFunc(st.Warnings, func(w string) bool { return strings.Contains(w, "move "+folder+" away") })
	})
	if err := os.Rename(folder, folder+".spoilt"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, daemon.ErrRestart) || !errors.Is(err, cluster.ErrSpoilt) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("it is not started anew")
	}
}
