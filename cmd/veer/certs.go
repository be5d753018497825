package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
)

const aDay = 24 * time.Hour

func (a *app) certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make and look at the certificates of the cluster",
		Long: `Certs makes a small CA, and with it a certificate for each region, by which
members and clients of the cluster know each other. See docs/certificates.md.
Files of another CA serve as well.`,
		Example: "  veer certs init\n  veer certs issue eu-west\n  veer certs show",
		Args:    subcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.certsInitCommand(), a.certsIssueCommand(), a.certsShowCommand())
	return cmd
}

func (a *app) certsInitCommand() *cobra.Command {
	var dir, owner string
	var days int
	var force bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a CA",
		Long: `Init makes a CA that carries the config's owner: ca.pem, which every host gets,
and ca.key (mode 0600), which stays where certificates are issued and belongs on
no host of the cluster. It overwrites nothing without --force; a CA that is
replaced makes all its certificates void.

-o json prints {files, names, not_after}.`,
		Example: "  veer certs init\n  veer certs init --dir /root/veer-ca --owner shop-prod",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if owner == "" {
				c, err := a.unissued()
				if err != nil {
					return within(err, "finding the owner (--owner names it too)")
				}
				owner = c.Owner
			}
			done, err := daemon.InitCA(dir, owner, a.now(), time.Duration(days)*aDay, force)
			return a.issued(done, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "folder of the CA")
	f.StringVar(&owner, "owner", "", "whose CA it is (default: the config's owner)")
	f.IntVar(&days, "days", int(daemon.CALife/aDay), "how long it is valid")
	f.BoolVar(&force, "force", false, "replace the CA that is there")
	return cmd
}

func (a *app) certsIssueCommand() *cobra.Command {
	var dir string
	var san []string
	var days int
	var force bool
	cmd := &cobra.Command{
		Use:   "issue REGION",
		Short: "Issue the certificate of a region",
		Long: `Issue makes REGION.pem and REGION.key by the CA in the folder. The certificate
covers the hosts of cluster.members.REGION and those of --san, and serves for a
server and a client; without any, as for a vantage that has no member, for a
client only. It overwrites nothing without --force. A daemon takes renewed files
into use by itself.

-o json prints {files, names, not_after}.`,
		Example: "  veer certs issue eu-west\n  veer certs issue eu-west --san veer.eu.example.org --days 90 --force",
		Args:    a.args("REGION"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.unissued()
			if err != nil {
				return err
			}
			if places := c.Places(); !slices.Contains(places, args[0]) {
				return usage(unknown("region, vantage or member", args[0], places))
			}
			hosts := c.MemberHosts(regions.Name(args[0]))
			for _, h := range san {
				if !slices.Contains(hosts, h) {
					hosts = append(hosts, h)
				}
			}
			done, err := daemon.IssueCert(dir, c.Owner, args[0], nonNil(hosts), a.now(), time.Duration(days)*aDay, force)
			return a.issued(done, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "folder of the CA, and of what it issues")
	f.StringSliceVar(&san, "san", nil, "another IP address or DNS name that it covers; may be repeated")
	f.IntVar(&days, "days", int(daemon.CertLife/aDay), "how long it is valid, at most as long as the CA")
	f.BoolVar(&force, "force", false, "replace the certificate that is there")
	return cmd
}

// unissued is the config, whose certificates need not be there.
func (a *app) unissued() (*config.Config, error) {
	path, err := config.Find(a.config, a.env)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	c, err := config.LoadUnissued(path, a.env, config.Flag{Name: "--data-dir", Env: config.EnvDataDir, Value: a.dataDir})
	var errs config.Errors
	if errors.As(err, &errs) {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return c, err
}

func (a *app) issued(done daemon.Issued, err error) error {
	if errors.Is(err, daemon.ErrCertExists) {
		return &exitError{code: exitRefused, err: err, hint: "Add --force to replace it."}
	}
	if err != nil {
		return err
	}
	return a.print(done, func(w io.Writer) {
		for _, f := range done.Files {
			fmt.Fprintf(w, "wrote %s\n", f)
		}
		if len(done.Names) > 0 {
			para(w, "covers ", strings.Join(done.Names, ", "))
		}
		fmt.Fprintf(w, "valid until %s\n", done.NotAfter.Format(time.DateOnly))
	})
}

func (a *app) certsShowCommand() *cobra.Command {
	var region string
	var soon int
	cmd := &cobra.Command{
		Use:   "show [FILE...]",
		Short: "Show certificates, and what is wrong with them",
		Long: `Show prints what is in the files (by default those of host.tls), and what is
wrong with them for this config: expired, not valid yet, of another CA than
host.tls.ca_file, without an address of the region's member, without a usage, or
with a key of another (FILE.key beside FILE.pem). A certificate is judged for
--region, or for the region whose name it carries, or for host.region.

It exits with 1 when something is wrong, and with 4 when something expires
within --soon days. -o json prints a list of {file, kind, region, subject,
names, issuer, serial, not_before, not_after, usages, problems, soon}.`,
		Example: "  veer certs show\n  veer certs show us-east.pem ca.pem --soon 60 -o json",
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.unissued()
			_, missing := config.Find(a.config, a.env)
			switch {
			case err != nil && missing != nil && len(args) > 0:
				c = &config.Config{} // then only what the files themselves tell
			case err != nil:
				return err
			}
			if places := c.Places(); region != "" && !slices.Contains(places, region) {
				return usage(unknown("region, vantage or member", region, places))
			}
			files := []config.CertificateFile{}
			for _, path := range args {
				files = append(files, c.CertificateAt(path, regions.Name(region), a.now(), time.Duration(soon)*aDay))
			}
			if len(args) == 0 {
				files = c.HostCertificates(a.now(), time.Duration(soon)*aDay)
			}
			if len(files) == 0 {
				return usagef("the config names no files under host.tls: say which ones to show")
			}
			if err := a.print(files, func(w io.Writer) { writeCertificates(w, files, paint{a.plain}) }); err != nil {
				return err
			}
			return certificatesExit(files)
		},
	}
	cmd.Flags().StringVar(&region, "region", "", "for which region a certificate is judged")
	cmd.Flags().IntVar(&soon, "soon", int(config.ExpiresSoon/aDay), "how many days before its end a certificate expires soon")
	return cmd
}

func certificatesExit(files []config.CertificateFile) error {
	switch {
	case slices.ContainsFunc(files, func(f config.CertificateFile) bool { return len(f.Problems) > 0 }):
		return quiet(exitFailed, "something is wrong with a certificate")
	case slices.ContainsFunc(files, func(f config.CertificateFile) bool { return f.Soon != "" }):
		return quiet(exitDegraded, "a certificate expires soon")
	}
	return nil
}

func writeCertificates(w io.Writer, files []config.CertificateFile, p paint) {
	for i, f := range files {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s  %s\n", p.bold(clean(f.File)), cmp.Or(f.Kind, "unreadable"))
		if f.Subject != "" {
			para(w, "  subject  ", f.Subject)
			para(w, "  issuer   ", f.Issuer)
			if len(f.Names) > 0 {
				para(w, "  covers   ", strings.Join(f.Names, ", "))
			}
			para(w, "  for      ", cmp.Or(strings.Join(f.Usages, ", "), "nothing"))
			para(w, "  valid    ", f.NotBefore.Format(time.DateTime)+" to "+f.NotAfter.Format(time.DateTime)+" UTC")
		}
		for _, text := range f.Problems {
			para(w, "  "+p.bad("WRONG")+"    ", text)
		}
		if f.Soon != "" {
			para(w, "  "+p.warn("SOON")+"     ", f.Soon)
		}
		if len(f.Problems) == 0 && f.Soon == "" {
			fmt.Fprintln(w, "  "+p.good("good"))
		}
	}
}
