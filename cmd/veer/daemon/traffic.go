package daemon

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/metrics"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/regions/steering"
)

// This file tells who gets traffic where: what the authorities count, as
// metrics and, by the second, in the status.

// answerFallback is what an answer of a service's fallback addresses is called.
const answerFallback = "FALLBACK"

// answerNames returns authority.Options.Region: the regions, joined by + in the
// order of the pools, whose endpoints an answer holds.
func answerNames(p steering.Policy) func(service string, data []string) string {
	type place struct {
		rank   int
		region string
	}
	places := make(map[string]map[string]place, len(p.Services))
	for _, svc := range p.Services {
		of := make(map[string]place)
		for _, address := range svc.Fallback {
			of[dataKey(address)] = place{len(svc.Pools), answerFallback}
		}
		for rank, pool := range slices.Backward(svc.Pools) { // of two, the preferred one counts
			for _, e := range pool.Endpoints {
				of[dataKey(e.Address)] = place{rank, string(pool.Region)}
			}
		}
		places[svc.Name] = of
	}
	return func(service string, data []string) string {
		var in []place
		for _, d := range data {
			at, ok := places[service][dataKey(d)]
			if !ok {
				return ""
			}
			in = append(in, at)
		}
		slices.SortFunc(in, func(a, b place) int { return a.rank - b.rank })
		var names []string
		for _, at := range slices.Compact(in) {
			names = append(names, at.region)
		}
		return strings.Join(names, "+")
	}
}

// dataKey is one spelling of an address or a host name.
func dataKey(text string) string {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().String()
	}
	return providers.CanonicalName(text)
}

// Traffic's measure: rates are over the last one to two of these.
const trafficEvery = 5 * time.Second

// traffic remembers what was counted a while ago.
type traffic struct {
	mu           sync.Mutex
	last, before tallied
}

// tallied is what was counted at one moment.
type tallied struct {
	at     time.Time
	counts map[trafficKey]uint64
}

// trafficKey is one line of the status: a zone with an rcode, or a service with
// an answer.
type trafficKey struct{ provider, zone, service, answer string }

func (d *daemon) tally() (tallied, []trafficKey) {
	out := tallied{at: time.Now(), counts: make(map[trafficKey]uint64)}
	var order []trafficKey
	add := func(k trafficKey, n uint64) {
		if _, ok := out.counts[k]; !ok {
			order = append(order, k)
		}
		out.counts[k] += n
	}
	for _, s := range d.servers {
		zones, answers := s.Counts()
		for _, z := range zones {
			add(trafficKey{provider: s.name, zone: short(z.Zone), answer: rcodeName(z.Rcode)}, z.Queries)
		}
		for _, a := range answers {
			add(trafficKey{provider: s.name, service: a.Service, answer: a.Answer}, a.Queries)
		}
	}
	return out, order
}

// measure notes what is counted, from time to time, until ctx ends.
func (d *daemon) measure(ctx context.Context) error {
	tick := time.NewTicker(trafficEvery)
	defer tick.Stop()
	for {
		now, _ := d.tally()
		d.traffic.mu.Lock()
		d.traffic.before, d.traffic.last = d.traffic.last, now
		d.traffic.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// statusTraffic is who gets traffic where, now.
func (d *daemon) statusTraffic() []api.Traffic {
	if len(d.servers) == 0 {
		return nil
	}
	now, order := d.tally()
	d.traffic.mu.Lock()
	was := d.traffic.before
	if was.at.IsZero() {
		was = d.traffic.last
	}
	d.traffic.mu.Unlock()
	return now.since(was, order)
}

// since tells what was counted, and how fast since an earlier moment: the zero
// one is none. What was not counted then came since.
func (now tallied) since(was tallied, order []trafficKey) []api.Traffic {
	out := make([]api.Traffic, 0, len(order))
	for _, k := range order {
		t := api.Traffic{Provider: k.provider, Zone: k.zone, Service: k.service, Answer: k.answer, Queries: now.counts[k]}
		if over := now.at.Sub(was.at); !was.at.IsZero() && over > 0 && t.Queries >= was.counts[k] {
			t.PerSecond = float64(t.Queries-was.counts[k]) / over.Seconds()
		}
		out = append(out, t)
	}
	return out
}

// readTraffic gives a scrape what one authority counted.
func readTraffic(r *metrics.Reading, name string, s *authority.Server) {
	zones, answers := s.Counts()
	for _, z := range zones {
		r.Queries = append(r.Queries, metrics.Queries{Provider: name, Zone: short(z.Zone), Transport: z.Transport, Rcode: rcodeName(z.Rcode), Count: z.Queries})
	}
	for _, a := range answers {
		r.Answers = append(r.Answers, metrics.Answers{Provider: name, Service: short(a.Service), Answer: a.Answer, Count: a.Queries})
	}
}

// readDropped gives a scrape what one authority could not tell of.
func readDropped(r *metrics.Reading, name string, s *authority.Server) {
	for log, n := range s.Dropped() {
		r.Dropped = append(r.Dropped, metrics.Dropped{Provider: name, Log: log, Count: n})
	}
}

// rcodeName is the mnemonic of an rcode that this server gives.
func rcodeName(code int) string {
	if name, ok := dns.RcodeToString[code]; ok {
		return name
	}
	return "other"
}
