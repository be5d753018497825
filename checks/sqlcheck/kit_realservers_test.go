//go:build realservers

package sqlcheck_test

import (
	"crypto/tls"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/certtest"
	"github.com/veerdns/veer/checks/sqlcheck"
)

// asNobody is a command that runs as nobody where the test runs as root: a
// database server refuses to.
func asNobody(command ...string) []string {
	if os.Geteuid() != 0 {
		return command
	}
	return append([]string{"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"}, command...)
}

// run runs a command to its end.
func run(t *testing.T, folder string, command ...string) {
	t.Helper()
	command = asNobody(command...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "HOME="+folder, "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

// start runs a server until the test ends.
func start(t *testing.T, target checks.Target, command ...string) *checktest.Daemon {
	t.Helper()
	command = asNobody(command...)
	return checktest.Start(t, target, command[0], command[1:]...)
}

// owned makes a folder with a short path, and gives it to nobody. Each file
// is written into it, for nobody alone.
func owned(t *testing.T, files map[string][]byte) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "veer-sql")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	paths := []string{folder}
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if os.Geteuid() != 0 {
		return folder
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(nobody.Uid)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if err := os.Chown(path, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// pemFiles are a certificate and its key as files.
func pemFiles(t *testing.T, c tls.Certificate) map[string][]byte {
	t.Helper()
	cert, key := certtest.Files(t, c)
	out := map[string][]byte{}
	for name, path := range map[string]string{"cert.pem": cert, "key.pem": key} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = content
	}
	return out
}

// eventually probes until the result is as expected: what a server does in
// the background, only asking tells.
func eventually(t *testing.T, c sqlcheck.Config, target checks.Target, health checks.Health, words ...string) {
	t.Helper()
	p := prober(t, c)
	tick, deadline := time.NewTicker(50*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		r := checktest.Probe(t, p, target, 30*time.Second)
		if r.Health == health && !strings.Contains(r.Reason, "\x00") && containsAll(r.Reason, words) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s, expected %s with %q: %s", r.Health, health, words, r.Reason)
		}
	}
}

func containsAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// contract runs the suite of every check against a server that listens on
// 127.0.0.1 and ::1.
func contract(t *testing.T, c sqlcheck.Config, drip string, target checks.Target) {
	checktest.Run(t, checktest.Kit{
		Network: "tcp", Drip: drip,
		New: func(t *testing.T) checks.Prober { return prober(t, c) },
		Serve: func(_ *testing.T, host string) checks.Target {
			return checks.Target{Name: "db@" + host, Host: host, Port: target.Port}
		},
	})
}
