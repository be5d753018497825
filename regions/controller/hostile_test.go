package controller_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
)

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
