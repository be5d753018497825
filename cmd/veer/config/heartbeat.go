package config

import (
	"slices"
	"time"

	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/prober"
)

// HeartbeatHold is how long a process keeps a call-in back, at most, when it has
// told of one of the same endpoint a moment ago: a tenth of within, so that an
// endpoint that calls often makes few writes.
func HeartbeatHold(within time.Duration) time.Duration { return max(within/10, time.Second) }

// heartbeatDefaults are what a monitor of kind heartbeat has in the place of the
// keys that it does not take: looking again at what was heard shows nothing new.
func heartbeatDefaults(m prober.MonitorConfig) prober.MonitorConfig {
	if m.Interval == 0 {
		m.Interval = time.Second
	}
	m.Fall, m.Rise, m.OK = 1, 1, 1
	return m
}

// notOfHeartbeats are the keys of all kinds that this one does not take.
func notOfHeartbeats() []string {
	return []string{"timeout", "recheck", "fall", "rise", "ok", "slow", "watch", "port"}
}

// heartbeat refuses keys that have no meaning where nothing is probed.
func (l *loader) heartbeat(path string, m Monitor) {
	for _, key := range notOfHeartbeats() {
		if l.has(path + "." + key) {
			l.bad(path+"."+key, "kind heartbeat probes nothing, and has no "+key, "within, which is how long a call-in counts", "remove it")
		}
	}
	if l.has(path+".within") && l.clean(path) && m.Interval > m.Heartbeat.Within {
		l.bad(path+".interval", "found "+showDuration(m.Interval)+", which is longer than within", "how often it is looked at, at most within, "+showDuration(m.Heartbeat.Within), "")
	}
	if l.c.Schedule > 0 {
		l.bad(path+".kind", "with schedule there is no daemon that hears a heartbeat", "daemons, and no schedule, or a monitor that probes", "")
	}
}

// silence is the longest time from an endpoint's last call-in until its silence
// counts, for a monitor whose health depends on heartbeats; 0: it does not. A
// process that hears again after etcd has elected counts anew.
func (c *Config) silence(m Monitor) time.Duration {
	if m.Heartbeat != nil {
		within := m.Heartbeat.Within
		once, _ := c.shared.LeaderLoss()
		return within + HeartbeatHold(within) + SpreadPace + cluster.CallsHeard + once
	}
	var longest time.Duration
	for _, p := range m.Parts {
		longest = max(longest, c.silence(p.Monitor))
	}
	return longest
}

// SpreadPace is the least time between two writes of call-ins by one process.
const SpreadPace = time.Second

// Heartbeats are the endpoints that call in, by their name, each with its
// monitor: those of services, and those that composites ask.
func (c *Config) Heartbeats() map[string]Monitor {
	out := map[string]Monitor{}
	for _, s := range c.Services {
		for _, place := range s.places() {
			c.beating(s.Monitor, place.Address, out)
		}
	}
	return out
}

func (c *Config) beating(monitor, address string, out map[string]Monitor) {
	m := c.Monitors[monitor]
	if m.Heartbeat != nil {
		out[string(endpointID(monitor, address))] = m
	}
	for _, p := range m.Parts {
		c.beating(p.Name, address, out)
	}
}

// HookVantages are the vantages whose votes are what hooks say.
func (c *Config) HookVantages() []string {
	return slices.DeleteFunc(sortedKeys(c.Hooks), func(name string) bool { return c.Hooks[name].Act != HookVote })
}
