package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// maxNames bounds the names of one question.
const maxNames = 100

// surveyed is a World that was read once.
type surveyed struct{ view controller.View }

func (s surveyed) View() controller.View    { return s.view }
func (s surveyed) Changed() <-chan struct{} { return nil }

// read is the ledger and the votes as they were read once.
type read struct {
	*picture
	answers []steering.Answer
	decided []api.Decided
	first   bool
	trouble error // parts that cannot be read
}

// readAll reads what a plan by a config is made of; cl may be nil: there is no
// ledger.
func readAll(ctx context.Context, c *config.Config, cl *cluster.Cluster) (read, error) {
	s := newScene(c)
	if cl == nil {
		return read{picture: s.picture(nil), first: true}.firstAnswers(), nil
	}
	stored, err := cl.Shards(ctx)
	if err != nil && len(stored) == 0 {
		return read{}, err
	}
	out := read{trouble: err}
	var shards []steering.Shard
	for _, v := range stored {
		shards = append(shards, v.Shard)
		out.answers = append(out.answers, v.Answers...)
		out.decided = append(out.decided, api.Decided{Shard: v.ID, Term: v.Term, Seq: v.Seq})
	}
	view, err := cl.Survey(ctx)
	if err != nil {
		return read{}, err
	}
	s.heard(shards)
	out.picture = s.picture(surveyed{view})
	if out.first = len(stored) == 0; out.first {
		return out.firstAnswers(), nil
	}
	return out, nil
}

// firstAnswers are those of a first decision on the votes as they are.
func (r read) firstAnswers() read {
	for _, svc := range r.policy.Services {
		r.answers = append(r.answers, steering.Decide(r.input(svc, r.view.Overrides)).Answers...)
	}
	return r
}

// plan compares every written zone with the ledger.
func (d *daemon) plan(ctx context.Context, cl *cluster.Cluster, prune bool) (api.Plan, error) {
	c, written, err := d.clients()
	if err != nil {
		return api.Plan{}, err
	}
	known, err := readAll(ctx, c, cl)
	if err != nil {
		return api.Plan{}, err
	}
	out := api.Plan{
		Owner: d.c.Owner, Config: c.Hash(), Region: d.c.Host.Region, First: known.first, Prune: prune,
		Zones: make([]api.PlanZone, len(written)), Ledger: []api.Decided{}, Budgets: c.Budgets(), Warnings: d.planWarnings(known),
	}
	out.Ledger = append(out.Ledger, known.decided...)
	for _, v := range known.decided {
		out.Term = max(out.Term, v.Term)
	}
	slices.SortFunc(out.Ledger, func(a, b api.Decided) int { return cmp.Compare(a.Shard, b.Shard) })
	var all sync.WaitGroup
	for i, w := range written {
		all.Go(func() { out.Zones[i] = planZone(ctx, w, known, prune) })
	}
	all.Wait()
	out.Unconfirmed = known.unconfirmed()
	return out, ctx.Err()
}

func planZone(ctx context.Context, w controller.Written, known read, prune bool) api.PlanZone {
	out := api.PlanZone{Why: map[string][]steering.Reason{}}
	out.Provider, out.Zone = w.Name, providers.CanonicalName(w.Zone)
	out.Changes, out.Refused, out.Held, out.Prune = []providers.Change{}, []controller.Refusal{}, []string{}, []providers.Change{}
	have, err := w.Provider.Read(ctx, w.Zone)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.ZonePlan = controller.PlanZone(w, have, known.answers, known.policy)
	if prune {
		out.Changes, out.Guard = out.Pruned()
	}
	out.Fence, out.Records = have.Fence, controller.Digest(have)
	for _, c := range out.Changes {
		name := changed(c)
		if slices.Contains(out.Held, name) {
			out.Why[name] = []steering.Reason{{Service: name, Rule: steering.RuleUnlisted, Text: "no service of the config has it here"}}
			continue
		}
		if svc, ok := known.service(name); ok && out.Why[name] == nil {
			out.Why[name] = steering.Decide(known.input(svc, known.view.Overrides)).Why
		}
	}
	if e, ok := w.Provider.(providers.Estimator); ok && len(out.Changes) > 0 {
		cost, err := e.Estimate(have, out.Changes)
		if err != nil {
			out.Error = err.Error()
			return out
		}
		out.Estimate = &cost
	}
	return out
}

func changed(c providers.Change) string {
	if c.After != nil {
		return c.After.Name
	}
	return c.Before.Name
}

// planWarnings are what is valid and yet likely not meant, and what is not as
// it should be.
func (d *daemon) planWarnings(known read) []string {
	out := append([]string{}, known.c.Warnings()...)
	if known.trouble != nil {
		out = append(out, fmt.Sprintf("parts of the ledger cannot be read: %v", known.trouble))
	}
	out = append(out, known.limits()...)
	if !known.first {
		out = append(out, differing(known.picture, known.c.Hash())...)
	}
	for _, svc := range known.policy.Services {
		state := known.state(svc.Name)
		if state.Name == "" || known.first {
			continue
		}
		if now := steering.Decide(known.input(svc, known.view.Overrides)); !sameData(state.Answer, serviceOf(now.Next, svc.Name).Answer) {
			out = append(out, fmt.Sprintf("%s: the votes call for another answer than the ledger's; a leader will decide it", short(svc.Name)))
		}
	}
	if c := d.controller.Load(); c != nil {
		for _, z := range c.Zones() {
			if z.State == controller.ZoneReadOnly {
				out = append(out, zoneWarnings(known.c, z)...)
			}
		}
	}
	return out
}

// clients are the config in force and its written zones, with the clients of
// their providers, which are made when they are first needed.
func (d *daemon) clients() (*config.Config, []controller.Written, error) {
	d.opening.Lock()
	defer d.opening.Unlock()
	c := d.config()
	if d.written != nil {
		return c, d.written, nil
	}
	written, opened, err := d.open(c, d.files)
	if err == nil {
		d.written, d.opened = written, opened
	}
	return c, written, err
}

// standing tells how names stand in the written zones.
func (d *daemon) standing(ctx context.Context, cl *cluster.Cluster, names []string) ([]api.Standing, error) {
	c, written, err := d.clients()
	if err != nil {
		return nil, err
	}
	known, err := readAll(ctx, c, cl)
	if err != nil {
		return nil, err
	}
	out := []api.Standing{}
	for _, w := range written {
		var mine []string
		for _, name := range names {
			if name = providers.CanonicalName(name); providers.InZone(name, w.Zone) && longest(c, w, name) {
				mine = append(mine, name)
			}
		}
		if len(mine) == 0 {
			continue
		}
		have, err := w.Provider.Read(ctx, w.Zone)
		for _, name := range mine {
			out = append(out, stand(w, have, err, name, known.answers))
		}
	}
	return out, nil
}

// longest reports whether the name goes to this zone of the provider.
func longest(c *config.Config, w controller.Written, name string) bool {
	for _, p := range c.Providers {
		if p.Name == w.Name {
			return providers.CanonicalName(p.Zone(name)) == providers.CanonicalName(w.Zone)
		}
	}
	return false
}

func stand(w controller.Written, have providers.Snapshot, err error, name string, answers []steering.Answer) api.Standing {
	s := api.Standing{Name: name, Provider: w.Name, Zone: providers.CanonicalName(w.Zone), Records: []providers.RRSet{}, Wanted: []providers.RRSet{}}
	if err != nil {
		s.Error = err.Error()
		return s
	}
	for _, set := range slices.Concat(have.Records, have.Foreign) {
		if providers.CanonicalName(set.Name) == name {
			s.Records = append(s.Records, set)
		}
	}
	s.Owned, s.Owner = slices.Contains(have.Owned, name), have.Owners[name]
	if s.Service = w.Takes == nil || w.Takes(name); !s.Service {
		return s
	}
	for _, a := range answers {
		if a.Name == name {
			s.Wanted = append(s.Wanted, a.RRSet)
		}
	}
	return s
}

func (d *daemon) handlePlan(r *http.Request) (any, *api.Problem) {
	prune, problem := flagOf(r, "prune")
	if problem != nil {
		return nil, problem
	}
	cl, problem := d.ledger()
	if problem != nil {
		return nil, problem
	}
	p, err := d.plan(r.Context(), cl, prune)
	if err != nil {
		return nil, failed(err)
	}
	return p, nil
}

func (d *daemon) handleStanding(r *http.Request) (any, *api.Problem) {
	names := r.URL.Query()["name"]
	if len(names) == 0 || len(names) > maxNames {
		return nil, bad("%d names: expected 1 to %d", len(names), maxNames)
	}
	cl, problem := d.ledger()
	if problem != nil {
		return nil, problem
	}
	s, err := d.standing(r.Context(), cl, names)
	if err != nil {
		return nil, failed(err)
	}
	return s, nil
}

// ledger returns the cluster, which keeps it.
func (d *daemon) ledger() (*cluster.Cluster, *api.Problem) {
	if cl := d.cluster.Load(); cl != nil {
		return cl, nil
	}
	return nil, &api.Problem{Code: http.StatusServiceUnavailable, What: "the ledger cannot be read: the cluster is not joined", Hint: "veer status says why; try again when etcd answers"}
}

// Plan makes a plan without a daemon.
func Plan(ctx context.Context, o OnceOptions, prune bool) (out api.Plan, err error) {
	err = offline(ctx, o, func(d *daemon, cl *cluster.Cluster) error {
		out, err = d.plan(ctx, cl, prune)
		return err
	})
	return out, err
}

// Standing tells how names stand, without a daemon.
func Standing(ctx context.Context, o OnceOptions, names []string) (out []api.Standing, err error) {
	err = offline(ctx, o, func(d *daemon, cl *cluster.Cluster) error {
		out, err = d.standing(ctx, cl, names)
		return err
	})
	return out, err
}

// offline joins the ledger for a command, without voting; the cluster is nil
// where there is no ledger yet.
func offline(ctx context.Context, o OnceOptions, f func(d *daemon, cl *cluster.Cluster) error) (err error) {
	if len(o.Config.Cluster.Members) > 1 {
		return refused("run it on a host whose daemon runs, or name that daemon's socket with --socket", "no daemon runs on %s, and a member of cluster.members cannot reach the others alone", o.Config.Host.DataDir)
	}
	if len(o.Config.Cluster.Endpoints) == 0 && !HasLedger(o.Config) {
		return f(o.daemon(), nil)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	d, closing, err := joinOnce(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	return f(d, d.joined)
}
