package controller

import (
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// Event is one service whose answer moved.
type Event struct {
	Service  string            `json:"service"`
	From     []providers.RRSet `json:"from"` // empty: nothing was answered
	To       []providers.RRSet `json:"to"`
	FromPool []regions.Name    `json:"from_pool"`
	ToPool   []regions.Name    `json:"to_pool"`
	Rule     steering.Rule     `json:"rule"`
	Text     string            `json:"text"`
	Cause    string            `json:"cause"`
	Term     regions.Term      `json:"term"`
	Seq      uint64            `json:"seq"`
	Shard    int               `json:"shard"`
	// Seen is the time from the first suspicion or changed vote that the
	// leader saw until it decided; 0: no vote made this move.
	Seen time.Duration `json:"seen"`
	// Committed is the time from the decision until it was agreed.
	Committed time.Duration `json:"committed"`
}

// data is the answer's data in one line.
func data(sets []providers.RRSet) string {
	var all []string
	for _, s := range sets {
		all = append(all, s.Data...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, " ")
}

func (e Event) log(log *zerolog.Logger) {
	log.Info().Str("service", e.Service).Str("from", data(e.From)).Str("to", data(e.To)).
		Str("rule", string(e.Rule)).Str("why", e.Text).Str("cause", e.Cause).
		Dur("seen_ms", e.Seen).Dur("committed_ms", e.Committed).
		Uint64("term", uint64(e.Term)).Uint64("seq", e.Seq).Msg("answer moved")
}

// events lists the services whose data differ between two states.
func events(prev, next steering.State, why []steering.Reason) []Event {
	was := make(map[string]steering.ServiceState, len(prev.Services))
	for _, s := range prev.Services {
		was[s.Name] = s
	}
	var out []Event
	for _, s := range next.Services {
		b := was[s.Name]
		if sameData(b.Answer, s.Answer) {
			continue
		}
		e := Event{Service: s.Name, From: b.Answer, To: s.Answer, FromPool: b.Serving, ToPool: s.Serving}
		e.Rule, e.Text = mover(s.Name, why)
		out = append(out, e)
	}
	return out
}

// mover picks the reason that tells why the service's answer moved: the first
// that is not about something held back.
func mover(service string, why []steering.Reason) (steering.Rule, string) {
	var first *steering.Reason
	for i, r := range why {
		if r.Service != service {
			continue
		}
		if first == nil {
			first = &why[i]
		}
		switch r.Rule {
		case steering.RuleFirst, steering.RuleDepart, steering.RuleReturn, steering.RuleEndpoint,
			steering.RuleAllDown, steering.RuleForce, steering.RuleDrain, steering.RuleCapacity:
			return r.Rule, r.Text
		}
	}
	if first == nil {
		return "", ""
	}
	return first.Rule, first.Text
}

// sameData reports whether two answers hold the same data, whatever the TTL.
func sameData(a, b []providers.RRSet) bool {
	return slices.EqualFunc(a, b, func(x, y providers.RRSet) bool {
		x.TTL, y.TTL = 0, 0
		return x.Equal(y)
	})
}
