package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

const (
	// orderWait bounds how long an order's reply waits for the leader.
	orderWait = 3 * time.Second
	// leaderAgain is how often it is asked meanwhile whether anybody leads.
	leaderAgain = 100 * time.Millisecond
)

// acting is a change of the orders in the ledger, given or ended, whose effect
// is waited for.
type acting struct {
	orders []controller.Order
	ended  bool
	moves  []api.Move
	// before are the shards that the moves were computed from.
	before map[int]shardSeen
	began  time.Time
}

// await waits until this daemon has heard of the change and serves what the
// leader decided with it, orderWait at most, and says in the result how it
// went.
func (d *daemon) await(ctx context.Context, cl *cluster.Cluster, a acting, out *api.OrderResult) {
	waiting, cancel := context.WithTimeout(ctx, orderWait)
	defer cancel()
	again := time.NewTicker(leaderAgain)
	defer again.Stop()
	for {
		changed, news := cl.Changed(), d.scene.next()
		if d.inForce(waiting, cl, a) {
			out.InForce, out.Took = true, time.Since(a.began)
			return
		}
		select {
		case <-changed:
		case <-news:
		case <-again.C:
		case <-waiting.Done():
			out.Note = d.notInForce(ctx)
			return
		}
	}
}

// inForce reports whether the change has had its effect. Where it moves
// nothing there is nothing to act on, but a leader has to be there.
func (d *daemon) inForce(ctx context.Context, cl *cluster.Cluster, a acting) bool {
	p := d.picture()
	for _, o := range a.orders {
		if a.ended == slices.ContainsFunc(p.view.Overrides, func(is controller.Order) bool { return is.ID == o.ID }) {
			return false
		}
	}
	for _, m := range a.moves {
		if !sameData(p.state(m.Service).Answer, m.After) && !a.decided(ctx, cl, p, m.Service) {
			return false
		}
	}
	if len(a.moves) > 0 {
		return true
	}
	leader, _ := d.leader(ctx, p)
	return leader.Name != ""
}

// decided reports whether the service was decided with the change in the
// input, even if the answer is another than was computed: votes may have
// changed meanwhile.
func (a acting) decided(ctx context.Context, cl *cluster.Cluster, p *picture, service string) bool {
	id := steering.ShardOf(service)
	is := p.shards[id].Shard
	if !is.Newer(a.before[id].Shard) {
		return false
	}
	entries, err := cl.Journal(ctx, cluster.JournalQuery{Service: service, Limit: 1})
	if err != nil || len(entries) == 0 {
		return false // asked again while there is time
	}
	e := entries[0]
	if (steering.Shard{Term: e.Term, Seq: e.Seq}).Newer(is) {
		return false // it is not served here yet
	}
	for _, o := range a.orders {
		if a.ended == slices.ContainsFunc(e.Input.Overrides, func(in steering.Override) bool { return in.ID == o.ID }) {
			return false
		}
	}
	return true
}

// notInForce says what is known when the wait was in vain.
func (d *daemon) notInForce(ctx context.Context) string {
	leader, why := d.leader(ctx, d.picture())
	if leader.Name == "" {
		return fmt.Sprintf("the ledger has it, but no leader has acted on it yet: %s", why)
	}
	return fmt.Sprintf("the ledger has it, but the answers have not moved within %s; %s leads", orderWait, leader.Name)
}
