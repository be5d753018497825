package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// Bounds of an order.
const (
	maxBy    = 200
	maxWhy   = 500
	maxFor   = 10 * 365 * 24 * time.Hour
	maxShown = 10 // of a list in a message
)

func bad(format string, args ...any) *api.Problem {
	return &api.Problem{Code: http.StatusBadRequest, What: fmt.Sprintf(format, args...)}
}

func refused(hint, format string, args ...any) *api.Problem {
	return &api.Problem{Code: http.StatusConflict, Refused: true, What: fmt.Sprintf(format, args...), Hint: hint}
}

// checkOrder reads a request strictly, and makes its target canonical.
func checkOrder(r *api.OrderRequest) *api.Problem {
	switch r.Act {
	case steering.Freeze, steering.Force, steering.Drain, steering.FailbackAct:
	default:
		return bad("act %q: expected freeze, force, drain or failback", r.Act)
	}
	if r.Target == (steering.Target{}) {
		return bad("the order has no target: expected a service, a region, an address, or some of them")
	}
	if r.Target.Service != "" {
		r.Target.Service = providers.CanonicalName(r.Target.Service)
	}
	r.By, r.Why = strings.TrimSpace(r.By), strings.TrimSpace(r.Why)
	switch {
	case r.Why == "":
		return bad("the order has no reason: say why, for the journal and for colleagues")
	case len(r.Why) > maxWhy:
		return bad("the reason has %d bytes: expected at most %d", len(r.Why), maxWhy)
	case len(r.By) > maxBy:
		return bad("by has %d bytes: expected at most %d", len(r.By), maxBy)
	case r.For < 0 || r.For > maxFor:
		return bad("for is %s: expected from 0s (forever) to %s", r.For, maxFor)
	}
	return nil
}

// concerns reports whether a target is about a service at all.
func concerns(t steering.Target, svc steering.Service) bool {
	if t.Service != "" && t.Service != svc.Name {
		return false
	}
	return slices.ContainsFunc(svc.Pools, func(p steering.Pool) bool { return concernsPool(t, p) })
}

func concernsPool(t steering.Target, p steering.Pool) bool {
	if t.Region != "" && t.Region != p.Region {
		return false
	}
	return t.Address == "" || slices.ContainsFunc(p.Endpoints, func(e steering.Endpoint) bool { return e.Address == t.Address })
}

// give makes an order, or says what it would move.
func (d *daemon) give(ctx context.Context, r api.OrderRequest, dry bool) (api.OrderResult, *api.Problem) {
	if problem := checkOrder(&r); problem != nil {
		return api.OrderResult{}, problem
	}
	switch {
	case r.Local:
		return d.giveLocal(ctx, r, dry)
	case d.takenOver():
		return d.giveTaken(ctx, r, dry)
	}
	o := newOrder(r)
	p := d.picture()
	about := slices.DeleteFunc(slices.Clone(p.policy.Services), func(s steering.Service) bool { return !concerns(r.Target, s) })
	if len(about) == 0 {
		return api.OrderResult{}, p.noTarget(r.Target)
	}
	if problem := p.refusal(o.Override, about); problem != nil {
		return api.OrderResult{}, problem
	}
	moves := p.plan(about, append(slices.Clone(p.view.Overrides), o))
	out := api.OrderResult{Orders: []controller.Order{o}, Moves: moves}
	if dry {
		return out, nil
	}
	cl := d.cluster.Load()
	if cl == nil {
		return api.OrderResult{}, notJoined()
	}
	began := time.Now()
	if err := cl.AddOrder(ctx, o); err != nil && !errors.Is(err, cluster.ErrOrderExists) {
		return api.OrderResult{}, failed(err)
	}
	d.orderLine(o, o.By, o.Why).Dur("for_ms", r.For).Msg("order given")
	d.await(ctx, cl, acting{orders: out.Orders, moves: moves, before: p.shards, began: began}, &out)
	return out, nil
}

// orderLine begins the log's line about an order that was given or ended.
func (d *daemon) orderLine(o controller.Order, by, why string) *zerolog.Event {
	return d.o.Log.Info().Str("order", o.ID).Str("act", string(o.Act)).Str("target", targetText(o.Target)).Str("by", by).Str("why", why)
}

func notJoined() *api.Problem {
	return &api.Problem{Code: http.StatusServiceUnavailable, What: "the order cannot be kept: the cluster is not joined",
		Hint: "veer status says why; try again when etcd answers"}
}

func failed(err error) *api.Problem {
	return &api.Problem{Code: http.StatusServiceUnavailable, What: err.Error(), Hint: "veer status says how etcd is; try again when it answers"}
}

// plan lists the services whose answer would move under the given orders.
func (p *picture) plan(about []steering.Service, orders []controller.Order) []api.Move {
	moves := []api.Move{}
	for _, svc := range about {
		after := steering.Decide(p.input(svc, orders))
		from := p.state(svc.Name).Answer
		if len(from) == 0 {
			from = serviceOf(steering.Decide(p.input(svc, p.view.Overrides)).Next, svc.Name).Answer
		}
		to := serviceOf(after.Next, svc.Name).Answer
		if sameData(from, to) {
			continue
		}
		moves = append(moves, api.Move{Service: svc.Name, Before: from, After: to, Why: after.Why})
	}
	return moves
}

// refusal is why an order will not be taken: it is refused when it could do
// nothing for any service that it is about.
func (p *picture) refusal(o steering.Override, about []steering.Service) *api.Problem {
	var first *api.Problem
	for _, svc := range about {
		var problem *api.Problem
		switch o.Act {
		case steering.Drain:
			problem = p.drainRefusal(o, svc)
		case steering.FailbackAct:
			problem = p.failbackRefusal(o, svc)
		}
		if problem == nil {
			return nil
		}
		if first == nil {
			first = problem
		}
	}
	return first
}

// drainRefusal refuses to drain a service's last endpoint (property 4).
func (p *picture) drainRefusal(o steering.Override, svc steering.Service) *api.Problem {
	orders := append(slices.Clone(p.view.Overrides), controller.Order{Override: o})
	for _, r := range steering.Decide(p.input(svc, orders)).Why {
		if r.Rule == steering.RuleDrainRefused {
			return refused("undrain another part of it first, or bring another endpoint up",
				"%s would be left without an endpoint: %s", short(svc.Name), r.Text)
		}
	}
	return nil
}

// failbackRefusal refuses to let traffic return to a pool that is not up, or
// whose hold-down runs.
func (p *picture) failbackRefusal(o steering.Override, svc steering.Service) *api.Problem {
	state := serviceOf(steering.Decide(p.input(svc, p.view.Overrides)).Next, svc.Name)
	var first *api.Problem
	for _, pool := range svc.Pools {
		if !concernsPool(o.Target, pool) {
			continue
		}
		var problem *api.Problem
		i := slices.IndexFunc(state.Pools, func(s steering.PoolState) bool { return s.Region == pool.Region })
		switch {
		case i < 0:
		case state.Pools[i].Seen != checks.Up:
			problem = refused("wait until it is up", "%s/%s is %s: traffic returns only to a pool that is up", short(svc.Name), pool.Region, state.Pools[i].Seen)
		case state.Pools[i].Out && state.Pools[i].Hold > 0:
			left := state.Pools[i].Hold.Round(100 * time.Millisecond)
			problem = refused(fmt.Sprintf("try again in %s", left), "the hold-down of %s/%s still runs for %s", short(svc.Name), pool.Region, left)
		}
		if problem == nil {
			return nil
		}
		if first == nil {
			first = problem
		}
	}
	return first
}

// noTarget says what there is instead.
func (p *picture) noTarget(t steering.Target) *api.Problem {
	if t.Service != "" {
		svc, ok := p.service(t.Service)
		if !ok {
			return unknownService(p, t.Service)
		}
		var have []string
		for _, pool := range svc.Pools {
			for _, e := range pool.Endpoints {
				have = append(have, string(pool.Region)+"/"+e.Address)
			}
		}
		return &api.Problem{Code: http.StatusNotFound, What: fmt.Sprintf("%s matches nothing", targetText(t)),
			Hint: short(svc.Name) + " has " + list(have)}
	}
	var have []string
	for _, r := range p.c.Regions {
		have = append(have, string(r))
	}
	return &api.Problem{Code: http.StatusNotFound, What: fmt.Sprintf("%s matches no service", targetText(t)), Hint: "regions are " + list(have)}
}

// end ends the orders of an act and a target, or says what that would move.
func (d *daemon) end(ctx context.Context, r api.OrderRequest, dry bool) (api.OrderResult, *api.Problem) {
	if problem := checkOrder(&r); problem != nil {
		return api.OrderResult{}, problem
	}
	switch {
	case r.Local:
		return d.endLocal(ctx, r, dry)
	case d.takenOver():
		return d.endTaken(ctx, r, dry)
	}
	p := d.picture()
	ended, kept, others := parted(p.view.Overrides, r)
	if len(ended) == 0 {
		problem := &api.Problem{Code: http.StatusNotFound, What: fmt.Sprintf("no %s of %s is in force", r.Act, targetText(r.Target))}
		if len(others) > 0 {
			problem.Hint = fmt.Sprintf("in force: %s of %s", r.Act, list(others))
		}
		return api.OrderResult{}, problem
	}
	about := slices.DeleteFunc(slices.Clone(p.policy.Services), func(s steering.Service) bool { return !concerns(r.Target, s) })
	out := api.OrderResult{Orders: ended, Moves: p.plan(about, kept)}
	if dry {
		return out, nil
	}
	cl := d.cluster.Load()
	if cl == nil {
		return api.OrderResult{}, notJoined()
	}
	began := time.Now()
	for _, o := range ended {
		if err := cl.EndOrder(ctx, o.ID, r.By, r.Why); err != nil && !errors.Is(err, cluster.ErrNoOrder) {
			return api.OrderResult{}, failed(err)
		}
		d.orderLine(o, r.By, r.Why).Msg("order ended")
	}
	d.await(ctx, cl, acting{orders: ended, ended: true, moves: out.Moves, before: p.shards, began: began}, &out)
	return out, nil
}

// orderOf is the drain that a hook asks for.
func orderOf(by string, s cluster.Statement, lasts time.Duration) api.OrderRequest {
	why := s.Why
	if why == "" {
		why = "it says " + s.Health.String()
	}
	return api.OrderRequest{Act: steering.Drain, Target: s.Target, By: by, Why: why, For: lasts}
}

// targetText is a target as people type it.
func targetText(t steering.Target) string {
	var parts []string
	for _, part := range []string{short(t.Service), string(t.Region), t.Address} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

func list(all []string) string {
	if len(all) > maxShown {
		return strings.Join(all[:maxShown], ", ") + fmt.Sprintf(" and %d more", len(all)-maxShown)
	}
	return strings.Join(all, ", ")
}
