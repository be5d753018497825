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
	w, _ := worldOf(t, fence, processing)
	return w
}

func worldOf(t *testing.T, fence bool, processing time.Duration) (scheduletest.World, *route53test.Server) {
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
	}, server
}

func TestSchedules(t *testing.T) { scheduletest.Search(t, scheduletest.Schedules(t), race) }

func TestSchedulesMutantFence(t *testing.T) {
	scheduletest.SearchWithout(t, race)
}

func TestMishaps(t *testing.T) {
	calm := func(t *testing.T, fence bool) scheduletest.World { return world(t, fence, 0) }
	scheduletest.Mishaps(t, calm, scheduletest.Settled)
}

// TestSteadyHour: while nothing changes, a zone costs one listing a reconcile,
// with the fence read before and after it, and no write.
func TestSteadyHour(t *testing.T) {
	var server *route53test.Server
	var was map[string]int
	scheduletest.Steady(t, func(t *testing.T, fence bool) scheduletest.World {
		w, s := worldOf(t, fence, 0)
		server = s
		return w
	}, func() { was = server.Calls() }, func() {
		now := server.Calls()
		for action, n := range now {
			if n -= was[action]; action == "ListResourceRecordSets" {
				if n < 3*(scheduletest.SteadyReconciles-1) || n > 3*scheduletest.SteadyReconciles {
					t.Errorf("%d reads in an hour of %d reconciles; expected a listing and two looks at the fence each", n, scheduletest.SteadyReconciles)
				}
			} else if n > 0 {
				t.Errorf("%d calls of %s in an hour in which nothing changed", n, action)
			}
		}
	})
}
