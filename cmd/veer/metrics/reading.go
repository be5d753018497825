package metrics

import (
	"strconv"
	"time"
)

// Healths are the words of a health, in this order in Counts.
func Healths() []string { return []string{"unknown", "down", "degraded", "up"} }

// How a host that is looked up stands.
const (
	AliasFresh   = "fresh"
	AliasStale   = "stale"
	AliasUnknown = "unknown"
)

// Reading is how all stands at one scrape.
type Reading struct {
	Leads, LeaderKnown, Etcd bool
	Term                     uint64
	CutOff                   time.Duration
	Vantages                 []Vantage
	// Endpoints counts the verdicts, by health.
	Endpoints map[string]int
	AllDown   int
	Zones     []Zone
	Prober    *Prober
	// Responses are those of each authority, by code.
	Responses map[string]map[string]uint64
	// Aliases counts the hosts that each authority looks up, by how they stand.
	Aliases map[string]map[string]int
	// Expiry is until the end of each certificate, by key of the config.
	Expiry map[string]time.Duration
}

// Vantage is one voter.
type Vantage struct {
	Name                     string
	Fresh, Suspect, Mismatch bool
	// Votes counts them by health.
	Votes map[string]int
}

// Zone is a zone of a written provider.
type Zone struct {
	Provider, Zone, State string
	Lag                   time.Duration
}

// Prober is how punctual the probes are.
type Prober struct {
	Probes           uint64
	P50, P99, Latest time.Duration
}

func (r Reading) emit(emit func(m *Metric, value float64, labels ...string)) {
	is := func(m *Metric, yes bool, labels ...string) {
		value := 0.0
		if yes {
			value = 1
		}
		emit(m, value, labels...)
	}
	is(&leads, r.Leads)
	is(&leaderKnown, r.LeaderKnown)
	emit(&term, float64(r.Term))
	is(&etcd, r.Etcd)
	emit(&cutOff, r.CutOff.Seconds())
	for _, v := range r.Vantages {
		is(&fresh, v.Fresh, v.Name)
		is(&suspect, v.Suspect, v.Name)
		is(&mismatch, v.Mismatch, v.Name)
		for _, health := range Healths() {
			emit(&votes, float64(v.Votes[health]), v.Name, health)
		}
	}
	for _, health := range Healths() {
		emit(&endpoints, float64(r.Endpoints[health]), health)
	}
	emit(&allDown, float64(r.AllDown))
	for _, z := range r.Zones {
		emit(&zoneState, 1, z.Provider, z.Zone, z.State)
		emit(&lag, z.Lag.Seconds(), z.Provider, z.Zone)
	}
	if p := r.Prober; p != nil {
		emit(&probes, float64(p.Probes))
		for quantile, d := range map[float64]time.Duration{0.5: p.P50, 0.99: p.P99, 1: p.Latest} {
			emit(&late, d.Seconds(), strconv.FormatFloat(quantile, 'g', -1, 64))
		}
	}
	for provider, codes := range r.Responses {
		for code, n := range codes {
			emit(&queries, float64(n), provider, code)
		}
	}
	for provider, hosts := range r.Aliases {
		for _, state := range []string{AliasFresh, AliasStale, AliasUnknown} {
			emit(&aliases, float64(hosts[state]), provider, state)
		}
	}
	for file, left := range r.Expiry {
		emit(&expiry, left.Seconds(), file)
	}
}
