package config

import (
	"fmt"
	"time"

	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// agreedWrite bounds one write to etcd's log on a disk that is not ailing,
// besides the round trip between the members.
const agreedWrite = 100 * time.Millisecond

// timings are the times that a service's worst case is made of. The authority
// has no API queue, and hears of a commit within a round trip, since it
// watches the ledger.
func (c *Config) timings(s Service) steering.Timings {
	m := c.Monitors[s.Monitor].MonitorConfig.Defaults()
	return steering.Timings{
		Interval: m.WorstInterval(),
		Timeout:  m.Timeout,
		Recheck:  m.Recheck,
		Fall:     m.Fall,
		RTT:      c.shared.RTT,
		Write:    agreedWrite,
		Leader:   c.shared.LeaderLoss(),

		Propagation: c.shared.RTT,
	}
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
		out[s.Name] = controller.Recovery{Limit: s.RTO, FirstSign: t.Interval + t.Timeout}
	}
	return out
}

func (c *Config) budget(s Service) steering.Budget {
	t := c.timings(s)
	ttl, _ := t.SteadyTTL(seconds(s.TTL.Min), seconds(s.TTL.Max), s.RTO)
	return t.WithTTL(ttl, s.RTO)
}

// budget refuses a service that cannot keep its rto even with its least TTL.
func (l *loader) budget(s Service, path string) {
	if s.RTO == 0 || s.Monitor == "" || !l.clean("monitors."+s.Monitor, "cluster", path+".ttl", path+".rto", path+".monitor") {
		return
	}
	b := l.c.budget(s)
	if b.Holds() {
		return
	}
	hint := fmt.Sprintf("raise rto to at least %s, or lower the interval, timeout, recheck or fall of the monitor %s", showDuration(roundUp(b.Total)), s.Monitor)
	if room := b.Total - b.Limit; s.TTL.Min-room >= time.Second {
		hint += fmt.Sprintf(", or ttl.min to %s", showDuration((s.TTL.Min - room).Truncate(time.Second)))
	}
	l.bad(path+".rto", fmt.Sprintf("the worst case is %s", b), "a sum of at most "+showDuration(b.Limit), hint)
}

func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
