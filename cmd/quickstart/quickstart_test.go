package main

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// stage is a built quickstart in a folder of its own, whose path is long and
// has a space and a quote in it.
type stage struct {
	root, dns, port string
	n               int
}

// build makes the binaries as `make run` does.
func build(t *testing.T) *stage {
	t.Helper()
	root := filepath.Join(t.TempDir(), "it's a checkout with a path that is too long for the unix sockets which are in it, by far")
	for binary, from := range map[string]string{"veer": "../veer", "quickstart": "."} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-o", filepath.Join(root, "bin", binary), from)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", binary, err, out)
		}
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	s := &stage{root: root}
	dns, err := lab.FreePort(r, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	port, err := lab.FreePort(r, "127.0.0.11", "127.0.0.12", "127.0.0.13")
	if err != nil {
		t.Fatal(err)
	}
	s.dns, s.port, s.n = net.JoinHostPort("127.0.0.1", strconv.Itoa(dns)), strconv.Itoa(port), port
	return s
}

// running is a quickstart that runs; lines are what it prints.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	all   []string
}

func (s *stage) start(t *testing.T) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "bin", "quickstart"))
	cmd.Env = append(os.Environ(), "QUICKSTART_DNS="+s.dns, "QUICKSTART_PORT="+s.port, "VEER_REGION=nowhere")
	cmd.Dir = "/"
	return begin(t, cmd)
}

// begin starts a command and reads what it prints.
func begin(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd, lines: make(chan string, 10_000)}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			r.lines <- in.Text()
		}
	}()
	return r
}

// until reads lines up to the one that holds text, and returns them.
func (r *running) until(text string) []string {
	r.t.Helper()
	for from := len(r.all); ; {
		if r.next(nil, text); strings.Contains(r.all[len(r.all)-1], text) {
			return r.all[from:]
		}
	}
}

// next reads a line, before it is too late for what is waited for; nil is never.
func (r *running) next(late <-chan time.Time, what string) {
	r.t.Helper()
	select {
	case line, open := <-r.lines:
		if !open {
			r.t.Fatalf("the quickstart ended before this: %s; it printed:\n%s", what, strings.Join(r.all, "\n"))
		}
		r.all = append(r.all, line)
	case <-late:
		r.t.Fatalf("it did not come to be: %s; the quickstart printed:\n%s", what, strings.Join(r.all, "\n"))
	}
}

// ends reads the rest and returns how the process ended.
func (r *running) ends() error {
	for line := range r.lines {
		r.all = append(r.all, line)
	}
	return r.cmd.Wait()
}

// commands are the lines that the quickstart says to try.
func commands(lines []string) []string {
	var out []string
	for _, l := range lines {
		if c, ok := strings.CutPrefix(l, "    "); ok {
			out = append(out, c)
		}
	}
	return out
}

// shell runs a command as somebody would who pastes it into another terminal,
// in another folder.
func shell(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

func TestQuickstart(t *testing.T) {
	s := build(t)
	r := s.start(t)
	said := commands(r.until("What happens:"))
	// What each printed command must print, and the event that must follow.
	steps := []struct{ command, prints, event string }{
		{"query", "127.0.0.11", ""},
		{"dig", "127.0.0.11", ""},
		{"down", "was killed", "answer is now 127.0.0.12 (us-east); it was 127.0.0.11"},
		{"up", "is started again", "answer is now 127.0.0.11 (eu-west)"},
		{"hang", "hangs", "answer is now 127.0.0.12 (us-east)"},
		{"up", "goes on", "answer is now 127.0.0.11 (eu-west)"},
		{"status", "app.example.test", ""},
		{"explain", "127.0.0.11", ""},
		{"drain", "", "answer is now 127.0.0.12 (us-east)"},
		{"undrain", "", "answer is now 127.0.0.11 (eu-west)"},
	}
	for _, step := range steps {
		if len(said) == 0 {
			t.Fatalf("no command is left for %s", step.command)
		}
		if step.command == "dig" && !strings.HasPrefix(said[0], "dig ") {
			continue // printed only where dig is installed
		}
		if !strings.Contains(said[0]+" ", step.command+" ") {
			t.Fatalf("found %q; want a command for %s", said[0], step.command)
		}
		if out := shell(t, said[0]); !strings.Contains(out, step.prints) {
			t.Fatalf("%s printed\n%s\nwant %q in it", said[0], out, step.prints)
		}
		if step.event != "" {
			r.until(step.event)
		}
		said = said[1:]
	}
	if len(said) > 0 {
		t.Fatalf("commands that nobody tried: %q", said)
	}
	s.stopsAndRunsAgain(t, r)
}

func (s *stage) stopsAndRunsAgain(t *testing.T, r *running) {
	t.Helper()
	second := s.start(t)
	if err := second.ends(); err == nil || !strings.Contains(strings.Join(second.all, "\n"), "runs in this folder already") {
		t.Fatalf("a second quickstart beside the first: %v\n%s", err, strings.Join(second.all, "\n"))
	}
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := r.ends(); err != nil {
		t.Fatalf("Ctrl-C: %v\n%s", err, strings.Join(r.all, "\n"))
	}
	s.free(t)

	again := s.start(t)
	again.until("What happens:")
	if err := again.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := again.ends(); err != nil {
		t.Fatalf("Ctrl-C in the second run: %v\n%s", err, strings.Join(again.all, "\n"))
	}
	s.free(t)
	for _, l := range s.links(t) {
		t.Errorf("%s was left behind", l)
	}
	s.killed(t)
}

// links are the symbolic links in the temporary folder that lead here.
func (s *stage) links(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(os.TempDir(), "veer-quickstart-*"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range all {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, s.root) {
			out = append(out, l)
		}
	}
	return out
}

// free checks that every port can be taken again.
func (s *stage) free(t *testing.T) {
	t.Helper()
	at, err := net.ResolveUDPAddr("udp", s.dns)
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.PortTaken(at.Port, "127.0.0.1"); err != nil {
		t.Error(err)
	}
	if err := lab.PortTaken(s.n, "127.0.0.11", "127.0.0.12", "127.0.0.13"); err != nil {
		t.Error(err)
	}
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.12:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	dns, err := lab.FreePort(r, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	o := options{dns: net.JoinHostPort("127.0.0.1", strconv.Itoa(dns)), port: l.Addr().(*net.TCPAddr).Port}
	err = checkPorts(o)
	if err == nil {
		t.Fatal("a taken port was not seen")
	}
	for _, want := range []string{"the web server of us-east", l.Addr().String(), "taken by", "QUICKSTART_PORT="} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("found %q; want %q in it", err, want)
		}
	}
	if err := tryListen("udp", "192.0.2.1:53"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("got %v", err)
	}
}

func TestQuote(t *testing.T) {
	for _, s := range []string{"/a/b", "/a b/c", "it's", `a"b$c\d`, ""} {
		if got := shell(t, "printf %s "+quote(s)); got != s {
			t.Errorf("the shell makes %q of %q", got, s)
		}
	}
}
