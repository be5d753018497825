package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/config"
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
}

type validService struct {
	Name      string          `json:"name"`
	Kind      steering.Kind   `json:"kind"`
	SteadyTTL uint32          `json:"steady_ttl"`
	Budget    steering.Budget `json:"budget"`
	Losses    []loss          `json:"losses"`
}

type loss = config.RegionLoss

// invalidity is what -o json prints of an invalid one.
type invalidity struct {
	Valid  bool          `json:"valid"`
	File   string        `json:"file"`
	Errors config.Errors `json:"errors"`
}

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the config, and say what it promises",
		Long: `Validate reads the config and prints every error at once, each with its line and
what was expected (exit code 2). Of a valid config it prints, for each service,
the steady TTL, the worst-case recovery time term by term, what the loss of each
region means, and warnings. It writes nothing and needs no daemon.

-o json prints {valid, file, owner, hash, vantages, services: [{name, kind,
steady_ttl, budget, losses}], warnings}, or {valid, file, errors: [{file, line,
column, source, path, problem, expected, hint}]}.`,
		Example: "  veer validate\n  veer validate -c /etc/veer/veer.yaml -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
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
			return a.print(v, func(w io.Writer) { writeValidity(w, v, paint{a.plain}) })
		},
	}
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
	for _, s := range c.Policy().Services {
		v.Services = append(v.Services, validService{
			Name: s.Name, Kind: s.Kind, SteadyTTL: s.TTL, Budget: budgets[s.Name], Losses: nonNil(losses[s.Name]),
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
		fmt.Fprintln(w, "  when a region is lost:")
		lossTable(w, s.Losses, p)
	}
	if len(v.Warnings) > 0 {
		fmt.Fprintln(w, "\n"+p.warn("WARNINGS"))
		for _, text := range v.Warnings {
			para(w, "- ", text)
		}
	}
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
