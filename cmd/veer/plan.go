package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers"
)

func (a *app) planCommand() *cobra.Command {
	var prune, detailed bool
	var out string
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what would be written to the providers",
		Long: `Plan compares every zone of the providers that are written to with the ledger:
per zone the changes with the reasons of each answer, what they cost in requests
and of which limit, names that are left alone, the guard; then each service's
worst-case recovery time, and warnings. It writes nothing. Through the daemon on
the data_dir, in any role; without one it joins the ledger itself. Without a
ledger it shows what a first decision would answer.

--prune adds what veer apply --prune would delete. --out saves the plan for
veer apply FILE, which carries out exactly that or nothing.

Exit codes: 0; with --detailed-exitcode 4 when changes are pending; 1 error,
also when a zone cannot be read.

-o json prints {owner, config, region, first, term, prune, zones: [{provider,
zone, changes: [{before, after}], refused, held, prune, guard, fence, records,
why, estimate, error}], ledger, budgets, warnings,
unconfirmed: [{service, config, before, after}]}.`,
		Example: "  veer plan\n  veer plan --prune --out changes.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.plan(cmd.Context(), prune)
			if err != nil {
				return err
			}
			if err := a.print(p, func(w io.Writer) { writePlan(w, p, paint{a.plain}) }); err != nil {
				return err
			}
			if unread := unread(p); unread != "" {
				return quiet(exitFailed, unread)
			}
			if out != "" {
				if err := planFileOf(p, a.now()).save(out); err != nil {
					return err
				}
			}
			if detailed && p.Pending() > 0 {
				return quiet(exitDegraded, "changes are pending")
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&prune, "prune", false, "also what no service of the config has any more")
	f.BoolVar(&detailed, "detailed-exitcode", false, "exit with 4 when changes are pending")
	f.StringVar(&out, "out", "", "save the plan to a file, for veer apply FILE")
	return cmd
}

// either asks the daemon, or, where none runs and none was named, works without
// one.
func either[T any](a *app, online func(daemonClient) (T, error), offline func(daemon.OnceOptions) (T, error)) (T, error) {
	client, err := a.daemon()
	if err != nil {
		var none T
		return none, err
	}
	out, err := online(client)
	if err == nil || !errors.Is(err, api.ErrNoDaemon) || a.socket != "" {
		return out, err
	}
	c, path, err := a.load()
	if err != nil {
		return out, err
	}
	log, err := a.logger(logging{format: "auto", level: "warn"})
	if err != nil {
		return out, err
	}
	return offline(daemon.OnceOptions{Config: c, ConfigPath: path, Version: version, Log: log, Open: a.open})
}

func (a *app) plan(ctx context.Context, prune bool) (api.Plan, error) {
	return either(a, func(c daemonClient) (api.Plan, error) {
		p, err := c.Plan(ctx, prune)
		if w := a.otherConfig(p); err == nil && w != "" {
			p.Warnings = append(p.Warnings, w)
		}
		return p, err
	},
		func(o daemon.OnceOptions) (api.Plan, error) { return daemon.Plan(ctx, o, prune) })
}

// otherConfig warns that the config file here is not what the daemon runs: an
// edit is planned only after a restart.
func (a *app) otherConfig(p api.Plan) string {
	c, path, err := a.load()
	switch {
	case err != nil && a.socket != "":
		return "" // the socket is all that is needed
	case err != nil:
		return "this is planned from the daemon's config: the file here is invalid now (veer validate)"
	case c.Hash() != p.Config:
		return fmt.Sprintf("this is planned from the config that the daemon runs: %s is another one (restart the daemon to have it)", path)
	}
	return ""
}

// unread names a zone that could not be read.
func unread(p api.Plan) string {
	for _, z := range p.Zones {
		if z.Error != "" {
			return fmt.Sprintf("%s %s: %s", z.Provider, shown(z.Zone), z.Error)
		}
	}
	return ""
}

func writePlan(w io.Writer, p api.Plan, paint paint) {
	if p.First {
		para(w, "", "There is no ledger yet: nothing is decided. This is what a first decision on the present votes would answer.")
		fmt.Fprintln(w)
	}
	writePlanZones(w, p, paint)
	if len(p.Budgets) > 0 {
		fmt.Fprintln(w, "Worst-case recovery:")
		for _, name := range slices.Sorted(maps.Keys(p.Budgets)) {
			text := p.Budgets[name].String()
			if limit := p.Budgets[name].Limit; limit > 0 {
				text += fmt.Sprintf(", of %s", short(limit))
			}
			para(w, "  "+shown(name)+": ", text)
		}
	}
	if len(p.Warnings) > 0 {
		fmt.Fprintln(w, "\n"+paint.warn("WARNINGS"))
		for _, text := range p.Warnings {
			para(w, "- ", text)
		}
	}
}

func writePlanZones(w io.Writer, p api.Plan, paint paint) {
	writeUnconfirmed(w, p.Unconfirmed, paint)
	if len(p.Zones) == 0 {
		para(w, "", "No provider of the config is written to: an authority serves the ledger's answers by itself.")
	}
	for _, z := range p.Zones {
		fmt.Fprintf(w, "%s  %s\n", paint.bold(clean(z.Provider)+" "+shown(z.Zone)), planCost(z))
		if z.Error != "" {
			para(w, "  ", z.Error)
		}
		writeChanges(w, z.Changes, func(name string) {
			for _, r := range z.Why[name] {
				para(w, "      ", r.Text)
			}
		})
		for _, r := range z.Refused {
			para(w, "  ", fmt.Sprintf("! %s is left alone: %s", shown(r.Name), r.Why))
		}
		if len(z.Held) > 0 && !p.Prune {
			para(w, "  ", fmt.Sprintf("held as they are, since no service has them: %s (veer apply --prune deletes them)", names(shownAll(z.Held))))
		}
		if z.Guard != "" {
			para(w, "  ", paint.warn(z.Guard))
		}
		fmt.Fprintln(w)
	}
}

// writeUnconfirmed writes what a config would alter once it is confirmed.
func writeUnconfirmed(w io.Writer, list []api.Unconfirmed, paint paint) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, paint.bold("held until config "+clean(list[0].Config)+" is confirmed"))
	for _, u := range list {
		para(w, "  ", fmt.Sprintf("~ %s %s -> %s", shown(u.Service), data(u.Before), data(u.After)))
	}
	fmt.Fprintln(w)
}

func planCost(z api.PlanZone) string {
	switch {
	case z.Error != "" && len(z.Changes) == 0:
		return "cannot be read"
	case len(z.Changes) == 0:
		return "nothing to write"
	case z.Estimate == nil:
		return count(len(z.Changes), "change")
	}
	text := fmt.Sprintf("%s in %s", count(len(z.Changes), "change"), count(z.Estimate.Calls, "request"))
	if z.Estimate.Quota != "" {
		text += " (" + z.Estimate.Quota + ")"
	}
	return text
}

// writeChanges writes one line a change, and after each name what why adds.
func writeChanges(w io.Writer, changes []providers.Change, why func(name string)) {
	for i, c := range changes {
		set, line := c.After, ""
		switch {
		case c.Before == nil:
			line = fmt.Sprintf("+ %s", setText(*c.After))
		case c.After == nil:
			set = c.Before
			line = fmt.Sprintf("- %s", setText(*c.Before))
		default:
			line = fmt.Sprintf("~ %s -> %s", setText(*c.Before), answerText(*c.After))
		}
		para(w, "  ", line)
		if i+1 == len(changes) || nameOf(changes[i+1]) != set.Name {
			why(set.Name)
		}
	}
}

func nameOf(c providers.Change) string {
	if c.After != nil {
		return c.After.Name
	}
	return c.Before.Name
}

func setText(s providers.RRSet) string {
	text := fmt.Sprintf("%s %s", shown(s.Name), s.Type)
	if s.SetID != "" {
		text += fmt.Sprintf(" (%s, weight %d)", s.SetID, s.Weight)
	}
	if s.Location != "" {
		text += " for " + s.Location
	}
	return text + " " + answerText(s)
}

func answerText(s providers.RRSet) string {
	return fmt.Sprintf("%s, TTL %d", strings.Join(s.Data, " "), s.TTL)
}

func shownAll(list []string) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = shown(n)
	}
	return out
}
