package controller

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// floor holds the votes of the last view by endpoint, and the verdicts that
// they make. Only endpoints that a service has are kept, and only those whose
// votes changed are tallied again.
type floor struct {
	o       *Options
	shards  []*shard
	index   map[regions.EndpointID]int
	seats   []seat
	byShard [steering.Shards][]int // sorted by endpoint
	doubts  map[regions.Name]bool  // vantages that doubt themselves
	// stirred lists the seats with a stir, so that calm need not look at all.
	stirred map[int]bool
	alarm
}

// seat is one endpoint.
type seat struct {
	id      regions.EndpointID
	quorum  regions.Quorum
	shards  []int
	votes   []regions.Vote // sorted by vantage
	next    []regions.Vote // scratch of observe
	verdict regions.Verdict
	suspect bool
	voted   bool // in the view that is being observed
	// known is the last verdict that was not unknown, by this leader or, when
	// it began, by the ledger; regions are where the policy has it.
	known   checks.Health
	regions []regions.Name
	// stir is the Now at which the first suspicion or vote came that has not
	// led to a unanimous verdict yet; 0 is none.
	stir time.Duration
}

// newFloor makes the index from the policy and from what the ledger knows.
func newFloor(o *Options, shards []*shard) *floor {
	f := &floor{o: o, shards: shards, index: map[regions.EndpointID]int{}, doubts: map[regions.Name]bool{}, stirred: map[int]bool{}, alarm: newAlarm()}
	for _, sh := range shards {
		f.cover(sh)
	}
	f.place()
	return f
}

// cover adds the endpoints of a shard that are not there yet.
func (f *floor) cover(sh *shard) {
	for _, s := range sh.services {
		for _, p := range s.Pools {
			for _, e := range p.Endpoints {
				f.add(e.ID, sh.id)
			}
		}
	}
	for _, s := range sh.kept.State.Services {
		for _, p := range s.Pools {
			for _, e := range p.Endpoints {
				f.add(e.ID, sh.id)
				f.remember(e.ID, e.Known)
			}
		}
		for _, e := range s.Pending.Answered {
			f.add(e.ID, sh.id)
		}
	}
	slices.SortFunc(f.byShard[sh.id], func(a, b int) int {
		return strings.Compare(string(f.seats[a].id), string(f.seats[b].id))
	})
}

func (f *floor) add(id regions.EndpointID, shard int) {
	at, ok := f.index[id]
	if !ok {
		q, listed := f.o.Quorums[id]
		if !listed {
			n := len(f.o.Vantages)
			q = regions.Quorum{Vantages: f.o.Vantages, Need: n/2 + 1, MinVoters: regions.DefaultMinVoters(n)}
		}
		at = len(f.seats)
		f.index[id] = at
		f.seats = append(f.seats, seat{id: id, quorum: q, verdict: f.o.Tally(q, id, nil)})
	}
	if !slices.Contains(f.seats[at].shards, shard) {
		f.seats[at].shards = append(f.seats[at].shards, shard)
		f.byShard[shard] = append(f.byShard[shard], at)
	}
}

// observe takes a view in, and marks the shards whose verdicts or suspects
// are not as before.
func (f *floor) observe(view View, now time.Duration) {
	ballots := regions.SelfSuspect(view.Ballots, f.o.Vantages)
	slices.SortStableFunc(ballots, func(a, b regions.Ballot) int { return cmp.Compare(a.Vantage, b.Vantage) })
	f.observeDoubts(ballots)
	for i := range f.seats {
		f.seats[i].next = f.seats[i].next[:0]
	}
	for _, b := range ballots {
		if b.Suspect {
			continue
		}
		for _, v := range b.Votes {
			at, ok := f.index[v.Endpoint]
			if !ok || v.Vantage != b.Vantage {
				continue
			}
			f.seats[at].next = append(f.seats[at].next, v)
		}
	}
	for i := range f.seats {
		f.observeVotes(i, now)
	}
	f.observeSuspects(view.Suspects, now)
	f.observePanic(now)
}

// observeDoubts notes which vantages began or ceased to doubt themselves; the
// shards are marked by the votes that this takes away or brings back.
func (f *floor) observeDoubts(ballots []regions.Ballot) {
	clear(f.doubts)
	for _, b := range ballots {
		if b.Suspect {
			f.doubts[b.Vantage] = true
		}
	}
}

func (f *floor) observeVotes(at int, now time.Duration) {
	s := &f.seats[at]
	if slices.EqualFunc(s.votes, s.next, func(a, b regions.Vote) bool {
		return a.Vantage == b.Vantage && a.Health == b.Health
	}) {
		f.observeDistances(s)
		s.voted = false
		return
	}
	s.voted = true
	said := f.said(s)
	s.votes, s.next = s.next, s.votes
	s.verdict = f.o.Tally(s.quorum, s.id, s.votes)
	f.note(at, now)
	if s.stir == 0 {
		s.stir = now
		f.stirred[at] = true
	}
	for _, id := range s.shards {
		sh := f.shards[id]
		sh.dirty = true
		for _, text := range said {
			sh.causes.add(text)
		}
	}
}

// said tells the difference between a seat's votes before and now in words.
func (f *floor) said(s *seat) []string {
	health := func(votes []regions.Vote, name regions.Name) (checks.Health, bool) {
		for _, v := range votes {
			if v.Vantage == name {
				return v.Health, true
			}
		}
		return checks.Unknown, false
	}
	var out []string
	for _, v := range s.next {
		if was, ok := health(s.votes, v.Vantage); !ok && v.Health != checks.Unknown || ok && was != v.Health {
			out = append(out, fmt.Sprintf("%s voted %s %s", v.Vantage, s.id, v.Health))
		}
	}
	for _, v := range s.votes {
		if _, ok := health(s.next, v.Vantage); ok || v.Health == checks.Unknown {
			continue
		}
		if f.doubts[v.Vantage] {
			out = append(out, fmt.Sprintf("%s doubts itself", v.Vantage))
			continue
		}
		out = append(out, fmt.Sprintf("%s votes on %s no more", v.Vantage, s.id))
	}
	return out
}

func (f *floor) observeSuspects(suspects []regions.EndpointID, now time.Duration) {
	is := make(map[int]bool, len(suspects))
	for _, id := range suspects {
		if at, ok := f.index[id]; ok {
			is[at] = true
		}
	}
	for at := range f.seats {
		s := &f.seats[at]
		if s.suspect == is[at] {
			continue
		}
		s.suspect = is[at]
		text := fmt.Sprintf("%s is suspected no more", s.id)
		if s.suspect {
			text = fmt.Sprintf("%s is suspected", s.id)
			if s.stir == 0 {
				s.stir = now
				f.stirred[at] = true
			}
		}
		for _, id := range s.shards {
			f.shards[id].dirty = true
			if !s.voted { // else the vote says more
				f.shards[id].causes.add(text)
			}
		}
	}
}

// of returns the verdicts and suspects of a shard, sorted by endpoint.
func (f *floor) of(shard int) ([]regions.Verdict, []regions.EndpointID) {
	verdicts := make([]regions.Verdict, 0, len(f.byShard[shard]))
	var suspects []regions.EndpointID
	for _, at := range f.byShard[shard] {
		verdicts = append(verdicts, f.seats[at].verdict)
		if f.seats[at].suspect {
			suspects = append(suspects, f.seats[at].id)
		}
	}
	return verdicts, suspects
}

// calm forgets when endpoints stirred on which all voters agree again.
func (f *floor) calm() {
	for at := range f.stirred {
		s := &f.seats[at]
		if !s.suspect && !f.held[at] && !s.verdict.Split() && s.verdict.Health != checks.Unknown {
			s.stir = 0
			delete(f.stirred, at)
		}
	}
}

// since returns the first stir among a service's endpoints; 0 is none.
func (f *floor) since(s steering.ServiceState) time.Duration {
	var first time.Duration
	for _, p := range s.Pools {
		for _, e := range p.Endpoints {
			at, ok := f.index[e.ID]
			if !ok {
				continue
			}
			if stir := f.seats[at].stir; stir != 0 && (first == 0 || stir < first) {
				first = stir
			}
		}
	}
	return first
}
