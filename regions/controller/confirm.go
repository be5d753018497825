package controller

import (
	"errors"
	"fmt"
	"slices"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// ErrConfig means that a Request confirms another config than the leader's, or
// one that waits for no confirmation.
var ErrConfig = errors.New("nothing is confirmed")

// compare finds the services whose answers this config alone would alter, as
// against what the ledger has, health as it was last known. Where they are too
// many (see guardPercent) they are held until an operator confirms it; those
// that the ledger holds for this very config already stay so.
func (r *reign) compare() {
	if r.compared {
		return
	}
	r.compared = true
	if !slices.ContainsFunc(r.shards[:], func(sh *shard) bool { return sh.another(r.o.ConfigHash) }) {
		return
	}
	altered, waiting, all := map[string]*shard{}, map[string]*shard{}, 0
	for _, sh := range r.shards {
		if sh.at == 0 || sh.lost {
			continue
		}
		was := sh.listed()
		d := r.o.Decide(r.unaltered(sh))
		for _, s := range was {
			if len(s.Answer) == 0 {
				continue
			}
			all++
			at := slices.IndexFunc(d.Next.Services, func(n steering.ServiceState) bool { return n.Name == s.Name })
			if at < 0 || sameData(s.Answer, d.Next.Services[at].Answer) {
				continue
			}
			altered[s.Name] = sh
			if s.Pending.Config == r.o.ConfigHash {
				waiting[s.Name] = sh
			}
		}
	}
	over := all >= guardLeast && len(altered)*100 > all*guardPercent
	hold := waiting
	if over {
		hold = altered
	}
	for name, sh := range hold {
		if sh.unconfirmed == nil {
			sh.unconfirmed = map[string]bool{}
		}
		sh.unconfirmed[name] = true
	}
	if len(hold) > 0 {
		r.o.Log.Warn().Str("config", r.o.ConfigHash).Int("altered", len(altered)).Int("services", all).Int("held", len(hold)).
			Msg("this config alone would alter too many answers: they are held until veer apply --accept-config confirms it")
	}
}

// another reports whether the shard was decided from another config, or has
// services that wait for a confirmation.
func (sh *shard) another(hash string) bool {
	return sh.at != 0 && !sh.lost && (sh.kept.Config != hash ||
		slices.ContainsFunc(sh.kept.State.Services, func(s steering.ServiceState) bool { return s.Pending.Config != "" }))
}

// unaltered is the shard's input in which nothing but the config is new: no
// time has passed, endpoints are what they were last known to be, and those of
// which nothing was known yet are up, as they may soon be found.
func (r *reign) unaltered(sh *shard) steering.Input {
	known := map[regions.EndpointID]checks.Health{}
	for _, s := range sh.kept.State.Services {
		for _, p := range s.Pools {
			for _, e := range p.Endpoints {
				known[e.ID] = max(known[e.ID], e.Known)
			}
		}
	}
	in := steering.Input{
		Now: sh.kept.State.Clock, Policy: steering.Policy{Services: slices.Clone(sh.services)},
		Overrides: r.overrides(sh), Calendar: r.calendarOf(sh, r.now()), Prev: sh.kept.State,
	}
	for i := range in.Policy.Services {
		in.Policy.Services[i].Shifts = 0
		for _, p := range in.Policy.Services[i].Pools {
			for _, e := range p.Endpoints {
				h := known[e.ID]
				if h == checks.Unknown {
					h = checks.Up
				}
				in.Verdicts = append(in.Verdicts, regions.Verdict{Endpoint: e.ID, Health: h})
			}
		}
	}
	return in
}

// unconfirmedOf are the shard's services that are held.
func (r *reign) unconfirmedOf(sh *shard) steering.Unconfirmed {
	var u steering.Unconfirmed
	for _, s := range sh.services {
		if sh.unconfirmed[s.Name] {
			u.Services = append(u.Services, s.Name)
		}
	}
	if len(u.Services) > 0 {
		slices.Sort(u.Services)
		u.Config = r.o.ConfigHash
	}
	return u
}

// letGo forgets those that were decided all the same, since what they answered
// was down or an operator moved them.
func (sh *shard) letGo(next steering.State) {
	for _, s := range next.Services {
		if s.Pending.Config == "" {
			delete(sh.unconfirmed, s.Name)
		}
	}
}

// accept confirms the config.
func (r *reign) accept(req Request) error {
	if req.AcceptConfig == "" {
		return nil
	}
	if req.AcceptConfig != r.o.ConfigHash {
		return fmt.Errorf("%w: the leader's config is %s, not %s", ErrConfig, r.o.ConfigHash, req.AcceptConfig)
	}
	n := 0
	for _, sh := range r.shards {
		if len(sh.unconfirmed) == 0 {
			continue
		}
		n += len(sh.unconfirmed)
		sh.unconfirmed, sh.dirty = nil, true
		sh.causes.add(fmt.Sprintf("config %s confirmed by %s: %s", req.AcceptConfig, req.By, req.Why))
	}
	if n == 0 {
		return fmt.Errorf("%w: no answer waits for a confirmation of config %s", ErrConfig, req.AcceptConfig)
	}
	r.o.Log.Warn().Str("config", req.AcceptConfig).Int("services", n).Str("by", req.By).Str("why", req.Why).
		Msg("an operator confirmed what the config alters")
	return nil
}

// waits reports whether a service that is confirmed has not been decided yet.
func (sh *shard) waits(hash string) bool {
	return slices.ContainsFunc(sh.kept.State.Services, func(s steering.ServiceState) bool {
		return s.Pending.Config == hash && !sh.unconfirmed[s.Name]
	})
}
