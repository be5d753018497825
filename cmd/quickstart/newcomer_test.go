//go:build newcomer

package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/internal/pages"
)

var update = flag.Bool("update", false, "write what is printed into the pages")

// enough is how long what a page shows may take to come on a busy machine.
const enough = 2 * time.Minute

// TestNewcomer does what README.md and docs/getting-started.md say, in a
// checkout and in their order, and compares what they show with what is
// printed. It is no part of `make test`: `make newcomer` runs it where there is
// nothing but Go, make and git.
func TestNewcomer(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	first := reader{t: t, page: filepath.Join(root, "README.md"), root: root, dir: root}
	first.read("## See it", "## Use it")
	first.mend()
	first.done()
	again := reader{t: t, page: filepath.Join(root, "docs", "getting-started.md"), root: root, dir: filepath.Join(root, ".veer", "quickstart")}
	again.read("## Start it", "## Stop, and remove")
	again.stop()
	again.dir = t.TempDir()
	again.read("## Your own file", "")
	again.done()
}

// reader follows one page.
type reader struct {
	t          *testing.T
	page       string
	root, dir  string
	text       string   // of the page, as -update writes it
	run        *running // make run, or veer run
	quickstart bool     // run is the quickstart
	from       int      // which of its lines were compared already
}

// read does what the page shows from one heading to another.
func (r *reader) read(from, to string) {
	r.t.Helper()
	if r.text == "" {
		text, err := os.ReadFile(r.page)
		if err != nil {
			r.t.Fatal(err)
		}
		r.text = string(text)
	}
	_, part, begins := strings.Cut(r.text, "\n"+from+"\n")
	ends := to == ""
	if !ends {
		part, _, ends = strings.Cut(part, "\n"+to+"\n")
	}
	if !begins || !ends {
		r.t.Fatalf("%s has no part from %q to %q", r.page, from, to)
	}
	_, fences := pages.Split(part)
	if len(fences) < 3 {
		r.t.Fatalf("%s: found only %d blocks from %q on", r.page, len(fences), from)
	}
	for _, f := range fences {
		switch steps := f.Steps(); {
		case len(steps) > 0:
			for _, s := range steps {
				r.step(s)
			}
		case len(f.Lines) == 1:
			r.start(f.Lines[0])
		default:
			r.events(f.Text())
		}
	}
}

// start begins a command that goes on until it is stopped.
func (r *reader) start(command string) {
	r.t.Helper()
	r.t.Log(command)
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Minute)
	r.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env, cmd.Dir = r.environ(), r.dir
	if r.quickstart = command == "make run"; r.quickstart {
		cmd.Dir = r.root
	}
	// A terminal sends Ctrl-C to all of a command's processes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	r.run = begin(r.t, cmd)
	if r.quickstart {
		r.from = 0
		r.run.until("What happens:")
	}
}

// stop is Ctrl-C.
func (r *reader) stop() {
	r.t.Helper()
	if r.run == nil {
		return
	}
	if err := syscall.Kill(-r.run.cmd.Process.Pid, syscall.SIGINT); err != nil {
		r.t.Fatal(err)
	}
	err := r.run.ends()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // make itself ends with an error
		r.t.Fatal(err)
	}
	if r.quickstart && !slices.Contains(r.run.all, "Everything is stopped.") {
		r.t.Fatalf("Ctrl-C: %v\n%s", err, strings.Join(r.run.all, "\n"))
	}
	r.run, r.quickstart = nil, false
}

// done ends the page; -update writes what was printed.
func (r *reader) done() {
	r.t.Helper()
	r.stop()
	if *update {
		if err := os.WriteFile(r.page, []byte(r.text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *reader) environ() []string {
	return append(os.Environ(), "PATH="+filepath.Join(r.root, "bin")+":"+os.Getenv("PATH"))
}

// differs says that a page shows another text than what was printed.
func (r *reader) differs(what, shown, printed string) {
	r.t.Helper()
	if *update {
		r.text = strings.Replace(r.text, strings.TrimSuffix(shown, "\n"), strings.TrimSuffix(printed, "\n"), 1)
		return
	}
	r.t.Errorf("%s: %s (-page +printed), write it with -update:\n%s\nIt printed:\n%s",
		filepath.Base(r.page), what, cmp.Diff(pages.Same(shown), pages.Same(printed)), printed)
}

// looks are the commands that only look: what they show may take a moment to be
// so, such as the vote of the third vantage.
var looks = regexp.MustCompile(`^(bin/)?veer (status|query) `)

// step types a command.
func (r *reader) step(s pages.Step) {
	r.t.Helper()
	r.t.Log("$ " + s.Command)
	if r.quickstart {
		if strings.Contains(s.Command, "quickstart") {
			r.settled()
		}
		r.skip()
	}
	patience := enough / 4
	if *update {
		patience = 2 * time.Second
	}
	var out []byte
	var exit error
	err := lab.Until(r.t.Context(), 100*time.Millisecond, patience, func() (bool, error) {
		cmd := exec.CommandContext(r.t.Context(), "sh", "-c", s.Command)
		cmd.Dir, cmd.Env = r.dir, r.environ()
		out, exit = cmd.CombinedOutput()
		if same := pages.Same(s.Output) == pages.Same(string(out)); same || looks.MatchString(s.Command) {
			return same, nil
		}
		return false, errOther
	})
	switch {
	case err == nil:
	case s.Output == "":
		r.t.Errorf("the page does not show what %s prints:\n%s", s.Command, out)
	default:
		r.t.Logf("%s: %v, %v", s.Command, exit, err)
		r.differs(s.Command, s.Output, string(out))
	}
}

// errOther is what a command prints that is typed only once, and differs.
var errOther = errors.New("it prints another text")

// mend leaves the quickstart as it was found, for who starts it again.
func (r *reader) mend() {
	r.t.Helper()
	r.step(pages.Step{Command: r.printed("up eu-west"), Output: "The web server of eu-west is started again.\n"})
	r.run.until("the DNS answer is now 127.0.0.11 (eu-west)")
}

// settled waits until all three vantages have seen the last act on a web server,
// so that none of their votes comes after the next.
func (r *reader) settled() {
	r.t.Helper()
	for deadline := time.After(enough); ; {
		voters, acted := map[string]bool{}, false
		for _, line := range slices.Backward(r.run.all) {
			if acted = strings.Contains(line, " s  the web server of "); acted {
				break
			}
			if m := voted.FindStringSubmatch(line); m != nil {
				voters[m[1]] = true
			}
		}
		if !acted || len(voters) == len(places()) {
			return
		}
		r.run.next(deadline, "three vantages vote")
	}
}

// skip leaves out what was printed until now.
func (r *reader) skip() {
	for len(r.run.lines) > 0 {
		r.run.next(nil, "")
	}
	r.from = len(r.run.all)
}

// events waits for what a page shows of the quickstart's own lines.
func (r *reader) events(shown string) {
	r.t.Helper()
	if r.run == nil {
		r.t.Fatalf("%s shows what nothing has printed:\n%s", r.page, shown)
	}
	if rest, told := strings.CutPrefix(shown, "What happens:\n"); told { // with the command that make run printed
		shown = rest
		r.step(pages.Step{Command: r.printed("down eu-west"), Output: "The web server of eu-west was killed.\n"})
	}
	lines := strings.Split(strings.TrimSuffix(shown, "\n"), "\n")
	if !strings.Contains(shown, " s  ") { // what was printed at the start
		all := strings.Join(r.run.all, "\n")
		if !strings.Contains(pages.Same(all), pages.Same(shown)) {
			r.t.Errorf("the quickstart did not print this, but:\n%s\n%s", shown, all)
		}
		return
	}
	last := pages.Same(lines[len(lines)-1])
	deadline := time.After(enough)
	for !slices.ContainsFunc(r.run.all[r.from:], func(line string) bool { return pages.Same(line) == last }) {
		r.run.next(deadline, last)
	}
	printed := r.run.all[r.from:]
	r.from = len(r.run.all)
	if !slices.Equal(happened(lines), happened(printed)) {
		r.differs("what happens", shown, strings.Join(printed, "\n")+"\n")
	}
}

// printed is the command that the quickstart printed and that ends in words.
func (r *reader) printed(words string) string {
	for _, c := range commands(r.run.all) {
		if strings.HasSuffix(c, words) {
			return c
		}
	}
	r.t.Fatalf("make run printed no command that ends in %q", words)
	return ""
}

var (
	voted = regexp.MustCompile(`veer in ([a-z-]+) (votes [a-z]+ on (\S+)): .*`)
	busy  = regexp.MustCompile(` warns: `)
)

// happened are events without what differs from one run to the next: beside
// times, which of the vantages sees a failure first, how its connection ended,
// and whether the third votes before the other two have decided, or after.
func happened(lines []string) []string {
	var out []string
	last := map[string]string{} // the vote on an endpoint
	for _, line := range lines {
		if line = pages.Same(line); busy.MatchString(line) {
			continue
		}
		if m := voted.FindStringSubmatch(line); m != nil {
			vote, on := m[2], m[3]
			if last[on] == vote {
				continue
			}
			last[on], line = vote, "a vantage "+vote
		}
		out = append(out, line)
	}
	return out
}

// What the comparison takes for the same is the same.
func TestHappened(t *testing.T) {
	a := []string{
		"  13:16:04.893  +0.000 s  the web server of eu-west was killed",
		"  13:16:05.063  +0.169 s  veer in us-east votes down on web@127.0.0.11: GET http://127.0.0.11:18080/ failed after 184µs while connecting: connection refused",
		"  13:16:05.107  +0.214 s  veer in ap-south votes down on web@127.0.0.11: it says so",
		"  13:16:05.111  +0.217 s  veer in eu-west decided, and the ledger agreed in 1.0 ms: eu-west is down; us-east is the best of the others (up)",
	}
	for what, b := range map[string][]string{
		"another voter": {a[0], strings.Replace(a[1], "us-east", "eu-west", 1), a[2], a[3]},
		"another time":  {strings.Replace(a[0], "+0.000", "+1.000", 1), a[1], a[2], strings.Replace(a[3], "1.0 ms", "20 ms", 1)},
		"three votes":   {a[0], a[1], a[2], strings.Replace(a[1], "us-east", "eu-west", 1), a[3]},
		"a late vote":   append(slices.Clone(a), strings.Replace(a[1], "us-east", "eu-west", 1)),
	} {
		if !slices.Equal(happened(a), happened(b)) {
			t.Errorf("%s: %q is not %q", what, happened(b), happened(a))
		}
	}
	for what, b := range map[string][]string{
		"no vote":         {a[0], a[3]},
		"another verdict": {a[0], a[1], a[2], strings.Replace(a[3], "is down", "is up", 1)},
		"no decision":     a[:3],
		"another order":   {a[0], a[3], a[1]},
		"another vote":    append(slices.Clone(a), strings.Replace(a[1], "votes down", "votes up", 1)),
		"more":            append(slices.Clone(a), a[0]),
	} {
		if slices.Equal(happened(a), happened(b)) {
			t.Errorf("%s is not seen: %q", what, happened(b))
		}
	}
}
