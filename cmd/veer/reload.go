package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
)

func (a *app) reloadCommand() *cobra.Command {
	var dry bool
	var by string
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon take over its config as it is in the file now",
		Long: `Reload has the daemon on this host read its config again, with all that it
names: zone files, secrets and certificates. All of it is taken over, or, where
something is not valid or cannot be had, nothing. No query is lost, no vote
changes and no hold begins again. It prints what changed, a secret only as
changed, and waits until this daemon, where it leads, has decided by it. Each
region's daemon is reloaded by itself.

What a process cannot change while it runs (owner, cluster, host, schedule, and
where and how an authority listens) is refused, and named: restart for it.
--dry-run only says what would change. SIGHUP does the same, and the log tells.

Exit codes: 0 changed or unchanged; 2 the config is not valid, with the errors
of veer validate; 3 refused.

-o json prints {result, dry_run, file, config, was, changes: [{what, change,
key, was, is}], restart: [the same], errors: [{file, line, column, source, path,
problem, expected, hint}], why, notes, took}; result is changed, unchanged,
invalid or refused.`,
		Example: "  veer reload --dry-run\n  veer reload",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.daemon()
			if err != nil {
				return err
			}
			return a.reload(cmd.Context(), d, api.ReloadRequest{By: by}, dry)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&dry, "dry-run", false, "change nothing, and say what would change")
	f.StringVar(&by, "by", "", "who reloads, for the journal (default: the user)")
	return cmd
}

func (a *app) reload(ctx context.Context, d daemonClient, r api.ReloadRequest, dry bool) error {
	out, err := d.Reload(ctx, r, dry)
	if err != nil {
		return err
	}
	if out.Result == api.ReloadInvalid && a.output != "json" {
		errs := make(config.Errors, 0, len(out.Errors))
		for _, e := range out.Errors {
			errs = append(errs, config.Error(e))
		}
		return &exitError{code: exitUsage, err: errs, hint: "Nothing was changed: the config of before is in force."}
	}
	if err := a.print(out, func(w io.Writer) { writeReload(w, out, paint{a.plain}) }); err != nil {
		return err
	}
	switch out.Result {
	case api.ReloadInvalid:
		return quiet(exitUsage, "invalid")
	case api.ReloadRefused:
		return quiet(exitRefused, "refused")
	}
	return nil
}

func writeReload(w io.Writer, r api.Reload, p paint) {
	changes := func(list []api.ConfigChange) {
		for _, c := range list {
			para(w, "- ", config.Difference(c).String())
		}
	}
	switch {
	case r.Result == api.ReloadRefused && len(r.Restart) > 0:
		fmt.Fprintln(w, p.bad("refused")+"  nothing was changed; restart to change:")
		changes(r.Restart)
	case r.Result == api.ReloadRefused:
		fmt.Fprintln(w, p.bad("refused")+"  nothing was changed:")
		para(w, "", r.Why)
	case r.Result == api.ReloadUnchanged:
		fmt.Fprintf(w, "%s  %s is in force as it is, config hash %s\n", p.good("unchanged"), r.File, r.Config)
	case r.DryRun:
		fmt.Fprintf(w, "%s  nothing was changed yet; from config %s:\n", p.warn("would change"), r.Was)
		changes(r.Changes)
	default:
		fmt.Fprintf(w, "%s  %s in %s, config %s -> %s\n", p.good("reloaded"), r.File, short(r.Took), r.Was, r.Config)
		changes(r.Changes)
	}
	for _, note := range r.Notes {
		para(w, p.warn("note")+"  ", note)
	}
}
