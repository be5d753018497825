package regionstest

import (
	"slices"
	"sync"
	"testing"
)

// leastShare is the share of runs, in percent, that each event must be seen in.
const leastShare = 5

// Coverage counts in how many runs of a property each event came about: a
// property that never meets its own difficulty proves nothing. It is safe for
// concurrent use.
type Coverage struct {
	t      testing.TB
	events []string
	mu     sync.Mutex
	runs   int
	seen   map[string]int
}

// NewCoverage counts the named events. When t ends it prints the percentages
// and fails t for every event seen in less than 5 % of the runs.
func NewCoverage(t testing.TB, events ...string) *Coverage {
	t.Helper()
	c := &Coverage{t: t, events: slices.Clone(events), seen: make(map[string]int, len(events))}
	t.Cleanup(c.report)
	return c
}

// Run counts one run and the events in it, each once however often it is
// named. An event that NewCoverage was not told of fails the test.
func (c *Coverage) Run(events ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	events = slices.Clone(events)
	slices.Sort(events)
	for _, e := range slices.Compact(events) {
		if !slices.Contains(c.events, e) {
			c.t.Errorf("coverage: event %q is not one of %q", e, c.events)
		}
		c.seen[e]++
	}
}

// Share returns in how many percent of the runs the event was seen.
func (c *Coverage) Share(event string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.share(event)
}

func (c *Coverage) share(event string) float64 {
	if c.runs == 0 {
		return 0
	}
	return 100 * float64(c.seen[event]) / float64(c.runs)
}

func (c *Coverage) report() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		share := c.share(e)
		c.t.Logf("coverage: %-20s %5.1f %% of %d runs", e, share, c.runs)
		if share < leastShare {
			c.t.Errorf("coverage: %s was seen in %.1f %% of %d runs, expected at least %d %%: draw more such cases", e, share, c.runs, leastShare)
		}
	}
}
