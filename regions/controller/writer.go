package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

const (
	// readTimeout bounds one read of a zone, and claimTimeout one claim, with the
	// proof of the swap before the first. Their requests wait for the rate limit
	// that all zones of an account share; each has a time limit of its own. What
	// is cut off begins anew: were they shorter, many zones at once would spend
	// the limit on beginnings.
	readTimeout  = 10 * time.Minute
	claimTimeout = 10 * time.Minute
	// writeTimeout bounds one write, and writeEach is what each change adds:
	// many take several requests. It is short, for newer answers may come.
	writeTimeout = time.Minute
	writeEach    = 20 * time.Millisecond
)

// writer keeps one zone of a provider as the ledger says, for one reign. It is
// level-triggered: it always works towards the newest answers it was given.
type writer struct {
	o        *Options // what of them does not change
	w        Written  // whose name and zone do not change; for all else see now
	lead     Lead
	depose   context.CancelCauseFunc
	log      zerolog.Logger
	measured *measured

	due  chan struct{} // holds one token: something may differ
	asks chan *ask
	done chan struct{} // closed when run ends
	// following are the goroutines that follow changes to the name servers.
	following sync.WaitGroup
	followers chan struct{} // one token for each that may run

	// task is what the next pass works with; nil: the zone is not written any
	// more. now is what this one does, and so run's own, as all below is.
	task atomic.Pointer[assignment]
	now  *assignment

	claimed bool
	// quiet: nobody's write can be under way in the zone, so that there is
	// nothing that a claim could keep out before the first write of this reign.
	quiet bool
	// marked: Options.Marks says that a write may be under way; unsure: it may,
	// since the last one's outcome is not known.
	marked, unsure bool
	// given is the highest write number that may have been used: none is ever
	// given twice, since that the zone has it is what tells, after a lost
	// reply, that the write happened.
	given   uint64
	backoff time.Duration
	// conflicts is how many tries in a row ended in one.
	conflicts int
	// rejected are the names that the provider does not take.
	rejected map[string]rejection

	mu      sync.Mutex
	answers map[int][]steering.Answer // by shard
	blind   map[int]map[string]bool   // by shard; see reign.blind
	gen     uint64                    // of answers
	stands  standing
}

func newWriter(o *Options, w Written, lead Lead, depose context.CancelCauseFunc, m *measured) *writer {
	wr := &writer{
		o: o, w: w, lead: lead, depose: depose, measured: m,
		log: o.Log.With().Str("provider", w.Name).Str("zone", w.Zone).Logger(),
		due: make(chan struct{}, 1), asks: make(chan *ask), done: make(chan struct{}),
		followers: make(chan struct{}, followAtOnce), rejected: map[string]rejection{},
		answers: map[int][]steering.Answer{}, blind: map[int]map[string]bool{}, stands: standing{since: time.Now(), pending: map[string]pending{}},
	}
	wr.now = &assignment{o, w}
	wr.task.Store(wr.now)
	return wr
}

// give hands over a shard's committed answers, with the names of those that were
// decided blindly, and reports whether they say
// anything new of this zone: the time for which they hold is not written.
func (w *writer) give(shard int, answers []steering.Answer, blind map[string]bool) (news bool) {
	takes := w.task.Load().takes
	own := slices.DeleteFunc(slices.Clone(answers), func(a steering.Answer) bool { return !takes(a.Name) })
	w.mu.Lock()
	defer w.mu.Unlock()
	was, is := byAnswer(w.answers[shard]), byAnswer(own)
	blindly := w.blind[shard]
	w.answers[shard], w.blind[shard] = own, blind
	w.gen++
	for name, sets := range is {
		if slices.EqualFunc(was[name], sets, providers.RRSet.Equal) && blindly[name] == blind[name] {
			continue
		}
		news = true
		p, waits := w.stands.pending[name]
		if !waits {
			p.since = time.Now()
		}
		p.gen = w.gen
		w.stands.pending[name] = p
	}
	return news
}

func byAnswer(answers []steering.Answer) map[string][]providers.RRSet {
	sets := make([]providers.RRSet, 0, len(answers))
	for _, a := range answers {
		sets = append(sets, a.RRSet)
	}
	return byName(sets)
}

// kick makes the writer look again.
func (w *writer) kick() {
	select {
	case w.due <- struct{}{}:
	default:
	}
}

// run writes until ctx ends. A failure is tried again after a pause; being
// fenced ends the reign.
func (w *writer) run(ctx context.Context) {
	defer w.following.Wait()
	defer close(w.done)
	var wait pause
	for {
		asked, ok := w.await(ctx, wait)
		if !ok {
			return
		}
		var may *Request
		if asked != nil {
			may = &asked.Request
		}
		done, err := w.once(ctx, may)
		if ctx.Err() != nil {
			return
		}
		if !w.lead.Sure() {
			w.depose(errDeposed)
			return
		}
		if errors.Is(err, providers.ErrFenced) {
			w.log.Error().Err(err).Msg("another controller writes this zone, stepping down")
			w.depose(fmt.Errorf("provider %s, zone %s: %w", w.w.Name, w.w.Zone, err))
			return
		}
		var state ZoneStatus
		state, wait = w.outcome(err)
		w.note(state, done, err, wait.atLeast)
		if asked != nil {
			asked.done <- done.of(w.w, err)
		}
	}
}

// await waits until there is something to do: after a failure, until its pause
// is over or something worth a try at once happens. It returns false when ctx
// ended.
func (w *writer) await(ctx context.Context, p pause) (*ask, bool) {
	due, asks := w.due, w.asks
	var over <-chan time.Time
	if p.atLeast > 0 {
		timer := time.NewTimer(p.atLeast)
		defer timer.Stop()
		over = timer.C
		if !p.news {
			due = nil
		}
		if !p.asks {
			asks = nil
		}
	}
	select {
	case <-ctx.Done():
		return nil, false
	case <-due:
	case <-over:
	case a := <-asks:
		return a, true
	}
	return nil, true
}

// once claims the zone if this reign has not yet, reads it, and writes the
// difference (DESIGN, "Fence"), as far as the request, or without one the
// guard, permits.
func (w *writer) once(ctx context.Context, asked *Request) (ZoneOutcome, error) {
	done, may := ZoneOutcome{Changes: []providers.Change{}}, Request{}
	task := w.task.Load()
	if task == nil {
		return done, nil
	}
	w.now = task
	if asked != nil {
		may = *asked
	}
	have, err := w.read(ctx)
	if err != nil {
		return done, fmt.Errorf("reading the zone: %w", err)
	}
	if w.unsaved(have, may, &done) {
		return done, nil
	}
	// A fence that is not this reign's means that the zone was not claimed
	// yet, or was restored from an older copy: claim it (again).
	if !w.quiet && (!w.claimed || have.Fence.Term != uint64(w.lead.Term()) || have.Fence.Holder != w.lead.Holder()) {
		if _, err := w.apply(ctx, have, nil, &done); err != nil {
			return done, fmt.Errorf("claiming the zone: %w", err)
		}
		w.claimed = true
		if have, err = w.read(ctx); err != nil {
			return done, fmt.Errorf("reading the zone after the claim: %w", err)
		}
	}
	if have, err = w.keep(ctx, have, may, &done); err != nil {
		return done, err
	}
	answers, gen := w.newest()
	if may.Plan == nil {
		answers, done.Refused = w.sighted(answers, have, done.Refused)
	}
	plan := PlanZone(w.now.Written, have, answers, w.now.o.Policy)
	changes := plan.permitted(may, &done)
	done.Refused, done.Held = append(done.Refused, plan.Refused...), plan.Held
	if may.Plan != nil {
		saved, _ := may.Plan.of(w.id())
		if done.Stale = saved.differs(changes); done.Stale != "" {
			return done, nil
		}
	}
	err = w.writeAll(ctx, have, changes, asked != nil, &done)
	w.sayDrift(done)
	if err == nil {
		w.current(gen, done, plan)
	}
	done.Held = plan.left(done.Changes)
	return done, err
}

// permitted are the changes that may be made without a further word, or with
// the one that was given.
func (p ZonePlan) permitted(may Request, done *ZoneOutcome) []providers.Change {
	changes, guard := p.Changes, p.Guard
	if may.Prune {
		changes, guard = p.Pruned()
	}
	if guard != "" && !may.AllowMany {
		done.Guard = guard
		return p.Safe()
	}
	return changes
}

func (w *writer) read(ctx context.Context) (providers.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	have, err := w.now.Provider.Read(ctx, w.w.Zone)
	if err != nil {
		return have, err
	}
	w.o.Fence(have.Fence)
	if err := w.taken(have.Fence); err != nil {
		return have, err
	}
	return have, w.reach(have.Fence)
}

// reach refuses a fence that no election or write can go beyond: somebody wrote
// it by hand. To step down would end nothing, for the next leader finds it too;
// so it stops its own zone, and no other.
func (w *writer) reach(f providers.Fence) error {
	const beyond = 1 << 62
	if f.Write < beyond && (f.Term < beyond || f.Term <= uint64(w.lead.Term())) {
		return nil
	}
	return fmt.Errorf("%w: the zone has the fence %s, whose numbers no election or write reaches: somebody wrote it by hand; delete it once no other Veer of owner %s writes the zone",
		providers.ErrRejected, f, w.o.Owner)
}

// apply makes the changes with the next fence, and follows them. It reports
// whether the fence moved, even where not all was done.
func (w *writer) apply(ctx context.Context, have providers.Snapshot, changes []providers.Change, done *ZoneOutcome) (moved bool, err error) {
	next, err := w.next(have, len(changes))
	if err != nil {
		return false, err
	}
	if err := w.mark(ctx); err != nil {
		return false, err
	}
	limit := writeTimeout + time.Duration(len(changes))*writeEach
	if len(changes) == 0 {
		limit = claimTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	if !w.lead.Sure() {
		return false, errDeposed
	}
	got, err := w.now.Provider.Apply(whileLeading(bounded, w.lead), have, next, changes)
	w.wrote(err)
	done.Calls += got.Calls
	if err != nil {
		return got.Fence != (providers.Fence{}), err
	}
	done.Changes = append(done.Changes, changes...)
	if len(changes) > 0 {
		w.log.Info().Int("changes", len(changes)).Int("calls", got.Calls).Dur("took_ms", time.Since(began)).
			Uint64("write", got.Fence.Write).Msg("zone written")
		w.follow(ctx, got)
	}
	return true, nil
}

// next is the fence of the next write over what the zone has, for one of so
// many changes.
func (w *writer) next(have providers.Snapshot, changes int) (providers.Fence, error) {
	next := providers.Fence{
		Owner: w.o.Owner, Term: uint64(w.lead.Term()), Holder: w.lead.Holder(), Write: max(have.Fence.Write, w.given) + 1,
	}
	if err := have.Fence.Admits(next); err != nil {
		return next, err
	}
	w.given = next.Write + providers.WritesOf(changes) - 1
	return next, nil
}

// newest are the answers as they are now.
func (w *writer) newest() ([]steering.Answer, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []steering.Answer
	for _, answers := range w.answers {
		out = append(out, answers...)
	}
	return out, w.gen
}

// current takes down that the answers up to gen are in the zone, but for
// those that were refused or held back.
func (w *writer) current(gen uint64, done ZoneOutcome, plan ZonePlan) {
	out, made := map[string]bool{}, map[string]bool{}
	for _, r := range done.Refused {
		out[r.Name] = true
	}
	for _, c := range done.Changes {
		made[setOf(c).Name] = true
	}
	for _, c := range plan.Changes {
		if name := setOf(c).Name; !made[name] {
			out[name] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, p := range w.stands.pending {
		if p.gen <= gen && !out[name] {
			delete(w.stands.pending, name)
		}
	}
}
