package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/tutorial"
)

func (a *app) tutorialCommand() *cobra.Command {
	var auto bool
	var from string
	cmd := &cobra.Command{
		Use:   "tutorial",
		Short: "Play a guided game day on this machine",
		Long: `Tutorial starts three regions of toy web servers and real Veers on this machine
and guides through a game day: break this, watch that, explain it, mend it, with
the commands that you would use in production. Its chapters are start, endpoint,
region, audit, canary, lies, drain, freeze and fence; --from begins later.

It works in a temporary folder of its own and on free ports of 127.0.0.x,
touches no Veer that is installed here, and leaves nothing behind, also after
Ctrl-C. A step is over when what it is about has happened. At the end it prints
the times that were measured.

Lines are read from standard input, so that a script can play it, too. With
--auto it types everything itself.

Exit codes: 0 all was played; 4 it was left before the end, or steps were
skipped; 1 something failed, or the input ended; 2 usage.

-o json prints {chapters: [{name, title, state, hints, wrong}], measured:
[{what, took, limit}], queries, empty, lost, failed, whole} at the end, and all
else on standard error.`,
		Example: "  veer tutorial\n  veer tutorial --from drain\n  veer tutorial --auto",
		Args:    a.args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o := tutorial.Options{In: a.in, Out: a.out, Asks: a.asks, Plain: a.plain, Auto: auto, From: from, Binary: self}
			if a.output == "json" {
				o.Out, o.Plain = a.err, true
			}
			sum, err := tutorial.Run(cmd.Context(), o)
			if errors.Is(err, tutorial.ErrNoChapter) {
				return usage(err)
			}
			if err != nil {
				return err
			}
			if a.output == "json" {
				if err := a.printJSON(sum); err != nil {
					return err
				}
			}
			if !sum.Whole {
				return quiet(exitDegraded, "not all was played")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&auto, "auto", false, "type everything itself, as a demonstration")
	cmd.Flags().StringVar(&from, "from", "", "the chapter to begin with")
	return cmd
}
