package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// maxHash bounds the hash of a config in a request.
const maxHash = 64

// compare tells of vantages whose config is new to this process. It is called
// with mu held.
func (s *scene) compare(ballots []regions.Ballot) {
	for _, b := range ballots {
		if b.Config == "" || s.configs[b.Vantage] == b.Config {
			continue
		}
		s.configs[b.Vantage] = b.Config
		if s.others != nil {
			s.others(b.Vantage, b.Config)
		}
	}
}

// sayOther logs that a vantage runs another config.
func (d *daemon) sayOther(vantage regions.Name, hash string) {
	if own := d.config().Hash(); hash != own {
		d.o.Log.Warn().Str("vantage", string(vantage)).Str("config", hash).Str("own", own).
			Msg("another vantage runs another config; the leader decides by its own")
	}
}

// others warns of vantages that run another config.
func others(st api.Status) []string {
	var out []string
	for _, v := range st.Voters {
		if v.Config != "" && v.Config != st.Config {
			out = append(out, fmt.Sprintf("vantage %s runs another config (%s) than this daemon (%s): the leader decides by its own; is veer.yaml the same everywhere?", v.Name, v.Config, st.Config))
		}
	}
	return out
}

// limited gives an input what the leader last decided the shard with, as far as
// the ledger tells: that is over once it says so, and not before.
func limited(in *steering.Input, was steering.Panic) {
	elapsed := in.Now - in.Prev.Clock
	if len(was.Held) > 0 {
		was.Left = max(was.Left-elapsed, 1)
		in.Panic = was
	}
	for _, s := range in.Prev.Services {
		if s.Waits {
			in.Velocity = steering.Velocity{Scarce: true, Retry: time.Minute}
		}
		if s.Pending.Config != "" {
			in.Unconfirmed.Config = s.Pending.Config
			in.Unconfirmed.Services = append(in.Unconfirmed.Services, s.Name)
		}
	}
}

// limits warns of what bounds the decisions of now.
func (p *picture) limits() []string {
	var out []string
	waiting, all := map[string][]string{}, 0
	var is steering.Panic
	for _, sh := range p.shards {
		if left := sh.State.Panic.Left - p.now.Sub(sh.at); len(sh.State.Panic.Held) > 0 && (len(is.Held) == 0 || left > is.Left) {
			is = sh.State.Panic
			is.Left = left
		}
		all += len(sh.State.Services)
		for _, s := range sh.State.Services {
			if s.Pending.Config != "" {
				waiting[s.Pending.Config] = append(waiting[s.Pending.Config], short(s.Name))
			}
		}
	}
	if len(is.Held) > 0 {
		out = append(out, fmt.Sprintf("panic: %s; it counts as unknown and answers stay as they are, for %s more at most; veer drain or veer force moves traffic all the same", is.Why, max(is.Left, 0).Round(time.Second)))
	}
	for _, config := range slices.Sorted(maps.Keys(waiting)) {
		names := waiting[config]
		slices.Sort(names)
		text := strings.Join(names[:min(len(names), 5)], ", ")
		if more := len(names) - 5; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, fmt.Sprintf("config %s alone would alter too many answers: %d of %d services are held as they are (%s); veer plan shows what would change, veer apply --accept-config %s confirms it", config, len(names), all, text, config))
	}
	return out
}

// unconfirmed are the answers that are held, and what they would be where what
// is unknown is what it was last known to be, or else up.
func (r read) unconfirmed() []api.Unconfirmed {
	var out []api.Unconfirmed
	for _, svc := range r.policy.Services {
		state := r.state(svc.Name)
		if state.Pending.Config == "" {
			continue
		}
		in := r.input(svc, r.view.Overrides)
		in.Unconfirmed = steering.Unconfirmed{}
		hopeful(in.Verdicts, state)
		out = append(out, api.Unconfirmed{
			Service: svc.Name, Config: state.Pending.Config, Before: state.Answer, After: serviceOf(steering.Decide(in).Next, svc.Name).Answer,
		})
	}
	slices.SortFunc(out, func(a, b api.Unconfirmed) int { return strings.Compare(a.Service, b.Service) })
	return out
}

func hopeful(verdicts []regions.Verdict, state steering.ServiceState) {
	known := map[regions.EndpointID]checks.Health{}
	for _, p := range state.Pools {
		for _, e := range p.Endpoints {
			known[e.ID] = e.Known
		}
	}
	for i := range verdicts {
		v := &verdicts[i]
		if v.Health == checks.Unknown {
			v.Health = known[v.Endpoint]
		}
		if v.Health == checks.Unknown {
			v.Health = checks.Up
		}
	}
}
