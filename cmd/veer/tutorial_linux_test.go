package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processesOf are the command lines of the processes that name a folder.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), dir+"/") {
			out = append(out, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return out
}

// onTerminal starts it on a terminal of its own, of which the test has the
// other end (pts(4)).
func (r *trainee) onTerminal() *trainee {
	r.t.Helper()
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = other.Close() })
	if err := unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		r.t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGPTN)
	if err != nil {
		r.t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = terminal, terminal, terminal
	r.cmd.Env = append(r.cmd.Env, "TERM=xterm", "NO_COLOR=")
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	_ = terminal.Close()
	r.in, r.out = other, bufio.NewReader(other)
	return r
}

// TestTutorialOnATerminal: it has colour, commands ask their questions there,
// Ctrl-C ends a command that runs, and else the tutorial.
func TestTutorialOnATerminal(t *testing.T) {
	t.Parallel()
	r := startTutorial(t, "--from", "drain").onTerminal()
	r.until("\x1b[1mChapter 7 of 9")
	r.note()
	r.until("tutorial> \x1b[0m")
	r.enter("veer drain eu-west --reason \"kernel upgrade\" --for 30m")
	r.until("[y/N]")
	r.enter("y")
	r.until("The answer changed ")
	r.until("tutorial> \x1b[0m")
	r.enter("veer status --watch")
	r.until("SERVICE")
	r.enter("\x03") // Ctrl-C
	r.until("tutorial> \x1b[0m")
	if _, err := io.WriteString(r.in, "\x03"); err != nil {
		t.Fatal(err)
	}
	r.until("stopped before the end")
	r.ends(exitFailed)
}

func (r *trainee) enter(line string) {
	r.t.Helper()
	if _, err := io.WriteString(r.in, line+"\n"); err != nil {
		r.t.Fatal(err)
	}
}

// TestTutorialIsKilled: the kernel ends the processes of one that is killed.
func TestTutorialIsKilled(t *testing.T) {
	t.Parallel()
	r := startTutorial(t).piped()
	r.until("Chapter 1 of 9")
	r.note()
	if len(processesOf(t, r.dir)) != 4 {
		t.Errorf("found %q, want four Veers: the check proves nothing", processesOf(t, r.dir))
	}
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	// Without end, if they live on. One that exits has no command line any more
	// while it still closes what it listened on.
	for len(processesOf(t, r.dir)) > 0 || len(notListening(t, r.addresses)) < len(r.addresses) {
		<-tick.C
	}
	r.ends(-1)
}
