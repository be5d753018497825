package steering

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/regions"
)

// Decide makes the decision for all services of the policy and, held as they
// are, those that only the state knows (DESIGN section 6, "Ownership").
//
// It never fails: an input that config validation would refuse still gets a
// non-empty answer for every service that has an endpoint.
func Decide(in Input) Decision {
	facts := newFacts(in)
	d := Decision{Next: State{Clock: in.Now, Panic: in.Panic.sorted()}}
	var wake time.Duration
	listed := make(map[string]bool, len(in.Policy.Services))
	for _, svc := range in.byName() {
		listed[svc.Name] = true
		s := facts.decide(svc)
		if s.returned {
			d.Returned++
		}
		d.Next.Services = append(d.Next.Services, s.next)
		d.Answers = append(d.Answers, s.answers...)
		d.Why = append(d.Why, s.why...)
		wake = sooner(wake, s.wake)
	}
	for _, held := range in.Prev.Services {
		if listed[held.Name] {
			continue
		}
		d.Next.Services = append(d.Next.Services, held)
		d.Answers = append(d.Answers, answersOf(held, 0)...)
		d.Why = append(d.Why, Reason{Service: held.Name, Rule: RuleUnlisted,
			Text: "the config does not list this service: its answer is held as it is; veer apply --prune would delete it"})
	}
	d.order()
	if wake > 0 {
		d.WakeAt = in.Now + wake
	}
	return d
}

// order sorts everything by service, keeping each service's own order.
func (d *Decision) order() {
	slices.SortFunc(d.Next.Services, func(a, b ServiceState) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(d.Answers, func(a, b Answer) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(d.Why, func(a, b Reason) int { return strings.Compare(a.Service, b.Service) })
}

// facts are the input, indexed.
type facts struct {
	verdicts map[regions.EndpointID]regions.Verdict
	suspects map[regions.EndpointID]bool
	closed   map[string]bool
	change   time.Duration
	acts     []Override
	prev     map[string]ServiceState
	elapsed  time.Duration
	far      far
	limits
}

func newFacts(in Input) facts {
	f := facts{
		verdicts: make(map[regions.EndpointID]regions.Verdict, len(in.Verdicts)),
		suspects: make(map[regions.EndpointID]bool, len(in.Suspects)),
		closed:   make(map[string]bool, len(in.Calendar.Closed)),
		change:   max(in.Calendar.Change, 0),
		acts:     slices.Clone(in.Overrides),
		prev:     make(map[string]ServiceState, len(in.Prev.Services)),
		elapsed:  max(in.Now-in.Prev.Clock, 0),
		far:      newFar(in.Distances),
		limits:   newLimits(in),
	}
	for _, v := range in.Verdicts {
		// Of two verdicts on one endpoint the worse known one holds, so that
		// their order does not matter.
		if had, ok := f.verdicts[v.Endpoint]; !ok || v.Health < had.Health || v.Health == had.Health && v.Doubted > had.Doubted {
			f.verdicts[v.Endpoint] = v
		}
	}
	f.doubt(f.verdicts)
	for _, id := range in.Suspects {
		f.suspects[id] = true
	}
	for _, name := range in.Calendar.Closed {
		f.closed[name] = true
	}
	slices.SortFunc(f.acts, func(a, b Override) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(string(a.Act), string(b.Act)))
	})
	for _, s := range in.Prev.Services {
		f.prev[s.Name] = s
	}
	return f
}

// sooner returns the smaller of two times, where 0 and below mean never.
func sooner(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return max(b, 0)
	}
	return a
}
