package main

import (
	"github.com/spf13/cobra"

	"github.com/veerdns/veer/regions/steering"
)

func (a *app) drainCommand() *cobra.Command {
	o := &order{act: steering.Drain}
	cmd := a.actCommand(o, "drain", "Keep a region, service, pool or endpoint out of the answers",
		`Drain moves traffic away from the target until the order ends.

With --local it is for the answers of this host's own DNS server alone. That
needs no quorum: the order is kept in data_dir, lasts over restarts, and ends by
this machine's clock or by veer undrain --local. Other servers, the providers,
serials and snapshots know nothing of it.`,
		`  veer drain eu-west --for 2h --reason "kernel upgrade"
  veer drain app.example.test/eu-west/192.0.2.10 --forever --reason "disk fails"
  veer drain eu-west --local --for 1h --reason "no quorum, eu-west burns"`)
	orderFlags(cmd, o)
	localFlag(cmd, o)
	return cmd
}

func (a *app) undrainCommand() *cobra.Command {
	o := &order{act: steering.Drain, ends: true}
	cmd := a.actCommand(o, "undrain", "End a drain",
		"Undrain ends the drains of exactly this target. Traffic returns as the\nservice's failback says. With --local it ends those of veer drain --local on\nthis host, and the ledger's answers hold at once.",
		`  veer undrain eu-west --reason "upgrade done"`)
	endFlags(cmd, o)
	localFlag(cmd, o)
	return cmd
}
