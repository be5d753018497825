package controller_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
)

// A write number is never given twice in one reign, however attempts fail, and
// none that an attempt of several requests may have used is given again.
func TestWriteNumbersAreUnique(t *testing.T) {
	for seed := range uint64(50) {
		writing(t, 6, func(z *zones) {
			random := rand.New(rand.NewPCG(seed, 1))
			z.o.Reconcile = every(7 * time.Second)
			z.v.hooks(nil, func(_ providers.Fence, changes []providers.Change) error {
				switch random.IntN(5) {
				case 0:
					return errors.New("the reply was lost after some requests")
				case 1:
					return fmt.Errorf("%w: changed", providers.ErrConflict)
				case 2:
					return &providers.BusyError{After: time.Second, Err: errors.New("429")}
				case 3:
					if len(changes) > 1 {
						return fmt.Errorf("%w: one of them", providers.ErrRejected)
					}
				}
				return nil
			})
		}, func(z *zones) {
			for i := range 20 {
				z.voteAll([]checks.Health{checks.Down, checks.Up}[i%2], one)
				pass(5 * time.Second)
			}
			z.v.hooks(nil, nil)
			pass(time.Minute)
			z.want(controller.ZoneOK)
			z.v.mu.Lock()
			defer z.v.mu.Unlock()
			if len(z.v.fences) < 10 {
				t.Fatalf("%d attempts", len(z.v.fences))
			}
			for i, f := range z.v.fences[1:] {
				was := z.v.fences[i]
				if f.Holder != was.Holder || f.Term != was.Term {
					t.Fatalf("another reign began: %s after %s", f, was)
				}
				if used := was.Write + providers.WritesOf(z.v.changes[i]) - 1; f.Write <= used {
					t.Fatalf("seed %d: %s was given, and the attempt from %s may have used up to %d", seed, f, was, used)
				}
			}
		})
	}
}

// In steady state a zone is listed once a reconcile and never written. A timer
// that runs, and is saved, makes no difference.
func TestSteadyState(t *testing.T) {
	writing(t, 3, func(z *zones) {
		z.o.Reconcile = every(time.Minute)
		for i := range z.o.Policy.Services {
			z.o.Policy.Services[i].Hold = 3 * time.Hour
		}
	}, func(z *zones) {
		z.voteAll(checks.Down, one)
		pass(time.Second)
		z.voteAll(checks.Up, one) // its hold runs all the time
		pass(time.Second)
		reads, applies := z.v.counts()
		commits, _ := z.rig.counts()
		pass(time.Hour)
		readsAfter, appliesAfter := z.v.counts()
		if n := readsAfter - reads; n > 60 || n < 59 {
			t.Errorf("%d listings in an hour of reconciles each minute", n)
		}
		if appliesAfter != applies {
			t.Errorf("%d writes in steady state", appliesAfter-applies)
		}
		if after, _ := z.rig.counts(); after-commits < 300 {
			t.Errorf("%d commits: the timers were not saved", after-commits)
		}
	})
}

// A provider that asks to wait is left alone for as long.
func TestBusyProviderIsLeftAlone(t *testing.T) {
	writing(t, 1, func(z *zones) {
		z.v.hooks(nil, func(_ providers.Fence, changes []providers.Change) error {
			if len(changes) == 0 {
				return nil
			}
			return &providers.BusyError{After: 45 * time.Second, Err: errors.New("429")}
		})
	}, func(z *zones) {
		z.want(controller.ZoneBehind)
		reads, applies := z.v.counts()
		z.v.hooks(nil, nil)
		z.voteAll(checks.Down, one) // news do not shorten it
		pass(44 * time.Second)
		if r, a := z.v.counts(); r != reads || a != applies {
			t.Errorf("%d reads and %d writes while it asked to wait", r-reads, a-applies)
		}
		got := z.state()
		if len(got.Behind) != 1 || got.Behind[0].Name != nameOf(0) || got.Behind[0].Since < 44*time.Second {
			t.Errorf("behind: %+v", got.Behind)
		}
		pass(2 * time.Second)
		z.want(controller.ZoneOK)
		if got := z.v.has(t, nameOf(0)); got != "192.0.2.2" {
			t.Errorf("the zone has %s", got)
		}
		if n := len(z.out.said("the provider wants to be asked later")); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// What a provider rejects is tried again every few minutes, or with news, and
// said as seldom.
func TestRejectedIsNotRepeated(t *testing.T) {
	writing(t, 1, func(z *zones) {
		z.o.Reconcile = every(time.Minute)
		z.v.hooks(func() error { return fmt.Errorf("%w: AccessDenied", providers.ErrRejected) }, nil)
	}, func(z *zones) {
		if got := z.want(controller.ZoneRefused); !strings.Contains(got.Error, "AccessDenied") {
			t.Errorf("%+v", got)
		}
		pass(time.Hour)
		reads, _ := z.v.counts()
		if reads > 62 {
			t.Errorf("%d tries in an hour", reads)
		}
		if n := len(z.out.said("the provider rejects what is to be written")); n < 2 || n > 13 {
			t.Errorf("said %d times in an hour", n)
		}
		z.v.hooks(nil, nil)
		z.voteAll(checks.Down, one)
		z.want(controller.ZoneOK)
		if n := len(z.out.said("the zone is as the ledger says again")); n != 1 {
			t.Errorf("its end was said %d times", n)
		}
	})
}

// An outage is said now and again, not with each try.
func TestOutageIsSaidSeldom(t *testing.T) {
	writing(t, 1, nil, func(z *zones) {
		n := 0
		z.v.hooks(func() error { n++; return fmt.Errorf("request %d: connection refused", n) }, nil)
		z.voteAll(checks.Down, one)
		pass(10 * time.Minute)
		if got := z.want(controller.ZoneFailing); got.Since < 9*time.Minute || len(got.Behind) != 1 {
			t.Errorf("%+v", got)
		}
		if n < 50 {
			t.Errorf("%d tries in ten minutes", n)
		}
		if said := len(z.out.said("cannot write the zone, trying again")); said < 2 || said > 22 {
			t.Errorf("said %d times for %d tries", said, n)
		}
	})
}

// A zone that does not keep stale writes out is only read, until it is proven
// some minutes later or an operator asks.
func TestUnprovenZoneIsReadOnly(t *testing.T) {
	writing(t, 1, func(z *zones) {
		z.v.hooks(nil, func(providers.Fence, []providers.Change) error { return providers.ErrUnproven })
	}, func(z *zones) {
		z.want(controller.ZoneReadOnly)
		_, applies := z.v.counts()
		for range 9 {
			z.voteAll(checks.Down, one)
			z.voteAll(checks.Up, one)
			pass(time.Minute)
		}
		if _, a := z.v.counts(); a != applies {
			t.Errorf("%d writes to a zone that is only read", a-applies)
		}
		if n := len(z.out.said("the zone does not keep stale writes out, so it is only read")); n != 1 {
			t.Errorf("said %d times", n)
		}
		z.v.hooks(nil, nil)
		if out := z.ask(controller.Request{}); out.Err != nil || len(out.Changes) != 1 {
			t.Errorf("%+v", out)
		}
		z.want(controller.ZoneOK)
	})
}

// A name that the provider rejects holds up no other, and is found in few
// requests; what it was rejected for may be mended.
func TestRejectedNameHoldsUpNoOther(t *testing.T) {
	const n, bad = 40, 17
	var rejects atomic.Int32
	reject := func(_ providers.Fence, changes []providers.Change) error {
		for _, c := range changes {
			if c.After != nil && c.After.Name == nameOf(bad) {
				rejects.Add(1)
				return fmt.Errorf("%w: a CNAME stands there", providers.ErrRejected)
			}
		}
		return nil
	}
	writing(t, n, func(z *zones) { z.o.Reconcile = every(time.Minute); z.v.hooks(nil, reject) }, func(z *zones) {
		pass(time.Second)
		for i := range n {
			if got := z.v.has(t, nameOf(i)); (got == "192.0.2.1") != (i != bad) {
				t.Fatalf("%s has %q", nameOf(i), got)
			}
		}
		got := z.want(controller.ZoneRefused)
		if len(got.Refused) != 1 || got.Refused[0].Name != nameOf(bad) || !strings.Contains(got.Refused[0].Why, "CNAME") || len(got.Behind) != 1 {
			t.Errorf("%+v", got)
		}
		if r := rejects.Load(); r > 8 {
			t.Errorf("found by %d rejections of %d names", r, n)
		}
		// From here on it is tried by itself, and seldom.
		before := rejects.Load()
		pass(4 * time.Minute)
		if r := rejects.Load() - before; r > 0 {
			t.Errorf("%d more tries in 4 minutes", r)
		}
		if n := len(z.out.said("a name cannot be written; the others are")); n != 1 {
			t.Errorf("said %d times", n)
		}
		pass(2 * time.Minute)
		if r := rejects.Load() - before; r != 1 {
			t.Errorf("%d tries after 6 minutes, want 1", r)
		}
		z.v.hooks(nil, nil)
		pass(6 * time.Minute)
		z.want(controller.ZoneOK)
	})
}

// Where everything is rejected, the search for names ends soon.
func TestEverythingRejected(t *testing.T) {
	var rejects atomic.Int32
	writing(t, 60, func(z *zones) {
		z.v.hooks(nil, func(_ providers.Fence, changes []providers.Change) error {
			if len(changes) == 0 {
				return nil
			}
			rejects.Add(1)
			return fmt.Errorf("%w: no", providers.ErrRejected)
		})
	}, func(z *zones) {
		z.want(controller.ZoneRefused)
		if r := rejects.Load(); r > 25 {
			t.Errorf("%d tries", r)
		}
	})
}

// The guard holds back what no steering explains, lets a failover pass, and is
// lifted by an operator's word only.
func TestGuardHoldsBack(t *testing.T) {
	writing(t, 12, func(z *zones) { z.o.Reconcile = every(time.Minute) }, func(z *zones) {
		z.want(controller.ZoneOK)
		for i := range 4 {
			z.byHand(i, "203.0.113.9")
		}
		pass(61 * time.Second)
		got := z.want(controller.ZoneGuarded)
		if !strings.Contains(got.Error, "4 of 12") || z.v.has(t, nameOf(0)) != "203.0.113.9" {
			t.Errorf("%+v, the zone has %s", got, z.v.has(t, nameOf(0)))
		}
		z.voteAll(checks.Down, one)
		synctest.Wait()
		if a, b := z.v.has(t, nameOf(3)), z.v.has(t, nameOf(4)); a != "203.0.113.9" || b != "192.0.2.2" {
			t.Errorf("in a failover, a guarded name has %s, another %s", a, b)
		}
		if got := z.want(controller.ZoneGuarded); len(got.Behind) != 4 {
			t.Errorf("behind: %+v", got.Behind)
		}
		if out := z.ask(controller.Request{}); out.Guard == "" || len(out.Changes) != 0 {
			t.Errorf("without its being allowed: %+v", out)
		}
		if out := z.ask(controller.Request{AllowMany: true}); out.Guard != "" || len(out.Changes) != 4 {
			t.Errorf("allowed: %+v", out)
		}
		z.want(controller.ZoneOK)
		if n := len(z.out.said("the guard holds changes back until they are confirmed")); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// Drift is put back, with one line for each name.
func TestDriftIsSaid(t *testing.T) {
	writing(t, 12, func(z *zones) { z.o.Reconcile = every(time.Minute) }, func(z *zones) {
		z.byHand(1, "203.0.113.9")
		z.byHand(2, "203.0.113.9")
		pass(61 * time.Second)
		z.want(controller.ZoneOK)
		lines := z.out.said("a record was changed by somebody else, it is put back")
		if len(lines) != 2 || lines[0]["name"] != nameOf(1) || lines[0]["found"] != "203.0.113.9" || lines[0]["back_to"] != "192.0.2.1" {
			t.Errorf("said %v", lines)
		}
		z.voteAll(checks.Down, one) // which is no drift
		pass(time.Minute)
		if n := len(z.out.said("a record was changed by somebody else, it is put back")); n != 2 {
			t.Errorf("a failover is called drift: %d lines", n)
		}
	})
}

// Following a change delays no write; the longest time is kept.
func TestPropagationIsMeasured(t *testing.T) {
	var release chan time.Duration
	writing(t, 1, func(z *zones) {
		release = make(chan time.Duration)
		z.v.follow = func(ctx context.Context) (time.Duration, error) {
			select {
			case d := <-release:
				return d, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}, func(z *zones) {
		z.voteAll(checks.Down, one)
		z.want(controller.ZoneOK)
		if got := z.v.has(t, nameOf(0)); got != "192.0.2.2" {
			t.Errorf("a write waited for the one before: %s", got)
		}
		release <- 40 * time.Second
		synctest.Wait()
		release <- 30 * time.Second
		if got := z.state(); got.Propagation != 40*time.Second {
			t.Errorf("the longest is %s", got.Propagation)
		}
		z.voteAll(checks.Up, one)
		synctest.Wait()
		z.depose(nil) // the next reign still knows
		pass(time.Second)
		if got := z.state(); got.Propagation != 40*time.Second {
			t.Errorf("after a change of leader the longest is %s", got.Propagation)
		}
	})
}

// Of several providers of one service each is written by itself. One that is
// away for long is told, and mended when it comes back.
func TestProvidersDiverge(t *testing.T) {
	writing(t, 2, func(z *zones) {
		z.o.Providers = append(z.o.Providers, controller.Written{Name: "other", Zone: planZone, Provider: newVendor()})
	}, func(z *zones) {
		other := z.o.Providers[1].Provider.(*vendor)
		z.v.hooks(func() error { return errors.New("no route") }, nil)
		z.voteAll(checks.Down, one)
		pass(2 * time.Hour)
		all := z.c.Zones()
		if a, b := all[0], all[1]; a.State != controller.ZoneFailing || a.Since < time.Hour || len(a.Behind) != 2 || a.Behind[1].Since < time.Hour ||
			b.State != controller.ZoneOK || len(b.Behind) != 0 {
			t.Errorf("%+v\n%+v", a, b)
		}
		if a, b := z.v.has(t, nameOf(0)), other.has(t, nameOf(0)); a != "192.0.2.1" || b != "192.0.2.2" {
			t.Errorf("the zones have %s and %s", a, b)
		}
		z.v.hooks(nil, nil)
		pass(11 * time.Second)
		if got := z.c.Zones()[0]; got.State != controller.ZoneOK || z.v.has(t, nameOf(0)) != "192.0.2.2" {
			t.Errorf("back again: %+v, %s", got, z.v.has(t, nameOf(0)))
		}
	})
}

// A name with foreign records is refused until an operator takes it, and left
// alone once it is released.
func TestTakeAndRelease(t *testing.T) {
	writing(t, 2, func(z *zones) { z.byHand(1, "198.51.100.7") }, func(z *zones) {
		got := z.want(controller.ZoneRefused)
		if len(got.Refused) != 1 || got.Refused[0].Name != nameOf(1) || z.v.has(t, nameOf(0)) != "192.0.2.1" {
			t.Errorf("%+v", got)
		}
		out := z.ask(controller.Request{Take: []string{strings.ToUpper(nameOf(1)), "other.example.net"}})
		if len(out.Taken) != 1 || out.Taken[0] != nameOf(1) || z.v.has(t, nameOf(1)) != "192.0.2.1" {
			t.Errorf("%+v, the zone has %s", out, z.v.has(t, nameOf(1)))
		}
		z.want(controller.ZoneOK)
		out = z.ask(controller.Request{Release: []string{nameOf(1)}})
		if len(out.Released) != 1 || len(out.Refused) != 1 {
			t.Errorf("%+v", out)
		}
		z.voteAll(checks.Down, one)
		if z.want(controller.ZoneRefused); z.v.has(t, nameOf(1)) != "192.0.2.1" || z.v.has(t, nameOf(0)) != "192.0.2.2" {
			t.Errorf("a released name has %s", z.v.has(t, nameOf(1)))
		}
	})
}

// What the config does not list any more is held, in the zone and in the
// ledger, until it is pruned.
func TestPrune(t *testing.T) {
	writing(t, 3, nil, func(z *zones) {
		z.stop()
		z.o.Policy.Services = z.o.Policy.Services[:2]
		z.start()
		gone := nameOf(2)
		if got := z.want(controller.ZoneOK); len(got.Held) != 1 || got.Held[0] != gone || z.v.has(t, gone) == "" || z.served(gone) == "" {
			t.Fatalf("%+v", got)
		}
		out := z.ask(controller.Request{Prune: true})
		if len(out.Changes) != 1 || z.v.has(t, gone) != "" || z.served(gone) != "" {
			t.Errorf("%+v, the ledger says %q", out, z.served(gone))
		}
		if cause := z.entries[len(z.entries)-1].Cause; !strings.Contains(cause, "pruned by op: test") {
			t.Errorf("cause %q", cause)
		}
		if d, same := z.entries[len(z.entries)-1].Replay(); !same {
			t.Errorf("the decision cannot be replayed: %+v", d)
		}
		if got := z.want(controller.ZoneOK); len(got.Held) != 0 || z.v.has(t, nameOf(0)) != "192.0.2.1" {
			t.Errorf("%+v", got)
		}
		// A name that kept only the mark of its owner is released.
		if err := z.v.store.Put(planZone, "test", set(gone, "A", "192.0.2.1")); err != nil {
			t.Fatal(err)
		}
		if err := z.v.store.Delete(planZone, providers.Key{Name: gone, Type: "A"}); err != nil {
			t.Fatal(err)
		}
		if out := z.ask(controller.Request{Prune: true}); len(out.Released) != 1 || out.Released[0] != gone {
			t.Errorf("%+v", out)
		}
	})
}

// A prune that would forget a third of the services must be confirmed.
func TestPruneIsGuarded(t *testing.T) {
	writing(t, 12, nil, func(z *zones) {
		z.stop()
		z.o.Policy.Services = z.o.Policy.Services[:8]
		z.start()
		if out, err := z.c.Apply(context.Background(), controller.Request{Prune: true, By: "op"}); !errors.Is(err, controller.ErrGuarded) {
			t.Fatalf("%+v, %v", out, err)
		}
		if z.v.has(t, nameOf(11)) == "" || z.served(nameOf(11)) == "" {
			t.Error("a refused prune has deleted something")
		}
		out := z.ask(controller.Request{Prune: true, AllowMany: true})
		if len(out.Changes) != 4 || z.served(nameOf(11)) != "" {
			t.Errorf("%+v", out)
		}
	})
}

// Only the leader has zones, and takes requests; one that is deposed meanwhile
// says so.
func TestApplyNeedsALeader(t *testing.T) {
	writing(t, 1, nil, func(z *zones) {
		hang := make(chan struct{})
		z.v.hooks(func() error { <-hang; return nil }, nil)
		got := make(chan error, 1)
		go func() {
			_, err := z.c.Apply(context.Background(), controller.Request{})
			got <- err
		}()
		synctest.Wait()
		z.rig.depose(nil)
		synctest.Wait()
		close(hang)
		if err := <-got; !errors.Is(err, controller.ErrNotLeader) {
			t.Errorf("deposed: %v", err)
		}
		z.v.hooks(nil, nil)
		z.stop()
		if _, err := z.c.Apply(context.Background(), controller.Request{}); !errors.Is(err, controller.ErrNotLeader) || z.c.Zones() != nil {
			t.Errorf("stopped: %v", err)
		}
	})
}
