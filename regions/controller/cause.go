package controller

import (
	"fmt"
	"slices"
	"strings"

	"github.com/veerdns/veer/regions/steering"
)

// causesNamed is how many causes of one decision are named; the others are
// counted.
const causesNamed = 4

// cause collects in words what made the controller decide.
type cause struct {
	texts []string
	more  int
}

func (c *cause) add(text string) {
	switch {
	case slices.Contains(c.texts, text):
	case len(c.texts) < causesNamed:
		c.texts = append(c.texts, text)
	default:
		c.more++
	}
}

func (c *cause) String() string {
	text := strings.Join(c.texts, "; ")
	if c.more > 0 {
		text += fmt.Sprintf("; and %d more", c.more)
	}
	return text
}

// ended says in words which timers ran out between two states.
func ended(prev, next steering.State) []string {
	after := make(map[string]steering.ServiceState, len(next.Services))
	for _, s := range next.Services {
		after[s.Name] = s
	}
	var out []string
	for _, was := range prev.Services {
		out = append(out, endedIn(was, after[was.Name])...)
	}
	if len(out) == 0 {
		out = append(out, "a timer ended")
	}
	return out
}

func endedIn(was, is steering.ServiceState) []string {
	out := nearer(was, is)
	for _, p := range was.Pools {
		i := slices.IndexFunc(is.Pools, func(o steering.PoolState) bool { return o.Region == p.Region })
		if i < 0 {
			continue
		}
		now := is.Pools[i]
		if p.Hold > 0 && now.Hold == 0 {
			out = append(out, fmt.Sprintf("hold of %s in %s ended", was.Name, p.Region))
		}
		if p.Suppressed && !now.Suppressed {
			out = append(out, fmt.Sprintf("damping of %s in %s ended", was.Name, p.Region))
		}
		for _, e := range p.Endpoints {
			j := slices.IndexFunc(now.Endpoints, func(o steering.EndpointState) bool { return o.ID == e.ID })
			if j >= 0 && e.Hold > 0 && now.Endpoints[j].Hold == 0 {
				out = append(out, fmt.Sprintf("hold of %s ended", e.ID))
			}
		}
	}
	return out
}
