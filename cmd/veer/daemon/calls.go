package daemon

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/veerdns/veer/checks/callcheck"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/steering"
)

// newBook makes the book of what is called in; it hears nothing before the
// cluster is joined.
func (d *daemon) newBook() *callcheck.Book {
	return callcheck.NewBook(d.hearing, slices.Collect(maps.Keys(d.beats)), d.config().HookVantages())
}

func (d *daemon) hearing() callcheck.Hearing {
	cl := d.cluster.Load()
	if cl == nil {
		return callcheck.Hearing{}
	}
	asOf, since, lease := cl.Hearing()
	return callcheck.Hearing{AsOf: asOf, Since: since, For: lease}
}

// ear hands what the cluster hears to the book.
type ear struct {
	book *callcheck.Book
	// places are where the endpoints are on which each hook votes.
	places map[string]map[string][]steering.Target
}

func newEar(book *callcheck.Book, c *config.Config) ear {
	e := ear{book, map[string]map[string][]steering.Target{}}
	for _, hook := range c.HookVantages() {
		e.places[hook] = map[string][]steering.Target{}
		for _, p := range c.HookEndpoints(hook) {
			e.places[hook][string(p.Endpoint)] = p.Places
		}
	}
	return e
}

// Calls implements cluster.Ear.
func (e ear) Calls(all []cluster.Call) {
	out := make([]callcheck.Call, len(all))
	for i, c := range all {
		out[i] = callcheck.Call{Endpoint: string(c.Endpoint), Health: c.Health, Why: c.Why}
	}
	e.book.Hear(out)
}

// Hook implements cluster.Ear.
func (e ear) Hook(name string, n uint64, said []cluster.Statement, listed bool) {
	places, votes := e.places[name]
	if !votes {
		return
	}
	out := make([]callcheck.Statement, len(said))
	for i, s := range said {
		out[i] = callcheck.Statement{Key: s.Key, Health: s.Health, Why: s.Why, N: s.N, About: func(endpoint string) bool {
			return slices.ContainsFunc(places[endpoint], func(place steering.Target) bool { return covers(s.Target, place) })
		}}
	}
	e.book.HearHook(name, n, out, listed)
}

// covers reports whether a target has a place in it.
func covers(t, place steering.Target) bool {
	return t.Service == place.Service && (t.Region == "" || t.Region == place.Region) && (t.Address == "" || t.Address == place.Address)
}

// pending are call-ins of endpoints that other processes have not been told of
// yet. It is safe for concurrent use.
type pending struct {
	mu   sync.Mutex
	ends map[regions.EndpointID]*caller
	// bad is why the last try to tell failed; nil: it did not.
	bad  error
	wake chan struct{} // holds one
}

// caller is what is known of one endpoint's call-ins here.
type caller struct {
	call cluster.Call
	at   time.Time // when it called in
	// owed: others have not been told of it. told is what they know, and since when.
	owed   bool
	told   cluster.Call
	toldAt time.Time
	bucket bucket
}

func newPending() *pending {
	return &pending{ends: map[regions.EndpointID]*caller{}, wake: make(chan struct{}, 1)}
}

// take takes a call-in down, and reports whether the endpoint may call so often,
// and why others cannot be told at the moment.
func (p *pending) take(c cluster.Call, now time.Time) (allowed bool, trouble error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.ends[c.Endpoint]
	if e == nil {
		e = &caller{bucket: bucket{left: beatBurst}}
		p.ends[c.Endpoint] = e
	}
	if !e.bucket.take(now, beatRate, beatBurst) {
		return false, nil
	}
	e.call, e.at, e.owed = c, now, true
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return true, p.bad
}

// due are the call-ins to tell of now: what is new, and what was held back for
// long enough; one that is too old is dropped, since it would count as of now.
// next is when to look again; 0: there is nothing to wait for.
func (p *pending) due(now time.Time, within func(regions.EndpointID) time.Duration) (out []cluster.Call, next time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, e := range p.ends {
		if !e.owed {
			continue
		}
		hold := config.HeartbeatHold(within(id))
		left := hold - now.Sub(e.toldAt)
		switch {
		case now.Sub(e.at) > hold+tellWithin:
			e.owed = false
		case e.told.Health != e.call.Health || left <= 0:
			out = append(out, e.call)
		case next == 0 || left < next:
			next = left
		}
	}
	slices.SortFunc(out, func(a, b cluster.Call) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return out, next
}

// done notes that others were told, or why not.
func (p *pending) done(told []cluster.Call, at time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bad = err; err != nil {
		return
	}
	for _, c := range told {
		e := p.ends[c.Endpoint]
		e.told, e.toldAt = c, at
		e.owed = e.call != c || e.at.After(at)
	}
}

const (
	// tellWithin is how long a call-in that could not be told is kept: about as
	// long as etcd takes to elect. It counts from when it is told.
	tellWithin = 10 * time.Second
	// beatRate and beatBurst bound how often one endpoint may call in.
	beatRate, beatBurst = 5.0, 10.0
)

// spread tells others what is called in here, at most once in SpreadPace.
func (d *daemon) spread(ctx context.Context) error {
	within := func(id regions.EndpointID) time.Duration { return d.beats[string(id)].Heartbeat.Within }
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.calls.wake:
		case <-again.C:
		}
		now := time.Now()
		calls, next := d.calls.due(now, within)
		if len(calls) > 0 {
			err := d.tell(ctx, calls)
			d.calls.done(calls, now, err)
			next = config.SpreadPace
			if err != nil {
				d.o.Log.Warn().Err(err).Int("calls", len(calls)).Msg("could not tell others what was called in here; trying again")
			}
			select { // the pace
			case <-ctx.Done():
				return nil
			case <-time.After(next):
			}
			next = time.Millisecond // what came meanwhile
		}
		if next == 0 {
			next = time.Hour
		}
		again.Reset(next)
	}
}

func (d *daemon) tell(ctx context.Context, calls []cluster.Call) error {
	cl := d.cluster.Load()
	if cl == nil {
		return errNotJoined
	}
	ctx, cancel := context.WithTimeout(ctx, tellTry)
	defer cancel()
	return cl.Spread(ctx, calls)
}

// tellTry bounds one try to tell others.
const tellTry = 3 * time.Second

// bucket lets so many requests through in a second, and some more at once.
type bucket struct {
	left float64
	at   time.Time
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if !b.at.IsZero() {
		b.left = min(burst, b.left+rate*now.Sub(b.at).Seconds())
	}
	if b.at = now; b.left < 1 {
		return false
	}
	b.left--
	return true
}
