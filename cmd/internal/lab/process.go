// Package lab runs the parts of a demonstration on one machine: child
// processes that do not outlive their parent, the files they are given, a small
// HTTP backend, and a poller that sees when a DNS answer changes. The quickstart,
// `veer tutorial`, tests and the benchmarks use it; what serves traffic does not.
package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Spec is a process to start.
type Spec struct {
	Name string // for messages
	Path string
	Args []string
	Env  []string // added to the parent's, of which VEER_* is left out
	Dir  string
	Log  string // file for stdout and stderr, emptied first
	// Ready: the process prints a line "ready" on stdout, and Start returns
	// only then. Its stdout is not in the log.
	Ready bool
}

// Process is a running child. Its methods may be called concurrently.
type Process struct {
	Name string
	Log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// ErrNotReady says that the process ended, or said something else, before it
// was ready.
var ErrNotReady = errors.New("it did not get ready")

// Start starts a process in a process group of its own, so that Ctrl-C in the
// terminal reaches only the parent, which then stops the children in order.
// On Linux the kernel kills the child when the calling thread ends: call it
// from a goroutine that is locked to its thread and lives as long as the
// children shall.
func Start(s Spec) (*Process, error) {
	logFile, err := os.Create(s.Log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	defer logFile.Close()
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Dir = s.Dir
	inherited := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "VEER_") })
	cmd.Env = append(inherited, s.Env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = childAttr()
	var out io.ReadCloser
	if s.Ready {
		cmd.Stdout = nil
		if out, err = cmd.StdoutPipe(); err != nil {
			return nil, fmt.Errorf("start %s: %w", s.Name, err)
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	p := &Process{Name: s.Name, Log: s.Log, cmd: cmd, done: make(chan struct{})}
	line := ""
	if s.Ready {
		line, _ = bufio.NewReader(out).ReadString('\n')
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	if s.Ready && line != "ready\n" {
		p.Kill()
		return nil, fmt.Errorf("start %s: %w: %s", s.Name, ErrNotReady, Tail(s.Log, 3))
	}
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended; call it after Done is closed.
func (p *Process) Err() error { return p.err }

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal; a process that has ended gets none.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return fmt.Errorf("signal %s: %w", p.Name, os.ErrProcessDone)
	default:
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// Kill ends the process at once and waits for its end.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL) // it fails only for a process that has ended
	<-p.done
}

// Stop asks the process to end, kills it after the grace, and waits for its
// end. It reports whether the process had to be killed.
func (p *Process) Stop(grace time.Duration) (killed bool) {
	_ = p.Signal(syscall.SIGCONT) // a stopped process would not see the request
	_ = p.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	select {
	case <-p.done:
		return false
	case <-ctx.Done():
		p.Kill()
		return true
	}
}

// Tail returns the last lines of a file, at most 4096 bytes of it.
func Tail(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > 4096 {
		if _, err := f.Seek(-4096, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
