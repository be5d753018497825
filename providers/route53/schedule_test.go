package route53_test

import (
	"net/http"
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

// race is two controllers' side of one hosted zone, which each change keeps busy
// for a while.
func race(t *testing.T, fence bool) scheduletest.World {
	return world(t, fence, 50*time.Millisecond)
}

func world(t *testing.T, fence bool, processing time.Duration) scheduletest.World {
	server, err := route53test.New(route53test.Options{
		Zones: []route53test.Zone{{ID: route53test.ZoneID, Name: zone}}, Processing: processing, Propagation: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	config := route53test.Config(t, zone)
	return scheduletest.World{
		Zone: zone,
		Client: func(c providertest.Carrier, log zerolog.Logger) providers.Provider {
			p, err := route53.New(config, route53.Options{
				Owner: scheduletest.Owner, Log: log, Transport: providertest.Transport(c, server, route53test.Writes),
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
		Throttle: func(l *providertest.Line) {
			providertest.AnswerHTTP(l, http.StatusBadRequest, nil, `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`)
		},
	}
}

func TestSchedules(t *testing.T) { scheduletest.Search(t, scheduletest.Schedules(t), race) }

func TestSchedulesMutantFence(t *testing.T) {
	scheduletest.SearchWithout(t, race)
}

func TestMishaps(t *testing.T) {
	calm := func(t *testing.T, fence bool) scheduletest.World { return world(t, fence, 0) }
	scheduletest.Mishaps(t, calm, scheduletest.Settled)
}
