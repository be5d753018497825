package controller_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// TakeoversEnded makes the fake's lead one that knows of takeovers.
func (l *lead) TakeoversEnded() regions.Term {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.ended
}

// takeOver makes a takeover of the zones.
func takeOver(z *zones, term regions.Term, holder string) *controller.Takeover {
	return controller.NewTakeover(controller.TakeoverOptions{Options: controller.Options{
		Owner: "test", Policy: z.o.Policy, Providers: z.o.Providers, Log: zerolog.Nop(),
	}, Term: term, Holder: holder})
}

func answer(i int, data string) steering.Answer {
	return steering.Answer{RRSet: providers.RRSet{Name: nameOf(i), Type: "A", TTL: 30, Data: []string{data}}, MinTTL: 5}
}

// takeoverRules holds a takeover to DESIGN section 6, "Partition": it writes
// only what it is given, lasts whatever is elected meanwhile, and a leader of
// before it is kept out. break plants a fault into the scene.
func takeoverRules(t *testing.T, plant func(z *zones)) error {
	t.Helper()
	var found error
	check := func(format string, args ...any) {
		if found == nil {
			found = fmt.Errorf(format, args...)
		}
	}
	writing(t, 3, nil, func(z *zones) {
		defer func() { z.v.hooks(nil, nil) }()
		z.want(controller.ZoneOK)
		ctx := context.Background()
		plant(z)
		// A write of the leader is under way while everything else happens.
		stale, err := z.v.Provider.Read(ctx, planZone)
		if err != nil {
			t.Fatal(err)
		}
		late := providers.Fence{Owner: "test", Term: stale.Fence.Term, Holder: stale.Fence.Holder, Write: stale.Fence.Write + 1}

		top := regions.Term(stale.Fence.Term)
		mine := takeOver(z, top+1, "eu-1")
		for _, zone := range mine.Claim(ctx) {
			if zone.Err != nil || len(zone.Changes) > 0 {
				t.Fatalf("claiming: %+v", zone)
			}
		}
		z.byHand(2, "192.0.2.99") // no override's business
		out, err := mine.Write(ctx, []steering.Answer{answer(0, "192.0.2.2")})
		if err != nil || len(out) != 1 || out[0].Err != nil || len(out[0].Changes) != 1 {
			t.Fatalf("writing: %+v, %v", out, err)
		}
		for i, want := range []string{"192.0.2.2", "192.0.2.1", "192.0.2.99"} {
			if got := z.v.has(t, nameOf(i)); got != want {
				check("%s is %s, want %s: only what is ordered is written", nameOf(i), got, want)
			}
		}
		before, after := set(nameOf(0), "A", "192.0.2.1"), set(nameOf(0), "A", "192.0.2.66")
		before.TTL, after.TTL = 30, 30
		if _, err := z.v.Provider.Apply(ctx, stale, late, []providers.Change{{Before: &before, After: &after}}); !errors.Is(err, providers.ErrFenced) {
			check("the late write of the old leader: %v, want ErrFenced", err)
		}

		// The quorum is back: leaders come and go, of terms below, equal to and
		// above the takeover's. Verdicts change, and the ledger with them.
		for range 4 {
			z.depose(nil)
			pass(10 * time.Second)
			z.voteAll(checks.Down, one)
			pass(10 * time.Second)
			z.voteAll(checks.Up, one)
			pass(10 * time.Second)
		}
		if z.term <= top+1 {
			t.Fatalf("term %d did not go beyond the takeover's %d", z.term, top+1)
		}
		if got := z.v.has(t, nameOf(0)); got != "192.0.2.2" {
			check("%s is %s: the takeover was undone before its end", nameOf(0), got)
		}
		if got := z.state(); got.State != controller.ZoneRefused || !strings.Contains(got.Error, "veer takeover --end") {
			check("the leader says of the zone: %s, %s", got.State, got.Error)
		}
		if out, err := mine.Write(ctx, []steering.Answer{answer(0, "192.0.2.1")}); err != nil || out[0].Err != nil {
			check("the takeover cannot write any more: %+v, %v", out, err)
		}

		// Its end raises the term and makes a new leader, who goes on.
		z.mu2(func() { z.ended = top + 1; z.term = max(z.term, top+1) })
		z.depose(nil)
		pass(30 * time.Second)
		z.want(controller.ZoneOK)
		for i := range 3 {
			if got := z.v.has(t, nameOf(i)); got != z.served(nameOf(i)) {
				check("after the end %s is %s, the ledger says %s", nameOf(i), got, z.served(nameOf(i)))
			}
		}
		if _, err := mine.Write(ctx, []steering.Answer{answer(0, "192.0.2.2")}); !errors.Is(err, controller.ErrOver) {
			check("writing after the end: %v, want ErrOver", err)
		}
		_, applies := z.v.counts()
		if _, err := mine.Write(ctx, []steering.Answer{answer(1, "192.0.2.2")}); !errors.Is(err, controller.ErrOver) {
			check("writing once more: %v, want ErrOver", err)
		}
		if _, again := z.v.counts(); again != applies {
			check("a takeover that is over goes on writing")
		}
	})
	return found
}

// mu2 changes the world under its lock.
func (z *zones) mu2(f func()) {
	z.world.mu.Lock()
	defer z.world.mu.Unlock()
	f()
}

func TestTakeover(t *testing.T) {
	if err := takeoverRules(t, func(*zones) {}); err != nil {
		t.Error(err)
	}
}

func TestMutantsOfATakeover(t *testing.T) {
	for name, plant := range map[string]func(*zones){
		"a leader that knows of no takeover": func(z *zones) { z.mu2(func() { z.ended = math.MaxInt64 }) },
		"a zone that lets stale writes in":   func(z *zones) { z.v.store.Without(memory.Guarded) },
	} {
		t.Run(name, func(t *testing.T) {
			err := takeoverRules(t, plant)
			if err == nil {
				t.Fatal("the check proves nothing: it does not see the planted fault")
			}
			t.Log(err)
		})
	}
}

// Two operators take over: the higher term holds, and the other one stops
// everywhere. At the zones terms only grow.
func TestTwoTakeovers(t *testing.T) {
	writing(t, 2, nil, func(z *zones) {
		z.want(controller.ZoneOK)
		z.depose(nil)
		z.stop()
		ctx := context.Background()
		now, err := z.v.Provider.Read(ctx, planZone)
		if err != nil {
			t.Fatal(err)
		}
		first, second := takeOver(z, regions.Term(now.Fence.Term)+1, "eu-1"), takeOver(z, regions.Term(now.Fence.Term)+2, "us-1")
		same := takeOver(z, regions.Term(now.Fence.Term)+1, "ap-1")
		first.Claim(ctx)
		if out := same.Claim(ctx); len(out) != 1 || !errors.Is(out[0].Err, providers.ErrFenced) {
			t.Errorf("a takeover of the same term: %+v, want ErrFenced", out)
		}
		if out, err := first.Write(ctx, []steering.Answer{answer(0, "192.0.2.2")}); err != nil || out[0].Err != nil {
			t.Errorf("the first: %+v, %v", out, err)
		}
		if out := second.Claim(ctx); len(out) != 1 || out[0].Err != nil {
			t.Errorf("the second: %+v", out)
		}
		if _, err := first.Write(ctx, []steering.Answer{answer(1, "192.0.2.2")}); !errors.Is(err, controller.ErrOver) {
			t.Errorf("the first, once the second has come: %v, want ErrOver", err)
		}
		if got := z.v.has(t, nameOf(1)); got != "192.0.2.1" {
			t.Errorf("it wrote %s all the same", got)
		}
		if out, err := second.Write(ctx, []steering.Answer{answer(1, "192.0.2.2")}); err != nil || len(out[0].Changes) != 1 {
			t.Errorf("the second: %+v, %v", out, err)
		}
	})
}

// A takeover claims in order, goes past a zone that does not answer, and stops
// at one that refuses: nothing behind it is touched.
func TestTakeoverStopsAtARefusal(t *testing.T) {
	writing(t, 1, nil, func(z *zones) {
		z.want(controller.ZoneOK)
		z.stop()
		ctx := context.Background()
		lost, good, ahead, behind := newVendor(), newVendor(), newVendor(), newVendor()
		lost.hooks(func() error { return errors.New("no route") }, nil)
		if err := ahead.store.PutFence(planZone, providers.Fence{Owner: "test", Term: 90, Holder: "other", Write: 1}); err != nil {
			t.Fatal(err)
		}
		z.o.Providers = nil
		for i, v := range []*vendor{lost, good, ahead, behind} {
			z.o.Providers = append(z.o.Providers, controller.Written{Name: fmt.Sprint("v", i), Zone: planZone, Provider: v})
		}
		taken := takeOver(z, 7, "eu-1")
		out := taken.Claim(ctx)
		if len(out) != 3 || out[0].Err == nil || out[1].Err != nil || !errors.Is(out[2].Err, providers.ErrFenced) {
			t.Fatalf("claimed %+v", out)
		}
		if reads, _ := behind.counts(); reads != 0 {
			t.Error("it went on behind the refusal")
		}
		lost.hooks(nil, nil)
		written, err := taken.Write(ctx, []steering.Answer{answer(0, "192.0.2.2")})
		if err != nil || len(written) != 2 {
			t.Fatalf("%+v, %v", written, err)
		}
		for i, v := range []*vendor{lost, good, ahead, behind} {
			want := []string{"192.0.2.2", "192.0.2.2", "", ""}[i]
			if got := v.has(t, nameOf(0)); got != want {
				t.Errorf("zone %d has %q, want %q", i, got, want)
			}
		}
		if have, err := ahead.Provider.Read(ctx, planZone); err != nil || have.Fence.Term != 90 {
			t.Errorf("the zone that refused has the fence %s (%v)", have.Fence, err)
		}
	})
}
