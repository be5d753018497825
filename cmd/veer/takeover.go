package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
)

func (a *app) takeoverCommand() *cobra.Command {
	var reason string
	var end, yes bool
	cmd := &cobra.Command{
		Use:   "takeover",
		Short: "Write overrides to the providers when no quorum can be had",
		Long: `Takeover is the last resort: no quorum of the cluster can be had, nothing moves,
and an answer at a provider must be another. Through the daemon on this host it
claims the zones in the order of the config, with a term above every fence that
is known, and stops at the first zone that refuses. From then on veer drain,
force and freeze, given on this host, are written there and answered by this
host's own server, from the last answers that are known; nothing else is
written. The regular leader is kept out, also when the quorum is back.

It lasts, over restarts too, until "veer takeover --end". That needs the quorum:
it carries the orders into the ledger, raises the ledger's term above the
takeover's, and the next leader goes on. Of two takeovers, the one with the
higher term holds. While a quorum answers it is refused with exit code 3; the
exit code is 4 when not every zone was taken. Without --yes it shows what it
will claim, and asks. See docs/partitions.md.

-o json prints {term, holder, by, why, began, zones: [{provider, zone, state,
fence, error}], orders, over, ending}, with --end {term, orders, in_force,
note}.`,
		Example: `  veer takeover --reason "two of three regions are lost"
  veer force app.example.test/us-east --for 2h --reason "eu-west is lost"
  veer takeover --end --reason "the cluster is whole again"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := api.TakeoverRequest{By: a.user, Why: strings.TrimSpace(reason)}
			switch {
			case r.Why == "":
				return usagef("--reason is needed: say why, for the journal and for colleagues")
			case len(r.Why) > 500:
				return usagef("--reason has %d bytes: expected at most 500", len(r.Why))
			case !yes && !a.asks && !end:
				return usagef("no terminal can answer the question: add --yes")
			case end:
				return a.endTakeover(cmd.Context(), r)
			}
			return a.takeover(cmd.Context(), r, yes)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal and for colleagues (needed)")
	cmd.Flags().BoolVar(&end, "end", false, "end the takeover; needs the quorum back")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) takeover(ctx context.Context, r api.TakeoverRequest, yes bool) error {
	client, err := a.daemon()
	if err != nil {
		return err
	}
	if !yes {
		plan, err := client.Takeover(ctx, r, true)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.err, "Take over with term %d, in this order:\n", plan.Term)
		writeTaken(a.err, plan)
		if err := a.question(); err != nil {
			return err
		}
	}
	t, err := client.Takeover(ctx, r, false)
	if err != nil {
		return err
	}
	whole := true
	for _, z := range t.Zones {
		whole = whole && z.State == api.Taken && z.Error == ""
	}
	if err := a.print(t, func(w io.Writer) {
		fmt.Fprintf(w, "Taken over with term %d:\n", t.Term)
		writeTaken(w, t)
		para(w, "", "Only what veer drain, force and freeze order on this host is written now. End it with veer takeover --end once a quorum answers.")
	}); err != nil {
		return err
	}
	if !whole {
		return quiet(exitDegraded, "not every zone was taken over")
	}
	return nil
}

func writeTaken(w io.Writer, t api.Takeover) {
	for _, z := range t.Zones {
		fence := z.Fence
		if fence == "" {
			fence = "no fence yet"
		}
		text := fmt.Sprintf("%s, %s", z.State, fence)
		if z.Error != "" {
			text = fmt.Sprintf("%s: %s", z.State, z.Error)
		}
		para(w, fmt.Sprintf("  %s at %s: ", shown(z.Zone), z.Provider), text)
	}
}

func (a *app) endTakeover(ctx context.Context, r api.TakeoverRequest) error {
	client, err := a.daemon()
	if err != nil {
		return err
	}
	done, err := client.EndTakeover(ctx, r)
	if err != nil {
		return err
	}
	if err := a.print(done, func(w io.Writer) {
		fmt.Fprintf(w, "The takeover of term %d has ended; %s in the ledger now.\n", done.Term, carried(len(done.Orders)))
		if done.Note != "" {
			para(w, "  ", done.Note)
		}
	}); err != nil {
		return err
	}
	if !done.InForce {
		return quiet(exitDegraded, "no leader has acted on it yet")
	}
	return nil
}

func carried(orders int) string {
	if orders == 1 {
		return "its order is"
	}
	return fmt.Sprintf("its %d orders are", orders)
}
