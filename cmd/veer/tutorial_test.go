package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/tutorial"
)

// trainee is a `veer tutorial` in a process of its own, in a temporary folder
// of its own, with somebody who reads and types.
type trainee struct {
	t   *testing.T
	dir string // the parent of the tutorial's folder
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	// said is all that came, heard how far it was looked at.
	said  string
	heard int
	// addresses are those that it listens on, once it said that it runs.
	addresses []string
}

func startTutorial(t *testing.T, args ...string) *trainee {
	t.Helper()
	dir, err := os.MkdirTemp("", "v") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &trainee{t: t, dir: dir, cmd: exec.CommandContext(t.Context(), "veer", append([]string{"tutorial"}, args...)...)}
	// What is set for a Veer of this machine does not reach the tutorial's.
	r.cmd.Env = append(os.Environ(), "TMPDIR="+dir, "VEER_REGION=nowhere", "VEER_CONFIG=/nowhere/veer.yaml")
	return r
}

// piped starts it with pipes for input and output.
func (r *trainee) piped() *trainee {
	r.t.Helper()
	in, err := r.cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, into, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = out.Close() })
	r.cmd.Stdout, r.cmd.Stderr = into, into
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	_ = into.Close()
	r.in, r.out = in, bufio.NewReader(out)
	return r
}

// until reads up to a text. A wait without end is the test's time-out.
func (r *trainee) until(text string) {
	r.t.Helper()
	for !strings.Contains(r.said[r.heard:], text) {
		b, err := r.out.ReadByte()
		if err != nil {
			r.t.Fatalf("the tutorial ended (%v) before it said %q:\n%s", err, text, r.said)
		}
		r.said += string(b)
	}
	r.heard += strings.Index(r.said[r.heard:], text) + len(text)
}

// types waits for the prompt, types a line, and waits for what it brings.
func (r *trainee) types(line, brings string) {
	r.t.Helper()
	r.until("tutorial> ")
	if _, err := io.WriteString(r.in, line+"\n"); err != nil {
		r.t.Fatal(err)
	}
	r.until(brings)
}

// well asks for the status until all is well: on a busy machine etcd may just have
// changed its leader.
func (r *trainee) well() {
	r.t.Helper()
	const prompt = "tutorial> "
	for from := r.heard; !strings.Contains(r.said[from:], "OK  2 services"); {
		from = r.heard
		r.types("veer status", prompt)
		r.heard -= len(prompt)
	}
}

// folder is that of the tutorial.
func (r *trainee) folder() string {
	r.t.Helper()
	all, err := filepath.Glob(filepath.Join(r.dir, "veer-tutorial-*"))
	if err != nil || len(all) != 1 {
		r.t.Fatalf("found the folders %q (%v), want one", all, err)
	}
	return all[0]
}

// note keeps what the tutorial listens on.
func (r *trainee) note() {
	r.t.Helper()
	env := func(name string) (string, bool) { return "x", name == "TUTORIAL_VANTAGE" }
	c, err := config.Load(filepath.Join(r.folder(), "veer.yaml"), env)
	if err != nil {
		r.t.Fatal(err)
	}
	r.addresses = append(r.addresses, c.Providers[0].Authority.Listen...)
	for _, m := range c.Cluster.Members {
		r.addresses = append(r.addresses, strings.TrimPrefix(m.Peer, "http://"), strings.TrimPrefix(m.Client, "http://"))
	}
	if len(r.addresses) < 7 {
		r.t.Fatalf("found the addresses %q only", r.addresses)
	}
	if free := notListening(r.t, r.addresses); len(free) != 0 {
		r.t.Errorf("nothing listens on %q while the tutorial runs: the check proves nothing", free)
	}
}

// notListening are the addresses on which nothing listens.
func notListening(t *testing.T, addresses []string) []string {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(addresses), func(a string) bool {
		c, err := net.DialTimeout("tcp", a, time.Minute)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// ends reads the rest, and wants an exit code and nothing left behind.
func (r *trainee) ends(code int) {
	r.t.Helper()
	rest, _ := io.ReadAll(r.out) // a terminal ends with an error
	r.said += string(rest)
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	if is := r.cmd.ProcessState.ExitCode(); is != code {
		r.t.Errorf("exit code %d, want %d; it said:\n%s", is, code, r.said)
	}
	if code >= 0 {
		r.gone()
	}
	if free := notListening(r.t, r.addresses); len(free) != len(r.addresses) {
		r.t.Errorf("of %q only %q are free", r.addresses, free)
	}
	if left := processesOf(r.t, r.dir); len(left) > 0 {
		r.t.Errorf("processes are left: %q", left)
	}
}

// gone wants no file to be left.
func (r *trainee) gone() {
	r.t.Helper()
	left, err := os.ReadDir(r.dir)
	if err != nil || len(left) > 0 {
		r.t.Errorf("files are left: %v, %v", left, err)
	}
}

// TestTutorialPlaysItself: every chapter can be solved as its hints say, and
// no answer is empty meanwhile.
func TestTutorialPlaysItself(t *testing.T) {
	t.Parallel()
	r := startTutorial(t, "--auto", "-o", "json")
	var out, said strings.Builder
	r.cmd.Stdout, r.cmd.Stderr = &out, &said
	if err := r.cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, said.String(), out.String())
	}
	r.gone()
	var sum tutorial.Summary
	if err := json.Unmarshal([]byte(out.String()), &sum); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	for _, c := range sum.Chapters {
		if c.State != tutorial.Done || c.Wrong != 0 {
			t.Errorf("%+v", c)
		}
	}
	if !sum.Whole || len(sum.Chapters) != 9 || sum.Queries == 0 || sum.Empty != 0 || sum.Failed != 0 {
		t.Errorf("got %+v", sum)
	}
	limited := 0
	for _, m := range sum.Measured {
		if m.Took <= 0 {
			t.Errorf("got %+v", m)
		}
		if m.Limit > 0 {
			limited++
		}
	}
	if limited != 1 || len(sum.Measured) < 8 {
		t.Errorf("measured were %+v", sum.Measured)
	}
	if text := said.String(); strings.Contains(text, "\x1b") || strings.Contains(text, "Not yet") || !strings.Contains(text, "leading no more, term") {
		t.Errorf("it said:\n%s", text)
	}
}

// TestTutorialIsPlayed: what is wrong is said, and moves nothing on; what is
// right does, also from another terminal; who quits is told what was done.
func TestTutorialIsPlayed(t *testing.T) {
	t.Parallel()
	r := startTutorial(t, "--from", "endpoint").piped()
	r.until("Chapter 2 of 9")
	r.note()
	// Not 127.0.0.11: while it comes back nothing would be left of eu-west.
	r.types("down 127.0.0.12", "Not yet: the web server on 127.0.0.21 is still well")
	r.types("fix all", "Not yet")
	r.types("down 127.0.0.99", "expected eu-west, us-east, ap-south, all, 127.0.0.11,")
	r.types("down", "takes one word")
	r.types("dwn 127.0.0.21", "is nothing that can be typed here")
	r.types("veer run", "not for the tutorial")
	r.types("veer drain eu-west -c /etc/veer/veer.yaml --for 1m --reason x --yes", "Leave out -c")
	r.types("veer status 'x", "is not closed")
	r.types("help", "lose REGION")
	r.types("hint", "\n  down 127.0.0.21")
	r.types("again", "Break something small")
	r.types("down 127.0.0.21", "The answer changed ")
	r.types("veer explain nothing.example.test", "Not yet: veer explain is to be run")
	r.types("veer explain app.example.test", "WORST-CASE RECOVERY")
	r.types("3", "No, it is not 3")
	r.types("", "tutorial> ")
	r.heard -= len("tutorial> ")
	r.types("2", "Right.")
	r.types("skip", "Chapter 3 of 9")
	r.until("lose eu-west\n")

	// In another terminal; then here, Enter to look again.
	r.types("lose eu-west", "worst case")
	r.types("veer status", "(exit code 4)")
	r.types("skip", "Chapter 4 of 9")
	r.types("quit", "(hints 1, wrong answers 1)")
	r.until("not played  Freeze")
	r.ends(exitDegraded)
	if !strings.Contains(r.said, "skipped     One endpoint dies") {
		t.Errorf("it said:\n%s", r.said)
	}
}

// TestTutorialFromElsewhere: an order of another terminal counts. Ctrl-C and
// the end of the input leave nothing behind.
func TestTutorialFromElsewhere(t *testing.T) {
	t.Parallel()
	r := startTutorial(t, "--from", "freeze").piped()
	r.until("Chapter 8 of 9")
	r.note()
	r.until("tutorial> ")
	cmd := exec.CommandContext(t.Context(), "veer", "freeze", "app.example.test", "--for", "1h", "--reason", "elsewhere", "--yes", "-c", filepath.Join(r.folder(), "veer.yaml"))
	cmd.Env = append(os.Environ(), "TUTORIAL_VANTAGE=x")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.heard -= len("tutorial> ")
	r.types("", "Take the web servers of eu-west down")
	r.until("tutorial> ")
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r.ends(exitFailed)
	if !strings.Contains(r.said, "stopped before the end: by the signal") {
		t.Errorf("it said:\n%s", r.said)
	}

	short := startTutorial(t).piped()
	short.well()
	if err := short.in.Close(); err != nil {
		t.Fatal(err)
	}
	short.ends(exitFailed)
	if !strings.Contains(short.said, "the input ended") {
		t.Errorf("it said:\n%s", short.said)
	}
}

// A tutorial that is stopped while it starts leaves nothing behind either.
func TestTutorialStopsAtItsStart(t *testing.T) {
	t.Parallel()
	r := startTutorial(t).piped()
	r.until("This is a game day.")
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.ends(exitFailed)

	none := startTutorial(t, "--from", "nothing").piped()
	none.ends(exitUsage)
	if !strings.Contains(none.said, "known: start, endpoint, region") {
		t.Errorf("it said:\n%s", none.said)
	}
}
