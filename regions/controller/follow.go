package controller

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/veerdns/veer/providers"
)

const (
	// followAtOnce is how many changes of one zone are followed at the same
	// time; further ones are not measured.
	followAtOnce = 4
	// followTimeout bounds it: a change that takes longer is said to.
	followTimeout = 15 * time.Minute
)

// errSlow ends the following of a change that takes longer.
var errSlow = errors.New("not on all name servers yet")

// measured keeps the longest propagation of each zone over all terms of this
// process.
type measured struct {
	mu      sync.Mutex
	longest map[ZoneID]time.Duration
}

func (m *measured) of(w Written) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.longest[ZoneIDOf(w)]
}

func (m *measured) add(w Written, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.longest == nil {
		m.longest = map[ZoneID]time.Duration{}
	}
	m.longest[ZoneIDOf(w)] = max(m.longest[ZoneIDOf(w)], d)
}

// follow measures in the background when a change is on all name servers. It
// never holds up the next write.
func (w *writer) follow(ctx context.Context, got providers.Receipt) {
	f, ok := w.now.Provider.(providers.Follower)
	if !ok || got.Change == "" {
		return
	}
	select {
	case w.followers <- struct{}{}:
	default:
		return
	}
	w.following.Go(func() {
		defer func() { <-w.followers }()
		ctx, cancel := context.WithTimeoutCause(ctx, followTimeout, errSlow)
		defer cancel()
		took, err := f.Follow(ctx, got)
		switch {
		case err == nil:
			w.measured.add(w.w, took)
			w.log.Info().Uint64("write", got.Fence.Write).Dur("took_ms", took).Msg("the change is on all name servers")
		case context.Cause(ctx) == errSlow:
			w.measured.add(w.w, followTimeout)
			w.log.Warn().Uint64("write", got.Fence.Write).Dur("waited_ms", followTimeout).Msg("the change is still not on all name servers")
		case ctx.Err() == nil:
			w.log.Warn().Err(err).Uint64("write", got.Fence.Write).Msg("cannot follow the change to the name servers")
		}
	})
}
