package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/providers/powerdns"
	"github.com/veerdns/veer/regions/controller"
)

func TestZoneWarnings(t *testing.T) {
	c := &config.Config{Providers: config.Providers{{Name: "p", PowerDNS: &powerdns.Config{Propagation: 20 * time.Second}}}}
	behind := []controller.Behind{{Name: "a.example.test.", Since: time.Minute}, {Name: "b.example.test.", Since: time.Minute}}
	for _, row := range []struct {
		zone controller.ZoneState
		want string
	}{
		{controller.ZoneState{State: controller.ZoneOK, Propagation: 20 * time.Second}, ""},
		{controller.ZoneState{State: controller.ZoneBehind, Since: 29 * time.Second, Behind: behind}, ""},
		{
			controller.ZoneState{State: controller.ZoneBehind, Since: 31 * time.Second, Error: "429", Behind: behind[:1]},
			"z.test at p: it is behind the ledger for 31s: 429; the answer of a.example.test is an older one there",
		},
		{
			controller.ZoneState{State: controller.ZoneFailing, Since: time.Second, Error: "503", Behind: behind},
			"z.test at p: it cannot be written for 1s: 503; 2 answers are older ones there, that of a.example.test first",
		},
		{controller.ZoneState{State: controller.ZoneReadOnly, Error: "no proof"}, "z.test at p: it is only read: no proof"},
		{controller.ZoneState{State: controller.ZoneGuarded, Error: "4 of 12"}, "z.test at p: 4 of 12"},
		{controller.ZoneState{State: controller.ZoneRefused, Error: "AccessDenied"}, "z.test at p: AccessDenied"},
		{
			controller.ZoneState{State: controller.ZoneRefused, Error: "said below", Refused: []controller.Refusal{{Name: "a.test.", Why: "x"}, {Name: "b.test.", Why: "y"}}},
			"z.test at p: a.test is not written: x\nz.test at p: b.test is not written: y",
		},
		{
			controller.ZoneState{State: controller.ZoneOK, Propagation: 21 * time.Second},
			"z.test at p: a change took 21s until all name servers had it, and its propagation is declared as 20s: raise it, or the budgets are too small",
		},
	} {
		row.zone.Provider, row.zone.Zone = "p", "z.test."
		if got := strings.Join(zoneWarnings(c, row.zone), "\n"); got != row.want {
			t.Errorf("%s:\ngot  %q\nwant %q", row.zone.State, got, row.want)
		}
	}
}
