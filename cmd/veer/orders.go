package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/steering"
)

// order is what the flags of an act say.
type order struct {
	act    steering.Act
	reason string
	length time.Duration
	// forever is --forever; ends says that the act ends orders.
	forever, ends, yes bool
	// local is --local.
	local bool
}

// maxOrder bounds --for: a longer order is --forever.
const maxOrder = 10 * 365 * 24 * time.Hour

const ordersHelp = `
TARGET is REGION (in every service), SERVICE, SERVICE/REGION or
SERVICE/REGION/ADDRESS. It shows what will move and asks; --yes skips the
question, and is needed where no terminal can answer it. An order works from
any region's daemon. What would leave no answer is refused with exit code 3.
It is done when the daemon serves what the leader decided with it. If that takes
more than 3 s, as without a leader, the ledger keeps the order until it can be
acted on, and the exit code is 4.

-o json prints {orders, moves: [{service, before, after, why}], in_force, took,
note}.`

// orderFlags adds the flags of an act that makes an order.
func orderFlags(cmd *cobra.Command, o *order) {
	endFlags(cmd, o)
	cmd.Flags().DurationVar(&o.length, "for", 0, "how long the order holds, as in 2h (needed, or --forever)")
	cmd.Flags().BoolVar(&o.forever, "forever", false, "the order holds until it is ended")
}

// endFlags adds the flags of an act that ends orders.
func endFlags(cmd *cobra.Command, o *order) {
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the journal and for colleagues (needed)")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
}

// localFlag adds --local.
func localFlag(cmd *cobra.Command, o *order) {
	cmd.Flags().BoolVar(&o.local, "local", false, "only for what this host's own DNS server answers; needs no quorum")
}

// check finds what the flags lack.
func (o order) check() error {
	reason := strings.TrimSpace(o.reason)
	switch {
	case reason == "":
		return usagef("--reason is needed: say why, for the journal and for colleagues")
	case len(reason) > 500:
		return usagef("--reason has %d bytes: expected at most 500", len(reason))
	case o.ends && (o.forever || o.length != 0):
		return usagef("--end ends an order at once: it goes without --for and --forever")
	case o.ends:
		return nil
	case o.forever && o.length != 0:
		return usagef("--for and --forever exclude each other: give one")
	case !o.forever && o.length == 0:
		return usagef("--for is needed, as in --for 2h, or --forever: an order that nobody ends is forgotten")
	case o.length < 0 || !o.forever && o.length < time.Second:
		return usagef("--for %s: expected at least 1s", o.length)
	case o.length > maxOrder:
		return usagef("--for %s: expected at most %s, or --forever", o.length, short(maxOrder))
	}
	return nil
}

// give carries an act out: reads the target, shows what will move, asks, does.
func (a *app) give(ctx context.Context, text string, o order) error {
	if err := o.check(); err != nil {
		return err
	}
	if !o.yes && !a.asks {
		return usagef("no terminal can answer the question: add --yes")
	}
	client, err := a.daemon()
	if err != nil {
		return err
	}
	st, err := client.Status(ctx)
	if err != nil {
		return err
	}
	target, err := parseTarget(text, knownOf(st.Serves))
	if err != nil {
		return usage(err)
	}
	request := api.OrderRequest{Act: o.act, Target: target, By: a.user, Why: strings.TrimSpace(o.reason), For: o.length, Local: o.local}
	do := client.Order
	if o.ends {
		do = client.EndOrder
	}
	if !o.yes {
		if err := a.confirm(ctx, o, request, do); err != nil {
			return err
		}
	}
	done, err := do(ctx, request, false)
	if err != nil {
		return err
	}
	if err := a.print(done, func(w io.Writer) { writeDone(w, o, request, done, a.now()) }); err != nil {
		return err
	}
	if !done.InForce {
		return quiet(exitDegraded, "the order is not in force yet")
	}
	return nil
}

type ordering func(ctx context.Context, r api.OrderRequest, dryRun bool) (api.OrderResult, error)

// confirm shows what would move and asks, on standard error so that -o json
// stays clean.
func (a *app) confirm(ctx context.Context, o order, r api.OrderRequest, do ordering) error {
	plan, err := do(ctx, r, true)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "%s:\n", intent(o, r))
	writeMoves(a.err, plan.Moves)
	return a.question()
}

// intent says what is about to be ordered.
func intent(o order, r api.OrderRequest) string {
	here := ""
	if r.Local {
		here = " on this server alone"
	}
	if o.ends {
		return fmt.Sprintf("End %s of %s%s", r.Act, targetText(r.Target), here)
	}
	length := "forever"
	if r.For > 0 {
		length = "for " + short(r.For)
	}
	return fmt.Sprintf("%s %s %s", strings.ToUpper(string(r.Act[:1]))+string(r.Act[1:]), targetText(r.Target), length) + here
}

func writeMoves(w io.Writer, moves []api.Move) {
	if len(moves) == 0 {
		fmt.Fprintln(w, "  no answer changes now")
	}
	for _, m := range moves {
		para(w, "  ", fmt.Sprintf("%s: %s -> %s", shown(m.Service), data(m.Before), data(m.After)))
		for _, r := range m.Why {
			para(w, "    ", r.Text)
		}
	}
}

func writeDone(w io.Writer, o order, r api.OrderRequest, done api.OrderResult, now time.Time) {
	if done.InForce {
		fmt.Fprintf(w, "%s: done, in force after %s.\n", intent(o, r), taken(done.Took))
	} else {
		fmt.Fprintf(w, "%s: not in force yet.\n", intent(o, r))
		para(w, "  ", done.Note)
	}
	if !o.ends {
		for _, made := range done.Orders {
			if left := leftText(made, now); left != "forever" {
				fmt.Fprintf(w, "  order %s ends in %s\n", made.ID, left)
			}
		}
	}
	writeMoves(w, done.Moves)
}

// actCommand is what all acts share.
func (a *app) actCommand(o *order, use, short, long, example string) *cobra.Command {
	return &cobra.Command{
		Use: use + " TARGET", Short: short, Long: long + "\n" + ordersHelp, Example: example,
		Args: a.args("TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.give(cmd.Context(), args[0], *o) },
	}
}
