package controller_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// overrun is the planted fault: a lead that never doubts itself, so that only
// the closing of Done ends it.
type overrun struct{ controller.Lead }

func (overrun) Sure() bool { return true }

// electing wins elections with the leads that it makes of the world's.
type electing struct {
	*world
	with func(controller.Lead) controller.Lead
}

func (e electing) Campaign(ctx context.Context, name string) (controller.Lead, error) {
	l, err := e.world.Campaign(ctx, name)
	if err != nil {
		return nil, err
	}
	return e.with(l), nil
}

// recorded is a provider that takes down the terms of the requests that it
// gets. Each write is two requests, with a context for each, as of adapters.
type recorded struct {
	*zone
	mu       sync.Mutex
	requests []uint64
	// between is called between the two requests of a write.
	between func()
}

func (p *recorded) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	for i := range 2 {
		if i == 1 && p.between != nil {
			p.between()
		}
		sending, cancel := context.WithTimeout(ctx, time.Second)
		err := sending.Err()
		cancel()
		if err != nil {
			return providers.Receipt{}, err
		}
		p.mu.Lock()
		p.requests = append(p.requests, next.Term)
		p.mu.Unlock()
	}
	return p.zone.Apply(ctx, from, next, changes)
}

func (p *recorded) of(term uint64) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, t := range p.requests {
		if t == term {
			n++
		}
	}
	return n
}

// paused is what a leader did in its term after a pause that outlasted its
// lease, Done being closed late: requests to the provider and commits.
type paused struct{ requests, commits int }

// pauseALeader pauses one while it waits for the zone's reading, or, with
// within, between two requests of one write; new votes come at the same time.
func pauseALeader(t *testing.T, within bool, with func(controller.Lead) controller.Lead) (did paused) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		p := &recorded{zone: &zone{}}
		r.o.Providers = []controller.Written{{Name: "p", Zone: "example.test.", Provider: p}}
		r.o.Elector = electing{r.world, with}
		var commits int
		r.after = func(s steering.Shard) error { // called with the world's lock held
			if s.Term == 1 {
				commits++
			}
			return nil
		}
		r.voteAll(checks.Up, one, two)
		r.start()
		pause := func() {
			r.world.mu.Lock()
			defer r.world.mu.Unlock()
			r.leading.late = time.Now()
			did.commits = commits
		}
		before := 0
		if within {
			p.between = func() { p.between = nil; pause(); before = p.of(1) }
			r.voteAll(checks.Down, one)
			synctest.Wait()
		} else {
			hang := make(chan struct{})
			p.zone.mu.Lock()
			p.zone.hang = hang
			p.zone.mu.Unlock()
			r.voteAll(checks.Down, one)
			synctest.Wait() // decided and committed; the zone is being read
			pause()
			before = p.of(1)
			r.voteAll(checks.Up, one)
			p.zone.mu.Lock()
			p.zone.hang = nil
			p.zone.mu.Unlock()
			close(hang)
			synctest.Wait()
		}
		r.world.mu.Lock()
		did.commits = commits - did.commits
		r.world.mu.Unlock()
		did.requests = p.of(1) - before
	})
	return did
}

// TestPausedLeaderWritesNothing: a leader whose lease ran out while its process
// was paused neither writes nor commits when it goes on, although nothing has
// told it yet.
func TestPausedLeaderWritesNothing(t *testing.T) {
	sound := func(l controller.Lead) controller.Lead { return l }
	for _, within := range []bool{false, true} {
		if did := pauseALeader(t, within, sound); did != (paused{}) {
			t.Errorf("within a write %v: %+v after the lease", within, did)
		}
	}
}

func TestMutantOverrunOfTheLease(t *testing.T) {
	mutant := func(l controller.Lead) controller.Lead { return overrun{l} }
	if did := pauseALeader(t, false, mutant); did.requests == 0 || did.commits == 0 {
		t.Errorf("a leader without the check did %+v: expected requests and commits, so that they are caught", did)
	}
	if did := pauseALeader(t, true, mutant); did.requests == 0 {
		t.Errorf("within a write, a leader without the check did %+v: expected a request, so that it is caught", did)
	}
}

// deaf is the planted fault: a World that shows a new leader nothing before it
// hears of a change.
type deaf struct {
	*world
	shut *atomic.Bool
}

func (d deaf) View() controller.View {
	if d.shut.Load() {
		return controller.View{}
	}
	return d.world.View()
}

// firstActs are what a new leader has done without the passing of any time and
// without anything new: what it answers, and what the zone has.
func firstActs(t *testing.T, broken bool) (answer, inZone string, fence providers.Fence) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		z := &zone{}
		shut := new(atomic.Bool)
		r.o.Providers = []controller.Written{{Name: "p", Zone: "example.test.", Provider: z}}
		r.o.World = deaf{r.world, shut}
		r.voteAll(checks.Up, one, two)
		r.start()
		pass(2 * time.Second) // a reign that ends at once would be followed by a pause
		other := electAnother(r)
		r.voteAll(checks.Down, one) // while another leads, and does nothing
		r.wantServed(app, "192.0.2.1")
		shut.Store(broken)
		began := time.Now()
		if err := other.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // in a bubble, no time passes in here
		if took := time.Since(began); took != 0 {
			t.Fatalf("%s passed", took)
		}
		answer, inZone, fence = r.served(app), z.has(app), z.fence
	})
	return answer, inZone, fence
}

// TestNewLeaderActsAtOnce: a new leader decides on the votes that are there, and
// claims and writes the zone.
func TestNewLeaderActsAtOnce(t *testing.T) {
	answer, inZone, fence := firstActs(t, false)
	if answer != "192.0.2.2" || inZone != "[192.0.2.2]" || fence.Term != 3 || fence.Write < 4 {
		t.Errorf("it answers %s, and the zone has %s behind %s: expected a decision, a claim of term 3 and a write", answer, inZone, fence)
	}
}

func TestMutantLeaderWaitsForNews(t *testing.T) {
	if answer, inZone, _ := firstActs(t, true); answer == "192.0.2.2" || inZone == "[192.0.2.2]" {
		t.Errorf("a leader that waits for news answers %s, and the zone has %s: expected the old answer, so that it is caught", answer, inZone)
	}
}

// electAnother makes another process lead, before the rig's controller does
// again.
func electAnother(r *rig) controller.Lead {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	old := r.leading
	r.term++
	l := &lead{w: r.world, term: r.term, since: time.Now(), done: make(chan struct{})}
	r.leading = l
	close(old.done)
	return l
}
