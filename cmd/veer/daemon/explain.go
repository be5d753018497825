package daemon

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/steering"
)

// explainDepth is how many of a service's journal entries are searched for the
// decision that made its answer.
const explainDepth = 200

// explain tells why a service is answered as it is.
func (d *daemon) explain(ctx context.Context, name string, at time.Time) (api.Explain, *api.Problem) {
	name = providers.CanonicalName(name)
	p := d.picture()
	svc, ok := p.service(name)
	if !ok {
		return api.Explain{}, unknownService(p, name)
	}
	if !at.IsZero() {
		return d.explainAt(ctx, p, svc, at)
	}
	s, now := d.service(p, svc)
	e := api.Explain{Service: s, Rules: append(d.whyApart(svc, s), now.Why...), Next: p.next(svc, now), Budget: p.c.Budgets()[name], Shard: steering.ShardOf(name), Aliases: d.aliases(svc, p.now)}
	sh := p.shards[e.Shard]
	e.Term, e.Seq = sh.Term, sh.Seq
	if cl := d.cluster.Load(); cl != nil {
		if made, ok := d.maker(ctx, cl, name, time.Time{}); ok {
			e.Term, e.Seq, e.Time, e.Cause = made.Term, made.Seq, made.Time, made.Cause
		}
	}
	if state := p.state(name); state.Name != "" && !sameData(state.Answer, serviceOf(now.Next, name).Answer) {
		e.Next = append([]api.Next{{What: "the votes call for another answer than the ledger's; a leader will decide it"}}, e.Next...)
	}
	return e, nil
}

// maker finds the newest decision, up to a time (zero: now), that gave the
// service the data that it had then.
func (d *daemon) maker(ctx context.Context, cl *cluster.Cluster, name string, until time.Time) (steering.Entry, bool) {
	entries, err := cl.Journal(ctx, cluster.JournalQuery{Service: name, Limit: explainDepth})
	if err != nil {
		d.o.Log.Warn().Err(err).Msg("cannot read all of the journal")
	}
	if !until.IsZero() {
		entries = slices.DeleteFunc(entries, func(e steering.Entry) bool {
			t, err := time.Parse(time.RFC3339Nano, e.Time)
			return err != nil || t.After(until)
		})
	}
	for _, e := range slices.Backward(entries) {
		was, is := serviceOf(e.Input.Prev, name), serviceOf(e.Decision.Next, name)
		if is.Name != "" && !sameData(was.Answer, is.Answer) {
			return e, true
		}
	}
	return steering.Entry{}, false
}

// explainAt tells from the journal alone how a service stood at a time.
func (d *daemon) explainAt(ctx context.Context, p *picture, svc steering.Service, at time.Time) (api.Explain, *api.Problem) {
	cl := d.cluster.Load()
	if cl == nil {
		return api.Explain{}, &api.Problem{Code: http.StatusServiceUnavailable, What: "the journal cannot be read: the cluster is not joined", Hint: "veer status says why"}
	}
	made, ok := d.maker(ctx, cl, svc.Name, at)
	if !ok {
		return api.Explain{}, &api.Problem{Code: http.StatusNotFound,
			What: fmt.Sprintf("the journal holds no decision about %s up to %s", short(svc.Name), at.Format(time.RFC3339)),
			Hint: "the journal keeps a bounded number of decisions: veer journal shows them"}
	}
	state := serviceOf(made.Decision.Next, svc.Name)
	s := api.Service{Name: svc.Name, Kind: svc.Kind, Serving: state.Serving, AllDown: state.AllDown, TTL: svc.TTL, Steady: svc.TTL, Answer: state.Answer}
	if t, err := time.Parse(time.RFC3339Nano, made.Time); err == nil {
		s.Since = at.Sub(t)
	}
	for _, r := range made.Decision.Why {
		if r.Service == svc.Name {
			s.Why = append(s.Why, r)
		}
	}
	for _, pool := range state.Pools {
		out := api.Pool{Region: pool.Region, Health: pool.Seen, Total: len(pool.Endpoints), Serving: slices.Contains(state.Serving, pool.Region), Hold: pool.Hold}
		for _, e := range pool.Endpoints {
			ep := api.Endpoint{Address: e.Address}
			for _, v := range made.Input.Verdicts {
				if v.Endpoint == e.ID {
					ep.Verdict = v
				}
			}
			if e.Seen == checks.Up || e.Seen == checks.Degraded {
				out.Up++
			}
			out.Endpoints = append(out.Endpoints, ep)
		}
		s.Pools = append(s.Pools, out)
	}
	return api.Explain{
		Service: s, Rules: s.Why, Next: []api.Next{}, Budget: p.c.Budgets()[svc.Name],
		Term: made.Term, Seq: made.Seq, Shard: made.Shard, Time: made.Time, Cause: made.Cause,
	}, nil
}

// next says what is due for a service, soonest first.
func (p *picture) next(svc steering.Service, now steering.Decision) []api.Next {
	out := []api.Next{}
	state := serviceOf(now.Next, svc.Name)
	serves := func(h checks.Health) bool { return h == checks.Up || h == checks.Degraded }
	for _, pool := range state.Pools {
		switch {
		case pool.Out && pool.Hold > 0 && serves(pool.Seen):
			out = append(out, api.Next{What: fmt.Sprintf("the hold-down of %s ends; traffic may return to it", pool.Region), In: pool.Hold})
		case pool.Out && pool.Hold > 0 && pool.Seen == checks.Unknown:
			out = append(out, api.Next{What: fmt.Sprintf("the hold-down of %s stands still while its verdict is unknown", pool.Region)})
		case pool.Suppressed && now.WakeAt > 0:
			out = append(out, api.Next{What: fmt.Sprintf("damping of %s is looked at again", pool.Region), In: now.WakeAt - now.Next.Clock})
		}
		for _, e := range pool.Endpoints {
			if e.Out && e.Hold > 0 && serves(e.Seen) && slices.Contains(state.Serving, pool.Region) {
				out = append(out, api.Next{What: fmt.Sprintf("%s may rejoin the answer", e.Address), In: e.Hold})
			}
		}
	}
	out = append(out, nearing(state)...)
	if left := now.Next.Panic.Left; left > 0 && slices.ContainsFunc(now.Why, func(r steering.Reason) bool { return r.Rule == steering.RulePanic }) {
		out = append(out, api.Next{What: "the panic is over at the latest; what fell counts as down then", In: left})
	}
	for _, o := range inForce(p.view.Overrides, p.now) {
		if o.Left > 0 && concerns(o.Target, svc) {
			out = append(out, api.Next{What: fmt.Sprintf("the %s by %s ends (%s)", o.Act, o.By, o.Why), In: o.Left})
		}
	}
	if p.calendar.Change > 0 && slices.Contains(p.calendar.Closed, svc.Name) {
		out = append(out, api.Next{What: "the failback window opens", In: p.calendar.Change})
	}
	slices.SortStableFunc(out, func(a, b api.Next) int { return int(max(min(a.In-b.In, 1), -1)) })
	return out
}

// unknownService is the problem of a name that no service has.
func unknownService(p *picture, name string) *api.Problem {
	hint := "the config lists no service"
	if n := len(p.policy.Services); n > 0 {
		hint = "services are:"
		for i, s := range p.policy.Services {
			if i == 10 {
				hint += fmt.Sprintf(" and %d more", n-i)
				break
			}
			hint += " " + short(s.Name)
		}
	}
	return &api.Problem{Code: http.StatusNotFound, What: fmt.Sprintf("no service is named %s", short(name)), Hint: hint}
}
