package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// timings are the times that a service's worst case is made of, with those of
// its slowest provider.
func (c *Config) timings(s Service) steering.Timings {
	m := c.Monitors[s.Monitor].MonitorConfig.Defaults()
	t := steering.Timings{
		Silence:  c.silence(c.Monitors[s.Monitor]),
		Interval: m.WorstInterval(),
		Timeout:  m.Timeout,
		Recheck:  m.Recheck,
		Fall:     m.Fall,
		RTT:      c.shared.RTT,
		Write:    cluster.AgreedWrite,
	}
	t.Leader, t.Twice = c.shared.LeaderLoss()
	for i, slow := range c.ProviderTimes(s) {
		if i == 0 || slow.Queue+slow.Propagation > t.Queue+t.Propagation {
			t.Queue, t.Propagation = slow.Queue, slow.Propagation
		}
	}
	if c.Schedule > 0 { // a failure, or a lost leader, waits for the next pass
		t.Interval, t.Turn = max(t.Interval, c.Schedule), max(t.Leader, c.Schedule)
	}
	return t
}

// ProviderTime is the declared worst case of one provider: how long a write
// waits for its API, and how long until all of its name servers have it.
type ProviderTime struct {
	Provider    string        `json:"provider"`
	Queue       time.Duration `json:"queue"`
	Propagation time.Duration `json:"propagation"`
}

// ProviderTimes are those of the service's providers, in its order. The
// authority has no API queue: it watches the ledger. Beside a member of etcd in
// its own region it hears of a commit when that does, and else within a round
// trip.
func (c *Config) ProviderTimes(s Service) []ProviderTime {
	out := make([]ProviderTime, 0, len(s.Providers))
	for _, name := range s.Providers {
		p, ok := c.Providers.find(name)
		if !ok {
			continue
		}
		one := ProviderTime{Provider: name}
		if slices.ContainsFunc(c.Regions, func(r regions.Name) bool { return c.shared.Members[string(r)] == (cluster.Member{}) }) {
			one.Propagation = c.shared.RTT
		}
		if w := p.Written(); w != nil {
			one.Queue, one.Propagation = w.Worst()
		}
		out = append(out, one)
	}
	return out
}

// outstanding is the largest TTL that answers of the service have: an alias
// record has that of what it leads to.
func (c *Config) outstanding(s Service, steady uint32) uint32 {
	for _, name := range s.Providers {
		p, _ := c.Providers.find(name)
		aliases, _ := p.aliased(&s)
		for _, host := range aliases {
			steady = max(steady, p.Caps().Aliases[host])
		}
	}
	return steady
}

// Budgets are the worst cases by canonical service name, with the steady TTL.
func (c *Config) Budgets() map[string]steering.Budget {
	out := make(map[string]steering.Budget, len(c.Services))
	for _, s := range c.Services {
		out[s.Name] = c.budget(s)
	}
	return out
}

// Recovery is what the controller measures each service's moves against.
func (c *Config) Recovery() map[string]controller.Recovery {
	out := make(map[string]controller.Recovery, len(c.Services))
	for _, s := range c.Services {
		t := c.timings(s)
		out[s.Name] = controller.Recovery{Limit: s.RTO, FirstSign: t.Silence + t.Interval + t.Timeout}
	}
	return out
}

func (c *Config) budget(s Service) steering.Budget {
	t := c.timings(s)
	ttl, _ := t.SteadyTTL(seconds(s.TTL.Min), seconds(s.TTL.Max), s.RTO)
	return t.WithTTL(c.outstanding(s, ttl), s.RTO)
}

// budget refuses a service that cannot keep its rto even with its least TTL.
func (l *loader) budget(s Service, path string) {
	if s.RTO == 0 || s.Monitor == "" || !l.clean("monitors."+s.Monitor, "cluster", "schedule", path+".ttl", path+".rto", path+".monitor") {
		return
	}
	b := l.c.budget(s)
	if b.Holds() {
		return
	}
	keys := "interval, timeout, recheck or fall"
	if l.c.Monitors[s.Monitor].Heartbeat != nil {
		keys = "within"
	}
	hint := fmt.Sprintf("raise rto to at least %s, or lower the %s of the monitor %s", showDuration(roundUp(b.Total)), keys, s.Monitor)
	if room := b.Total - b.Limit; s.TTL.Min-room >= time.Second {
		hint += fmt.Sprintf(", or ttl.min to %s", showDuration((s.TTL.Min - room).Truncate(time.Second)))
	}
	l.bad(path+".rto", fmt.Sprintf("the worst case is %s", b), "a sum of at most "+showDuration(b.Limit), hint)
}

func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
