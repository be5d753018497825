// Package execcheck checks an endpoint by a command, whose exit code says what
// a monitoring plugin's says (https://www.monitoring-plugins.org/doc/guidelines.html):
// 0 up, 1 degraded, 2 down, 3 and all else unknown. A command that outlives
// the probe's time is killed with its whole process group, and the endpoint is
// down; a command that cannot be run leaves it unknown.
package execcheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// pipeDelay is how long a process that left the group may keep the output
// open after the command has ended.
const pipeDelay = 100 * time.Millisecond

// Prober is a checks.Prober, safe for concurrent use.
type Prober struct{ c Config }

// New makes a prober of a config that Check finds nothing wrong with. It does
// not look for the command: each probe does.
func New(c Config) (*Prober, error) {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("exec check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if c.MaxOutput == 0 {
		c.MaxOutput = DefaultMaxOutput
	}
	return &Prober{c: c}, nil
}

// Probe runs the command once and waits for it.
func (p *Prober) Probe(ctx context.Context, t checks.Target) checks.Result {
	a := attempt.Begin("command " + attempt.Clip(p.c.Command[0], 128) + " for " + t.Name)
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	for _, name := range p.c.PassEnv {
		a.Hide(os.Getenv(name))
	}
	out := &output{limit: p.c.MaxOutput}
	cmd := p.command(ctx, t, out)
	if err := cmd.Start(); err != nil {
		return a.End(checks.Unknown, "could not be started: %v", unwrapped(err))
	}
	killed := supervise(ctx, cmd.Process.Pid)
	err := cmd.Wait()
	a.Evidence.Detail = out.line()
	switch {
	case killed && errors.Is(ctx.Err(), context.Canceled):
		return a.End(checks.Unknown, "was cancelled after %s; this says nothing of the endpoint", a.Elapsed())
	case killed:
		return a.End(checks.Down, "timed out after %s and was killed", a.Elapsed())
	}
	return judge(a, cmd.ProcessState, err)
}

// judge reads the exit code. An error of the wait that is not an exit code
// (output held open after the end) does not change what the command said.
func judge(a *attempt.Attempt, state *os.ProcessState, err error) checks.Result {
	said := a.Evidence.Detail
	if said == "" {
		said = "it printed nothing"
	}
	if state == nil {
		return a.End(checks.Unknown, "could not be waited for: %v", err)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return a.End(checks.Unknown, "was ended by signal %d (%s) after %s: %s", int(status.Signal()), status.Signal(), a.Elapsed(), said)
	}
	health, word := checks.Unknown, "unknown"
	switch state.ExitCode() {
	case 0:
		health, word = checks.Up, "up"
	case 1:
		health, word = checks.Degraded, "degraded"
	case 2:
		health, word = checks.Down, "down"
	}
	return a.End(health, "exited with %d (%s) after %s: %s", state.ExitCode(), word, a.Elapsed(), said)
}

// command prepares the command in a process group of its own.
func (p *Prober) command(ctx context.Context, t checks.Target, out *output) *exec.Cmd {
	port := ""
	if t.Port != 0 {
		port = strconv.Itoa(int(t.Port))
	}
	fill := strings.NewReplacer("{host}", t.Host, "{port}", port, "{target}", t.Name)
	args := make([]string, len(p.c.Command)-1)
	for i, arg := range p.c.Command[1:] {
		args[i] = fill.Replace(arg)
	}
	cmd := exec.Command(p.c.Command[0], args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.c.Dir, out, out
	cmd.WaitDelay = pipeDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"VEER_TARGET=" + t.Name, "VEER_HOST=" + t.Host, "VEER_PORT=" + port,
	}
	if deadline, ok := ctx.Deadline(); ok {
		cmd.Env = append(cmd.Env, fmt.Sprintf("VEER_TIMEOUT=%.3f", max(time.Until(deadline).Seconds(), 0)))
	}
	for _, name := range p.c.PassEnv {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	for name, value := range p.c.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// supervise waits until the process has ended, killing its group when ctx
// ends first, and reports whether it did. Either way nothing of the group is
// left. The process is not reaped, so its group's number is not used anew.
func supervise(ctx context.Context, pid int) (killed bool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awaitEnd(pid)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		killed = true
		killGroup(pid)
		<-ended
	}
	killGroup(pid)
	return killed
}

// killGroup kills what is left of the group that pid leads.
func killGroup(pid int) {
	_ = syscall.Kill(-pid, syscall.SIGKILL) // ESRCH: nothing is left.
}

// unwrapped drops what exec says around the cause: the reason names the
// command already.
func unwrapped(err error) error {
	var missing *exec.Error
	if errors.As(err, &missing) {
		return missing.Err
	}
	return err
}
