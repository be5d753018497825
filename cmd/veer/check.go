package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
)

// atOnce bounds how many endpoints one check probes at the same time.
const atOnce = 16

// checked is one probe, and what -o json prints of it.
type checked struct {
	Endpoint regions.EndpointID `json:"endpoint"`
	checks.Result
}

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check NAME",
		Short: "Probe a service's endpoints once, from here",
		Long: `Check probes once, from this host, with the config's monitor and no daemon:
every endpoint of a service, or one given as MONITOR@ADDRESS or ADDRESS. It says
what was found and how long each phase took. It changes no vote.

It exits with 0 when all are up, and else with 4. -o json prints [{endpoint,
health, latency, reason, evidence}].`,
		Example: "  veer check app.example.test\n  veer check web@192.0.2.10",
		Args:    a.args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			probes, err := probesOf(c, args[0])
			if err != nil {
				return usage(err)
			}
			results, err := probeAll(cmd.Context(), probes)
			if err != nil {
				return err
			}
			if err := a.print(results, func(w io.Writer) { writeChecked(w, results, paint{a.plain}) }); err != nil {
				return err
			}
			if slices.ContainsFunc(results, func(r checked) bool { return r.Health != checks.Up }) {
				return quiet(exitDegraded, "not all endpoints are up")
			}
			return nil
		},
	}
}

// probesOf finds what the name means: a service, or an endpoint.
func probesOf(c *config.Config, name string) ([]config.Probe, error) {
	wanted := map[regions.EndpointID]bool{}
	var words []string
	for _, s := range c.Policy().Services {
		words = append(words, shown(s.Name))
		for _, p := range s.Pools {
			for _, e := range p.Endpoints {
				words = append(words, string(e.ID))
				if s.Name == providers.CanonicalName(name) || string(e.ID) == name || sameAddress(e.Address, name) {
					wanted[e.ID] = true
				}
			}
		}
	}
	var probes []config.Probe
	for _, p := range c.Endpoints() {
		if wanted[p.Endpoint] {
			probes = append(probes, p)
		}
	}
	if len(probes) == 0 {
		slices.Sort(words)
		return nil, unknown("service or endpoint", name, slices.Compact(words))
	}
	return probes, nil
}

// probeAll probes all at once, each within its monitor's time-out, and keeps
// the order.
func probeAll(ctx context.Context, probes []config.Probe) ([]checked, error) {
	results := make([]checked, len(probes))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, p := range probes {
		prober, err := daemon.Checker(p.Monitor)
		if err != nil {
			return nil, fmt.Errorf("making the prober of %s: %w", p.Endpoint, err)
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, p.Monitor.Timeout)
			defer cancel()
			results[i] = checked{p.Endpoint, prober.Probe(ctx, p.Target)}
			return nil
		})
	}
	return results, group.Wait()
}

func writeChecked(w io.Writer, results []checked, p paint) {
	for _, r := range results {
		health := strings.ToUpper(r.Health.String())
		switch r.Health {
		case checks.Up:
			health = p.good(health)
		case checks.Down:
			health = p.bad(health)
		default:
			health = p.warn(health)
		}
		fmt.Fprintf(w, "%s  %s in %s\n", elide(clean(string(r.Endpoint)), 50), health, precise(r.Latency))
		para(w, "  ", r.Reason)
		if phases := phases(r.Evidence); phases != "" {
			para(w, "  ", phases)
		}
	}
}

// phases lists how far the probe came, and how long each phase took.
func phases(e checks.Evidence) string {
	var parts []string
	for _, phase := range []struct {
		name string
		took time.Duration
	}{{"resolve", e.Resolve}, {"connect", e.Connect}, {"tls", e.TLS}, {"first byte", e.FirstByte}} {
		if phase.took > 0 {
			parts = append(parts, phase.name+" "+precise(phase.took))
		}
	}
	if e.Address != "" {
		parts = append([]string{e.Address}, parts...)
	}
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	return strings.Join(parts, ", ")
}

// precise writes a duration to a tenth of a millisecond.
func precise(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
}
