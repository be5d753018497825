package daemon_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
)

// nobody is who takes root's place in a test of what a folder refuses: it
// refuses root nothing.
const nobody = 65534

// becomeOther gives the process another user; "" is nobody else.
func becomeOther(user string) error {
	if user == "" {
		return nil
	}
	uid, err := strconv.Atoi(user)
	if err == nil {
		err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid))
	}
	return err
}

// seal takes from a region's data folder all rights to write, and has the
// children that are spawned from now on be a user to whom that means something.
// The returned function gives them back.
func (l *lab) seal(region string) (unseal func()) {
	l.t.Helper()
	l.t.Setenv("TMPDIR", l.dir)
	if os.Geteuid() == 0 {
		l.t.Setenv(envChildUser, strconv.Itoa(nobody))
		l.walk(l.dir, func(path string, _ bool) error { return os.Chown(path, nobody, nobody) })
	}
	dir := filepath.Join(l.dir, region)
	rights := func(folder, file fs.FileMode) {
		l.walk(dir, func(path string, isDir bool) error {
			if isDir {
				return os.Chmod(path, folder)
			}
			return os.Chmod(path, file)
		})
	}
	rights(0o500, 0o400)
	unseal = func() { rights(0o700, 0o600) }
	l.t.Cleanup(unseal)
	return unseal
}

func (l *lab) walk(dir string, do func(path string, isDir bool) error) {
	l.t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return do(path, e.IsDir())
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// ends waits until a child ends by itself, and returns how.
func (l *lab) ends(cmd *exec.Cmd) int {
	l.t.Helper()
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait() // its code is looked at
	return cmd.ProcessState.ExitCode()
}

// TestASealedFolderIsServed: a process whose disk has become read-only serves
// its last answers after a restart, says so, and starts anew when that is over.
func TestASealedFolderIsServed(t *testing.T) {
	l := newLab(t)
	l.write("veer.yaml", string(oneVantage(t, l)))
	l.start("eu-west", daemon.RoleAll)
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	l.halt("eu-west")
	unseal := l.seal("eu-west")
	cmd, server := l.spawnUntil(daemon.StageHTTP, "eu-west", "eu-west", daemon.RoleAll)
	l.server = server
	if got := l.query(); !slices.Equal(got, []string{"127.0.0.12"}) {
		t.Errorf("the sealed process answers %v", got)
	}
	st := l.status("eu-west", func(st api.Status) bool { return warned(st, "no etcd member can run here") })
	if !warned(st, "takes no writes", "what is answered now is not kept") {
		t.Errorf("the status does not tell: %q", st.Warnings)
	}
	other := l.child("eu-west", "eu-west", daemon.RoleAll)
	if out, err := other.CombinedOutput(); err == nil || !strings.Contains(string(out), "locking ") {
		t.Errorf("a second process on the sealed folder: %v, %s", err, out)
	}
	if data, err := ask(server, appName); err != nil || !slices.Equal(data, []string{"127.0.0.12"}) {
		t.Errorf("after that it answers %v, %v", data, err)
	}
	unseal()
	if code := l.ends(cmd); code != childRestarts {
		t.Errorf("after the folder takes writes again the process ended with %d, want a restart", code)
	}
	l.start("eu-west", daemon.RoleAll)
	l.answers("127.0.0.12")
	l.down("127.0.0.12")
	l.answers("127.0.0.13")
	if st := l.status("eu-west", func(st api.Status) bool { return st.Leader.Itself }); warned(st, "takes no writes") {
		t.Errorf("it still says %q", st.Warnings)
	}
}

// TestASealedMemberIsAClient: with others that keep the ledger, such a process
// is a client of theirs: new answers reach it. Without an authority it does not
// start at all.
func TestASealedMemberIsAClient(t *testing.T) {
	l := newLab(t)
	l.members(vantageNames...)
	all := []*running{
		l.launch("us-east", l.config("us-east")), l.launch("eu-west", l.config("eu-west")), l.launch("ap-south", l.config("ap-south")),
	}
	for _, r := range all {
		l.await(r)
	}
	l.watchAt(filepath.Join(l.dir, "eu-west"))
	l.server = l.serverOf("ap-south")
	l.answers("127.0.0.11")
	l.halt("ap-south")
	unseal := l.seal("ap-south")
	prober := l.child("ap-south", "ap-south", daemon.RoleProber)
	if out, err := prober.CombinedOutput(); err == nil || !strings.Contains(string(out), "permission denied") {
		t.Errorf("a sealed prober: %v, %s", err, out)
	}
	cmd, server := l.spawn("ap-south", "ap-south", daemon.RoleAll)
	l.server = server
	l.answers("127.0.0.11")
	l.status("ap-south", func(st api.Status) bool {
		return warned(st, "takes no writes") && st.Leader.Name != "" && slices.ContainsFunc(st.Voters, func(v api.Vantage) bool { return v.Name == "ap-south" && v.Fresh })
	})
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	unseal()
	if code := l.ends(cmd); code != childRestarts {
		t.Errorf("after the folder takes writes again the process ended with %d, want a restart", code)
	}
	l.await(l.launch("ap-south", l.config("ap-south")))
	l.every("eu-west", 3)
}
