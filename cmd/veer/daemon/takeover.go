package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

const (
	// fencesWithin bounds the reading of the fences before a takeover, and
	// before its end.
	fencesWithin = 15 * time.Second
	// endAwaits is how often orderWait is waited for a leader after the end.
	endAwaits = 4
)

func (d *daemon) handleTakeover(r *http.Request, do func(context.Context, api.TakeoverRequest, bool) (any, *api.Problem)) (any, *api.Problem) {
	dry, problem := flagOf(r, "dry_run")
	if problem != nil {
		return nil, problem
	}
	var req api.TakeoverRequest
	if err := decodeStrict(r.Body, &req); err != nil {
		return nil, badBody(err)
	}
	req.By, req.Why = strings.TrimSpace(req.By), strings.TrimSpace(req.Why)
	switch {
	case req.Why == "":
		return nil, bad("there is no reason: say why, for the journal and for colleagues")
	case len(req.Why) > maxWhy || len(req.By) > maxBy:
		return nil, bad("the reason or by is too long: expected at most %d and %d bytes", maxWhy, maxBy)
	case req.By == "":
		req.By = peer(r.Context())
	}
	return do(r.Context(), req, dry)
}

// takeOver claims the written zones for an operator, because no quorum can be
// had, or says what that would claim.
func (d *daemon) takeOver(ctx context.Context, r api.TakeoverRequest, dry bool) (any, *api.Problem) {
	_, written, err := d.clients()
	if err != nil {
		return nil, failed(err)
	}
	if len(written) == 0 {
		return nil, refused("veer drain --local changes what this server answers", "no provider is written to: there is nothing to take over")
	}
	if problem := d.noQuorum(ctx); problem != nil {
		return nil, problem
	}
	zones, snaps := d.readZones(ctx, written)
	d.apart.mu.Lock()
	t := d.apart.taken
	if t != nil && t.file.Told.Ending {
		d.apart.mu.Unlock()
		return nil, refused("veer takeover --end finishes it", "the end of a takeover was begun on this host")
	}
	told := api.Takeover{By: r.By, Why: r.Why, Began: time.Now().UTC().Truncate(time.Second), Zones: zones, Orders: []controller.Order{}}
	told.Term = max(highestTerm(snaps), d.termFloor(), d.heardTerm())
	if t != nil {
		told.Term, told.Orders = max(told.Term, t.file.Told.Term), t.file.Orders
	}
	told.Term++
	if dry {
		d.apart.mu.Unlock()
		return told, nil
	}
	was := t
	t = d.begin(told, was, written, snaps)
	if err := d.arm(t, told.Term); err != nil {
		d.apart.mu.Unlock()
		return nil, failed(err)
	}
	if was != nil {
		was.w = nil // it is this one's from now on
	}
	t.writing.Lock() // nothing is written before it is claimed, in order
	d.apart.taken = t
	w := t.w
	d.apart.mu.Unlock()
	d.o.Log.Warn().Uint64("term", uint64(told.Term)).Str("by", r.By).Str("why", r.Why).Msg("an operator takes over: no quorum can be had")
	out := w.Claim(ctx)
	t.writing.Unlock()
	return d.claimed(ctx, t, out)
}

// begin is the takeover before it has claimed anything. The caller holds apart's
// lock.
func (d *daemon) begin(told api.Takeover, was *taken, written []controller.Written, snaps []*providers.Snapshot) *taken {
	t := &taken{file: takeoverFile{Version: 1, Told: told}}
	t.file.Told.Orders = nil
	for i := range t.file.Told.Zones {
		t.file.Told.Zones[i].State, t.file.Told.Zones[i].Error = api.TakenLost, ""
	}
	if was != nil {
		t.file.Base, t.file.Touched, t.file.Orders = was.file.Base, was.file.Touched, was.file.Orders
		return t
	}
	p := d.picture()
	_, policy := d.scene.rules()
	for _, svc := range policy.Services {
		t.file.Base = append(t.file.Base, d.lastAnswers(p, svc.Name, written, snaps)...)
	}
	return t
}

// lastAnswers are the last ones of a service that are known: as the ledger was
// heard, as the authority has them, or as a zone has them.
func (d *daemon) lastAnswers(p *picture, name string, written []controller.Written, snaps []*providers.Snapshot) []steering.Answer {
	if held, _ := d.answers(p, name); len(held) > 0 {
		return held
	}
	for i, have := range snaps {
		if have == nil || !written[i].Takes(name) {
			continue
		}
		var out []steering.Answer
		for _, set := range have.Records {
			if providers.CanonicalName(set.Name) == name {
				out = append(out, steering.Answer{RRSet: set.Canonical()})
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// claimed takes down what became of the claims, and carries on with the orders
// that are there already. A takeover that took nothing is none.
func (d *daemon) claimed(ctx context.Context, t *taken, out []controller.ZoneOutcome) (any, *api.Problem) {
	d.apart.mu.Lock()
	t.noteClaims(out)
	took, first := len(t.file.Orders) > 0, ""
	for _, z := range t.file.Told.Zones {
		took = took || z.State == api.Taken || z.State == api.TakenLost
		if first == "" && z.State == api.TakenRefused {
			first = fmt.Sprintf("%s at %s refused: %s", short(z.Zone), z.Provider, z.Error)
		}
	}
	if !took {
		defer d.apart.mu.Unlock()
		d.apart.taken = nil
		if err := dropFile(d.keptPath(takeoverName)); err != nil {
			d.o.Log.Error().Err(err).Msg("a takeover that took nothing is still kept")
		}
		return nil, refused("see who writes there: veer validate --live shows the fences", "nothing was taken over: %s", first)
	}
	err := keepFile(d.keptPath(takeoverName), t.file)
	d.lay()
	orders := len(t.file.Orders)
	by, why, term := t.file.Told.By, t.file.Told.Why, uint64(t.file.Told.Term)
	d.apart.mu.Unlock()
	if err != nil {
		return nil, failed(err)
	}
	d.tellTakeover(by, why, term)
	if orders > 0 {
		d.writeTaken(ctx, t)
	}
	d.apart.mu.Lock()
	defer d.apart.mu.Unlock()
	return *t.told(), nil
}

// noQuorum refuses a takeover while a quorum answers, or may.
func (d *daemon) noQuorum(ctx context.Context) *api.Problem {
	const hint = "give the order itself: veer drain, force or freeze go to the ledger"
	cl := d.cluster.Load()
	if cl == nil {
		if d.picture().trouble == nil {
			return &api.Problem{Code: http.StatusServiceUnavailable, What: "the cluster is not joined yet: whether a quorum can be had is not known", Hint: "try again when veer status says that it cannot be joined"}
		}
		return nil
	}
	if age := time.Since(cl.AsOf()); !cl.AsOf().IsZero() && age < d.c.Cluster.VoteLease {
		return refused(hint, "a quorum answered %s ago: there is nothing to take over", age.Round(time.Millisecond))
	}
	there, err := cl.Quorum(ctx)
	switch {
	case err != nil:
		return refused("that is not the loss of a quorum: mend it", "%v", err)
	case there:
		return refused(hint, "a quorum answers: there is nothing to take over")
	}
	return nil
}

// readZones reads every written zone once. A snapshot that could not be read is
// nil, and the zone says why.
func (d *daemon) readZones(ctx context.Context, written []controller.Written) ([]api.TakenZone, []*providers.Snapshot) {
	ctx, cancel := context.WithTimeout(ctx, fencesWithin)
	defer cancel()
	zones, snaps := make([]api.TakenZone, len(written)), make([]*providers.Snapshot, len(written))
	var all sync.WaitGroup
	for i, w := range written {
		zones[i] = api.TakenZone{Provider: w.Name, Zone: zoneOf(w), State: api.TakenPlanned}
		all.Go(func() {
			have, err := w.Provider.Read(ctx, w.Zone)
			if err != nil {
				zones[i].State, zones[i].Error = api.TakenLost, err.Error()
				return
			}
			snaps[i] = &have
			if have.Fence != (providers.Fence{}) {
				zones[i].Fence = have.Fence.String()
			}
		})
	}
	all.Wait()
	return zones, snaps
}

// highestTerm is the highest of the zones' fences. One beyond what can be
// reached was written by hand, and refuses the claim.
func highestTerm(snaps []*providers.Snapshot) regions.Term {
	var term regions.Term
	for _, have := range snaps {
		if have != nil && have.Fence.Term < fenceBeyond {
			term = max(term, regions.Term(have.Fence.Term))
		}
	}
	return term
}

// heardTerm is the highest term of what was heard of the ledger.
func (d *daemon) heardTerm() regions.Term {
	var term regions.Term
	for _, sh := range d.picture().shards {
		term = max(term, sh.Term)
	}
	return term
}

func zoneOf(w controller.Written) string { return providers.CanonicalName(w.Zone) }

// endTakeover carries the orders of the takeover on this host into the ledger,
// and raises its term above: the next leader claims the zones. On another host,
// or where the orders are lost, it ends what the zones' fences tell of.
func (d *daemon) endTakeover(ctx context.Context, r api.TakeoverRequest, _ bool) (any, *api.Problem) {
	cl := d.cluster.Load()
	if cl == nil {
		return nil, refused("the takeover lasts until then; veer status says how etcd is", "the end of a takeover needs a quorum, and the cluster is not joined")
	}
	if there, err := cl.Quorum(ctx); err != nil || !there {
		return nil, refused("the takeover lasts until then; veer status says how etcd is", "the end of a takeover needs a quorum, and none answers%s", colon(errText(err)))
	}
	_, written, err := d.clients()
	if err != nil {
		return nil, failed(err)
	}
	_, snaps := d.readZones(ctx, written)
	var term regions.Term
	for _, have := range snaps {
		if have != nil && controller.TakenOver(have.Fence) {
			term = max(term, highestTerm([]*providers.Snapshot{have}))
		}
	}
	d.apart.mu.Lock()
	t := d.apart.taken
	d.apart.mu.Unlock()
	if t == nil && term == 0 {
		return nil, &api.Problem{Code: http.StatusNotFound, What: "no takeover lasts: neither on this host nor by a zone's fence"}
	}
	orders := []controller.Order{}
	if t != nil {
		t.writing.Lock() // nothing is written any more
		defer t.writing.Unlock()
		d.apart.mu.Lock()
		t.w, t.file.Told.Ending = nil, true
		err := keepFile(d.keptPath(takeoverName), t.file)
		term, orders = max(term, t.file.Told.Term), inForceOrders(t.file.Orders, time.Now())
		d.apart.mu.Unlock()
		if err != nil {
			return nil, failed(err)
		}
	}
	out := api.TakeoverEnd{Term: term, Orders: orders}
	if err := d.carry(ctx, cl, r, &out); err != nil {
		return nil, failed(err)
	}
	if t != nil {
		d.apart.mu.Lock()
		defer d.apart.mu.Unlock()
		if err := dropFile(d.keptPath(takeoverName)); err != nil {
			return nil, failed(err)
		}
		d.apart.taken = nil
		d.lay()
	}
	d.o.Log.Warn().Uint64("term", uint64(term)).Int("orders", len(orders)).Str("by", r.By).Str("why", r.Why).Msg("the takeover has ended")
	return out, nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// carry brings the orders into the ledger, raises its term, and waits for what
// the next leader makes of it. It may be repeated.
func (d *daemon) carry(ctx context.Context, cl *cluster.Cluster, r api.TakeoverRequest, out *api.TakeoverEnd) error {
	p := d.picture()
	about := slices.DeleteFunc(slices.Clone(p.policy.Services), func(s steering.Service) bool {
		return !slices.ContainsFunc(out.Orders, func(o controller.Order) bool { return concerns(o.Target, s) })
	})
	a := acting{orders: out.Orders, moves: p.plan(about, slices.Concat(p.view.Overrides, out.Orders)), before: p.shards, began: time.Now()}
	for _, o := range out.Orders {
		if err := cl.AddOrder(ctx, o); err != nil && !errors.Is(err, cluster.ErrOrderExists) {
			return err
		}
	}
	if err := cl.EndTakeover(ctx, out.Term, r.By, r.Why); err != nil {
		return err
	}
	var done api.OrderResult
	for range endAwaits {
		if d.await(ctx, cl, a, &done); done.InForce {
			break
		}
	}
	out.InForce, out.Note = done.InForce, done.Note
	if done.InForce {
		out.Note = ""
	}
	return nil
}
