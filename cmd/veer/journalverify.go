package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
)

func (a *app) journalHeadsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "heads",
		Short: "List the heads of the chains that the journal is written out as",
		Long: `Heads lists how far each output of each host is, as the ledger has it: region,
output, chain, number and hash of the last line. Keep what -o json prints where
who can write the files cannot: veer journal verify --heads compares with it.

-o json prints [{region, output, chain, n, hash, time}].`,
		Example: "  veer journal heads\n  veer journal heads -o json > heads.json",
		Args:    a.args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.daemon()
			if err != nil {
				return err
			}
			heads, err := client.Exports(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(nonNil(heads), func(w io.Writer) {
				if len(heads) == 0 {
					fmt.Fprintln(w, "The journal is not written out: see journal in the configuration.")
				}
				for _, h := range heads {
					fmt.Fprintf(w, "%s  %s  chain %s  line %d  %s\n", clean(string(h.Region)), clean(h.Output), clean(h.Chain), h.N, clean(h.Hash))
				}
			})
		},
	}
}

func (a *app) journalVerifyCommand() *cobra.Command {
	var ledger, syslog bool
	var heads string
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check that files of the journal are as they were written",
		Long: `Verify checks files that a daemon wrote the journal to, those that were put
aside among them, in any order, or with --syslog the messages of a syslog server
without their headers: each line has the hash of the one before. It says the
first line that was edited, removed, added or moved, what was found and what was
expected.

That the end was not cut off shows only by a head that is kept elsewhere:
--ledger asks the daemon for those of the ledger, --heads reads what veer
journal heads -o json printed. An end that is less than a few seconds old may
not be in them.

It exits with 1 when something is wrong. -o json prints {files, lines, chains:
[{chain, first, last, gaps}], proven, finding: {file, line, found, expected}}.`,
		Example: "  veer journal verify /var/log/veer/journal.jsonl*\n  veer journal verify --ledger /var/log/veer/journal.jsonl*",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("FILE is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var kept []api.Export
			if heads != "" {
				var err error
				if kept, err = daemon.ReadHeads(heads); err != nil {
					return err
				}
			}
			if ledger {
				client, err := a.daemon()
				if err != nil {
					return err
				}
				now, err := client.Exports(cmd.Context())
				if err != nil {
					return err
				}
				kept = append(kept, now...)
			}
			v, err := daemon.VerifyJournal(args, kept, syslog)
			if err != nil {
				return err
			}
			if err := a.print(v, func(w io.Writer) { writeVerified(w, v, ledger || heads != "") }); err != nil {
				return err
			}
			if v.Finding != nil {
				return quiet(exitFailed, "the journal is not as it was written")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&syslog, "syslog", false, "the lines are what a syslog server got: one may come again")
	cmd.Flags().BoolVar(&ledger, "ledger", false, "compare with the heads that the ledger has")
	cmd.Flags().StringVar(&heads, "heads", "", "compare with the heads in this file")
	return cmd
}

func writeVerified(w io.Writer, v daemon.VerifiedJournal, compared bool) {
	if f := v.Finding; f != nil {
		fmt.Fprintln(w, clean(f.Error()))
		return
	}
	fmt.Fprintf(w, "%d lines in %d files are as they were written.\n", v.Lines, v.Files)
	for _, c := range v.Chains {
		fmt.Fprintf(w, "chain %s: lines %d to %d", c.Chain, c.First, c.Last)
		if c.Gaps > 0 {
			fmt.Fprintf(w, ", with %d gaps that it tells of itself", c.Gaps)
		}
		fmt.Fprintln(w)
	}
	switch {
	case v.Proven:
		fmt.Fprintln(w, "No end was cut off, as far as the heads say.")
	case compared:
		fmt.Fprintln(w, "There is no head for every chain: whether an end was cut off is not known.")
	default:
		fmt.Fprintln(w, "Whether the end was cut off is not known: --ledger or --heads tells.")
	}
}
