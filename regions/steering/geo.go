package steering

import (
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/providers"
)

// A Geo service is decided as one Failover service for each location. They
// share the pools' state, since what is known of a pool, its holds and its
// damping do not depend on who asks; each has its own order of preference, and
// with it its own serving pool, answer and count of shifts. So all that holds
// of a Failover service's answer holds of each location's.

// decided is what was decided on one service.
type decided struct {
	next     ServiceState
	answers  []Answer
	why      []Reason
	wake     time.Duration
	returned bool
}

func (f facts) decide(svc Service) decided {
	if svc.Kind.Located() {
		return f.decideLocations(svc)
	}
	s := newSteer(f, svc)
	s.run()
	return decided{s.next, s.answers(), s.why, s.wake, s.returned}
}

// decideLocations decides each location of a Geo or Latency service, and puts together
// what they have in common.
func (f facts) decideLocations(svc Service) decided {
	before := f.prev[svc.Name]
	out := decided{next: ServiceState{Name: svc.Name, MinTTL: svc.MinTTL, AllDown: true}}
	var each [][]Reason
	for _, l := range svc.locations() {
		var near *nearing
		if f.prev = map[string]ServiceState{svc.Name: before}; svc.Kind == Latency {
			near = f.nearest(svc, l)
			l.Order = near.order
		}
		f.prev = map[string]ServiceState{svc.Name: before.At(l.Name)}
		s := newSteer(f, svc.At(l))
		s.place, s.nearing = l.Name, near
		s.returned = out.returned // the service takes one share of what is scarce
		s.run()
		out.returned = s.returned
		out.wake = sooner(out.wake, s.wake)
		out.answers = append(out.answers, s.answers()...)
		out.next.join(l.Name, s.next)
		out.next.nears(near)
		for i := range s.why {
			s.why[i].Location = l.Name
		}
		each = append(each, s.why)
	}
	out.next.order()
	slices.SortStableFunc(out.answers, func(a, b Answer) int { return providers.Compare(a.RRSet, b.RRSet) })
	out.why = together(each)
	return out
}

// locations returns the service's locations by name, the default among them.
func (svc Service) locations() []Location {
	all := slices.Clone(svc.Locations)
	if !slices.ContainsFunc(all, func(l Location) bool { return l.Name == DefaultLocation }) {
		all = append(all, Location{Name: DefaultLocation})
	}
	slices.SortFunc(all, func(a, b Location) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(all, func(a, b Location) bool { return a.Name == b.Name })
}

// At returns a Geo service as the clients of a location have it: a Failover
// service with all of the pools, the location's first.
func (svc Service) At(l Location) Service {
	place := func(p Pool) int {
		if i := slices.Index(l.Order, p.Region); i >= 0 {
			return i
		}
		return len(l.Order)
	}
	svc.Kind, svc.Locations, svc.Pools = Failover, nil, slices.Clone(svc.Pools)
	slices.SortStableFunc(svc.Pools, func(a, b Pool) int { return place(a) - place(b) })
	return svc
}

// At returns the state as the clients of a location have it. Those of one that
// the state does not know had what the default's clients have, or all.
func (s ServiceState) At(location string) ServiceState {
	from, of := "", LocationState{Serving: s.Serving, AllDown: s.AllDown, Shifts: s.Shifts, Waits: s.Waits, Spent: s.Spent, Pending: s.Pending}
	for _, l := range s.Locations {
		if l.Name == location || l.Name == DefaultLocation && from == "" {
			from, of = l.Name, l
		}
	}
	s.Serving, s.AllDown, s.Shifts, s.Waits, s.Spent, s.Pending = of.Serving, of.AllDown, of.Shifts, of.Waits, of.Spent, of.Pending
	s.Locations = nil
	s.Answer, s.LastGood = relabel(s.Answer, from, location), relabel(s.LastGood, from, location)
	return s
}

// everywhere returns the state as one that has no locations: where it has, as
// the default's clients have it.
func (s ServiceState) everywhere() ServiceState {
	if len(s.Locations) == 0 {
		return s
	}
	s = s.At(DefaultLocation)
	s.Answer, s.LastGood = relabel(s.Answer, DefaultLocation, ""), relabel(s.LastGood, DefaultLocation, "")
	return s
}

// relabel returns the sets of one location as another one's.
func relabel(sets []providers.RRSet, from, to string) []providers.RRSet {
	var out []providers.RRSet
	for _, set := range sets {
		if set.Location == from {
			set.Location = to
			out = append(out, set)
		}
	}
	return out
}

// join adds what was decided for a location.
func (s *ServiceState) join(location string, of ServiceState) {
	s.Locations = append(s.Locations, LocationState{
		Name: location, Serving: of.Serving, AllDown: of.AllDown, Shifts: of.Shifts, Waits: of.Waits, Spent: of.Spent, Pending: of.Pending,
	})
	s.Pools = of.Pools // every location's are the same
	s.Serving = append(s.Serving, of.Serving...)
	s.AllDown = s.AllDown && of.AllDown
	s.Answer, s.LastGood = append(s.Answer, of.Answer...), append(s.LastGood, of.LastGood...)
	s.Waits, s.Spent = s.Waits || of.Waits, s.Spent || of.Spent
	if len(of.Shifts) > 0 && (len(s.Shifts) == 0 || of.Shifts[0] < s.Shifts[0]) {
		s.Shifts = of.Shifts
	}
	if of.Pending.Config != "" {
		s.Pending.Config = of.Pending.Config
		s.Pending.Answered = append(s.Pending.Answered, of.Pending.Answered...)
	}
}

// order sorts what join has put together.
func (s *ServiceState) order() {
	slices.Sort(s.Serving)
	s.Serving = slices.Compact(s.Serving)
	slices.SortFunc(s.Answer, providers.Compare)
	slices.SortFunc(s.LastGood, providers.Compare)
	slices.SortFunc(s.Pending.Answered, func(a, b AnsweredState) int { return strings.Compare(string(a.ID), string(b.ID)) })
	s.Pending.Answered = slices.CompactFunc(s.Pending.Answered, func(a, b AnsweredState) bool { return a.ID == b.ID })
}

// together puts the reasons of all locations into one list, where what is said
// of every location is said once.
func together(each [][]Reason) []Reason {
	said := func(list []Reason, r Reason) bool {
		return slices.ContainsFunc(list, func(o Reason) bool { o.Location = r.Location; return o == r })
	}
	var out []Reason
	for i, list := range each {
		for _, r := range list {
			if slices.ContainsFunc(each, func(other []Reason) bool { return !said(other, r) }) {
				out = append(out, r)
			} else if r.Location = ""; i == 0 && !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// rebuildLocations makes the locations' states from the answers that are
// served, and says whether all are down. There are none where the answers have
// none. A location that answers with less of a pool than another one does has a
// last good answer: as long as a pool serves, all answer with the same of it.
func rebuildLocations(svc Service, answers []Answer) (states []LocationState, allDown bool) {
	of := make(map[string][]Answer)
	for _, a := range answers {
		if a.Location != "" {
			of[a.Location] = append(of[a.Location], a)
		}
	}
	served := answered(setsOf(answers))
	all := ServiceState{AllDown: true}
	for name, list := range of {
		s := rebuildService(svc.At(Location{}), list)
		s.AllDown = s.AllDown || svc.lacks(answered(s.Answer), served)
		all.join(name, s)
		if svc.Kind == Latency { // the pool that serves was the nearest, as far as is known
			all.nears(&nearing{order: s.Serving})
		}
	}
	slices.SortFunc(all.Locations, func(a, b LocationState) int { return strings.Compare(a.Name, b.Name) })
	if len(all.Locations) == 0 {
		return nil, rebuildService(svc.At(Location{}), answers).AllDown
	}
	return all.Locations, all.AllDown
}

// lacks reports whether is has a part of what served has of a pool, and no more.
func (svc Service) lacks(is, served map[string]bool) bool {
	return slices.ContainsFunc(svc.Pools, func(p Pool) bool {
		with, without := 0, 0
		for _, e := range p.Endpoints {
			switch address := canonicalAddress(e.Address); {
			case is[address]:
				with++
			case served[address]:
				without++
			}
		}
		return with > 0 && without > 0
	})
}
