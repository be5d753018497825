package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/daemon"
)

// app is one run of the command: its surroundings, so that tests can set
// them, and the flags that every subcommand has.
type app struct {
	in       io.Reader
	out, err io.Writer
	// asks: standard input is a terminal, so a question can be answered.
	asks bool
	// plain: no colour and no redrawing.
	plain bool
	// logsToTerminal: standard error is a terminal.
	logsToTerminal bool

	env func(string) (string, bool)
	now func() time.Time
	// user is who runs the command, for overrides and the journal.
	user string
	// dial makes a client of the daemon behind a socket.
	dial func(socket string) daemonClient
	// open makes the clients of providers; nil: the real ones.
	open daemon.Opener

	config, socket, dataDir, output string
	// began is set when the arguments were understood: an error before that
	// is one of usage.
	began bool
}

// fromProcess returns the app with this process's surroundings.
func fromProcess() *app {
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		asks:  terminal(os.Stdin),
		plain: !terminal(os.Stdout),

		logsToTerminal: terminal(os.Stderr),

		env:  os.LookupEnv,
		now:  time.Now,
		user: whoami(os.LookupEnv),
		dial: dialDaemon,
	}
	if v, set := a.env("NO_COLOR"); set && v != "" { // https://no-color.org
		a.plain = true
	}
	if v, _ := a.env("TERM"); v == "dumb" {
		a.plain = true
	}
	return a
}

// terminal reports whether f is a character device other than the null device.
func terminal(f *os.File) bool {
	is, err := f.Stat()
	if err != nil || is.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(is, null)
}

// whoami names the person at the keyboard: the one who called sudo, not root.
func whoami(env func(string) (string, bool)) string {
	if name, ok := env("SUDO_USER"); ok && name != "" {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// run executes the command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if !a.began {
		err = usage(err)
	}
	return a.report(err)
}

// print writes v as JSON with -o json, and else whatever text writes.
func (a *app) print(v any, text func(w io.Writer)) error {
	if a.output == "json" {
		return a.printJSON(v)
	}
	text(a.out)
	return nil
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// root is the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "veer",
		Short: "Steer DNS answers away from failed regions, and back",
		Long: `Veer probes the endpoints that your users' traffic goes to from every region,
lets the regions vote, and answers DNS with endpoints that work.

Exit codes: 0 done or healthy; 1 error; 2 usage or invalid config; 3 refused;
4 degraded. With -o json, durations are in nanoseconds and TTLs in seconds;
fields are added, never renamed or removed. Errors are then {"error", "hint",
"refused"} on standard error.`,
		Example:       "  veer init\n  veer validate\n  veer run\n  veer status",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.understood() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	f := root.PersistentFlags()
	f.StringVarP(&a.config, "config", "c", "", "config file (default: $VEER_CONFIG, ./veer.yaml, /etc/veer/veer.yaml)")
	f.StringVar(&a.dataDir, "data-dir", "", "folder of the daemon's data (default: the config's host.data_dir)")
	f.StringVar(&a.socket, "socket", "", "the daemon's socket (default: DATA_DIR/veer.sock)")
	f.StringVarP(&a.output, "output", "o", "text", "output: text or json")
	root.AddCommand(a.commands()...)
	return root
}

func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.initCommand(), a.validateCommand(), a.runCommand(), a.onceCommand(), a.planCommand(),
		a.applyCommand(), a.importCommand(), a.releaseCommand(), a.iamPolicyCommand(), a.statusCommand(),
		a.explainCommand(), a.queryCommand(), a.checkCommand(), a.journalCommand(),
		a.drainCommand(), a.undrainCommand(), a.forceCommand(), a.freezeCommand(),
		a.unfreezeCommand(), a.failbackCommand(), a.takeoverCommand(), a.backupCommand(), a.restoreCommand(),
		a.memberCommand(), a.notifyCommand(), a.certsCommand(), a.configCommand(), a.versionCommand(), a.zoneCommand(), a.tutorialCommand(),
	}
}

// understood checks the flags that every command has; what fails from here on
// is no longer the command line.
func (a *app) understood() error {
	if a.output != "text" && a.output != "json" {
		return fmt.Errorf("--output %q: expected text or json", a.output)
	}
	a.began = true
	return nil
}
