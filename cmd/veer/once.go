package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions/controller"
)

func (a *app) onceCommand() *cobra.Command {
	var region string
	var first bool
	var logs logging
	cmd := &cobra.Command{
		Use:   "once",
		Short: "Make one pass, for a scheduler instead of a daemon",
		Long: `Once probes every endpoint, with up to the monitor's fall rechecks, votes for
this region, and, if no daemon leads, decides, commits and writes; then it ends.
Run it from cron or a systemd timer every ` + "`schedule:`" + ` of the config, in every
region. A vote holds for three of these periods. Rise, fall and holds go on from
pass to pass in the ledger, which must outlive them: cluster.endpoints, or a
data_dir that is kept (its first pass needs --first). Where a daemon runs on the
data_dir, it makes the pass.

Exit codes: 0 unchanged, changed or voted, and it says which; 3 when the state
is unknown (no quorum of fresh votes; nothing was written), when a name was
refused or the guard held changes back; 1 error.

-o json prints {result, region, leader, term, daemon, votes, unknown, moves:
[{service, before, after, why}], zones: [{provider, zone, changes, refused,
held, guard, calls, error}]}; result is changed, unchanged, voted or unknown.`,
		Example: "  veer once\n  veer once --first --region eu-west -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := a.logger(logs)
			if err != nil {
				return usage(err)
			}
			c, path, err := a.load(config.Flag{Name: "--region", Env: config.EnvRegion, Value: region})
			if err != nil {
				return err
			}
			ctx, stop := daemon.Signals(cmd.Context())
			defer stop()
			p, err := a.once(ctx, c, daemon.OnceOptions{Config: c, ConfigPath: path, Version: version, First: first, Log: log})
			if err != nil {
				return err
			}
			return a.passed(p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&region, "region", "", "the region that this host is in (default: the config's host.region)")
	f.BoolVar(&first, "first", false, "data_dir holds no ledger yet, and is kept from now on")
	logFlags(cmd, &logs, "warn")
	return cmd
}

// once has the daemon on the data_dir make the pass, or makes it.
func (a *app) once(ctx context.Context, c *config.Config, o daemon.OnceOptions) (api.Pass, error) {
	socket := a.socket
	if socket == "" {
		socket = filepath.Join(c.Host.DataDir, api.SocketName)
	}
	p, err := a.dial(socket).Once(ctx)
	if err == nil || !errors.Is(err, api.ErrNoDaemon) || a.socket != "" {
		return p, err
	}
	o.Open = a.open
	p, err = daemon.Once(ctx, o)
	if errors.Is(err, daemon.ErrNoLedger) {
		return p, &exitError{code: exitRefused, err: err}
	}
	return p, err
}

// passed prints what a pass came to, and ends with its exit code.
func (a *app) passed(p api.Pass) error {
	if err := a.print(p, func(w io.Writer) { writePass(w, p) }); err != nil {
		return err
	}
	switch {
	case p.Failed():
		return quiet(exitFailed, "a zone could not be written")
	case p.Result == api.PassUnknown || p.Refused():
		return quiet(exitRefused, "not everything is as it should be")
	}
	return nil
}

func writePass(w io.Writer, p api.Pass) {
	how := map[api.PassResult]string{
		api.PassChanged:   "answers moved, or zones were written",
		api.PassUnchanged: "everything is as it should be",
		api.PassUnknown:   "no quorum of fresh votes, so nothing was written",
		api.PassVoted:     "the votes are cast; " + leads(p.Leader) + " decides",
	}[p.Result]
	fmt.Fprintf(w, "%s  %s\n", p.Result, how)
	if len(p.Votes) > 0 {
		para(w, "", fmt.Sprintf("%s votes: %s", p.Region, votesText(p.Votes)))
	}
	writeMoved(w, p.Moves)
	if len(p.Unknown) > 0 {
		para(w, "", "unknown, and left as they are: "+strings.Join(p.Unknown, ", "))
	}
	for _, z := range p.Zones {
		writeZoneOutcome(w, z)
	}
}

func leads(name string) string {
	if name == "" {
		return "whoever leads next"
	}
	return "the daemon in " + name
}

func votesText(votes map[checks.Health]int) string {
	var parts []string
	for _, h := range []checks.Health{checks.Up, checks.Degraded, checks.Down, checks.Unknown} {
		if n := votes[h]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, h))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func writeMoved(w io.Writer, moves []api.Move) {
	if len(moves) > 0 {
		writeMoves(w, moves)
	}
}

// writeZoneOutcome tells what became of a zone, where that is worth a line.
func writeZoneOutcome(w io.Writer, z controller.ZoneOutcome) {
	name := fmt.Sprintf("%s %s: ", z.Provider, shown(z.Zone))
	if z.Error != "" {
		para(w, name, z.Error)
	}
	if n := len(z.Changes); n > 0 {
		para(w, name, fmt.Sprintf("%s written in %s", count(n, "change"), count(z.Calls, "request")))
	}
	if len(z.Taken) > 0 {
		para(w, name, "taken: "+strings.Join(shownAll(z.Taken), ", "))
	}
	if len(z.Released) > 0 {
		para(w, name, "released: "+strings.Join(shownAll(z.Released), ", "))
	}
	for _, r := range z.Refused {
		para(w, name, fmt.Sprintf("%s is left alone: %s", shown(r.Name), r.Why))
	}
	if z.Guard != "" {
		para(w, name, z.Guard)
	}
}
