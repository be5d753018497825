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
	// Limited are those of each authority that were over its rate limit.
	Limited map[string][]Limited
	// Connections are open at each authority, by transport; TurnedAway counts
	// its clients that were, by reason.
	Connections map[string]map[string]int
	TurnedAway  map[string]map[string]uint64
	Queries     []Queries
	Answers     []Answers
	Dropped     []Dropped
	// Aliases counts the hosts that each authority looks up, by how they stand.
	Aliases map[string]map[string]int
	// Waiting are the messages that each receiver has not got, Failing is how long
	// each output of the journal has failed.
	Waiting map[string]int
	Failing map[string]time.Duration
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

// Limited counts answers over a rate limit.
type Limited struct {
	Class, Action string
	Answers       uint64
}

// Queries are those that a zone of an authority answered.
type Queries struct {
	Provider, Zone, Transport, Rcode string
	Count                            uint64
}

// Answers are those of a service, of one kind.
type Answers struct {
	Provider, Service, Answer string
	Count                     uint64
}

// Dropped are queries that a log should have had and did not get.
type Dropped struct {
	Provider, Log string
	Count         uint64
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
	for provider, limited := range r.Limited {
		for _, l := range limited {
			emit(&limitedTotal, float64(l.Answers), provider, l.Class, l.Action)
		}
	}
	for provider, transports := range r.Connections {
		for transport, n := range transports {
			emit(&connections, float64(n), provider, transport)
		}
	}
	for provider, reasons := range r.TurnedAway {
		for reason, n := range reasons {
			emit(&turnedAway, float64(n), provider, reason)
		}
	}
	for _, q := range r.Queries {
		emit(&zoneQueries, float64(q.Count), q.Provider, q.Zone, q.Transport, q.Rcode)
	}
	for _, a := range r.Answers {
		emit(&answers, float64(a.Count), a.Provider, a.Service, a.Answer)
	}
	for _, d := range r.Dropped {
		emit(&dropped, float64(d.Count), d.Provider, d.Log)
	}
	for provider, hosts := range r.Aliases {
		for _, state := range []string{AliasFresh, AliasStale, AliasUnknown} {
			emit(&aliases, float64(hosts[state]), provider, state)
		}
	}
	for receiver, n := range r.Waiting {
		emit(&waiting, float64(n), receiver)
	}
	for output, d := range r.Failing {
		emit(&exportFails, d.Seconds(), output)
	}
	for file, left := range r.Expiry {
		emit(&expiry, left.Seconds(), file)
	}
}
