package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/daemon"
)

func (a *app) notifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "notify",
		Short:   "Try the receivers of notifications",
		Long:    "Notify is about the receivers of the config's notifications.",
		Example: "  veer notify test",
		Args:    subcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.notifyTestCommand())
	return cmd
}

func (a *app) notifyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test [RECEIVER...]",
		Short: "Send a test message to each receiver",
		Long: `Test sends a message to each receiver of the config, or to those that are named,
from this host and as this user, without a daemon. Each is tried once. At
PagerDuty it makes an incident of severity info, which nobody resolves but you.

It exits with 1 when one was not taken. -o json prints [{receiver, kind, sent,
error}].`,
		Example: "  veer notify test\n  veer notify test oncall",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, path, err := a.load()
			if err != nil {
				return err
			}
			if len(c.Notifications.Receivers) == 0 {
				return usagef("%s has no notifications: expected receivers below notifications", path)
			}
			for _, name := range args {
				if _, ok := c.Notifications.Receiver(name); !ok {
					var known []string
					for _, r := range c.Notifications.Receivers {
						known = append(known, r.Name)
					}
					return usage(unknown("receiver", name, known))
				}
			}
			results, err := daemon.TestNotifications(cmd.Context(), c, args, a.user)
			if err != nil {
				return err
			}
			if err := a.print(results, func(w io.Writer) { writeNotified(w, results) }); err != nil {
				return err
			}
			if slices.ContainsFunc(results, func(n daemon.Notified) bool { return !n.Sent }) {
				return quiet(exitFailed, "not every receiver took the message")
			}
			return nil
		},
	}
}

func writeNotified(w io.Writer, results []daemon.Notified) {
	width := 0
	for _, r := range results {
		width = max(width, len(r.Receiver))
	}
	for _, r := range results {
		text := "took the test message"
		if !r.Sent {
			text = "did not take it: " + clean(r.Error)
		}
		fmt.Fprintf(w, "%s%s  %s  %s\n", r.Receiver, strings.Repeat(" ", width-len(r.Receiver)), r.Kind, text)
	}
}
