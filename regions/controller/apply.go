package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/veerdns/veer/providers"
)

// Request is what an operator lets the writers do, once.
type Request struct {
	// Provider and Zone pick what is written; empty: all of them.
	Provider string `json:"provider,omitempty"`
	Zone     string `json:"zone,omitempty"`
	// Prune deletes what no service of the config has any more, here and in
	// the ledger.
	Prune bool `json:"prune,omitempty"`
	// AllowMany confirms what the guard holds back.
	AllowMany bool `json:"allow_many,omitempty"`
	// AcceptConfig is the hash of the leader's config, which confirms what that
	// alters in more answers than go without saying.
	AcceptConfig string `json:"accept_config,omitempty"`
	// Take are names to own from now on, with the records that stand there;
	// Release are names to own no more: their records stay.
	Take    []string `json:"take,omitempty"`
	Release []string `json:"release,omitempty"`
	// Plan, where it is set, is all that may be done, and only as long as
	// nothing moved since it was saved.
	Plan *Saved `json:"plan,omitempty"`
	// By and Why are for the log and the journal.
	By  string `json:"by"`
	Why string `json:"why"`

	dry bool // compare with Plan, and write nothing
}

// ZoneOutcome is what became of a Request in one zone.
type ZoneOutcome struct {
	Provider string `json:"provider"`
	Zone     string `json:"zone"`
	// Changes are those that were made.
	Changes  []providers.Change `json:"changes"`
	Taken    []string           `json:"taken,omitempty"`
	Released []string           `json:"released,omitempty"`
	Refused  []Refusal          `json:"refused,omitempty"`
	Held     []string           `json:"held,omitempty"`
	// Guard, when it is not empty, says why some changes were held back.
	Guard string `json:"guard,omitempty"`
	// Stale, when it is not empty, says what moved since Request.Plan was
	// saved: nothing was written.
	Stale string `json:"stale,omitempty"`
	// Calls is how many requests wrote.
	Calls int `json:"calls"`
	// Error says why it is not finished; Err is the same as an error.
	Error string `json:"error,omitempty"`
	Err   error  `json:"-"`
}

// ErrGuarded means that a Request would delete so much that it must be
// confirmed.
var ErrGuarded = errors.New("refused unless it is confirmed with --allow-many")

// ask is a Request on its way to a writer.
type ask struct {
	Request
	done chan ZoneOutcome // holds one
}

// Apply makes the writers of this leader compare every zone with the ledger
// now, with the request's permissions, and returns what became of each once
// all are done, sorted as in Options.Providers. It returns ErrNotLeader when
// this process does not lead, or stops leading meanwhile.
func (c *Controller) Apply(ctx context.Context, req Request) ([]ZoneOutcome, error) {
	r := c.reigning.Load()
	if r == nil || !r.lead.Sure() {
		return nil, ErrNotLeader
	}
	c.o.Log.Info().Str("by", req.By).Str("why", req.Why).Bool("prune", req.Prune).Bool("allow_many", req.AllowMany).
		Strs("take", req.Take).Strs("release", req.Release).Msg("an operator has the zones written")
	if req.Plan != nil {
		trial := req
		trial.dry = true
		if out, err := r.askAll(ctx, trial); err != nil || !stands(out) {
			return out, err
		}
	}
	forget := req
	forget.Prune = req.Prune && req.Provider == "" && req.Zone == ""
	if forget.Prune || req.AcceptConfig != "" {
		if err := r.askPrune(ctx, forget); err != nil {
			return nil, err
		}
	}
	return r.askAll(ctx, req)
}

// askAll hands the request to every writer that it picks.
func (r *reign) askAll(ctx context.Context, req Request) ([]ZoneOutcome, error) {
	var asked []*writer
	for _, w := range r.active() {
		if req.picks(w.w) {
			asked = append(asked, w)
		}
	}
	out := make([]ZoneOutcome, len(asked))
	var all sync.WaitGroup
	for i, w := range asked {
		all.Go(func() { out[i] = w.ask(ctx, req) })
	}
	all.Wait()
	for _, o := range out {
		if errors.Is(o.Err, ErrNotLeader) {
			return out, ErrNotLeader
		}
	}
	return out, ctx.Err()
}

func (r Request) picks(w Written) bool {
	return (r.Provider == "" || r.Provider == w.Name) &&
		(r.Zone == "" || providers.CanonicalName(r.Zone) == providers.CanonicalName(w.Zone))
}

// Leads reports whether this process leads, and surely so at this moment.
func (c *Controller) Leads() bool {
	r := c.reigning.Load()
	return r != nil && r.lead.Sure()
}

// Zones returns how each written zone stands, in the order of
// Options.Providers; nil when this process does not lead.
func (c *Controller) Zones() []ZoneState {
	r := c.reigning.Load()
	if r == nil || !r.lead.Sure() {
		return nil
	}
	return zoneStates(r.active())
}

func zoneStates(writers []*writer) []ZoneState {
	out := make([]ZoneState, 0, len(writers))
	for _, w := range writers {
		out = append(out, w.zoneState())
	}
	return out
}

// ask hands the request to the writer and waits for the outcome.
func (w *writer) ask(ctx context.Context, req Request) ZoneOutcome {
	a := &ask{Request: req, done: make(chan ZoneOutcome, 1)}
	fail := func(err error) ZoneOutcome { return ZoneOutcome{Changes: []providers.Change{}}.of(w.w, err) }
	select {
	case w.asks <- a:
	case <-w.done:
		return fail(ErrNotLeader)
	case <-ctx.Done():
		return fail(w.waiting(ctx.Err()))
	}
	select {
	case out := <-a.done:
		return out
	case <-w.done:
		return fail(ErrNotLeader)
	case <-ctx.Done():
		return fail(ctx.Err())
	}
}

// of completes the outcome.
func (o ZoneOutcome) of(w Written, err error) ZoneOutcome {
	o.Provider, o.Zone, o.Err = w.Name, providers.CanonicalName(w.Zone), err
	if err != nil {
		o.Error = err.Error()
	}
	return o
}

// waiting adds why the writer did not take the request.
func (w *writer) waiting(err error) error {
	s := w.zoneState()
	return fmt.Errorf("%w while the zone is %s: %s", err, s.State, s.Error)
}

// keep takes and releases what the request names.
func (w *writer) keep(ctx context.Context, have providers.Snapshot, may Request, done *ZoneOutcome) (providers.Snapshot, error) {
	take, release := w.keeps(have, may, done)
	if len(take)+len(release) == 0 {
		return have, nil
	}
	keeper, ok := w.now.Provider.(providers.Keeper)
	if !ok {
		return have, fmt.Errorf("%w: the provider %s has no records of ownership", providers.ErrRejected, w.w.Name)
	}
	next, err := w.next(have, len(take)+len(release))
	if err != nil {
		return have, err
	}
	if err := w.mark(ctx); err != nil {
		return have, err
	}
	writing, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if !w.lead.Sure() {
		return have, errDeposed
	}
	got, err := keeper.Own(whileLeading(writing, w.lead), have, next, take, release)
	w.wrote(err)
	done.Calls += got.Calls
	if err != nil {
		return have, fmt.Errorf("taking %v and releasing %v: %w", take, release, err)
	}
	done.Taken, done.Released = take, release
	w.log.Info().Strs("taken", take).Strs("released", release).Str("by", may.By).Str("why", may.Why).Msg("ownership of names changed")
	if have, err = w.read(ctx); err != nil {
		return have, fmt.Errorf("reading the zone again: %w", err)
	}
	return have, nil
}

// keeps are the names to take and to release in this zone. A prune releases
// held names that have no records any more.
func (w *writer) keeps(have providers.Snapshot, may Request, done *ZoneOutcome) (take, release []string) {
	for _, name := range canonical(may.Take) {
		switch {
		case !w.now.takes(name) || slices.Contains(have.Owned, name):
		case have.Owners[name] != "":
			done.Refused = append(done.Refused, Refusal{name, "it belongs to " + have.Owners[name]})
		default:
			take = append(take, name)
		}
	}
	for _, name := range canonical(may.Release) {
		if slices.Contains(have.Owned, name) {
			release = append(release, name)
		}
	}
	if !may.Prune {
		return take, release
	}
	answers, _ := w.newest()
	records := byName(have.Records)
	for _, name := range PlanZone(w.now.Written, have, answers, w.now.o.Policy).Held {
		if len(records[name]) == 0 && !slices.Contains(release, name) {
			release = append(release, name)
		}
	}
	return take, release
}

func canonical(names []string) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, providers.CanonicalName(name))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
