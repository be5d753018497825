package tutorial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// calm: all that runs is well, and traffic waits for nothing.
func (g *game) calm(st api.Status) bool {
	votes := 0
	for _, v := range st.Voters {
		if !v.Fresh || v.Suspect || v.Down > 0 {
			return false
		}
		votes += v.Votes
	}
	if st.Leader.Name == "" || votes != len(places())*len(g.scene.webs) || len(st.Serves) != 2 {
		return false
	}
	return !slices.ContainsFunc(st.Serves, func(s api.Service) bool {
		return len(s.Serving) == 0 || slices.ContainsFunc(s.Pools, func(p api.Pool) bool {
			return p.Up != p.Total || p.Hold > 0 || p.Serving && len(s.Answer[0].Data) != p.Total
		})
	})
}

// reset makes the scene as a chapter begins: all is well, no order is left,
// and the traffic is in one region.
func (g *game) reset(ctx context.Context, region regions.Name) error {
	st, err := g.scene.status(ctx)
	if err != nil {
		return err
	}
	if g.scene.broken() || !g.calm(st) || len(st.Orders) > 0 || !servedBy(st, region) {
		g.say("")
		g.para(fmt.Sprintf("The scene is set for the next chapter: all is mended, orders are ended, and traffic goes to %s.", region))
	}
	if err := g.scene.fix("all"); err != nil {
		return err
	}
	// An order that freezes keeps some things from being well.
	if err := g.await(ctx, "the regions to agree", func(is api.Status) bool { st = is; return is.Leader.Name != "" && fresh(is) == len(places()) }); err != nil {
		return err
	}
	for _, o := range st.Orders {
		r := api.OrderRequest{Act: o.Act, Target: o.Target, By: author, Why: "the next chapter begins"}
		if err := g.insist(ctx, g.scene.client.EndOrder, r); err != nil {
			return err
		}
	}
	if err := g.await(ctx, "everything to be well", func(is api.Status) bool { st = is; return g.calm(is) }); err != nil {
		return err
	}
	if servedBy(st, region) {
		return nil
	}
	if err := g.bring(ctx, steering.FailbackAct, "eu-west"); err != nil || region == "eu-west" {
		return err
	}
	return g.bring(ctx, steering.Drain, region)
}

// bring has an order about eu-west send traffic to a region, and ends it.
// Failback is manual, so traffic stays there.
func (g *game) bring(ctx context.Context, act steering.Act, region regions.Name) error {
	order := api.OrderRequest{Act: act, Target: steering.Target{Region: "eu-west"}, By: author, Why: "the next chapter begins there", For: patience}
	if err := g.insist(ctx, g.scene.client.Order, order); err != nil {
		return err
	}
	if err := g.await(ctx, "traffic to be in "+string(region), func(st api.Status) bool { return servedBy(st, region) }); err != nil {
		return err
	}
	if err := g.insist(ctx, g.scene.client.EndOrder, order); err != nil {
		return err
	}
	return g.await(ctx, "everything to be well", g.calm)
}

// insist asks until it is done: regions that have just agreed may change their
// leader once more, and one that has not heard all votes yet refuses.
func (g *game) insist(ctx context.Context, do func(context.Context, api.OrderRequest, bool) (api.OrderResult, error), r api.OrderRequest) error {
	var refusal *api.Problem
	err := lab.Until(ctx, 100*time.Millisecond, patience, func() (bool, error) {
		_, err := do(ctx, r, false)
		if errors.As(err, &refusal) {
			return false, g.scene.lost()
		}
		return err == nil, err
	})
	if errors.Is(err, lab.ErrLate) && refusal != nil {
		return fmt.Errorf("%w: %w", err, refusal)
	}
	return err
}

// author is by whom the tutorial's own orders are.
const author = "the tutorial"

func servedBy(st api.Status, region regions.Name) bool {
	return len(st.Serves) > 0 && !slices.ContainsFunc(st.Serves, func(s api.Service) bool { return !slices.Equal(s.Serving, []regions.Name{region}) })
}
