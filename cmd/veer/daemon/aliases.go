package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/metrics"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions/steering"
)

// failsToWarn is from how many failures in a row on a look-up is a warning: one
// packet is lost easily.
const failsToWarn = 2

// aliases are the hosts of a service, in the order of its endpoints, as the
// servers of this process know them.
func (d *daemon) aliases(svc steering.Service, now time.Time) []api.Alias {
	if !svc.Flatten {
		return nil
	}
	known := map[string]authority.AliasState{}
	for _, s := range d.servers {
		for _, a := range s.Aliases() {
			if was, ok := known[a.Host]; !ok || a.Resolved.After(was.Resolved) {
				known[a.Host] = a
			}
		}
	}
	addresses := slices.Clone(svc.Fallback)
	for _, p := range slices.Backward(svc.Pools) {
		for _, e := range slices.Backward(p.Endpoints) {
			addresses = slices.Insert(addresses, 0, e.Address)
		}
	}
	var out []api.Alias
	for _, address := range addresses {
		a, ok := known[providers.CanonicalName(address)]
		if !ok || slices.ContainsFunc(out, func(o api.Alias) bool { return o.Host == a.Host }) {
			continue
		}
		one := api.Alias{Host: a.Host, Addresses: slices.Concat(a.V4, a.V6), Stale: a.Stale, Failed: a.Failed, Problem: a.Problem}
		if !a.Resolved.IsZero() {
			one.Age = max(now.Sub(a.Resolved), 0)
		}
		out = append(out, one)
	}
	return out
}

// aliasWarnings are the hosts that can't be looked up.
func (d *daemon) aliasWarnings(now time.Time) []string {
	var out []string
	for _, s := range d.servers {
		for _, a := range s.Aliases() {
			if a.Failed < failsToWarn {
				continue
			}
			of := ""
			if len(a.Services) > 0 {
				names := make([]string, len(a.Services))
				for i, name := range a.Services {
					names[i] = short(name)
				}
				of = ", which " + strings.Join(names, ", ") + " leads to,"
			}
			switch {
			case !a.Known():
				out = append(out, fmt.Sprintf("%s%s was never looked up: %s", short(a.Host), of, a.Problem))
			case a.Stale:
				out = append(out, fmt.Sprintf("%s%s can't be looked up, and its addresses of %s ago are served as stale: %s", short(a.Host), of, ago(a.Resolved, now), a.Problem))
			default:
				out = append(out, fmt.Sprintf("%s%s can't be looked up, and its addresses of %s ago are served on: %s", short(a.Host), of, ago(a.Resolved, now), a.Problem))
			}
		}
	}
	return out
}

func ago(then, now time.Time) time.Duration { return max(now.Sub(then), 0).Round(time.Second) }

// aliasHosts counts a server's hosts by how they stand.
func aliasHosts(all []authority.AliasState) map[string]int {
	out := map[string]int{}
	for _, a := range all {
		switch {
		case !a.Known():
			out[metrics.AliasUnknown]++
		case a.Stale:
			out[metrics.AliasStale]++
		default:
			out[metrics.AliasFresh]++
		}
	}
	return out
}
