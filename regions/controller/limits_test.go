package controller_test

import (
	"errors"
	"fmt"
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

// many are n failover services with an endpoint of their own in each of eu, us
// and ap.
func many(n int, hold time.Duration) (services []steering.Service, eu, us, ap []regions.EndpointID) {
	for i := range n {
		s := steering.Service{
			Name: fmt.Sprintf("s%d.example.test.", i), Kind: steering.Failover, AllDown: steering.LastGood,
			Hold: hold, TTL: 30, MinTTL: 5, MaxTTL: 60,
		}
		for k, region := range vantages {
			address := fmt.Sprintf("192.0.%d.%d", k+1, i+1)
			id := regions.EndpointID("web@" + address)
			s.Pools = append(s.Pools, steering.Pool{Region: region, MinUp: 1, Endpoints: []steering.Endpoint{{ID: id, Address: address}}})
			ids := []*[]regions.EndpointID{&eu, &us, &ap}[k]
			*ids = append(*ids, id)
		}
		services = append(services, s)
	}
	return services, eu, us, ap
}

// in counts the services that are answered with the region's address.
func (r *rig) in(services []steering.Service, region int) (n int) {
	for i, s := range services {
		if r.served(s.Name) == fmt.Sprintf("192.0.%d.%d", region, i+1) {
			n++
		}
	}
	return n
}

func (r *rig) wantIn(services []steering.Service, eu, us, ap int) {
	r.t.Helper()
	if a, b, c := r.in(services, 1), r.in(services, 2), r.in(services, 3); a != eu || b != us || c != ap {
		r.t.Fatalf("eu answers for %d services, us %d, ap %d; expected %d, %d, %d (last cause %q)", a, b, c, eu, us, ap, r.lastCause())
	}
}

func (r *rig) wantReplay() {
	r.t.Helper()
	for _, e := range r.entries {
		if _, same := e.Replay(); !same {
			r.t.Errorf("entry %d of shard %d does not replay", e.Seq, e.Shard)
		}
	}
}

// hasReason reports whether a decision in the journal gave the rule.
func (r *rig) hasReason(rule steering.Rule) bool {
	return slices.ContainsFunc(r.entries, func(e steering.Entry) bool {
		return slices.ContainsFunc(e.Decision.Why, func(w steering.Reason) bool { return w.Rule == rule })
	})
}

var halfFell = regions.Panic{Percent: 50, Span: 30 * time.Second, Hold: 5 * time.Minute}

// Two of three regions fall at once: the answers stay, until the panic's time is
// over.
func TestAPanicHolds(t *testing.T) {
	services, eu, us, ap := many(8, time.Minute)
	bubble(t, services, func(r *rig) {
		r.o.Panic = halfFell
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		r.voteAll(checks.Down, slices.Concat(eu, us)...)
		pass(time.Second)
		r.wantIn(services, 8, 0, 0)
		if !strings.Contains(r.lastCause(), "voted") || !r.hasReason(steering.RulePanic) {
			t.Errorf("cause %q, and the journal gives no reason of a panic", r.lastCause())
		}
		pass(5*time.Minute - 2*time.Second)
		r.wantIn(services, 8, 0, 0)
		pass(2 * time.Second)
		r.wantIn(services, 0, 0, 8)
		r.wantCause("the panic is over: its time is over; a timer ended")
		r.wantReplay()
	})
}

// A panic is over as soon as no more than usual is down: what is left moves.
func TestAPanicEnds(t *testing.T) {
	services, eu, us, ap := many(8, time.Minute)
	bubble(t, services, func(r *rig) {
		r.o.Panic = halfFell
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		r.voteAll(checks.Down, slices.Concat(eu, us)...)
		pass(time.Minute)
		r.wantIn(services, 8, 0, 0)
		r.voteAll(checks.Up, us...)
		pass(time.Millisecond)
		r.wantIn(services, 0, 8, 0)
		r.wantReplay()
	})
}

// The loss of one region moves its traffic at once, also beside single failures
// elsewhere.
func TestALostRegionIsNoPanic(t *testing.T) {
	services, eu, us, ap := many(12, time.Minute)
	bubble(t, services, func(r *rig) {
		r.o.Panic = halfFell
		r.o.Percent = 25
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		r.voteAll(checks.Down, append(slices.Clone(eu), us[:6]...)...)
		pass(time.Millisecond)
		r.wantIn(services, 0, 6, 6)
	})
}

// Two endpoints of three regions with one each fail one after the other: that is
// no panic.
func TestFewEndpointsAreNoPanic(t *testing.T) {
	services, eu, us, ap := many(1, time.Minute)
	bubble(t, services, func(r *rig) {
		r.o.Panic = halfFell
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		r.voteAll(checks.Down, slices.Concat(eu, us)...)
		pass(time.Millisecond)
		r.wantIn(services, 0, 0, 1)
	})
}

// What falls bit by bit, over longer than the span, is no panic; and an operator
// moves traffic in one.
func TestWhatDoesNotFallAtOnce(t *testing.T) {
	services, eu, us, ap := many(8, time.Minute)
	bubble(t, services, func(r *rig) {
		r.o.Panic = halfFell
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		r.voteAll(checks.Down, eu...)
		pass(31 * time.Second)
		r.wantIn(services, 0, 8, 0)
		r.voteAll(checks.Down, us...)
		pass(time.Millisecond)
		r.wantIn(services, 0, 0, 8)
	})
	bubble(t, services, func(r *rig) {
		r.o.Panic = halfFell
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		r.voteAll(checks.Down, slices.Concat(eu, us)...)
		pass(time.Second)
		r.wantIn(services, 8, 0, 0)
		r.change(func() {
			r.orders["1"] = controller.Order{Override: steering.Override{ID: "1", Act: steering.Drain, By: "alice", Why: "it is true", Target: steering.Target{Region: "eu"}}}
			r.orders["2"] = controller.Order{Override: steering.Override{ID: "2", Act: steering.Drain, By: "alice", Why: "it is true", Target: steering.Target{Region: "us"}}}
		})
		pass(time.Millisecond)
		r.wantIn(services, 0, 0, 8)
	})
}

// A change of leader does not begin a panic anew, nor end it: it goes on for what
// was left when it was saved last.
func TestAPanicOutlivesItsLeader(t *testing.T) {
	services, eu, us, ap := many(8, time.Minute)
	bubble(t, services, func(r *rig) {
		r.o.Panic = halfFell
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		// A part of eu falls first, and is left: the new leader must count it.
		r.voteAll(checks.Down, eu[:5]...)
		pass(time.Second)
		r.wantIn(services, 3, 5, 0)
		r.voteAll(checks.Down, slices.Concat(eu[5:], us)...)
		pass(3 * time.Minute)
		r.wantIn(services, 3, 5, 0)
		r.stop()
		pass(time.Minute)
		r.start()
		pass(2*time.Minute - 2*time.Second) // of the five minutes, less three
		r.wantIn(services, 3, 5, 0)
		pass(13 * time.Second) // saved every ten seconds
		r.wantIn(services, 0, 0, 8)
		r.wantReplay()
	})
}

// A lost region's services all leave at once, and return a few a minute.
func TestReturnsAreSpread(t *testing.T) {
	services, eu, us, ap := many(32, time.Minute)
	bubble(t, services, func(r *rig) {
		r.o.Percent = 25 // ten at least
		r.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		r.start()
		r.voteAll(checks.Down, eu...)
		pass(time.Millisecond)
		r.wantIn(services, 0, 32, 0)
		pass(2 * time.Minute)
		r.voteAll(checks.Up, eu...)
		pass(time.Minute + time.Second)
		r.wantIn(services, 10, 22, 0)
		if !r.hasReason(steering.RuleVelocity) {
			t.Error("the journal does not say why the others wait")
		}
		pass(30 * time.Second)
		r.stop() // another leader has no more to give
		r.start()
		pass(5 * time.Second)
		r.wantIn(services, 10, 22, 0)
		pass(time.Minute)
		r.wantIn(services, 20, 12, 0)
		pass(2*time.Minute + time.Second)
		r.wantIn(services, 32, 0, 0)
		r.wantReplay()
	})
}

// Passes of a scheduler go on with a panic, and end it; and they confirm.
func TestPassesKeepTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		services, eu, us, ap := many(12, time.Minute)
		p := newPasser(t, services...)
		p.o.Panic = halfFell
		p.voteAll(checks.Up, slices.Concat(eu, us, ap)...)
		p.must()
		p.voteAll(checks.Down, slices.Concat(eu, us)...)
		for range 5 {
			p.must()
			p.wantIn(services, 12, 0, 0)
			pass(time.Minute - time.Second)
		}
		pass(10 * time.Second)
		p.must()
		p.wantIn(services, 0, 0, 12)

		p.voteAll(checks.Up, slices.Concat(eu, us)...)
		pass(time.Minute)
		p.must()
		pass(2 * time.Minute)
		p.must()
		p.wantIn(services, 12, 0, 0)
		another, _ := renumbered(services, 12)
		p.o.Policy.Services, p.o.ConfigHash = another, "d"
		p.must()
		p.wantIn(services, 12, 0, 0)
		if _, err := p.once(&controller.Request{AcceptConfig: "e", By: "alice", Why: "test"}); !errors.Is(err, controller.ErrConfig) {
			t.Errorf("another config was confirmed: %v", err)
		}
		if _, err := p.once(&controller.Request{AcceptConfig: "d", By: "alice", Why: "test", AllowMany: true}); err != nil {
			t.Fatal(err)
		}
		p.wantServed(services[11].Name, "192.0.9.12")
		p.must()
		p.wantServed(services[11].Name, "192.0.9.12")
		p.wantReplay()
	})
}
