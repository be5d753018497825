package prober

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/veerdns/veer/regions"
)

// errStandingBy means that another process votes for the vantage.
var errStandingBy = errors.New("another process votes for this vantage")

// ask is a wish for fresh results of everything.
type ask struct {
	at   time.Duration
	left map[*job]int // how many more results each may take
	done chan struct{}
}

// Now probes everything beside the schedule, at once as far as there is room,
// and returns the ballot when it is cast: each endpoint and reference has a
// result of a probe that began after the call and, while failures are being
// counted, up to Fall more. It is an error when ctx ends before, or when
// another process votes for the vantage. It works while Run does.
func (p *Prober) Now(ctx context.Context) (regions.Ballot, error) {
	a := &ask{left: map[*job]int{}, done: make(chan struct{})}
	select {
	case p.asks <- a:
	case <-ctx.Done():
		return regions.Ballot{}, fmt.Errorf("probing everything now: %w", ctx.Err())
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return regions.Ballot{}, fmt.Errorf("probing everything now: %w", ctx.Err())
	}
	if err := p.desk.awaitCast(ctx); err != nil {
		return regions.Ballot{}, fmt.Errorf("casting the votes of %s: %w", p.vantage, err)
	}
	ballot, _ := p.desk.newest()
	return ballot, nil
}

// ask makes everything due. What flies already is probed again when it lands.
func (l *loop) ask(now time.Duration, a *ask) {
	a.at = now
	l.asks = append(l.asks, a)
	for _, j := range l.p.all() {
		a.left[j] = j.thresholds.Fall
	}
	for j := range a.left {
		if j.stuck > 0 {
			delete(a.left, j) // its votes are unknown already
		} else if j.air[scheduled] == nil {
			l.schedule(j, now)
		}
	}
	l.answered()
}

// answer takes down that j has a result of a probe that began at a time, or
// that none can be had.
func (l *loop) answer(now time.Duration, j *job, began time.Duration) {
	for _, a := range l.asks {
		left, waits := a.left[j]
		switch {
		case !waits:
		case began < a.at:
			l.schedule(j, now)
		case left > 0 && j.track.Suspicious() && j.stuck == 0:
			a.left[j] = left - 1
		default:
			delete(a.left, j)
		}
	}
	l.answered()
}

// answered ends the asks with nothing left.
func (l *loop) answered() {
	open := l.asks[:0]
	for _, a := range l.asks {
		if len(a.left) == 0 {
			close(a.done)
		} else {
			open = append(open, a)
		}
	}
	l.asks = open
}
