package daemon

import (
	"context"
	"errors"
	"net/http"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// handleOnce makes the pass of a scheduler for it: this daemon probes now and,
// if it leads, decides and has every zone compared.
func (d *daemon) handleOnce(ctx context.Context) (api.Pass, *api.Problem) {
	cl := d.cluster.Load()
	if cl == nil {
		return api.Pass{}, &api.Problem{Code: http.StatusServiceUnavailable, What: "no pass can be made: the cluster is not joined",
			Hint: "veer status says why; try again when etcd answers"}
	}
	before, err := cl.Shards(ctx)
	if err != nil {
		return api.Pass{}, failed(err)
	}
	out := api.NewPass(d.c.Host.Region)
	out.Daemon = true
	if err := d.voteNow(ctx, cl, &out); err != nil {
		return out, failed(err)
	}
	leader, _ := d.leader(ctx, d.picture())
	out.Leader, out.Term, out.Result = leader.Name, leader.Term, api.PassVoted
	if c := d.controller.Load(); leader.Itself && c != nil {
		if err := d.settleNow(ctx, c, &out); err != nil {
			return out, failed(err)
		}
	}
	after, err := cl.Shards(ctx)
	if err != nil {
		return out, failed(err)
	}
	out.Moves = movesOf(before, after)
	if out.Result == api.PassUnchanged && len(out.Moves) > 0 {
		out.Result = api.PassChanged
	}
	return out, nil
}

// voteNow probes everything and waits until its own votes are heard of here.
func (d *daemon) voteNow(ctx context.Context, cl *cluster.Cluster, out *api.Pass) error {
	p := d.prober.Load()
	if p == nil {
		return nil
	}
	ballot, err := p.Now(ctx)
	if err != nil {
		return err
	}
	out.Votes = tally(ballot)
	for {
		changed := cl.Changed()
		if heard(cl.View(), ballot) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// heard reports whether a view has the ballot, or one that is newer.
func heard(v controller.View, b regions.Ballot) bool {
	rounds := map[regions.EndpointID]regions.Vote{}
	for _, is := range v.Ballots {
		if is.Vantage != b.Vantage {
			continue
		}
		for _, vote := range is.Votes {
			rounds[vote.Endpoint] = vote
		}
	}
	for _, vote := range b.Votes {
		is, ok := rounds[vote.Endpoint]
		// A vote that says the same is not written again, with its old round.
		if !ok || is.Health != vote.Health && is.Round <= vote.Round {
			return false
		}
	}
	return true
}

// settleNow has the leader decide, and compare every zone with the ledger.
func (d *daemon) settleNow(ctx context.Context, c *controller.Controller, out *api.Pass) error {
	if err := c.Settle(ctx); err != nil {
		return err
	}
	p := d.picture()
	known := len(p.policy.Services) == 0
	for _, svc := range p.policy.Services {
		if p.sees(svc) {
			known = true
		} else {
			out.Unknown = append(out.Unknown, short(svc.Name))
		}
	}
	if out.Result = api.PassUnchanged; !known {
		out.Result = api.PassUnknown
		return nil
	}
	zones, err := c.Apply(ctx, controller.Request{By: peer(ctx), Why: "veer once"})
	if err != nil && !errors.Is(err, controller.ErrNotLeader) {
		return err
	}
	out.Zones = append(out.Zones, zones...)
	if (controller.Outcome{Zones: zones}).Changed() {
		out.Result = api.PassChanged
	}
	return nil
}

// sees reports whether there is a verdict on an endpoint of the service.
func (p *picture) sees(svc steering.Service) bool {
	for _, pool := range svc.Pools {
		for _, e := range pool.Endpoints {
			if p.verdict(e.ID).Health != 0 {
				return true
			}
		}
	}
	return false
}

// movesOf are the services whose data differ between two readings of the
// ledger.
func movesOf(before, after []controller.Versioned) []api.Move {
	was := map[string][]providers.RRSet{}
	for _, sh := range before {
		for _, s := range sh.State.Services {
			was[s.Name] = s.Answer
		}
	}
	out := []api.Move{}
	for _, sh := range after {
		for _, s := range sh.State.Services {
			if !sameData(was[s.Name], s.Answer) {
				out = append(out, api.Move{Service: s.Name, Before: was[s.Name], After: s.Answer, Why: []steering.Reason{}})
			}
		}
	}
	return out
}
