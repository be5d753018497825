package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/config"
)

func (a *app) zoneCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "zone",
		Short:   "Look at zone files",
		Long:    "Zone checks the RFC 1035 master files that the authority serves.",
		Example: "  veer zone check example.test.zone",
		Args:    subcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.zoneCheckCommand())
	return cmd
}

func (a *app) zoneCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE [ORIGIN]",
		Short: "Check a zone file, and say every problem with its line",
		Long: `Check reads a zone file as the authority does at its start and on SIGHUP, and
prints every problem with file and line (exit code 2). It needs no config and no
daemon, and so does not know the services that are laid over the zone. ORIGIN is
the zone's name; by default it is the file's, without .zone or .db.

-o json prints {file, zone, valid, serial, records, hash, problems}.`,
		Example: "  veer zone check example.test.zone\n  veer zone check /etc/veer/db.internal internal.example.test",
		Args:    a.args("FILE", "[ORIGIN]"),
		RunE: func(_ *cobra.Command, args []string) error {
			origin := ""
			if len(args) > 1 {
				origin = args[1]
			}
			r := config.CheckZone(args[0], origin)
			if err := a.print(r, func(w io.Writer) { writeZoneReport(w, r) }); err != nil {
				return err
			}
			if !r.Valid {
				return quiet(exitUsage, "invalid zone")
			}
			return nil
		},
	}
}

func writeZoneReport(w io.Writer, r config.ZoneReport) {
	if r.Valid {
		fmt.Fprintf(w, "%s: zone %s is valid: %d records, serial %d\n", clean(r.File), shown(r.Zone), r.Records, r.Serial)
		return
	}
	fmt.Fprintf(w, "%s: zone %s is not valid:\n", clean(r.File), shown(r.Zone))
	for _, p := range r.Problems {
		para(w, "  ", p)
	}
}
