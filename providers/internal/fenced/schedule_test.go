package fenced_test

import (
	"errors"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
	"github.com/veerdns/veer/providers/internal/fenced/fencedtest"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/providertest/scheduletest"
)

// race is two controllers' side of a vendor, by an API of the kind.
func race(with func(*fencedtest.API)) func(*testing.T, bool) scheduletest.World {
	return func(_ *testing.T, fence bool) scheduletest.World {
		v := fencedtest.New(zone)
		return scheduletest.World{
			Zone: zone,
			Client: func(c providertest.Carrier, log zerolog.Logger) providers.Provider {
				api := &fencedtest.API{Vendor: v, Carrier: c, Most: fenced.Size{Records: 12}}
				with(api)
				p := fenced.New(api, fenced.Options{Owner: scheduletest.Owner, Zones: []string{zone}, Log: log})
				if !fence {
					p = p.With(fencedtest.Unfenced)
				}
				return p
			},
			Look:     func() (scheduletest.Zone, error) { return scheduletest.Sort(zone, v.All(zone, all)) },
			Put:      func(set providers.RRSet) error { v.Put(zone, set); return nil },
			Remove:   func(key providers.Key) error { v.Remove(zone, key); return nil },
			Throttle: func(l *providertest.Line) { l.Fail(&providers.BusyError{Err: errors.New("one too many")}) },
		}
	}
}

func all(providers.RRSet) bool { return true }

func TestSchedules(t *testing.T) {
	for name, with := range apis {
		t.Run(name, func(t *testing.T) { scheduletest.Search(t, scheduletest.Schedules(t)/3, race(with)) })
	}
}

func TestSchedulesMutantFence(t *testing.T) {
	for name, with := range apis {
		t.Run(name, func(t *testing.T) { scheduletest.SearchWithout(t, race(with)) })
	}
}

func TestMishaps(t *testing.T) {
	for name, with := range apis {
		t.Run(name, func(t *testing.T) { scheduletest.Mishaps(t, race(with), scheduletest.Settled) })
	}
}
