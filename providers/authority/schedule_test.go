package authority_test

import (
	"errors"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/providertest/scheduletest"
)

// race is two controllers' side of one ledger.
func race(_ *testing.T, fence bool) scheduletest.World {
	const zone = "example.test."
	store := memory.NewStore(zone)
	if !fence {
		store.Without(memory.Guarded, memory.Exact)
	}
	return scheduletest.World{
		Zone: zone,
		Client: func(c providertest.Carrier, _ zerolog.Logger) providers.Provider {
			config := authority.Config{Zones: []authority.Zone{{Name: zone}}}
			return authority.NewProvider(config, scheduletest.Owner, ledger{store.Over(providertest.Carry(c)), scheduletest.Owner})
		},
		Look: func() (scheduletest.Zone, error) {
			var z scheduletest.Zone
			snap, err := store.Read(scheduletest.Owner, zone)
			if err != nil {
				return z, err
			}
			if snap.Fence != (providers.Fence{}) {
				z.Fences = []providers.Fence{snap.Fence}
			}
			z.Sets, err = store.All(zone)
			return z, err
		},
		Put:      func(set providers.RRSet) error { return store.Put(zone, "", set) },
		Remove:   func(key providers.Key) error { return store.Delete(zone, key) },
		Throttle: func(l *providertest.Line) { l.Fail(&providers.BusyError{Err: errors.New("too many requests")}) },
	}
}

func TestSchedules(t *testing.T) { scheduletest.Search(t, scheduletest.Schedules(t), race) }

func TestSchedulesMutantFence(t *testing.T) {
	scheduletest.SearchWithout(t, race)
}

func TestMishaps(t *testing.T) { scheduletest.Mishaps(t, race, "") }
