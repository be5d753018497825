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
	// Recovery is the time from the failure until no cached answer leads to
	// it any more, for a move that votes made: the longest that the first
	// sign can have taken, Seen, Committed and the TTL outstanding. Limit is
	// the service's rto; 0: none.
	Recovery time.Duration `json:"recovery,omitempty"`
	Limit    time.Duration `json:"limit,omitempty"`
}

// Recovery is what an event is measured against.
type Recovery struct {
	// Limit is the service's rto; 0: none.
	Limit time.Duration
	// FirstSign is the longest time from a failure to the first failing
	// result: the interval with its jitter, and the time-out.
	FirstSign time.Duration
}

// measure sets Recovery and Limit of a move that votes made.
func (e *Event) measure(r Recovery) {
	if e.Seen == 0 || len(e.From) == 0 {
		return
	}
	var ttl uint32
	for _, set := range e.From {
		ttl = max(ttl, set.TTL)
	}
	e.Recovery = r.FirstSign + e.Seen + e.Committed + time.Duration(ttl)*time.Second
	e.Limit = r.Limit
}

// late reports whether the move took longer than the service allows.
func (e Event) late() bool { return e.Limit > 0 && e.Recovery > e.Limit }

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
	line, text := log.Info(), "answer moved"
	if e.late() {
		line, text = log.Warn(), "answer moved, later than the service's rto allows"
	}
	if e.Recovery > 0 {
		line = line.Dur("recovery_ms", e.Recovery).Dur("rto_ms", e.Limit)
	}
	line.Str("service", e.Service).Str("from", data(e.From)).Str("to", data(e.To)).
		Str("rule", string(e.Rule)).Str("why", e.Text).Str("cause", e.Cause).
		Dur("seen_ms", e.Seen).Dur("committed_ms", e.Committed).
		Uint64("term", uint64(e.Term)).Uint64("seq", e.Seq).Msg(text)
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
