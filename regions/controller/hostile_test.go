package controller_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// A name that conflicts each time, with what a reading of the zone does not
// show, holds up no other. (A CNAME that is wanted where an MX stands does so.)
func TestConflictOfOneNameHoldsUpNoOther(t *testing.T) {
	const n, bad = 40, 17
	var tries atomic.Int32
	conflict := func(_ providers.Fence, changes []providers.Change) error {
		for _, c := range changes {
			if c.After != nil && c.After.Name == nameOf(bad) {
				tries.Add(1)
				return fmt.Errorf("%w: something stands there", providers.ErrConflict)
			}
		}
		return nil
	}
	writing(t, n, func(z *zones) { z.o.Reconcile = every(time.Minute); z.v.hooks(nil, conflict) }, func(z *zones) {
		pass(5 * time.Second)
		for i := range n {
			if got := z.v.has(t, nameOf(i)); (got == "192.0.2.1") != (i != bad) {
				t.Fatalf("%s has %q", nameOf(i), got)
			}
		}
		got := z.want(controller.ZoneRefused)
		if len(got.Refused) != 1 || got.Refused[0].Name != nameOf(bad) || !strings.Contains(got.Refused[0].Why, "something stands there") {
			t.Errorf("%+v", got.Refused)
		}
		if got := tries.Load(); got > 12 {
			t.Errorf("found by %d tries of %d names", got, n)
		}
		z.voteAll(checks.Down, one)
		pass(time.Second)
		if got := z.v.has(t, nameOf(0)); got != "192.0.2.2" {
			t.Errorf("%s has %s after a failover", nameOf(0), got)
		}
		before := tries.Load()
		pass(11 * time.Minute)
		if more := tries.Load() - before; more > 3 {
			t.Errorf("%d more tries in 11 minutes", more)
		}
		z.v.hooks(nil, nil)
		pass(6 * time.Minute)
		z.want(controller.ZoneOK)
	})
}

// Where a server does a write but for one name, and says so, that name alone is
// refused.
func TestWhatIsLeftOutIsFound(t *testing.T) {
	const n, bad = 10, 4
	writing(t, n, func(z *zones) {
		z.v.hooks(nil, func(_ providers.Fence, changes []providers.Change) error {
			var err error
			for _, c := range changes {
				if c.After.Name == nameOf(bad) {
					err = fmt.Errorf("%w: it was left out", providers.ErrConflict)
				} else if err := z.v.store.Put(planZone, "test", *c.After); err != nil {
					return err
				}
			}
			return err
		})
	}, func(z *zones) {
		pass(5 * time.Second)
		if got := z.want(controller.ZoneRefused); len(got.Refused) != 1 || got.Refused[0].Name != nameOf(bad) {
			t.Errorf("%+v", got.Refused)
		}
	})
}

// A conflict that passes is none of a name's.
func TestConflictsThatPassRefuseNoName(t *testing.T) {
	var conflicts atomic.Int32
	writing(t, 10, func(z *zones) {
		z.v.hooks(nil, func(_ providers.Fence, changes []providers.Change) error {
			if len(changes) > 0 && conflicts.Add(1) <= 2 {
				return fmt.Errorf("%w: changed by hand", providers.ErrConflict)
			}
			return nil
		})
	}, func(z *zones) {
		pass(2 * time.Second)
		z.want(controller.ZoneOK)
	})
}

// A fence that no election reaches was written by hand, or by whoever has the
// provider: it stops its own zone, and not the leader.
func TestFenceBeyondReachStopsItsZoneOnly(t *testing.T) {
	for _, f := range []providers.Fence{
		{Owner: "test", Term: math.MaxUint64, Holder: "x", Write: 1},
		{Owner: "test", Term: 1 << 62, Holder: "x", Write: 1},
		{Owner: "test", Term: 1, Holder: "x", Write: math.MaxUint64},
		{Owner: "test", Term: 1, Holder: "x", Write: math.MaxUint64 - 3},
	} {
		var other *vendor
		writing(t, 1, func(z *zones) {
			if err := z.v.store.PutFence(planZone, f); err != nil {
				t.Fatal(err)
			}
			other = newVendor()
			z.o.Providers = append(z.o.Providers, controller.Written{Name: "other", Zone: planZone, Provider: other})
		}, func(z *zones) {
			pass(time.Minute)
			z.voteAll(checks.Down, one)
			pass(10 * time.Minute)
			if z.term != 1 {
				t.Errorf("%s made %d leaders step down", f, z.term-1)
			}
			if got := z.want(controller.ZoneRefused); !strings.Contains(got.Error, f.String()) {
				t.Errorf("%s: %+v", f, got)
			}
			if got := other.has(t, nameOf(0)); got != "192.0.2.2" {
				t.Errorf("%s: another provider has %q", f, got)
			}
			if reads, applies := z.v.counts(); reads > 10 || applies > 0 {
				t.Errorf("%s: %d reads and %d writes", f, reads, applies)
			}
			if err := z.v.store.PutFence(planZone, providers.Fence{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Where many names that are rejected come before those that are not, the
// latter do not wait for all of the former to be found.
func TestManyRejectedNamesHoldUpNoOther(t *testing.T) {
	for _, every := range []int{1, 5} { // the first 60, every fifth
		isBad := func(i int) bool { return every == 1 && i < 60 || every > 1 && i%every == 0 }
		bad := map[string]bool{}
		for i := range 100 {
			bad[nameOf(i)] = isBad(i)
		}
		writing(t, 100, func(z *zones) {
			z.v.hooks(nil, func(_ providers.Fence, changes []providers.Change) error {
				for _, c := range changes {
					if c.After != nil && bad[c.After.Name] {
						return fmt.Errorf("%w: not allowed", providers.ErrRejected)
					}
				}
				return nil
			})
		}, func(z *zones) {
			pass(time.Second)
			for i := range 100 {
				if got := z.v.has(t, nameOf(i)); (got == "192.0.2.1") != !isBad(i) {
					t.Fatalf("every %d: %s has %q", every, nameOf(i), got)
				}
			}
		})
	}
}

// A pass does not wait, with the lead in its hand, until a change has spread:
// a name server that is dead would hold up every pass that moves something.
func TestPassDoesNotWaitForPropagation(t *testing.T) {
	passes(t, 0, func(p *passer) {
		v := newVendor()
		v.follow = func(ctx context.Context) (time.Duration, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		p.o.Providers = []controller.Written{{Name: "v", Zone: planZone, Provider: v}}
		p.voteAll(checks.Up, one, two)
		began := time.Now()
		out := p.must()
		if !out.Changed() || v.has(t, app) != "192.0.2.1" {
			t.Fatalf("%+v", out)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the pass took %s", took)
		}
	})
}

// A zone of very many pages, or one of very many in an account, whose requests
// wait for the account's rate limit, takes minutes to be read and claimed. It
// is not begun again and again, nor ever written.
func TestSlowReadsAndClaimsComeToAnEnd(t *testing.T) {
	writing(t, 1, func(z *zones) {
		z.v.hooks(func() error { time.Sleep(3 * time.Minute); return nil }, func(_ providers.Fence, changes []providers.Change) error {
			if len(changes) == 0 {
				time.Sleep(3 * time.Minute) // its first is proven to be fenced
			}
			return nil
		})
	}, func(z *zones) {
		pass(9*time.Minute + time.Second)
		z.want(controller.ZoneOK)
		if got := z.v.has(t, nameOf(0)); got != "192.0.2.1" {
			t.Errorf("the zone has %q", got)
		}
	})
}

// A ledger that was lost, and knows nothing of a zone that could not be read
// before, moves no answer of it while nothing is known. A verdict or an override
// tells better; so does nothing that stands there.
func TestEmptyLedgerMovesNothingOnUnknown(t *testing.T) {
	writing(t, 3, func(z *zones) {
		z.voteAll(checks.Unknown, one, two)
		for i := range 2 {
			if err := z.v.store.Put(planZone, "test", set(nameOf(i), "A", "192.0.2.2")); err != nil {
				t.Fatal(err)
			}
		}
	}, func(z *zones) {
		pass(time.Minute)
		if a, b, c := z.v.has(t, nameOf(0)), z.v.has(t, nameOf(1)), z.v.has(t, nameOf(2)); a != "192.0.2.2" || b != a || c != "192.0.2.1" {
			t.Errorf("the zone has %q, %q and, where nothing stood, %q", a, b, c)
		}
		if got := z.want(controller.ZoneRefused); len(got.Refused) != 2 || !strings.Contains(got.Refused[0].Why, "nothing is known") {
			t.Errorf("%+v", got.Refused)
		}
		z.change(func() {
			z.orders["1"] = controller.Order{Override: steering.Override{
				ID: "1", Act: steering.Force, Target: steering.Target{Service: nameOf(0), Region: "eu"}, By: "alice", Why: "disks"}}
		})
		pass(time.Second)
		if a := z.v.has(t, nameOf(0)); a != "192.0.2.1" {
			t.Errorf("with an override the zone has %q", a)
		}
		z.voteAll(checks.Up, one, two)
		pass(time.Second)
		if b := z.v.has(t, nameOf(1)); b != "192.0.2.1" {
			t.Errorf("with verdicts the zone has %q", b)
		}
		z.want(controller.ZoneOK)
	})
}
