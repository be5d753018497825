package cloudflare

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/veerdns/veer/providers"
)

// window is the time that the API's limit counts over
// (https://developers.cloudflare.com/fundamentals/api/reference/limits/).
const window = 5 * time.Minute

// limiter lets no more than limit requests go in any window, and none before
// the API wants to be asked again. All zones share it.
type limiter struct {
	limit int

	mu    sync.Mutex
	sent  []time.Time // of the last requests, a ring of limit
	next  int         // where the oldest stands once the ring is full
	until time.Time
}

func newLimiter(limit int) *limiter { return &limiter{limit: limit} }

// take waits until a request may go. When the context would end before, it
// returns at once a *providers.BusyError that says how long it would take.
func (l *limiter) take(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait := l.try(time.Now())
		if wait <= 0 {
			return nil
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
			return &providers.BusyError{After: wait, Err: fmt.Errorf("the API takes no request for another %s (limit %d in %s)", wait.Round(time.Second), l.limit, window)}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// try takes a place, or returns how long until there may be one.
func (l *limiter) try(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.until.Sub(now); wait > 0 {
		return wait
	}
	if len(l.sent) < l.limit {
		l.sent = append(l.sent, now)
		return 0
	}
	if wait := l.sent[l.next].Add(window).Sub(now); wait > 0 {
		return wait
	}
	l.sent[l.next] = now
	l.next = (l.next + 1) % l.limit
	return 0
}

// pause lets no request go for a time.
func (l *limiter) pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(d); until.After(l.until) {
		l.until = until
	}
}
