package controller_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// replace gives the controller that runs the rig's options as they are now.
func (r *rig) replace(why string) {
	r.leads.Replace(r.o, why)
	synctest.Wait()
}

// lastEntry is the newest journal entry of a service's shard; shards are
// committed beside each other, in any order.
func (r *rig) lastEntry(service string) steering.Entry {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	for _, e := range slices.Backward(r.entries) {
		if e.Shard == steering.ShardOf(service) {
			return e
		}
	}
	return steering.Entry{}
}

// A hold that runs is as long with ten other configs in the middle of it as
// without, and nobody else leads meanwhile.
func TestReplaceKeepsHolds(t *testing.T) {
	const hold = time.Minute
	took := func(replaces int) (d time.Duration) {
		bubble(t, []steering.Service{service(app, hold, one, two)}, func(r *rig) {
			r.voteAll(checks.Up, one, two)
			r.start()
			r.voteAll(checks.Down, one)
			pass(time.Second)
			r.wantServed(app, "192.0.2.2")
			r.voteAll(checks.Up, one)
			began := time.Now()
			for i := range replaces {
				pass(3 * time.Second)
				other := service("other.example.test.", hold, one, two)
				r.o.Policy.Services = []steering.Service{service(app, hold, one, two), other}[:1+i%2]
				r.o.ConfigHash = strings.Repeat("d", i+1)
				r.replace("test")
				r.wantServed(app, "192.0.2.2")
			}
			for r.served(app) != "192.0.2.1" {
				pass(100 * time.Millisecond)
			}
			d = time.Since(began)
			if r.term != 1 {
				t.Errorf("term %d: the leader did not go on leading", r.term)
			}
			r.wantReplay()
		})
		return d
	}
	if without, with := took(0), took(10); without != with {
		t.Errorf("a hold took %s, and %s with other configs meanwhile", without, with)
	}
}

// What the new config says is decided at once, and the journal says of what.
func TestReplaceDecides(t *testing.T) {
	three := regions.EndpointID("web@192.0.2.3")
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two, three)
		r.start()
		r.wantServed(app, "192.0.2.1")
		r.o.Policy.Services = []steering.Service{service(app, 0, three, two), service("new.example.test.", 0, one, two)}
		r.o.ConfigHash = "d"
		r.replace("reloaded in eu by alice")
		r.wantServed(app, "192.0.2.3")
		r.wantServed("new.example.test.", "192.0.2.1")
		for service, want := range map[string]string{
			app:                 "the config changed: reloaded in eu by alice; ap voted web@192.0.2.3 up; eu voted web@192.0.2.3 up; us voted web@192.0.2.3 up",
			"new.example.test.": "the config changed: reloaded in eu by alice",
		} {
			if e := r.lastEntry(service); e.Cause != want || e.Config != "d" || e.Term != 1 {
				t.Errorf("the entry of %s has cause %q, config %q, term %d", service, e.Cause, e.Config, e.Term)
			}
		}
		// A service that is gone is held as it is.
		r.o.Policy.Services, r.o.ConfigHash = r.o.Policy.Services[:1], "e"
		r.replace("")
		r.wantServed("new.example.test.", "192.0.2.1")
		r.voteAll(checks.Down, one)
		r.wantServed("new.example.test.", "192.0.2.1")
		// Another quorum makes other verdicts of the same votes.
		r.vote("us", checks.Down, three)
		r.wantServed(app, "192.0.2.3")
		r.o.Quorums, r.o.ConfigHash = map[regions.EndpointID]regions.Quorum{three: {Vantages: vantages, Need: 1, MinVoters: 1}}, "f"
		r.replace("")
		r.wantServed(app, "192.0.2.2")
		r.wantReplay()
	})
}

// The same config again decides nothing and writes nothing into the ledger.
func TestReplaceByTheSame(t *testing.T) {
	bubble(t, []steering.Service{service(app, time.Minute, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		commits, entries := r.counts()
		for range 50 {
			r.replace("again")
		}
		if c, e := r.counts(); c != commits || e != entries {
			t.Errorf("%d commits and %d entries came of it", c-commits, e-entries)
		}
	})
}

// A config that alters too many answers is held as at a restart.
func TestReplaceIsGuarded(t *testing.T) {
	services, eu, us, ap := many(12, time.Minute)
	another, ids := renumbered(services, 6)
	bubble(t, services, func(r *rig) {
		r.voteAll(checks.Up, slices.Concat(eu, us, ap, ids)...)
		r.start()
		r.o.Policy.Services, r.o.ConfigHash = another, "d"
		r.replace("")
		r.wantIn(services, 12, 0, 0)
		if !r.hasReason(steering.RuleUnconfirmed) {
			t.Error("the journal does not say why the answers are held")
		}
		r.o.Policy.Services, r.o.ConfigHash = services, "c"
		r.replace("")
		if p := r.pending(); len(p) > 0 {
			t.Errorf("%v wait for a confirmation that nobody wants any more", p)
		}
	})
}

// Zones come, go and come back; each is written with the client of the config
// in force, and no write number is given twice.
func TestReplaceOfProviders(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		a, b := &zone{}, &zone{}
		written := func(name string, z *zone) controller.Written {
			return controller.Written{Name: name, Zone: "example.test.", Provider: z}
		}
		r.o.Providers = []controller.Written{written("a", a)}
		r.voteAll(checks.Up, one, two)
		r.start()
		if got := a.has(app); got != "[192.0.2.1]" {
			t.Fatalf("the zone has %s", got)
		}
		r.o.Providers = []controller.Written{written("b", b)}
		r.replace("")
		if got := b.has(app); got != "[192.0.2.1]" {
			t.Errorf("the new zone has %s", got)
		}
		if zones := r.leads.Zones(); len(zones) != 1 || zones[0].Provider != "b" {
			t.Errorf("the zones are %v", zones)
		}
		writes := a.fence.Write
		r.voteAll(checks.Down, one)
		synctest.Wait()
		if a.has(app) != "[192.0.2.1]" || a.fence.Write != writes || b.has(app) != "[192.0.2.2]" {
			t.Errorf("a zone that is gone has %s, that which is not %s", a.has(app), b.has(app))
		}
		r.o.Providers = []controller.Written{written("a", a), written("b", b)}
		r.replace("")
		if a.has(app) != "[192.0.2.2]" || a.fence.Write <= writes {
			t.Errorf("a zone that came back has %s, write %d after %d", a.has(app), a.fence.Write, writes)
		}
		// The same zone through another client, as with another token.
		again := &zone{fence: b.fence, records: slices.Clone(b.records)}
		r.o.Providers[1].Provider = again
		r.replace("")
		r.voteAll(checks.Up, one)
		synctest.Wait()
		if b.has(app) != "[192.0.2.2]" || again.has(app) != "[192.0.2.1]" {
			t.Errorf("by the client of before %s, by the new one %s", b.has(app), again.has(app))
		}
	})
}

// A write that is under way ends with what it began with.
func TestReplaceDuringAWrite(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		hang := make(chan struct{})
		slow, quick := &zone{hang: hang}, &zone{}
		r.o.Providers = []controller.Written{{Name: "a", Zone: "example.test.", Provider: slow}}
		r.voteAll(checks.Up, one, two)
		r.start()
		r.o.Providers = []controller.Written{{Name: "a", Zone: "example.test.", Provider: quick}}
		r.replace("")
		if quick.applies > 0 {
			t.Error("two writers are at one zone")
		}
		slow.mu.Lock()
		slow.hang = nil
		slow.mu.Unlock()
		close(hang)
		synctest.Wait()
		if slow.fence.Write == 0 || quick.has(app) != "[192.0.2.1]" || quick.fence.Write <= slow.fence.Write {
			t.Errorf("the zone was written as %s, then as %s with %s", slow.fence, quick.fence, quick.has(app))
		}
	})
}

// A config that comes while nobody leads is that of the next reign.
func TestReplaceBeforeLeading(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		l, err := r.Campaign(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		r.start()
		r.o.Policy.Services, r.o.ConfigHash = []steering.Service{service(app, 0, two, one)}, "d"
		r.replace("")
		if err := l.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wantServed(app, "192.0.2.2")
	})
}
