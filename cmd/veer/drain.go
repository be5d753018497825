package main

import (
	"github.com/spf13/cobra"

	"github.com/veerdns/veer/regions/steering"
)

func (a *app) drainCommand() *cobra.Command {
	o := &order{act: steering.Drain}
	cmd := a.actCommand(o, "drain", "Keep a region, service, pool or endpoint out of the answers",
		"Drain moves traffic away from the target until the order ends.",
		`  veer drain eu-west --for 2h --reason "kernel upgrade"
  veer drain app.example.test/eu-west/192.0.2.10 --forever --reason "disk fails"`)
	orderFlags(cmd, o)
	return cmd
}

func (a *app) undrainCommand() *cobra.Command {
	o := &order{act: steering.Drain, ends: true}
	cmd := a.actCommand(o, "undrain", "End a drain",
		"Undrain ends the drains of exactly this target. Traffic returns as the\nservice's failback says.",
		`  veer undrain eu-west --reason "upgrade done"`)
	endFlags(cmd, o)
	return cmd
}
