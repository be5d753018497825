package prober

import (
	"math/bits"
	"time"
)

// Punctuality tells how many probes came back, and how late they had begun: the
// time from when the schedule wanted a probe until then. Probes that others' suspicions
// or lost connections started have no such time, and are not among them.
type Punctuality struct {
	Probes uint64        `json:"probes"`
	P50    time.Duration `json:"late_p50"`
	P99    time.Duration `json:"late_p99"`
	Worst  time.Duration `json:"late_worst"`
}

// finest is the width of the first bucket of lateness; each other one is twice as
// wide as the one before.
const finest = 64 * time.Microsecond

// lateness counts probes by how late they began.
type lateness struct {
	buckets [24]uint64 // the last one has no end
	worst   time.Duration
}

func (l *lateness) count(late time.Duration) {
	i := bits.Len64(uint64(max(late, 0) / finest))
	l.buckets[min(i, len(l.buckets)-1)]++
	l.worst = max(l.worst, late)
}

// tell gives quantiles as the upper ends of their buckets.
func (l *lateness) tell() Punctuality {
	p := Punctuality{Worst: l.worst}
	for _, n := range l.buckets {
		p.Probes += n
	}
	p.P50, p.P99 = l.quantile(p.Probes, 50), l.quantile(p.Probes, 99)
	return p
}

func (l *lateness) quantile(of, percent uint64) time.Duration {
	if of == 0 {
		return 0
	}
	least, seen := (of*percent+99)/100, uint64(0)
	for i, n := range l.buckets {
		if seen += n; seen >= least {
			return min(finest<<i, l.worst)
		}
	}
	return l.worst
}

// Punctuality tells of all probes since Run began. It is safe for concurrent use.
func (p *Prober) Punctuality() Punctuality {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late.tell()
}

func (p *Prober) began(late time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late.count(late)
}
