package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
)

// logging is what the flags say of the log.
type logging struct{ format, level string }

func (a *app) runCommand() *cobra.Command {
	var roles []string
	var region, join, user string
	var logs logging
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: `Run probes, votes, decides and serves until it is interrupted; a second
interrupt ends it at once. Without --role it does everything. Several processes
on one host, each with its own region and data folder, join the first one's etcd
by its socket. The log goes to standard error; with -o json it is JSON.

SIGHUP has the daemon read its config again with all that it names, as veer
reload does: zones, secrets, certificates. All of it is taken over, or, where
something is not valid, nothing: the log says what, with file and line. No query
waits for it. The query log is opened again.

With --user, or host.user, a daemon that is started as root opens its ports,
hands its data folder over, and goes on as that user without privileges. Better
is to start it as that user, with AmbientCapabilities=CAP_NET_BIND_SERVICE in
its systemd unit.

Roles: ` + strings.Join(daemon.Roles(), ", ") + `. In a region that
cluster.members lists, all, controller and witness keep an etcd member; any
other process is a client of all members.`,
		Example: `  veer run
  veer run --role prober --region us-east --data-dir ./us-east --join unix:///var/lib/veer/etcd.sock`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, r := range roles {
				if !slices.Contains(daemon.Roles(), r) {
					return usage(unknown("role", r, daemon.Roles()))
				}
			}
			log, err := a.logger(logs)
			if err != nil {
				return usage(err)
			}
			env := a.env
			a.env = func(key string) (string, bool) {
				if key == config.EnvEndpoints && join != "" {
					return join, true
				}
				return env(key)
			}
			planted, err := hooks(a.env)
			if err != nil {
				return err
			}
			flags := []config.Flag{{Name: "--region", Env: config.EnvRegion, Value: region}, {Name: "--user", Env: config.EnvUser, Value: user}}
			c, path, err := a.load(flags...)
			if err != nil {
				return err
			}
			again := func() (*config.Config, error) {
				c, _, err := a.loadFrom(path, flags...)
				return c, err
			}
			ctx, stop := daemon.Signals(cmd.Context())
			defer stop()
			hangups, deaf := daemon.Hangups()
			defer deaf()
			err = daemon.Run(ctx, daemon.Options{Config: c, ConfigPath: path, Roles: roles, Version: version, Log: log, Reload: hangups, Load: again, Hooks: planted})
			if errors.Is(err, daemon.ErrRestart) && ctx.Err() == nil {
				log.Error().Err(err).Msg("starting anew")
				return restart(err)
			}
			var errs config.Errors
			if errors.As(err, &errs) {
				return &exitError{code: exitUsage, err: err}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&roles, "role", nil, "what this process does, separated by commas (default: all)")
	f.StringVar(&region, "region", "", "the region that this host is in (default: the config's host.region)")
	f.StringVar(&join, "join", "", "etcd to join in place of the config's cluster, as in unix:///var/lib/veer/etcd.sock")
	f.StringVar(&user, "user", "", "the user to go on as when the ports are open, if started as root (default: the config's host.user)")
	logFlags(cmd, &logs, "info")
	return cmd
}

func logFlags(cmd *cobra.Command, logs *logging, level string) {
	f := cmd.Flags()
	f.StringVar(&logs.format, "log-format", "auto", "log as console or json; auto: console on a terminal")
	f.StringVar(&logs.level, "log-level", level, "least level that is logged: debug, info, warn or error")
}

// restart replaces the process with a new one of the same program, arguments
// and environment. It returns only if it cannot.
func restart(why error) error {
	self, err := os.Executable()
	if err != nil {
		return errors.Join(why, fmt.Errorf("find this program: %w", err))
	}
	return errors.Join(why, unix.Exec(self, os.Args, os.Environ())) // #nosec G204 -- the same program
}

// logger writes to standard error.
func (a *app) logger(l logging) (zerolog.Logger, error) {
	levels := []string{"debug", "info", "warn", "error"}
	level, err := zerolog.ParseLevel(l.level)
	if err != nil || !slices.Contains(levels, l.level) {
		return zerolog.Nop(), fmt.Errorf("--log-level: %w", unknown("level", l.level, levels))
	}
	console := l.format == "console" || l.format == "auto" && a.logsToTerminal && a.output != "json"
	var out io.Writer = a.err
	switch {
	case l.format != "auto" && l.format != "console" && l.format != "json":
		return zerolog.Nop(), fmt.Errorf("--log-format: %w", unknown("format", l.format, []string{"auto", "console", "json"}))
	case console:
		out = zerolog.ConsoleWriter{Out: a.err, NoColor: a.plain, TimeFormat: "15:04:05.000"}
	}
	return zerolog.New(out).Level(level).Hook(lineTime{now: a.now}), nil
}

// lineTime gives each line the time to the microsecond; zerolog's own time has
// whole seconds unless a global variable is changed.
type lineTime struct{ now func() time.Time }

// Run is called by zerolog for each line.
func (l lineTime) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, l.now().UTC().Format("2006-01-02T15:04:05.000000Z07:00"))
}
