package prober

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// MonitorConfig holds the fields that every kind of monitor has. The kind's
// own fields belong to its package.
type MonitorConfig struct {
	// Kind names the protocol. Whoever knows the kinds checks it.
	Kind string `yaml:"kind"`
	// Interval is the mean time from the start of one probe to the next.
	Interval time.Duration `yaml:"interval"`
	// Timeout bounds the whole probe.
	Timeout time.Duration `yaml:"timeout"`
	// Recheck is the time from a result to the next probe while failures are
	// being counted.
	Recheck time.Duration `yaml:"recheck"`
	// Slow is the latency above which a success is degraded; 0 is no limit.
	Slow time.Duration `yaml:"slow"`
	// Fall, Rise and OK are the thresholds of checks.Thresholds.
	Fall int `yaml:"fall"`
	Rise int `yaml:"rise"`
	OK   int `yaml:"ok"`
	// Watch holds a connection open whose loss starts a probe at once.
	Watch bool `yaml:"watch"`
	// Port is the port to probe; 0 is the protocol's default.
	Port uint16 `yaml:"port"`
}

// The bounds of a monitor's fields.
const (
	minInterval  = 100 * time.Millisecond
	maxInterval  = time.Hour
	minTimeout   = 10 * time.Millisecond
	minRecheck   = 10 * time.Millisecond
	maxThreshold = 100
)

// jitterPart is the part of an interval by which a probe may come early or
// late: a tenth.
const jitterPart = 10

// Defaults returns m with its zero fields filled: interval 5s, fall 3, rise 3,
// ok as rise, timeout 2s but at most half the interval, recheck 500ms but at
// most a tenth of the interval.
func (m MonitorConfig) Defaults() MonitorConfig {
	fill(&m.Interval, 5*time.Second)
	fill(&m.Timeout, min(2*time.Second, max(m.Interval/2, minTimeout)))
	fill(&m.Recheck, min(500*time.Millisecond, max(m.Interval/10, minRecheck)))
	fill(&m.Fall, 3)
	fill(&m.Rise, 3)
	fill(&m.OK, m.Rise)
	return m
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Check reports every problem of m with its defaults filled in. Field is the
// key in the config.
func (m MonitorConfig) Check(bad func(field, format string, args ...any)) {
	m = m.Defaults()
	if m.Interval < minInterval || m.Interval > maxInterval {
		bad("interval", "%s: expected %s to %s", m.Interval, minInterval, maxInterval)
		m.Interval = maxInterval // so that the fields compared with it are judged by themselves
	}
	if m.Timeout < minTimeout || m.Timeout > m.Interval {
		bad("timeout", "%s: expected %s to the interval, %s", m.Timeout, minTimeout, m.Interval)
	} else if m.Slow >= m.Timeout {
		bad("slow", "%s: expected less than the timeout, %s, which would make it down first", m.Slow, m.Timeout)
	}
	if m.Recheck < minRecheck || m.Recheck > m.Interval {
		bad("recheck", "%s: expected %s to the interval, %s", m.Recheck, minRecheck, m.Interval)
	}
	if m.Slow < 0 {
		bad("slow", "%s: expected a latency above 0, or none for no limit", m.Slow)
	}
	for _, th := range []struct {
		field string
		value int
	}{{"fall", m.Fall}, {"rise", m.Rise}, {"ok", m.OK}} {
		if th.value < 1 || th.value > maxThreshold {
			bad(th.field, "%d: expected 1 to %d", th.value, maxThreshold)
		}
	}
}

// WorstInterval is the longest time from the start of one scheduled probe to
// the next, jitter included. Budgets count with it.
func (m MonitorConfig) WorstInterval() time.Duration {
	interval := m.Defaults().Interval
	return interval + interval/jitterPart
}

// Thresholds are the hysteresis of m.
func (m MonitorConfig) Thresholds() checks.Thresholds {
	m = m.Defaults()
	return checks.Thresholds{Fall: m.Fall, Rise: m.Rise, OK: m.OK, Slow: m.Slow}
}

// Job is one endpoint to probe.
type Job struct {
	Endpoint regions.EndpointID
	Target   checks.Target
	Monitor  MonitorConfig
	Prober   checks.Prober
	// Starter starts the same probes as Prober on the Engine; nil is none.
	Starter Starter
	// Watcher is used when Monitor.Watch is set; nil is none.
	Watcher checks.Watcher
	// Measure takes the round trip out of a result, 0 where it has none, for
	// the votes to tell; nil: nobody wants to know. WarmUp is how many of them
	// make a figure.
	Measure func(checks.Result) time.Duration
	WarmUp  int
	// Same tells jobs of one endpoint apart whose probes ask another thing: see
	// Replace.
	Same string
}

// Options are what a Prober needs.
type Options struct {
	Vantage regions.Name
	Jobs    []Job
	// References are probed so that the vantage can doubt itself: they are
	// never voted on.
	References []Job
	Booth      Booth
	// Engine is what the jobs' Starters hand probes over to; nil is none.
	Engine Engine
	Log    zerolog.Logger
	// Renew is the time between renewals of the seat; 0 is one second. It
	// must be well below the lease of the booth's seats.
	Renew time.Duration
	// Seed makes the schedule: the same seed, vantage and endpoint give the
	// same times.
	Seed uint64
}
