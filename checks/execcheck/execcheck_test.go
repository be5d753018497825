package execcheck_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/execcheck"
)

var target = checks.Target{Name: "disk@192.0.2.10", Host: "192.0.2.10", Port: 8080}

func prober(t *testing.T, c execcheck.Config) *execcheck.Prober {
	t.Helper()
	p, err := execcheck.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// script is a check written in sh.
func script(lines string) execcheck.Config {
	return execcheck.Config{Command: []string{"/bin/sh", "-c", lines}}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		script string
		health checks.Health
		words  string
	}{
		{"echo DISK OK", checks.Up, "exited with 0 (up) after"},
		{"echo DISK OK - '80% free | free=80'; exit 0", checks.Up, ": DISK OK - 80% free"},
		{"echo; echo slow; exit 1", checks.Degraded, "exited with 1 (degraded) after"},
		{"echo broken >&2; exit 2", checks.Down, ": broken"},
		{"exit 2", checks.Down, ": it printed nothing"},
		{"exit 3", checks.Unknown, "exited with 3 (unknown)"},
		{"exit 127", checks.Unknown, "exited with 127 (unknown)"},
		{"kill -9 $$", checks.Unknown, "ended by signal 9"},
		{`printf 'a\033[2Jb\0c\n'`, checks.Up, ": a [2Jb c"},
	} {
		t.Run(c.script, func(t *testing.T) {
			checktest.Expect(t, checktest.Probe(t, prober(t, script(c.script)), target, time.Minute), c.health, c.words)
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("PASSED_ON", "passed")
	t.Setenv("KEPT_BACK", "kept")
	c := execcheck.Config{
		Command: []string{"sh", "-c", `echo "$0 $1 $2 $VEER_TARGET $VEER_HOST $VEER_PORT ${VEER_TIMEOUT:+timed} $MINE $KEPT_BACK."; test "$PASSED_ON" = passed`, "{host}:{port}", "{target}", "$HOME;{x}"},
		Env:     map[string]string{"MINE": "mine"}, PassEnv: []string{"PASSED_ON", "NOT_SET_ANYWHERE"},
	}
	r := checktest.Probe(t, prober(t, c), target, time.Minute)
	checktest.Expect(t, r, checks.Up, ": 192.0.2.10:8080 disk@192.0.2.10 $HOME;{x} disk@192.0.2.10 192.0.2.10 8080 timed mine .")

	c.Command = []string{"sh", "-c", `echo "token is $PASSED_ON"`}
	checktest.Expect(t, checktest.Probe(t, prober(t, c), target, time.Minute), checks.Up, "token is [secret]")
}

func TestNotRunnable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for command, words := range map[string]string{
		"veer-no-such-command": "not found", "/no/such/command": "no such file", file: "permission denied",
	} {
		r := checktest.Probe(t, prober(t, execcheck.Config{Command: []string{command}}), target, time.Minute)
		checktest.Expect(t, r, checks.Unknown, "could not be started", words)
	}
	r := checktest.Probe(t, prober(t, execcheck.Config{Command: []string{"true"}, Dir: "/no/such/folder"}), target, time.Minute)
	checktest.Expect(t, r, checks.Unknown, "could not be started")
}

func TestEndlessOutput(t *testing.T) {
	c := script("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")
	c.MaxOutput = 8
	r := checktest.Probe(t, prober(t, c), target, 300*time.Millisecond)
	checktest.Expect(t, r, checks.Down, "timed out")
	if r.Evidence.Detail != "xxxxxxxx" {
		t.Errorf("kept %q, expected 8 bytes", r.Evidence.Detail)
	}
}

// TestGroupKilled starts a child of the command that ignores gentler signals,
// and requires that it is gone when the probe returns.
func TestGroupKilled(t *testing.T) {
	for name, end := range map[string]string{"time-out": "wait", "exit": "exit 0"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			c := script(`(trap '' TERM HUP INT; exec sleep 1000) & echo $! > "` + file + `"; ` + end)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if name == "time-out" {
				ctx, cancel = context.WithTimeout(ctx, 500*time.Millisecond)
				defer cancel()
			}
			checktest.Valid(t, prober(t, c).Probe(ctx, target))
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
			if err != nil {
				t.Fatal(err)
			}
			awaitGone(t, pid)
		})
	}
}

// awaitGone waits until a process has ended: its parent is another by now, so
// only asking again tells. A process that lives on runs into the test's limit.
func awaitGone(t *testing.T, pid int) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("process %d still runs", pid)
		}
	}
}

func TestCancelled(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "started")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, _ = os.ReadFile(fifo) // It returns once the command has written.
		cancel()
	}()
	r := prober(t, script(`echo started > "`+fifo+`"; sleep 1000`)).Probe(ctx, target)
	checktest.Valid(t, r)
	checktest.Expect(t, r, checks.Unknown, "cancelled")

	r = prober(t, script("exit 0")).Probe(ctx, target)
	checktest.Expect(t, r, checks.Unknown, "not tried")
}

func TestConcurrent(t *testing.T) {
	p := prober(t, script(`test "$VEER_PORT" = 1 && sleep 1000; exit 0`))
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if i%4 == 0 {
				hung := target
				hung.Port = 1
				checktest.Expect(t, checktest.Probe(t, p, hung, 200*time.Millisecond), checks.Down, "timed out")
				return
			}
			checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Up)
		})
	}
	wg.Wait()
}

func TestBadConfig(t *testing.T) {
	for field, c := range map[string]execcheck.Config{
		"command":      {},
		"command[0]":   {Command: []string{"check_ssh -H host"}},
		"command[1]":   {Command: []string{"true", "a\x00"}},
		"env.A=B":      {Command: []string{"true"}, Env: map[string]string{"A=B": ""}},
		"env.VEER_X":   {Command: []string{"true"}, Env: map[string]string{"VEER_X": ""}},
		"pass_env[0]":  {Command: []string{"true"}, PassEnv: []string{""}},
		"max_output":   {Command: []string{"true"}, MaxOutput: 1 << 30},
		"env.NUL_BYTE": {Command: []string{"true"}, Env: map[string]string{"NUL_BYTE": "\x00"}},
	} {
		var fields []string
		c.Check(func(field, _ string, _ ...any) { fields = append(fields, field) })
		if len(fields) != 1 || fields[0] != field {
			t.Errorf("problems at %q, expected one at %s", fields, field)
		}
		if _, err := execcheck.New(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New says %v, expected an error naming %s", err, field)
		}
	}
}
