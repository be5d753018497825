package scheduletest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// Times of a schedule.
const (
	// troubled is how long the faults last.
	troubled = 2 * time.Minute
	// rescued is how long after the last late write the zone must be right: the
	// longest pause of a controller, and a reconcile or two.
	rescued   = time.Minute
	reconcile = 25 * time.Second
)

// events are what a search must have met to prove anything.
var events = []string{
	"a write that is slow", "a write that is lost", "a write that has its reply lost",
	"a write that arrives twice", "a write that arrives late",
	"a controller that is fenced", "a conflict", "a lost reply that is settled",
	"two holders of one term", "an edit of Veer's records", "an edit of others' records", "a commit whose reply is lost",
}

// race is one schedule.
type race struct {
	trace
	t            *testing.T
	seed         uint64
	rng          *rand.Rand
	world        World
	gate         gate
	seen         seen
	calm         atomic.Bool
	flying       sync.WaitGroup // requests under way
	orders       *orders
	older, newer *contender
	// number is the newest decision's.
	number uint64
}

func newRace(t *testing.T, seed uint64, w World) *race {
	r := &race{
		trace: trace{began: time.Now(), met: map[string]bool{}},
		t:     t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // a schedule is its seed
		world: w, gate: newGate(), orders: newOrders(),
		seen: seen{
			holders: map[uint64]string{}, newest: map[string]decision{}, touched: map[string]bool{}, foreign: map[providers.Key]providers.RRSet{},
		},
	}
	for i := range 1 + r.rng.IntN(3) {
		r.seen.services = append(r.seen.services, fmt.Sprintf("s%d.%s", i, w.Zone))
	}
	zone, err := w.Look()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range zone.Sets { // what every zone has, such as SOA and NS
		r.seen.foreign[s.Canonical().Key()] = s.Canonical()
	}
	one := r.newLedger("one")
	r.older = r.newContender("A", 1, one, 1)
	r.newer = r.newContender("B", 2, one, 2)
	if r.rng.IntN(4) == 0 { // a ledger that was split: one term, two holders
		r.meet("two holders of one term")
		r.newer = r.newContender("B", 1, r.newLedger("two"), 2)
	}
	return r
}

func (r *race) newLedger(lineage string) *ledger {
	rng := rand.New(rand.NewPCG(r.seed, 7)) //nolint:gosec // a schedule is its seed
	return &ledger{lineage: lineage, shards: map[int]controller.Versioned{}, lose: func() bool {
		if r.calm.Load() || rng.IntN(8) > 0 {
			return false
		}
		r.meet("a commit whose reply is lost")
		return true
	}}
}

func (r *race) newContender(name string, term regions.Term, l *ledger, salt uint64) *contender {
	c := &contender{
		name: name, holder: "holder-" + name, term: term, ledger: l,
		elected: make(chan struct{}), deposed: make(chan struct{}),
		net: &network{race: r, who: name, seed: r.seed<<2 | salt, trouble: 0.1 + 0.5*r.rng.Float64()},
	}
	return c
}

// run runs the schedule, and returns what it violated.
func (r *race) run() []Violation {
	ctx, cancel := context.WithCancel(context.Background())
	r.prove(ctx)
	var running sync.WaitGroup
	for _, c := range []*contender{r.older, r.newer} {
		running.Go(func() { r.control(ctx, c) })
	}
	for _, s := range r.seen.services {
		r.decide(s)
	}
	close(r.older.elected)
	r.play()
	r.calm.Store(true)
	r.note("the faults end")
	pass(ctx, latest+rescued) // late writes still arrive
	r.settle()
	cancel()
	running.Wait()
	r.flying.Wait()
	return r.violations(r.seed)
}

// prove proves the swap in advance, mostly: it is many requests, which would
// take up most of a schedule.
func (r *race) prove(ctx context.Context) {
	r.calm.Store(true)
	defer r.calm.Store(false)
	for _, c := range []*contender{r.older, r.newer} {
		c.client = r.world.Client(c.net, zerolog.Nop())
		if p, ok := c.client.(providers.Prover); ok && r.rng.IntN(6) > 0 {
			if err := p.Prove(ctx, r.world.Zone); err != nil {
				r.violate(ofClient, "%s: %v", c.name, err)
			}
		}
	}
}

// control runs one controller.
func (r *race) control(ctx context.Context, c *contender) {
	var services []steering.Service
	for _, name := range r.seen.services {
		services = append(services, steering.Service{Name: name})
	}
	o := controller.Options{
		Name: c.name, Owner: Owner, Policy: steering.Policy{Services: services},
		World: r.orders, Elector: c, Ledger: c.ledger, Decide: c.ledger.decide,
		ConfigHash: "c", Version: "v", Log: zerolog.New(logged{r, c.name}), Reconcile: every(reconcile),
		Providers: []controller.Written{{Name: c.name, Zone: r.world.Zone, Provider: r.watch(c.name, c.client)}},
	}
	if err := controller.New(o).Run(ctx); err != nil {
		r.violate(ofClient, "controller %s ended: %v", c.name, err)
	}
}

// logged puts a controller's log into the trace.
type logged struct {
	race *race
	who  string
}

func (l logged) Write(line []byte) (int, error) {
	l.race.note("%s: %.300s", l.who, bytes.TrimSpace(line))
	return len(line), nil
}

// play makes the schedule's events, at times of the seed.
func (r *race) play() {
	type event struct {
		at time.Duration
		do func()
	}
	at := func(most time.Duration) time.Duration { return time.Duration(r.rng.Int64N(int64(most))) + 1 }
	election := troubled/10 + at(troubled/2)
	last := r.seen.services[r.rng.IntN(len(r.seen.services))]
	soon := at(5 * time.Second)
	todo := []event{{election, func() {
		r.note("%s is elected, %s does not hear of it", r.newer.name, r.older.name)
		close(r.newer.elected)
	}}, {election - soon, func() { r.decide(last) }}, {election + soon, func() { r.decide(last) }}}
	for range 3 + r.rng.IntN(6) {
		service := r.seen.services[r.rng.IntN(len(r.seen.services))]
		todo = append(todo, event{at(troubled), func() { r.decide(service) }})
	}
	for range r.rng.IntN(5) {
		kind, pick := r.rng.IntN(4), r.rng.IntN(1<<20)
		todo = append(todo, event{at(troubled), func() { r.edit(kind, pick) }})
	}
	slices.SortFunc(todo, func(a, b event) int { return int(a.at - b.at) })
	var now time.Duration
	for _, e := range todo {
		pass(context.Background(), e.at-now)
		now = e.at
		e.do()
	}
	pass(context.Background(), troubled-now)
}

// decide makes a new decision due for the service.
func (r *race) decide(service string) {
	r.number++
	r.note("decision %d is due for %s", r.number, service)
	r.orders.set(service, r.number)
}

// edit has somebody change the zone by hand.
func (r *race) edit(kind, pick int) {
	r.gate.enter()
	defer r.gate.leave()
	address := fmt.Sprintf("203.0.113.%d", pick%250+1)
	name := r.seen.services[pick%len(r.seen.services)]
	theirs := providers.RRSet{Name: fmt.Sprintf("theirs%d.%s", pick%3, r.world.Zone), Type: "A", TTL: 300, Data: []string{address}}
	var err error
	switch _, ours := r.seen.newest[name]; {
	case kind == 0 && ours:
		r.meet("an edit of Veer's records")
		r.note("somebody sets %s to %s", name, address)
		r.seen.touched[name] = true
		err = r.world.Put(providers.RRSet{Name: name, Type: "A", TTL: 60, Data: []string{address}})
	case kind == 1 && ours:
		r.meet("an edit of Veer's records")
		r.note("somebody removes %s A", name)
		r.seen.touched[name] = true
		err = r.world.Remove(providers.Key{Name: name, Type: "A"})
	case kind == 2 && r.seen.foreign[theirs.Key()].Name != "":
		r.meet("an edit of others' records")
		r.note("somebody removes %s", theirs.Name)
		delete(r.seen.foreign, theirs.Key())
		err = r.world.Remove(theirs.Key())
	default:
		r.meet("an edit of others' records")
		r.note("somebody sets %s to %s", theirs.Name, address)
		r.seen.foreign[theirs.Key()] = theirs
		err = r.world.Put(theirs)
	}
	if err != nil {
		r.violate(ofClient, "an edit by hand failed: %v", err)
	}
	r.look()
}

// settle finds the newest leader, which must still lead, and compares the zone
// with what it decided.
func (r *race) settle() {
	survivor := r.newer
	if r.newer.term == r.older.term {
		if r.older.leads() == r.newer.leads() {
			r.violate(ofEnd, "of two holders of one term, both lead in the end, or none")
		}
		if r.older.leads() {
			survivor = r.older
		}
	}
	if !survivor.leads() {
		r.violate(ofEnd, "the newest leader, %s, was deposed", survivor.name)
	}
	r.converged(survivor)
}
