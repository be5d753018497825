package main

import (
	"github.com/spf13/cobra"

	"github.com/veerdns/veer/regions/steering"
)

func (a *app) forceCommand() *cobra.Command {
	o := &order{act: steering.Force}
	cmd := a.actCommand(o, "force", "Answer with one region, pool or endpoint only",
		`Force answers with the target only, whatever its health, until the order ends.
"veer force TARGET --end" ends it before its time.`,
		`  veer force app.example.test/us-east --for 30m --reason "test of us-east"
  veer force app.example.test/us-east --end --reason "test done"`)
	orderFlags(cmd, o)
	cmd.Flags().BoolVar(&o.ends, "end", false, "end the forces of exactly this target")
	return cmd
}
