package tutorial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// commands are those of veer that can be typed. What runs a daemon, or writes
// files, is not among them.
func commands() []string {
	return []string{"status", "explain", "query", "check", "journal", "drain", "undrain", "force", "freeze", "unfreeze", "failback", "validate", "config", "version", "help"}
}

// elsewhere are the flags that lead out of the tutorial.
func elsewhere() []string { return []string{"--config", "--socket", "--data-dir"} }

func (g *game) help() {
	g.say("Commands, as on any host that has Veer:")
	g.say("  veer %s", strings.Join(commands()[:8], ", "))
	g.say("       %s", strings.Join(commands()[8:], ", "))
	g.say("Things that happen to machines:")
	for _, l := range [][2]string{
		{"down TARGET", "its web servers refuse connections"},
		{"lose REGION", "the power fails: web servers, Veer, cluster member"},
		{"lie TARGET", "its health check fails, while its pages are served"},
		{"spoil TARGET", "its pages fail, while its health check is well"},
		{"blind REGION", "every probe of its Veer fails, and nobody else's"},
		{"pause REGION", "its Veer freezes, and does not know that time goes on;"},
		{"", "leader stands for the region that leads"},
		{"fix TARGET", "all of that is over"},
		{"fetch NAME", "get a page, as a user does"},
	} {
		g.say("  %-13s %s", l[0], l[1])
	}
	g.say("TARGET is a region, the address of a web server, or all.")
	g.say("And: hint, skip, again, help, quit.")
}

// obey carries out a line; it is not known if it begins with no command. What
// is typed wrong is said, and is no error.
func (g *game) obey(ctx context.Context, line string) (known bool, err error) {
	words, problem := split(line)
	if problem == "" && len(words) == 0 {
		return true, nil
	}
	if problem != "" {
		g.say("%s", problem)
		return true, nil
	}
	acts := map[string]func(string) error{
		"down":  func(t string) error { return g.scene.become(t, down) },
		"lie":   func(t string) error { return g.scene.become(t, lying) },
		"spoil": func(t string) error { return g.scene.become(t, spoiled) },
		"lose":  g.scene.lose,
		"blind": g.scene.blind,
		"fix":   g.scene.fix,
		"pause": func(t string) error { return g.pause(ctx, t) },
		"fetch": func(t string) error { return g.fetch(ctx, t) },
	}
	act, ok := acts[words[0]]
	switch {
	case words[0] == "veer":
		return true, g.veer(ctx, words[1:])
	case !ok:
		return false, nil
	case len(words) != 2:
		g.say("%s takes one word; help says which.", words[0])
		return true, nil
	}
	at := time.Now()
	if err := act(words[1]); err != nil {
		g.say("%s: %v", words[0], err)
		return true, ctx.Err()
	}
	if words[0] != "fetch" {
		g.acted = at
		g.say("%s %s: done.", words[0], words[1])
	}
	g.ran = append(g.ran, command{words, 0})
	return true, nil
}

// veer runs a command of veer on the scene, in a process of its own.
func (g *game) veer(ctx context.Context, args []string) error {
	if refused := refuses(args); refused != "" {
		g.say("%s", refused)
		return nil
	}
	cmd := exec.CommandContext(ctx, g.o.Binary, args...) // #nosec G204 -- veer itself
	cmd.Dir = g.scene.dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "VEER_") })
	cmd.Env = append(cmd.Env, "VEER_CONFIG="+g.scene.config(), tokenEnv+"=you")
	cmd.Stdout, cmd.Stderr = g.o.Out, g.o.Out
	g.acted = time.Now()
	err := g.run(cmd)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("run veer: %w", err)
	}
	code := cmd.ProcessState.ExitCode()
	if code != 0 {
		g.say("(exit code %d)", code)
	}
	g.ran = append(g.ran, command{append([]string{"veer"}, args...), code})
	return nil
}

// run runs a command to its end. On a terminal it is in the foreground, as a
// shell would have it: its questions are the trainee's to answer, and Ctrl-C is
// its alone.
func (g *game) run(cmd *exec.Cmd) error {
	terminal, ok := g.o.In.(*os.File)
	if !ok || !g.o.Asks {
		return cmd.Run()
	}
	cmd.Stdin = terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: int(terminal.Fd())}
	err := cmd.Run()
	// Back to the foreground; SIGTTOU, which that brings, is ignored.
	return errors.Join(err, unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPGRP, unix.Getpgrp()))
}

// refuses says why a command is not one for the tutorial, or "".
func refuses(args []string) string {
	for i, a := range args {
		name, _, _ := strings.Cut(a, "=")
		short := strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--")
		if short && strings.Contains(a, "c") || slices.Contains(elsewhere(), name) {
			return fmt.Sprintf("Leave out %s: commands go to the tutorial's own scene, and nowhere else.", args[i])
		}
	}
	if len(args) == 0 || args[0] == "--help" || slices.Contains(commands(), args[0]) {
		return ""
	}
	return fmt.Sprintf("veer %s is not for the tutorial; help lists what is.", args[0])
}

// pause freezes the Veer of a region, or that of the leader.
func (g *game) pause(ctx context.Context, region string) error {
	st, err := g.scene.status(ctx)
	if err != nil {
		return err
	}
	if region == "leader" {
		if region = st.Leader.Name; region == "" {
			return errors.New("nobody leads now")
		}
	}
	if err := g.scene.pause(region); err != nil {
		return err
	}
	if region == st.Leader.Name {
		g.memory.leader, g.memory.paused = st.Leader, time.Now()
	}
	return nil
}

// maxPage bounds a page, in bytes.
const maxPage = 4 << 10

// fetch gets a page as a user does: by a name, an address and a request.
func (g *game) fetch(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var m dns.Msg
	m.SetQuestion(dns.Fqdn(name), dns.TypeA)
	reply, _, err := new(dns.Client).ExchangeContext(ctx, &m, g.scene.dns)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", name, err)
	}
	for _, rr := range reply.Answer {
		a, ok := rr.(*dns.A)
		if !ok {
			continue
		}
		w, ok := g.scene.webs[a.A.String()]
		if !ok {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address+"/", nil)
		if err != nil {
			return err
		}
		req.Close = true
		got, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer got.Body.Close()
		body, err := io.ReadAll(io.LimitReader(got.Body, maxPage))
		if err != nil {
			return err
		}
		g.say("%s (%s) says: %s: %s", name, a.A, got.Status, strings.TrimSpace(string(body)))
		return nil
	}
	return fmt.Errorf("%s has no address of the tutorial", name)
}

// split parts a line into words as a shell does with quotes; it knows no other
// sign of a shell.
func split(line string) (words []string, problem string) {
	var word strings.Builder
	var quote rune
	begun := false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, begun = r, true
		case r == ' ' || r == '\t':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, fmt.Sprintf("The quote %c is not closed.", quote)
	}
	if begun {
		words = append(words, word.String())
	}
	return words, ""
}
