package route53_test

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced/fencedtest"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/providertest/scheduletest"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/providers/route53/route53test"
)

// race is two controllers' side of one hosted zone, whose changes take a while.
func race(t *testing.T, fence bool) scheduletest.World {
	server, err := route53test.New(route53test.Options{
		Zones: []route53test.Zone{{ID: route53test.ZoneID, Name: zone}}, Processing: 50 * time.Millisecond, Propagation: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	config := route53test.Config(t, zone)
	return scheduletest.World{
		Zone: zone,
		Client: func(c providertest.Carrier) providers.Provider {
			p, err := route53.New(config, route53.Options{
				Owner: scheduletest.Owner, Log: zerolog.Nop(), Transport: providertest.Transport(c, server, route53test.Writes),
			})
			if err != nil {
				t.Fatal(err)
			}
			if !fence {
				p.Provider = p.Provider.With(fencedtest.Unfenced)
			}
			return p
		},
		Look: func() (scheduletest.Zone, error) {
			sets, err := server.RRSets(route53test.ZoneID, func(string) bool { return true })
			if err != nil {
				return scheduletest.Zone{}, err
			}
			return scheduletest.Sort(zone, sets)
		},
		Put: func(set providers.RRSet) error { return server.PutRRSet(route53test.ZoneID, "", set) },
		Remove: func(key providers.Key) error {
			return server.Delete(route53test.ZoneID, key.Name, key.Type, key.SetID)
		},
	}
}

func TestSchedules(t *testing.T) { scheduletest.Search(t, scheduletest.Schedules(t), race) }

func TestSchedulesMutantFence(t *testing.T) {
	scheduletest.SearchWithout(t, race)
}
