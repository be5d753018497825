package scheduletest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// SteadyReconciles is how often Steady's controller reads its zone back in the
// hour: each minute.
const SteadyReconciles = 60

// Steady has one controller keep the zone, with a few services that do not
// change, for an hour after it has settled. It calls before and after around
// that hour, in a bubble of testing/synctest.
func Steady(t *testing.T, b build, before, after func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, l := b(t, true), &ledger{lineage: "one", shards: map[int]controller.Versioned{}, lose: func() bool { return false }}
		c := &contender{name: "A", holder: "holder-A", term: regions.Term(1), ledger: l, elected: make(chan struct{}), deposed: make(chan struct{})}
		close(c.elected)
		world := newOrders()
		var services []steering.Service
		for i := range 3 {
			services = append(services, steering.Service{Name: fmt.Sprintf("s%d.%s", i, w.Zone)})
			world.set(services[i].Name, 1)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() {
			_ = controller.New(controller.Options{ // it ends with its context
				Name: c.name, Owner: Owner, Policy: steering.Policy{Services: services},
				World: world, Elector: c, Ledger: l, Decide: l.decide, ConfigHash: "c", Version: "v",
				Log: zerolog.Nop(), Reconcile: every(time.Hour / SteadyReconciles),
				Providers: []controller.Written{{Name: "steady", Zone: w.Zone, Provider: w.Client(&providertest.Line{}, zerolog.Nop())}},
			}).Run(ctx)
		})
		pass(ctx, 5*time.Minute+time.Second)
		if zone, err := w.Look(); err != nil || len(zone.Fences) != 1 {
			t.Errorf("the zone was not written: %+v, %v", zone, err)
		}
		before()
		pass(ctx, time.Hour)
		after()
		cancel()
		running.Wait()
	})
}
