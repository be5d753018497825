package controller

import (
	"slices"
	"sync"
	"time"

	"github.com/veerdns/veer/regions/steering"
)

const (
	// paceWithin is the time over which returns are counted.
	paceWithin = time.Minute
	// paceLeast is how many services may return within it in any case.
	paceLeast = 10
)

// pace is how many services' traffic may return within a minute. Shards are
// decided in parallel: it is safe for concurrent use.
type pace struct {
	most int // 0: there is no bound

	mu    sync.Mutex
	taken []time.Duration // Now of each return, oldest first
}

// newPace counts what the ledger's services did lately, as it remembers it: as
// many may return after a change of leader as before, or fewer. Credit is the
// time that went by since the ledger was written.
func newPace(o *Options, shards []*shard, now, credit time.Duration) *pace {
	p := &pace{most: paceMost(o)}
	for _, sh := range shards {
		for _, s := range sh.kept.State.Services {
			if len(s.Shifts) > 0 && s.Shifts[0]+credit < paceWithin {
				p.taken = append(p.taken, now-s.Shifts[0]-credit)
			}
		}
	}
	slices.Sort(p.taken)
	return p
}

// paceMost is how many services the config lets return within paceWithin.
func paceMost(o *Options) int {
	if o.Percent <= 0 || o.Percent >= 100 {
		return 0
	}
	return max(paceLeast, (len(o.Policy.Services)*o.Percent+99)/100)
}

// take takes up to n returns, and says how many those are where they are fewer.
func (p *pace) take(now time.Duration, n int) steering.Velocity {
	if p.most == 0 {
		return steering.Velocity{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = slices.DeleteFunc(p.taken, func(at time.Duration) bool { return now-at >= paceWithin })
	got := min(n, max(p.most-len(p.taken), 0))
	for range got {
		p.taken = append(p.taken, now)
	}
	slices.Sort(p.taken)
	if got == n {
		return steering.Velocity{}
	}
	// Further ones are free when the oldest of the last so many is a minute old.
	oldest := p.taken[max(len(p.taken)-p.most, 0)]
	return steering.Velocity{Scarce: true, Returns: got, Retry: max(oldest+paceWithin-now, 1)}
}
