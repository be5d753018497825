package controller

import (
	"fmt"
	"slices"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// observeDistances takes over what the votes of the view say of round trips,
// where they say nothing else that is new, and marks the shards where that is
// another than before.
func (f *floor) observeDistances(s *seat) {
	changed := false
	for i, v := range s.next {
		if was, is := s.votes[i].Distance(), v.Distance(); was != is {
			changed = true
			f.touch(s, measures(s.id, v))
		}
	}
	if changed {
		s.votes, s.next = s.next, s.votes
	}
}

// touch makes the shards of an endpoint due.
func (f *floor) touch(s *seat, why string) {
	for _, id := range s.shards {
		f.shards[id].dirty = true
		f.shards[id].causes.add(why)
	}
}

// measures says in words what a vantage measures now.
func measures(id regions.EndpointID, v regions.Vote) string {
	if v.Distance() == 0 {
		return fmt.Sprintf("%s measures %s no more", v.Vantage, id)
	}
	return fmt.Sprintf("%s measures %s to %s", v.Vantage, v.Distance(), id)
}

// distances returns what is known of the round trips to a shard's endpoints,
// sorted by endpoint and vantage.
func (f *floor) distances(shard int) []steering.Distance {
	var out []steering.Distance
	for _, at := range f.byShard[shard] {
		for _, v := range f.seats[at].votes {
			if d := v.Distance(); d > 0 {
				out = append(out, steering.Distance{Vantage: v.Vantage, Endpoint: v.Endpoint, RoundTrip: d})
			}
		}
	}
	return out
}

// nearer says in words which pools have been nearer than others for their time.
func nearer(was, is steering.ServiceState) []string {
	var out []string
	for _, l := range was.Locations {
		i := slices.IndexFunc(is.Locations, func(o steering.LocationState) bool { return o.Name == l.Name })
		if i < 0 {
			continue
		}
		order := is.Locations[i].Order
		for _, g := range l.Gains {
			to, over := slices.Index(order, g.Region), slices.Index(order, g.Over)
			still := slices.ContainsFunc(is.Locations[i].Gains, func(o steering.Gain) bool { return o.Region == g.Region && o.Over == g.Over })
			if !still && to < over {
				out = append(out, fmt.Sprintf("%s is nearer than %s for %s", g.Region, g.Over, l.Name))
			}
		}
	}
	return out
}
