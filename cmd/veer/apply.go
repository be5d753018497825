package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
)

// applying is what the flags of veer apply say.
type applying struct {
	request controller.Request
	file    string
	yes     bool
}

const applyHelp = `
It goes through the daemon on the data_dir, from any region: another region's
daemon carries it to the leader. Where no daemon leads, this command leads for
as long as it takes.

-o json prints {leader, zones: [{provider, zone, changes, taken, released,
refused, held, guard, stale, calls, error}]}.`

func (a *app) applyCommand() *cobra.Command {
	var o applying
	cmd := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Write to the providers what is decided",
		Long: `Apply shows what veer plan shows, asks, and has the leader write it. With a FILE
of veer plan --out it writes exactly what that lists, or nothing when the
config, a zone's fence, its records or the decision moved since (exit code 3).
More than 30 % of the owned record sets (of 10 or more) change for another
reason than steering only with --allow-many (exit code 3 without). A config
that alone would alter more than 30 % of the answers (of 10 or more) alters none
before --accept-config confirms it, with the hash that veer status and veer plan
show. --prune also deletes what no service of the config has any more.
` + applyHelp,
		Example: "  veer apply --reason \"new config\"\n  veer apply changes.json --reason \"as reviewed\" --yes",
		Args:    a.args("[FILE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.file = args[0]
			}
			return a.apply(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.request.Prune, "prune", false, "also delete what no service of the config has any more")
	f.StringVar(&o.request.AcceptConfig, "accept-config", "", "confirm the answers of the leader's config, by its `HASH`")
	f.BoolVar(&o.request.AllowMany, "allow-many", false, "make changes that the guard holds back")
	writeFlags(cmd, &o.request, &o.yes)
	return cmd
}

func writeFlags(cmd *cobra.Command, r *controller.Request, yes *bool) {
	cmd.Flags().StringVar(&r.Why, "reason", "", "why, for the journal and for colleagues (needed)")
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
}

// mayAsk finds what the flags of a command that writes lack.
func (a *app) mayAsk(r *controller.Request, yes bool) error {
	if err := (order{ends: true, reason: r.Why}).check(); err != nil {
		return err
	}
	if !yes && !a.asks {
		return usagef("no terminal can answer the question: add --yes")
	}
	r.By, r.Why = a.user, strings.TrimSpace(r.Why)
	return nil
}

func (a *app) apply(ctx context.Context, o applying) error {
	if err := a.mayAsk(&o.request, o.yes); err != nil {
		return err
	}
	show, pending, refused, err := a.toApply(ctx, &o)
	if err != nil {
		return err
	}
	if !pending && !o.request.Prune && o.request.AcceptConfig == "" {
		return a.nothing(refused)
	}
	if !o.yes {
		show(a.err)
		if err := a.question(); err != nil {
			return err
		}
	}
	return a.write(ctx, o.request)
}

// nothing ends an apply that has nothing to write, and tells what it may not.
func (a *app) nothing(refused []controller.ZoneOutcome) error {
	done := api.Applied{Zones: refused}
	err := a.print(done, func(w io.Writer) { writeApplied(w, done) })
	if err == nil && done.Refused() {
		return quiet(exitRefused, "a name is refused")
	}
	return err
}

// toApply returns what shows the changes, whether there are any, and what is
// refused. With a file the request becomes the one to carry that out.
func (a *app) toApply(ctx context.Context, o *applying) (show func(io.Writer), pending bool, refused []controller.ZoneOutcome, err error) {
	refused = []controller.ZoneOutcome{}
	if o.file != "" {
		if o.request.Prune {
			return nil, false, nil, usagef("--prune and a file exclude each other: the file says whether to prune")
		}
		if o.request.AcceptConfig != "" {
			return nil, false, nil, usagef("--accept-config and a file exclude each other: what is confirmed is decided first, and then planned")
		}
		f, err := openPlan(o.file)
		if err != nil {
			return nil, false, nil, usage(err)
		}
		o.request.Plan, o.request.Prune = &f.Plan, f.Prune
		return func(w io.Writer) { writeSaved(w, f) }, len(f.Plan.Zones) > 0, refused, nil
	}
	p, err := a.plan(ctx, o.request.Prune)
	if err != nil {
		return nil, false, nil, err
	}
	if p.First {
		return nil, false, nil, &exitError{code: exitRefused, err: errors.New("there is no ledger yet, so nothing is decided"), hint: "Run `veer run`, or `veer once` from a scheduler, first."}
	}
	for _, z := range p.Zones {
		if z.Guard != "" && !o.request.AllowMany {
			return nil, false, nil, &exitError{code: exitRefused, err: fmt.Errorf("%s %s: %s", z.Provider, shown(z.Zone), z.Guard)}
		}
		if len(z.Refused) > 0 {
			refused = append(refused, controller.ZoneOutcome{Provider: z.Provider, Zone: z.Zone, Changes: []providers.Change{}, Refused: z.Refused})
		}
	}
	return func(w io.Writer) { writePlanZones(w, p, paint{true}) }, p.Pending() > 0 || unread(p) != "", refused, nil
}

func writeSaved(w io.Writer, f planFile) {
	para(w, "", fmt.Sprintf("The plan of %s in %s, from decisions up to term %d:", f.Made, f.Region, f.Term))
	for _, z := range f.Plan.Zones {
		fmt.Fprintf(w, "%s %s  %s\n", clean(z.Provider), shown(z.Zone), count(len(z.Changes), "change"))
		writeChanges(w, z.Changes, func(string) {})
	}
}

// question asks on standard error, so that -o json stays clean.
func (a *app) question() error {
	fmt.Fprint(a.err, "Go ahead? [y/N] ")
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &exitError{code: exitFailed, err: errors.New("nothing was changed: the answer was not yes")}
}

// write has the request carried out, and prints what became of it.
func (a *app) write(ctx context.Context, r controller.Request) error {
	done, err := either(a, func(c daemonClient) (api.Applied, error) { return c.Apply(ctx, r) },
		func(o daemon.OnceOptions) (api.Applied, error) { return daemon.Apply(ctx, o, r) })
	if err != nil {
		return err
	}
	for i := range done.Zones { // that a name which was given up is not written is what was asked for
		done.Zones[i].Refused = slices.DeleteFunc(done.Zones[i].Refused, func(n controller.Refusal) bool {
			return slices.ContainsFunc(r.Release, func(name string) bool { return sameName(name, n.Name) })
		})
	}
	if err := a.print(done, func(w io.Writer) { writeApplied(w, done) }); err != nil {
		return err
	}
	switch {
	case done.Failed():
		return quiet(exitFailed, "a zone could not be written")
	case done.Refused() || done.Stale():
		return quiet(exitRefused, "not everything was written")
	}
	return nil
}

func writeApplied(w io.Writer, done api.Applied) {
	if done.Stale() {
		para(w, "", "The plan is stale, and nothing was written:")
	}
	wrote := false
	for _, z := range done.Zones {
		if z.Stale != "" {
			para(w, fmt.Sprintf("%s %s: ", z.Provider, shown(z.Zone)), z.Stale)
		}
		writeZoneOutcome(w, z)
		wrote = wrote || len(z.Changes)+len(z.Taken)+len(z.Released) > 0
	}
	switch {
	case wrote:
		fmt.Fprintf(w, "done, by the leader %s\n", done.Leader)
	case !done.Failed() && !done.Stale():
		fmt.Fprintln(w, "Nothing to write.")
	}
}
