package daemon

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// giveTaken gives an order to the takeover that lasts on this host.
func (d *daemon) giveTaken(ctx context.Context, r api.OrderRequest, dry bool) (api.OrderResult, *api.Problem) {
	if r.Act == steering.FailbackAct {
		return api.OrderResult{}, refused("force the target instead", "a takeover has no verdicts, by which traffic could return")
	}
	p := d.picture()
	about := slices.DeleteFunc(slices.Clone(p.policy.Services), func(s steering.Service) bool { return !concerns(r.Target, s) })
	if len(about) == 0 {
		return api.OrderResult{}, p.noTarget(r.Target)
	}
	return d.changeTaken(ctx, p, about, dry, func(orders []controller.Order) (after, these []controller.Order, problem *api.Problem) {
		o := newOrder(r)
		return append(slices.Clone(orders), o), []controller.Order{o}, nil
	})
}

// endTaken ends orders of the takeover that lasts on this host.
func (d *daemon) endTaken(ctx context.Context, r api.OrderRequest, dry bool) (api.OrderResult, *api.Problem) {
	p := d.picture()
	about := slices.DeleteFunc(slices.Clone(p.policy.Services), func(s steering.Service) bool { return !concerns(r.Target, s) })
	return d.changeTaken(ctx, p, about, dry, func(orders []controller.Order) (after, these []controller.Order, problem *api.Problem) {
		these, after, others := parted(orders, r)
		if len(these) == 0 {
			problem = &api.Problem{Code: http.StatusNotFound, What: fmt.Sprintf("the takeover has no %s of %s in force", r.Act, targetText(r.Target)),
				Hint: "orders of the ledger stay as they are until it has ended"}
			if len(others) > 0 {
				problem.Hint = fmt.Sprintf("in force: %s of %s", r.Act, list(others))
			}
		}
		return after, these, problem
	})
}

// changeTaken changes the orders of the takeover, and writes what follows.
func (d *daemon) changeTaken(ctx context.Context, p *picture, about []steering.Service, dry bool,
	change func([]controller.Order) (after, these []controller.Order, problem *api.Problem),
) (api.OrderResult, *api.Problem) {
	began := time.Now()
	d.apart.mu.Lock()
	t := d.apart.taken
	var problem *api.Problem
	switch {
	case t == nil:
		problem = refused("give the order again", "the takeover has ended meanwhile")
	case t.file.Told.Ending:
		problem = refused("veer takeover --end finishes it", "the end of the takeover was begun")
	case t.file.Told.Over != "":
		problem = refused("veer takeover takes over again; veer takeover --end ends it once a quorum answers", "the takeover writes no more: %s", t.file.Told.Over)
	case t.w == nil:
		problem = refused("give veer takeover again; the log says why", "the takeover did not go on after the restart")
	}
	if problem != nil {
		d.apart.mu.Unlock()
		return api.OrderResult{}, problem
	}
	after, these, problem := change(t.file.Orders)
	var moves []api.Move
	if problem == nil {
		about = slices.DeleteFunc(about, func(s steering.Service) bool { return len(t.base(s.Name)) == 0 })
		moves, problem = d.trial(p, about, func(name string) []steering.Answer { return t.base(name) }, t.file.Orders, after)
	}
	if problem == nil && len(about) == 0 {
		problem = refused("nothing is known that could be answered", "no last answer is known of any service that it is about")
	}
	out := api.OrderResult{Orders: these, Moves: moves}
	if problem != nil || dry {
		d.apart.mu.Unlock()
		return out, problem
	}
	was := t.file
	t.file.Orders = after
	t.file.Touched = slices.Clone(t.file.Touched)
	for _, s := range about {
		if !slices.Contains(t.file.Touched, s.Name) {
			t.file.Touched = append(t.file.Touched, s.Name)
		}
	}
	if err := keepFile(d.keptPath(takeoverName), t.file); err != nil {
		t.file = was
		d.apart.mu.Unlock()
		return api.OrderResult{}, failed(err)
	}
	d.lay()
	d.apart.mu.Unlock()
	for _, o := range these {
		d.o.Log.Warn().Str("order", o.ID).Str("act", string(o.Act)).Str("target", targetText(o.Target)).Str("by", o.By).Str("why", o.Why).
			Msg("the orders of the takeover changed")
	}
	d.writeTaken(ctx, t)
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	var bads []string
	for _, z := range t.file.Told.Zones {
		if z.State != api.Taken || z.Error != "" {
			bads = append(bads, fmt.Sprintf("%s at %s: %s%s", short(z.Zone), z.Provider, z.State, colon(z.Error)))
		}
	}
	out.Took, out.InForce = time.Since(began), len(bads) == 0
	if !out.InForce {
		out.Note = "the takeover has it, but not every zone: " + strings.Join(bads, "; ")
	}
	return out, nil
}
