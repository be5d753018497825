package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// picture of the daemon: what it knows now.
func (d *daemon) picture() *picture {
	if cl := d.cluster.Load(); cl != nil {
		return d.scene.picture(cl)
	}
	return d.scene.picture(nil)
}

// status is everything at a glance.
func (d *daemon) status(ctx context.Context) api.Status {
	p := d.picture()
	st := api.Status{
		Version: d.o.Version, Owner: d.c.Owner, Region: d.c.Host.Region, Roles: d.roleNames(),
		Uptime: p.now.Sub(d.began), Config: p.c.Hash(),
		Orders: []controller.Order{}, Warnings: []string{}, Serves: []api.Service{}, Zones: []controller.ZoneState{},
	}
	if c := d.controller.Load(); c != nil {
		st.Zones = append(st.Zones, c.Zones()...)
	}
	if p := d.prober.Load(); p != nil {
		now := p.Punctuality()
		st.Prober = &now
	}
	var leaderless string
	st.Leader, leaderless = d.leader(ctx, p)
	st.Voters = p.voters()
	for _, o := range p.view.Overrides {
		if o.Until.IsZero() || o.Until.Round(0).After(p.now.Round(0)) {
			st.Orders = append(st.Orders, o)
		}
	}
	for _, svc := range p.policy.Services {
		s, _ := d.service(p, svc)
		st.Serves = append(st.Serves, s)
	}
	st.Apart = d.statusApart()
	st.Traffic = d.statusTraffic()
	st.Warnings = append(d.warnings(p, st, leaderless), p.c.CertificateWarnings(p.now)...)
	st.Warnings = append(st.Warnings, d.reloadWarning()...)
	st.Warnings = append(st.Warnings, d.farMembers()...)
	st.Warnings = append(st.Warnings, d.aliasWarnings(p.now)...)
	if d.removed() {
		st.Warnings = append(st.Warnings, d.removedWarning())
	}
	return st
}

// leader asks the cluster who leads; the second result says why nobody is
// known to.
func (d *daemon) leader(ctx context.Context, p *picture) (api.Leader, string) {
	cl := d.cluster.Load()
	if cl == nil {
		if p.trouble != nil {
			return api.Leader{}, fmt.Sprintf("the cluster cannot be joined: %v; answers stay as they are", p.trouble)
		}
		return api.Leader{}, "the cluster is not joined yet; answers stay as they are"
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	name, term, itself, err := cl.Leading(ctx)
	switch {
	case err != nil && cl.Trouble() != nil:
		return api.Leader{}, fmt.Sprintf("etcd refuses this daemon, or is refused by it: %v; answers stay as they are", cl.Trouble())
	case err != nil:
		return api.Leader{}, fmt.Sprintf("etcd does not answer: %v; answers stay as they are", err)
	case name == "" && cl.HalfRestored(ctx):
		return api.Leader{Term: term}, "a restore has begun and not ended, and nobody leads before: if it was broken off, run veer restore again; answers stay as they are"
	case name == "":
		return api.Leader{Term: term}, "no controller leads; answers stay as they are"
	}
	return api.Leader{Name: name, Term: term, Itself: itself}, ""
}

// leaderTimeout bounds the question who leads, so that status is quick when
// etcd is away.
const leaderTimeout = time.Second

func (p *picture) voters() []api.Vantage {
	out := make([]api.Vantage, 0, len(p.c.Vantages))
	for _, name := range p.c.Vantages {
		v := api.Vantage{Name: name}
		for _, b := range p.ballots {
			if b.Vantage != name {
				continue
			}
			v.Fresh, v.Suspect, v.Why, v.Config = true, b.Suspect, b.Why, b.Config
			for _, vote := range b.Votes {
				if vote.Health != checks.Unknown {
					v.Votes++
				}
				if vote.Health == checks.Down {
					v.Down++
				}
			}
		}
		out = append(out, v)
	}
	return out
}

// service tells how one service stands, and what would be decided now.
func (d *daemon) service(p *picture, svc steering.Service) (api.Service, steering.Decision) {
	in := p.input(svc, p.view.Overrides)
	now := steering.Decide(in)
	state := p.state(svc.Name)
	answers, at := d.answers(p, svc.Name)
	if len(answers) == 0 {
		// No ledger yet: what a first decision is.
		answers, at = now.Answers, p.now
		state = serviceOf(now.Next, svc.Name)
	}
	s := api.Service{
		Name: svc.Name, Kind: svc.Kind, Serving: state.Serving, AllDown: state.AllDown,
		Steady: svc.TTL, Why: now.Why, Since: p.now.Sub(d.began),
	}
	if at, ok := p.moved[svc.Name]; ok {
		s.Since = p.now.Sub(at)
	}
	for i, a := range answers {
		set := a.RRSet
		set.TTL = ttlLeft(a, p.now.Sub(at))
		if i == 0 || set.TTL < s.TTL {
			s.TTL = set.TTL
		}
		s.Answer = append(s.Answer, set)
	}
	s.Here = setsOf(d.laidOf(svc.Name))
	left := serviceOf(now.Next, svc.Name)
	for _, pool := range svc.Pools {
		s.Pools = append(s.Pools, p.pool(pool, state, left))
	}
	return s, now
}

// answers are what the ledger says of a service, and when that was heard.
func (d *daemon) answers(p *picture, name string) ([]steering.Answer, time.Time) {
	sh := p.shards[steering.ShardOf(name)]
	var out []steering.Answer
	for _, a := range sh.Answers {
		if a.Name == name {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		for _, s := range d.servers {
			if held := s.Ledger(name); len(held) > 0 {
				return held, p.now
			}
		}
	}
	return out, sh.at
}

// ttlLeft is the TTL that an authority serves when an answer is age old: the
// time left where a change is foreseen, not below MinTTL.
func ttlLeft(a steering.Answer, age time.Duration) uint32 {
	if a.Left <= 0 {
		return a.TTL
	}
	left := max(a.Left-age, 0) / time.Second
	return max(min(a.TTL, uint32(min(int64(left), 1<<31-1))), a.MinTTL)
}

// pool tells how one pool stands; state is the ledger's, left has the timers
// as they are now.
func (p *picture) pool(pool steering.Pool, state, left steering.ServiceState) api.Pool {
	out := api.Pool{Region: pool.Region, Total: len(pool.Endpoints), Serving: slices.Contains(state.Serving, pool.Region)}
	for _, e := range pool.Endpoints {
		ep := api.Endpoint{Address: e.Address, Verdict: p.verdict(e.ID)}
		for _, v := range p.byVote[e.ID] {
			seen := p.votes[voteKey{v.Vantage, e.ID}]
			ep.Votes = append(ep.Votes, api.Vote{Vote: v, Age: p.now.Sub(seen.at)})
		}
		if ep.Verdict.Health == checks.Up || ep.Verdict.Health == checks.Degraded {
			out.Up++
		}
		out.Endpoints = append(out.Endpoints, ep)
	}
	for _, s := range left.Pools {
		if s.Region != pool.Region {
			continue
		}
		out.Health = s.Seen
		if s.Out {
			out.Hold = s.Hold
		}
	}
	return out
}

// warnings are what is not as it should be, worst first.
func (d *daemon) warnings(p *picture, st api.Status, leaderless string) []string {
	var out []string
	for _, s := range st.Serves {
		if s.AllDown {
			out = append(out, fmt.Sprintf("%s: every pool is down", short(s.Name)))
		}
	}
	if text := d.sealedWarning(); text != "" {
		out = append(out, text)
	}
	if leaderless != "" {
		out = append(out, leaderless)
	}
	out = append(out, d.apartWarnings(st.Apart, p.now)...)
	out = append(out, p.limits()...)
	for _, v := range st.Voters {
		switch {
		case !v.Fresh:
			out = append(out, fmt.Sprintf("vantage %s is silent: its votes are missing", v.Name))
		case v.Suspect:
			out = append(out, fmt.Sprintf("vantage %s doubts itself: %s", v.Name, v.Why))
		}
	}
	for _, s := range st.Serves {
		for _, pool := range s.Pools {
			if pool.Health != checks.Up {
				out = append(out, fmt.Sprintf("%s: %s is %s, %d of %d endpoints up", short(s.Name), pool.Region, pool.Health, pool.Up, pool.Total))
			}
		}
		if moved := apart(s); moved != "" {
			out = append(out, moved)
		}
	}
	for _, z := range st.Zones {
		out = append(out, zoneWarnings(p.c, z)...)
	}
	out = append(out, held(p)...)
	out = append(out, others(st)...)
	return append(out, differing(p, st.Config)...)
}

// held names the services that the ledger knows and the config does not.
func held(p *picture) []string {
	listed := make(map[string]bool, len(p.policy.Services))
	for _, svc := range p.policy.Services {
		listed[svc.Name] = true
	}
	var out []string
	for _, sh := range p.shards {
		for _, svc := range sh.State.Services {
			if !listed[svc.Name] {
				out = append(out, fmt.Sprintf("%s is not in the config any more: its answer is held as it is", short(svc.Name)))
			}
		}
	}
	slices.Sort(out)
	return out
}

// apart says that a failover service is not where it prefers to be.
func apart(s api.Service) string {
	if s.Kind != steering.Failover || s.AllDown || len(s.Pools) == 0 || len(s.Serving) == 0 {
		return ""
	}
	first := s.Pools[0]
	if first.Health != checks.Up || slices.Contains(s.Serving, first.Region) {
		return ""
	}
	text := fmt.Sprintf("%s: %s serves although %s is up", short(s.Name), joinNames(s.Serving), first.Region)
	for _, r := range s.Why {
		if r.Region == first.Region && r.Rule != steering.RuleKeep {
			return text + ": " + r.Text
		}
	}
	return text
}

// differing says which part of the ledger was decided from another config.
func differing(p *picture, hash string) []string {
	for _, sh := range p.shards {
		if sh.Config != hash && len(sh.Answers) > 0 {
			return []string{"the ledger was decided from another config than this daemon's: is veer.yaml the same everywhere?"}
		}
	}
	return nil
}

func joinNames(names []regions.Name) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return strings.Join(out, ", ")
}

// short is a name as people write it.
func short(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}
