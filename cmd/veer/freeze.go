package main

import (
	"github.com/spf13/cobra"

	"github.com/veerdns/veer/regions/steering"
)

func (a *app) freezeCommand() *cobra.Command {
	o := &order{act: steering.Freeze}
	cmd := a.actCommand(o, "freeze", "Keep answers as they are",
		"Freeze keeps the target's answers as they are, whatever happens to its health.\nIt wins over force and drain.",
		`  veer freeze app.example.test --for 1h --reason "release night"`)
	orderFlags(cmd, o)
	return cmd
}

func (a *app) unfreezeCommand() *cobra.Command {
	o := &order{act: steering.Freeze, ends: true}
	cmd := a.actCommand(o, "unfreeze", "End a freeze",
		"Unfreeze ends the freezes of exactly this target; the answers follow their\nverdicts again at once.",
		`  veer unfreeze app.example.test --reason "release done"`)
	endFlags(cmd, o)
	return cmd
}
