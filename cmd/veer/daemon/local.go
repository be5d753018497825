package daemon

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// noteWithin bounds the note in the journal of what was ordered on this host:
// it is made where a quorum answers, and waited for no longer.
const noteWithin = time.Second

// newOrder makes an order of a request.
func newOrder(r api.OrderRequest) controller.Order {
	now := time.Now()
	o := controller.Order{Made: now.UTC().Truncate(time.Second), Override: steering.Override{
		ID: cluster.NewOrderID(now), Act: r.Act, Target: r.Target, By: r.By, Why: r.Why,
	}}
	if r.For > 0 {
		o.Until = now.Add(r.For).UTC().Round(0)
	}
	return o
}

// giveLocal drains for this server's answers alone, or says what that would
// move. It needs no quorum, and is kept in data_dir.
func (d *daemon) giveLocal(ctx context.Context, r api.OrderRequest, dry bool) (api.OrderResult, *api.Problem) {
	p := d.picture()
	about, problem := d.localTarget(p, r)
	if problem != nil {
		return api.OrderResult{}, problem
	}
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	a, o := &d.apart, newOrder(r)
	moves, problem := d.trial(p, about, d.ledgerHere, a.here(), append(slices.Clone(a.here()), o))
	if problem != nil {
		return api.OrderResult{}, problem
	}
	out := api.OrderResult{Orders: []controller.Order{o}, Moves: moves}
	if dry {
		return out, nil
	}
	began := time.Now()
	if problem := d.setLocal(append(slices.Clone(a.orders), o)); problem != nil {
		return api.OrderResult{}, problem
	}
	d.o.Log.Warn().Str("order", o.ID).Str("target", targetText(o.Target)).Str("by", o.By).Str("why", o.Why).Dur("for_ms", r.For).
		Msg("this server alone is ordered to drain")
	d.noteHere(ctx, "ordered on "+string(d.c.Host.Region)+" alone", &o, r)
	out.InForce, out.Took = true, time.Since(began)
	return out, nil
}

// endLocal ends this server's own drains of exactly a target.
func (d *daemon) endLocal(ctx context.Context, r api.OrderRequest, dry bool) (api.OrderResult, *api.Problem) {
	p := d.picture()
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	a := &d.apart
	ended, left, others := parted(a.orders, r)
	if len(ended) == 0 {
		problem := &api.Problem{Code: http.StatusNotFound, What: fmt.Sprintf("no %s --local of %s is in force on this host", r.Act, targetText(r.Target))}
		if len(others) > 0 {
			problem.Hint = fmt.Sprintf("in force here: %s of %s", r.Act, list(others))
		}
		return api.OrderResult{}, problem
	}
	after := left
	if a.taken != nil {
		after = slices.Concat(left, a.taken.file.Orders)
	}
	about := slices.DeleteFunc(slices.Clone(p.policy.Services), func(s steering.Service) bool {
		return !concerns(r.Target, s) || d.ledgerHere(s.Name) == nil
	})
	moves, _ := d.trial(p, about, d.ledgerHere, a.here(), after)
	out := api.OrderResult{Orders: ended, Moves: moves}
	if dry {
		return out, nil
	}
	began := time.Now()
	if problem := d.setLocal(left); problem != nil {
		return api.OrderResult{}, problem
	}
	for _, o := range ended {
		d.o.Log.Info().Str("order", o.ID).Str("target", targetText(o.Target)).Str("by", r.By).Str("why", r.Why).Msg("this server's own drain ended")
		d.noteHere(ctx, "ended on "+string(d.c.Host.Region)+" alone", &o, r)
	}
	out.InForce, out.Took = true, time.Since(began)
	return out, nil
}

// localTarget refuses what cannot be ordered here, and returns the services
// that it is about.
func (d *daemon) localTarget(p *picture, r api.OrderRequest) ([]steering.Service, *api.Problem) {
	if r.Act != steering.Drain {
		return nil, bad("%s --local: only a drain can be ordered for one server alone", r.Act)
	}
	if len(d.servers) == 0 {
		return nil, refused("give it on a host that serves DNS, or without --local", "this process serves no DNS: there is no answer that it could change alone")
	}
	about := slices.DeleteFunc(slices.Clone(p.policy.Services), func(s steering.Service) bool { return !concerns(r.Target, s) })
	if len(about) == 0 {
		return nil, p.noTarget(r.Target)
	}
	mine := slices.DeleteFunc(about, func(s steering.Service) bool { return d.ledgerHere(s.Name) == nil })
	if len(mine) == 0 {
		return nil, refused("other providers answer for it: give it without --local", "no authority of this process answers for %s", targetText(r.Target))
	}
	return mine, nil
}

// parted are the orders of a request's act and target, the others, and the
// targets of those of the same act.
func parted(orders []controller.Order, r api.OrderRequest) (these, left []controller.Order, others []string) {
	for _, o := range orders {
		switch {
		case o.Act == r.Act && o.Target == r.Target:
			these = append(these, o)
			continue
		case o.Act == r.Act:
			others = append(others, targetText(o.Target))
		}
		left = append(left, o)
	}
	return these, left, others
}

// trial lists what would move from some orders to others, where no votes can be
// had. It is refused when a drain among the others could do nothing for any
// service, for it would leave no answer.
func (d *daemon) trial(p *picture, about []steering.Service, last func(service string) []steering.Answer, from, to []controller.Order) ([]api.Move, *api.Problem) {
	moves := []api.Move{}
	standing, state := inForce(p.view.Overrides, p.now), d.scene.states()
	var refusal *api.Problem
	taken := false
	for _, svc := range about {
		policy := steering.Policy{Services: []steering.Service{svc}}
		before, had := steering.Ordered(policy, state, last(svc.Name), standing, inForce(from, p.now))
		after, why := steering.Ordered(policy, state, last(svc.Name), standing, inForce(to, p.now))
		if n := len(refusals(had)); len(refusals(why)) > n {
			if refusal == nil {
				refusal = refused("undrain another part of it first", "%s would be left without an endpoint: %s", short(svc.Name), refusals(why)[n].Text)
			}
			continue
		}
		taken = true
		if !sameData(setsOf(before), setsOf(after)) {
			moves = append(moves, api.Move{Service: svc.Name, Before: setsOf(before), After: setsOf(after), Why: why})
		}
	}
	if !taken && refusal != nil {
		return nil, refusal
	}
	return moves, nil
}

func refusals(why []steering.Reason) []steering.Reason {
	return slices.DeleteFunc(slices.Clone(why), func(r steering.Reason) bool { return r.Rule != steering.RuleDrainRefused })
}

// setLocal keeps the orders and obeys them. The caller holds apart's lock.
func (d *daemon) setLocal(orders []controller.Order) *api.Problem {
	err := dropFile(d.keptPath(localName))
	if len(orders) > 0 {
		err = keepFile(d.keptPath(localName), localOrders{Version: 1, Orders: orders})
	}
	if err != nil {
		return &api.Problem{Code: http.StatusInternalServerError, What: err.Error(), Hint: "without it the order would not outlive a restart: mend the data folder"}
	}
	d.apart.orders = orders
	d.lay()
	return nil
}

// endExpired drops the orders whose time is over, by this machine's clock, and
// reports whether there were any. The caller holds apart's lock.
func (d *daemon) endExpired(now time.Time) bool {
	a := &d.apart
	left := inForceOrders(a.orders, now)
	if len(left) == len(a.orders) {
		return false
	}
	for _, o := range a.orders {
		if !slices.ContainsFunc(left, func(is controller.Order) bool { return is.ID == o.ID }) {
			d.o.Log.Info().Str("order", o.ID).Str("target", targetText(o.Target)).Msg("this server's own drain is over")
		}
	}
	if problem := d.setLocal(left); problem != nil {
		d.o.Log.Error().Err(problem).Msg("an order that is over stays in its file")
		a.orders = left
	}
	return true
}

// noteHere notes in the journal what was ordered for this host alone, where a
// quorum can be had: the log has it in any case.
func (d *daemon) noteHere(ctx context.Context, act string, o *controller.Order, r api.OrderRequest) {
	cl := d.cluster.Load()
	if cl == nil || time.Since(cl.AsOf()) > d.c.Cluster.VoteLease {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noteWithin)
	defer cancel()
	if err := cl.JournalNote(ctx, cluster.Note{Act: act, By: r.By, Why: r.Why, Order: o}); err != nil {
		d.o.Log.Debug().Err(err).Msg("the journal has no note of it")
	}
}

func setsOf(answers []steering.Answer) []providers.RRSet {
	out := make([]providers.RRSet, 0, len(answers))
	for _, a := range answers {
		out = append(out, a.RRSet)
	}
	slices.SortFunc(out, providers.Compare)
	return out
}

func addressesOf(answers []steering.Answer) []string {
	out := []string{}
	for _, a := range answers {
		out = append(out, a.Data...)
	}
	return out
}
