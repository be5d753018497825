//go:build netns && linux && amd64

package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/cmd/internal/lab/skew"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// The environment of a process in the laboratory (cmd/veer/clusterlab).
const (
	// envSkew names the file that says how wrong its wall clock is.
	envSkew = "VEER_LAB_SKEW"
	// envFault names the fault that is planted in it.
	envFault = "VEER_LAB_FAULT"
)

// heldFor is how long a departure is held by the fault that does so.
const heldFor = time.Minute

// hooks are what the environment says.
func hooks(env func(string) (string, bool)) (daemon.Hooks, error) {
	if path, set := env(envSkew); set {
		if err := skew.Follow(path); err != nil {
			return daemon.Hooks{}, err
		}
	}
	all := map[string]daemon.Hooks{
		"lease overrun":     {LeaseOverrun: true},
		"ledger guard off":  {Unguarded: true},
		"unknown as down":   {Tally: unknownAsDown},
		"live denominator":  {Tally: liveDenominator},
		"hold on departure": {Decide: new(departures).decide},
	}
	name, set := env(envFault)
	h, known := all[name]
	if set && !known {
		return h, fmt.Errorf("%s: %w", envFault, unknown("fault", name, slices.Sorted(maps.Keys(all))))
	}
	return h, nil
}

// unknownAsDown takes a vantage that says nothing for one that says down.
func unknownAsDown(q regions.Quorum, id regions.EndpointID, votes []regions.Vote) regions.Verdict {
	v := q.Tally(id, votes)
	for _, name := range v.Missing {
		votes = append(slices.Clone(votes), regions.Vote{Vantage: name, Endpoint: id, Health: checks.Down, Round: 1<<64 - 1})
	}
	return q.Tally(id, votes)
}

// liveDenominator counts only the vantages that say anything.
func liveDenominator(q regions.Quorum, id regions.EndpointID, votes []regions.Vote) regions.Verdict {
	missing := q.Tally(id, votes).Missing
	q.Vantages = slices.DeleteFunc(slices.Clone(q.Vantages), func(n regions.Name) bool { return slices.Contains(missing, n) })
	q.Need, q.MinVoters = len(q.Vantages)/2+1, 1
	return q.Tally(id, votes)
}

// departures holds the departure from what is down, as a return is held.
type departures struct {
	mu    sync.Mutex
	since map[regions.EndpointID]time.Duration // when it went down
}

func (d *departures) decide(in steering.Input) steering.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since == nil {
		d.since = map[regions.EndpointID]time.Duration{}
	}
	var wake time.Duration
	in.Verdicts = slices.Clone(in.Verdicts)
	for i, v := range in.Verdicts {
		since, fell := d.since[v.Endpoint]
		switch {
		case v.Health != checks.Down:
			delete(d.since, v.Endpoint)
			continue
		case !fell || in.Now < since: // another term counts anew
			since = in.Now
			d.since[v.Endpoint] = since
		}
		if end := since + heldFor; in.Now < end {
			in.Verdicts[i].Health = checks.Up
			if wake == 0 || end < wake {
				wake = end
			}
		}
	}
	out := steering.Decide(in)
	if wake != 0 && (out.WakeAt == 0 || wake < out.WakeAt) {
		out.WakeAt = wake
	}
	return out
}
