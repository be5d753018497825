package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions/steering"
)

// validity is what -o json prints of a valid config.
type validity struct {
	Valid    bool           `json:"valid"`
	File     string         `json:"file"`
	Owner    string         `json:"owner"`
	Hash     string         `json:"hash"`
	Vantages int            `json:"vantages"`
	Services []validService `json:"services"`
	Warnings []string       `json:"warnings"`
	// Live is what the zones answered, with --live.
	Live []daemon.LiveZone `json:"live,omitempty"`
}

type validService struct {
	Name      string          `json:"name"`
	Kind      steering.Kind   `json:"kind"`
	SteadyTTL uint32          `json:"steady_ttl"`
	Budget    steering.Budget `json:"budget"`
	// Providers are the times that are declared of each; the slowest is in the
	// budget.
	Providers []config.ProviderTime `json:"providers"`
	Losses    []loss                `json:"losses"`
}

type loss = config.RegionLoss

// invalidity is what -o json prints of an invalid one.
type invalidity struct {
	Valid  bool          `json:"valid"`
	File   string        `json:"file"`
	Errors config.Errors `json:"errors"`
}

func (a *app) validateCommand() *cobra.Command {
	var live bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the config, and say what it promises",
		Long: `Validate reads the config and prints every error at once, each with its line and
what was expected (exit code 2). Of a valid config it prints, for each service,
the steady TTL, the worst-case recovery time term by term, what the loss of each
region means, and warnings. It writes nothing and needs no daemon.

--live also asks every provider that is written to, with the config's
credentials: it reads each zone, tells who owns the services' names there, and
proves that the zone keeps a stale write out. The proof writes a scratch record,
_veer-scratch.OWNER.ZONE, and removes it. It exits with 1 when a zone cannot be
read or proven, and with 3 when Veer would refuse to write a zone or a name.

-o json prints {valid, file, owner, hash, vantages, services: [{name, kind,
steady_ttl, budget, providers, losses}], warnings, live: [{provider, kind, zone,
read, read_took, proven, proof_took, unproven, error, can, fence, names: [{name,
state, owner, records}], held}]}, or {valid, file, errors: [{file, line, column,
source, path, problem, expected, hint}]}.`,
		Example: "  veer validate\n  veer validate --live\n  veer validate -c /etc/veer/veer.yaml -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, path, err := a.load()
			var errs config.Errors
			if errors.As(err, &errs) && a.output == "json" {
				if err := a.printJSON(invalidity{File: path, Errors: errs}); err != nil {
					return err
				}
				return quiet(exitUsage, "invalid")
			}
			if err != nil {
				return err
			}
			v := validityOf(c, path)
			v.Warnings = append(v.Warnings, c.CertificateWarnings(a.now())...)
			if live {
				ctx, stop := daemon.Signals(cmd.Context())
				defer stop()
				v.Live = daemon.Live(ctx, c, a.open, zerolog.Nop())
			}
			if err := a.print(v, func(w io.Writer) { writeValidity(w, v, paint{a.plain}) }); err != nil {
				return err
			}
			return liveExit(v.Live)
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask the providers, too")
	return cmd
}

// liveExit is how the command ends after a look at the zones.
func liveExit(zones []daemon.LiveZone) error {
	switch {
	case slices.ContainsFunc(zones, daemon.LiveZone.Failed):
		return quiet(exitFailed, "a zone could not be read or proven")
	case slices.ContainsFunc(zones, daemon.LiveZone.Refuses):
		return quiet(exitRefused, "a zone or a name would not be written")
	}
	return nil
}

func validityOf(c *config.Config, path string) validity {
	v := validity{
		Valid: true, File: path, Owner: c.Owner, Hash: c.Hash(), Vantages: len(c.Vantages),
		Services: []validService{}, Warnings: nonNil(c.Warnings()),
	}
	losses := map[string][]loss{}
	for _, l := range c.RegionLoss() {
		losses[l.Service] = append(losses[l.Service], l)
	}
	budgets := c.Budgets()
	for i, s := range c.Policy().Services { // in the order of the config
		v.Services = append(v.Services, validService{
			Name: s.Name, Kind: s.Kind, SteadyTTL: s.TTL, Budget: budgets[s.Name],
			Providers: c.ProviderTimes(c.Services[i]), Losses: nonNil(losses[s.Name]),
		})
	}
	return v
}

func writeValidity(w io.Writer, v validity, p paint) {
	fmt.Fprintf(w, "%s  %s\n", p.good("valid"), v.File)
	para(w, "", fmt.Sprintf("owner %s, %s, %s, config hash %s", v.Owner, count(v.Vantages, "vantage"), count(len(v.Services), "service"), v.Hash))
	for _, s := range v.Services {
		fmt.Fprintf(w, "\n%s\n", p.bold(elide(shown(s.Name), width)))
		fmt.Fprintf(w, "  %s, steady TTL %d s\n", s.Kind, s.SteadyTTL)
		fmt.Fprintln(w, "  worst-case recovery:")
		budget(w, s.Budget, "    ")
		providerTimes(w, s.Providers)
		fmt.Fprintln(w, "  when a region is lost:")
		lossTable(w, s.Losses, p)
	}
	if len(v.Warnings) > 0 {
		fmt.Fprintln(w, "\n"+p.warn("WARNINGS"))
		for _, text := range v.Warnings {
			para(w, "- ", text)
		}
	}
	writeLive(w, v.Live, p)
}

// providerTimes shows what each of several providers adds at its worst.
func providerTimes(w io.Writer, times []config.ProviderTime) {
	if len(times) < 2 {
		return
	}
	fmt.Fprintln(w, "  by provider, at the worst:")
	t := table{limits: []int{20, 0}}
	for _, one := range times {
		t.add(one.Provider, fmt.Sprintf("queue %s, propagation %s", short(one.Queue), short(one.Propagation)))
	}
	t.write(w, "    ")
}

func lossTable(w io.Writer, list []loss, p paint) {
	t := table{limits: []int{30, 10, 0}}
	t.mark = func(row, column int, cell string) string {
		switch {
		case column != 1:
			return cell
		case list[row].Holds:
			return p.good(cell)
		}
		return p.bad(cell)
	}
	for _, l := range list {
		verdict := "holds"
		if !l.Holds {
			verdict = "DOES NOT"
		}
		t.add(string(l.Region), verdict, l.Why)
	}
	t.write(w, "    ")
}
