package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// world is a World, an Elector and a Ledger in memory, that can be told to
// fail.
type world struct {
	mu       sync.Mutex
	ballots  map[regions.Name]regions.Ballot
	suspects []regions.EndpointID
	orders   map[string]controller.Order
	changed  chan struct{}

	term    regions.Term
	ended   regions.Term // of takeovers
	leading *lead
	freed   chan struct{}

	shards  map[int]controller.Versioned
	rev     controller.Revision
	entries []steering.Entry
	commits int
	// fail is asked before each commit; after it may fail one that was made.
	fail, after func(steering.Shard) error
}

func newWorld() *world {
	return &world{
		ballots: map[regions.Name]regions.Ballot{}, orders: map[string]controller.Order{},
		changed: make(chan struct{}), freed: make(chan struct{}), shards: map[int]controller.Versioned{},
	}
}

func (w *world) View() controller.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v controller.View
	for _, b := range w.ballots {
		b.Votes = slices.Clone(b.Votes)
		v.Ballots = append(v.Ballots, b)
	}
	v.Suspects = slices.Clone(w.suspects)
	for _, o := range w.orders {
		v.Overrides = append(v.Overrides, o)
	}
	return v
}

func (w *world) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// change changes the view under the lock and tells.
func (w *world) change(f func()) {
	w.mu.Lock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
}

// vote makes a vantage say h of endpoints; Unknown takes the vote away.
func (w *world) vote(vantage regions.Name, h checks.Health, ids ...regions.EndpointID) {
	w.change(func() {
		b := w.ballots[vantage]
		b.Vantage = vantage
		b.Votes = slices.DeleteFunc(b.Votes, func(v regions.Vote) bool { return slices.Contains(ids, v.Endpoint) })
		for _, id := range ids {
			if h != checks.Unknown {
				b.Votes = append(b.Votes, regions.Vote{Vantage: vantage, Endpoint: id, Health: h, Round: 1, Why: "test"})
			}
		}
		w.ballots[vantage] = b
	})
}

func (w *world) voteAll(h checks.Health, ids ...regions.EndpointID) {
	for _, v := range vantages {
		w.vote(v, h, ids...)
	}
}

type lead struct {
	w     *world
	term  regions.Term
	since time.Time
	done  chan struct{}
	// late, once it is not zero, is when the lease is over although Done is not
	// closed yet: the process was paused.
	late time.Time
}

// Sure implements controller.Lead.
func (l *lead) Sure() bool {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	select {
	case <-l.done:
		return false
	default:
		return l.late.IsZero() || time.Now().Before(l.late)
	}
}

func (l *lead) Term() regions.Term    { return l.term }
func (l *lead) Holder() string        { return fmt.Sprintf("holder-%d", l.term) }
func (l *lead) Since() time.Time      { return l.since }
func (l *lead) Done() <-chan struct{} { return l.done }
func (l *lead) Resign(context.Context) error {
	l.w.depose(l)
	return nil
}

func (w *world) Campaign(ctx context.Context, _ string) (controller.Lead, error) {
	for {
		w.mu.Lock()
		if w.leading == nil {
			w.term++
			l := &lead{w: w, term: w.term, since: time.Now(), done: make(chan struct{})}
			w.leading = l
			w.mu.Unlock()
			return l, nil
		}
		freed := w.freed
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-freed:
		}
	}
}

// depose ends a lead (nil: the present one).
func (w *world) depose(l *lead) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l == nil {
		l = w.leading
	}
	if l == nil || w.leading != l {
		return
	}
	w.leading = nil
	close(l.done)
	close(w.freed)
	w.freed = make(chan struct{})
}

func (w *world) Shards(context.Context) ([]controller.Versioned, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []controller.Versioned
	for _, v := range w.shards {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b controller.Versioned) int { return a.ID - b.ID })
	return out, nil
}

func (w *world) Commit(_ context.Context, l controller.Lead, from controller.Revision, s steering.Shard, e *steering.Entry) (controller.Revision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		if err := w.fail(s); err != nil {
			return 0, err
		}
	}
	if w.leading == nil || w.leading.term != l.Term() {
		return 0, controller.ErrNotLeader
	}
	if w.shards[s.ID].At != from {
		return 0, controller.ErrMoved
	}
	w.rev++
	w.commits++
	w.shards[s.ID] = controller.Versioned{Shard: s, At: w.rev}
	if e != nil {
		w.entries = append(w.entries, *e)
	}
	if w.after != nil {
		if err := w.after(s); err != nil {
			return 0, err
		}
	}
	return w.rev, nil
}

func (w *world) RemoveOrder(_ context.Context, l controller.Lead, id string) error {
	w.mu.Lock()
	leads := w.leading != nil && w.leading.term == l.Term()
	w.mu.Unlock()
	if !leads {
		return controller.ErrNotLeader
	}
	w.change(func() { delete(w.orders, id) })
	return nil
}

// served is the data answered for a service, "" for none.
func (w *world) served(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var data []string
	for _, a := range w.shards[steering.ShardOf(name)].Answers {
		if a.Name == name {
			data = append(data, a.Data...)
		}
	}
	slices.Sort(data)
	return strings.Join(data, " ")
}

// lastCause is the cause of the newest journal entry.
func (w *world) lastCause() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.entries) == 0 {
		return ""
	}
	return w.entries[len(w.entries)-1].Cause
}

func (w *world) counts() (commits, entries int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commits, len(w.entries)
}

var vantages = []regions.Name{"eu", "us", "ap"}

const (
	app = "app.example.test."
	one = regions.EndpointID("web@192.0.2.1")
	two = regions.EndpointID("web@192.0.2.2")
)

// service is a failover service of two pools with one endpoint each.
func service(name string, hold time.Duration, first, second regions.EndpointID) steering.Service {
	pool := func(region regions.Name, id regions.EndpointID) steering.Pool {
		_, address, _ := strings.Cut(string(id), "@")
		return steering.Pool{Region: region, MinUp: 1, Endpoints: []steering.Endpoint{{ID: id, Address: address}}}
	}
	return steering.Service{
		Name: name, Kind: steering.Failover, AllDown: steering.LastGood, Hold: hold,
		TTL: 30, MinTTL: 5, MaxTTL: 60,
		Pools: []steering.Pool{pool("eu", first), pool("us", second)},
	}
}

// rig runs one controller on a world.
type rig struct {
	*world
	t      *testing.T
	o      controller.Options
	mu     sync.Mutex
	events []controller.Event
	stop   func()
	leads  *controller.Controller // started last
}

func newRig(t *testing.T, services ...steering.Service) *rig {
	r := &rig{world: newWorld(), t: t}
	r.o = controller.Options{
		Name: "eu", Owner: "test", Policy: steering.Policy{Services: services}, Vantages: vantages,
		World: r.world, Elector: r.world, Ledger: r.world, ConfigHash: "c", Version: "v", Log: zerolog.Nop(),
		Events: func(e controller.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
	}
	return r
}

// start runs the controller until stop is called or the test ends.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	c := controller.New(r.o)
	r.leads = c
	go func() { done <- c.Run(ctx) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
	synctest.Wait()
}

func (r *rig) lastEvent() controller.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		return controller.Event{}
	}
	return r.events[len(r.events)-1]
}

func (r *rig) wantServed(name, want string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.served(name); got != want {
		r.t.Fatalf("%s answers %q, want %q (last cause %q)", name, got, want, r.lastCause())
	}
}

func (r *rig) wantCause(want string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.lastCause(); got != want {
		r.t.Fatalf("cause %q, want %q", got, want)
	}
}

// pass lets the bubble's time pass; in a bubble this is an event, not a wait.
func pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

var errDown = errors.New("etcd is away")
