package cloudflare_test

import (
	"net/http"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/cloudflare/cloudflaretest"
	"github.com/veerdns/veer/providers/internal/fenced/fencedtest"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/providertest/scheduletest"
)

// race is two controllers' side of one zone.
func race(t *testing.T, fence bool) scheduletest.World {
	w := cloudflaretest.NewWorld(t, "example.test.")
	w.Config.PageSize = 7 // several pages, as a zone has beyond 5,000 records
	return scheduletest.World{
		Zone: w.Zone,
		Client: func(c providertest.Carrier, log zerolog.Logger) providers.Provider {
			p, err := cloudflare.New(w.Config, cloudflare.Options{
				Owner: scheduletest.Owner, Log: log, Transport: providertest.Transport(c, w.Server, cloudflaretest.IsWrite),
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
			return scheduletest.Sort(w.Zone, w.Server.Sets(w.ZoneID, func(string) bool { return true }))
		},
		Put:    func(set providers.RRSet) error { return w.Server.Put(w.ZoneID, "", set) },
		Remove: func(key providers.Key) error { return w.Server.Delete(w.ZoneID, key.Name, key.Type) },
		Throttle: func(l *providertest.Line) {
			providertest.AnswerHTTP(l, http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}, `{"success":false,"errors":[{"code":971,"message":"Please wait and consider throttling your request speed"}],"messages":[],"result":null}`)
		},
	}
}

func TestSchedules(t *testing.T) { scheduletest.Search(t, scheduletest.Schedules(t), race) }

func TestSchedulesMutantFence(t *testing.T) {
	scheduletest.SearchWithout(t, race)
}

func TestMishaps(t *testing.T) { scheduletest.Mishaps(t, race, scheduletest.Settled) }
