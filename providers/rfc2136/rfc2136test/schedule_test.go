package rfc2136test_test

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced/fencedtest"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/providertest/scheduletest"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// race is two controllers' side of one zone.
func race(t *testing.T, fence bool) scheduletest.World { return side(t, fence, false) }

func side(t *testing.T, fence, signed bool) scheduletest.World {
	w := rfc2136test.NewWorld(t, "example.test", signed, &providertest.Line{})
	return scheduletest.World{
		Zone: w.Zone,
		Client: func(c providertest.Carrier, log zerolog.Logger) providers.Provider {
			wire := rfc2136test.NewWire(c, w.Server.Dial)
			wire.Key = w.Wire.Key
			t.Cleanup(wire.Wait)
			config := w.Config(t)
			config.Timeout = 15 * time.Second // a slow reply is worth more than none
			p, err := rfc2136.New(config, rfc2136.Options{Owner: scheduletest.Owner, Log: log, Dial: wire.Dial})
			if err != nil {
				t.Fatal(err)
			}
			if !fence {
				p.Provider = p.Provider.With(fencedtest.Unfenced)
			}
			return p
		},
		Look: func() (scheduletest.Zone, error) {
			sets, err := w.Admin.Sets(func(set providers.RRSet) bool { return set.Type != "SOA" })
			if err != nil {
				return scheduletest.Zone{}, err
			}
			return scheduletest.Sort(w.Zone, sets)
		},
		Put:      func(set providers.RRSet) error { return w.Admin.Put("", set) },
		Remove:   func(key providers.Key) error { return w.Admin.Delete(key.Name, key.Type) },
		Throttle: func(l *providertest.Line) { l.Fail(rfc2136test.ErrBusy) },
	}
}

func TestSchedules(t *testing.T) { scheduletest.Search(t, scheduletest.Schedules(t), race) }

func TestSchedulesMutantFence(t *testing.T) {
	scheduletest.SearchWithout(t, race)
}

func TestMishaps(t *testing.T) {
	// Unsigned, a SERVFAIL proves nothing.
	signed := func(t *testing.T, fence bool) scheduletest.World { return side(t, fence, true) }
	scheduletest.Mishaps(t, signed, scheduletest.Settled)
}
