package main

import (
	"github.com/spf13/cobra"

	"github.com/veerdns/veer/regions/steering"
)

func (a *app) failbackCommand() *cobra.Command {
	o := &order{act: steering.FailbackAct}
	cmd := a.actCommand(o, "failback", "Let traffic return to a region or pool",
		`Failback lets traffic return to the target although its failback is manual, its
window is closed or damping holds it. A pool that is not up still gets none.`,
		`  veer failback app.example.test/eu-west --for 10m --reason "eu-west is repaired"`)
	orderFlags(cmd, o)
	return cmd
}
