//go:build linux && (amd64 || arm64)

package authority

import "time"

// pace decides whether a loop lets queries gather. To be woken costs more than
// to answer; where queries come faster than gatherFrom, a loop that goes on to
// sleep for gatherFor after it has answered is woken once for many of them. That
// is what network cards do with interrupts. Slower ones are taken at once.
type pace struct {
	began time.Time // of the span that is counted
	taken int       // in it
	fast  bool      // as the span before it says
}

const (
	// gatherFrom is in queries a second, of one loop: below, a CPU has time to be
	// woken for each. There, gatherFor is the time between three of them. The system
	// may take twice as long.
	gatherFrom = 60_000
	gatherFor  = 50 * time.Microsecond
	// paceSpan is how long queries are counted before that says something.
	paceSpan = 2 * time.Millisecond
)

// after takes note of a batch that was taken at a time, and reports whether to
// let queries gather now. A batch that is half full or more leaves a backlog.
func (p *pace) after(at time.Time, taken int) bool {
	p.taken += taken
	if span := at.Sub(p.began); span >= paceSpan {
		p.fast = float64(p.taken) >= gatherFrom*span.Seconds()
		p.began, p.taken = at, 0
	}
	return p.fast && taken < batchSize/2
}
