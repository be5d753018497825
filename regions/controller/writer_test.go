package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// zone is a Provider in memory of one zone.
type zone struct {
	mu      sync.Mutex
	fence   providers.Fence
	records []providers.RRSet
	applies int
	fail    error
	hang    chan struct{}
}

func (z *zone) Caps() providers.Caps { return providers.Caps{Weights: true, MaxTTL: 86400} }

func (z *zone) Read(ctx context.Context, name string) (providers.Snapshot, error) {
	z.mu.Lock()
	hang, fail := z.hang, z.fail
	s := providers.Snapshot{Zone: name, Fence: z.fence, Records: slices.Clone(z.records)}
	z.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	return s, fail
}

func (z *zone) Apply(_ context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if err := z.fence.Admits(next); err != nil {
		return providers.Receipt{}, err
	}
	if z.fence != from.Fence {
		return providers.Receipt{}, fmt.Errorf("%w: the fence is %s", providers.ErrConflict, z.fence)
	}
	z.fence, z.records = next, providers.ApplyTo(z.records, changes)
	z.applies++
	return providers.Receipt{Fence: next, Calls: 1}, nil
}

func (z *zone) has(name string) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, r := range z.records {
		if r.Name == name {
			return fmt.Sprint(r.Data)
		}
	}
	return ""
}

func TestProvidersAreWritten(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		foreign := providers.RRSet{Name: "kept.example.test.", Type: "A", TTL: 1, Data: []string{"192.0.2.99"}}
		good, stuck := &zone{records: []providers.RRSet{foreign}}, &zone{hang: make(chan struct{})}
		r.o.Providers = []controller.Written{
			{Name: "stuck", Zone: "example.test.", Provider: stuck},
			{Name: "good", Zone: "example.test.", Provider: good},
		}
		r.voteAll(checks.Up, one, two)
		r.start()
		if got := good.has(app); got != "[192.0.2.1]" {
			t.Fatalf("the zone has %s", got)
		}
		if good.fence != (providers.Fence{Owner: "test", Term: 1, Holder: "holder-1", Write: 2}) {
			t.Errorf("fence %s: want a claim and one write", good.fence)
		}
		r.voteAll(checks.Down, one)
		synctest.Wait()
		if got := good.has(app); got != "[192.0.2.2]" {
			t.Errorf("one provider that hangs holds another: the zone has %s", got)
		}
		if good.has("kept.example.test.") == "" {
			t.Error("a record that no answer names was deleted")
		}
		applies := good.applies
		r.change(func() {})
		synctest.Wait()
		if good.applies != applies {
			t.Error("an unchanged answer was written again")
		}
	})
}

func TestReconcileMendsDrift(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		z := &zone{}
		r.o.Providers = []controller.Written{{Name: "z", Zone: "example.test.", Provider: z}}
		r.o.Reconcile = every(time.Minute)
		r.voteAll(checks.Up, one, two)
		r.start()
		z.mu.Lock()
		z.records[0].Data = []string{"203.0.113.1"}
		z.mu.Unlock()
		pass(61 * time.Second)
		if got := z.has(app); got != "[192.0.2.1]" {
			t.Errorf("drift was not mended: %s", got)
		}
	})
}

func TestFencedStepsDownAndClaimsAgain(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		z := &zone{}
		r.o.Providers = []controller.Written{{Name: "z", Zone: "example.test.", Provider: z}}
		r.voteAll(checks.Up, one, two)
		r.start()
		z.mu.Lock()
		z.fence = providers.Fence{Owner: "test", Term: 3, Holder: "other", Write: 9}
		z.mu.Unlock()
		r.voteAll(checks.Down, one)
		pass(time.Second)
		if z.has(app) != "[192.0.2.1]" && r.term < 4 {
			t.Errorf("wrote over a newer fence: %s in term %d", z.has(app), r.term)
		}
		pass(time.Minute)
		if r.term != 4 || z.fence.Term != 4 || z.has(app) != "[192.0.2.2]" {
			t.Errorf("term %d, fence %s, answer %s: want term 4 to have claimed the zone", r.term, z.fence, z.has(app))
		}
	})
}

func TestFailingProviderIsTriedAgain(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		z := &zone{fail: errors.New("503")}
		r.o.Providers = []controller.Written{{Name: "z", Zone: "example.test.", Provider: z}}
		r.start()
		pass(time.Minute)
		z.mu.Lock()
		z.fail = nil
		z.mu.Unlock()
		pass(retryMost)
		if z.has(app) == "" {
			t.Error("the provider was not written after it came back")
		}
	})
}

const retryMost = 10 * time.Second
