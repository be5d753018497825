package daemon

import (
	"fmt"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// measureOf takes the round trip out of a probe's results; nil: nobody wants to
// know.
func measureOf(p config.Probe) func(checks.Result) time.Duration {
	switch p.Measure {
	case config.MeasureConnect:
		return func(r checks.Result) time.Duration { return r.Evidence.Connect }
	case config.MeasureAnswer:
		return func(r checks.Result) time.Duration { return r.Latency }
	}
	return nil
}

// distances are what the votes say of the round trips to a latency service's
// endpoints, as the leader takes them.
func (p *picture) distances(svc steering.Service) []steering.Distance {
	if svc.Kind != steering.Latency {
		return nil
	}
	var out []steering.Distance
	seen := map[regions.EndpointID]bool{}
	for _, pool := range svc.Pools {
		for _, e := range pool.Endpoints {
			if seen[e.ID] {
				continue
			}
			seen[e.ID] = true
			for _, v := range p.byVote[e.ID] {
				if d := v.Distance(); d > 0 {
					out = append(out, steering.Distance{Vantage: v.Vantage, Endpoint: e.ID, RoundTrip: d})
				}
			}
		}
	}
	return out
}

// nearing says which pools are about to go before others because they are
// nearer.
func nearing(state steering.ServiceState) []api.Next {
	var out []api.Next
	for _, l := range state.Locations {
		for _, g := range l.Gains {
			if g.Left > 0 {
				out = append(out, api.Next{What: fmt.Sprintf("%s goes before %s for %s, if it stays nearer", g.Region, g.Over, l.Name), In: g.Left})
			}
		}
	}
	return out
}
