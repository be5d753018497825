package scheduletest

import (
	"context"
	"errors"
	"sync"

	"github.com/veerdns/veer/providers"
)

// watched is a controller's provider that sees which fences it is given.
type watched struct {
	providers.Provider
	race *race
	who  string
	mu   sync.Mutex
	used uint64
}

// estimating is a watched provider that can tell what a write would cost.
type estimating struct {
	*watched
	providers.Estimator
}

func (r *race) watch(who string, p providers.Provider) providers.Provider {
	w := &watched{Provider: p, race: r, who: who}
	if e, ok := p.(providers.Estimator); ok {
		return estimating{w, e}
	}
	return w
}

// Apply implements providers.Provider.
func (w *watched) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	w.mu.Lock()
	if next.Write <= w.used {
		w.race.violate(ofClient, "%s gives the write number %d, and may have used up to %d before: a late write could be taken for this one", w.who, next.Write, w.used)
	}
	w.used = max(w.used, next.Write+providers.WritesOf(len(changes))-1)
	w.mu.Unlock()
	r, err := w.Provider.Apply(ctx, from, next, changes)
	w.race.note("%s: Apply of %d changes with write %d: %v", w.who, len(changes), next.Write, short(err))
	switch {
	case errors.Is(err, providers.ErrUnproven):
		w.race.violate(ofClient, "%s takes the zone for one that does not refuse a stale write: %v", w.who, err)
	case errors.Is(err, providers.ErrRejected):
		w.race.violate(ofClient, "%s: a write was rejected for good: %v", w.who, err)
	case errors.Is(err, providers.ErrFenced):
		w.race.meet("a controller that is fenced")
	case errors.Is(err, providers.ErrConflict):
		w.race.meet("a conflict")
	case err == nil && r.Calls > 1:
		w.race.meet("a lost reply that is settled")
	}
	if err == nil {
		w.mu.Lock()
		w.used = r.Fence.Write
		w.mu.Unlock()
	}
	return r, err
}

func short(err error) string {
	if err == nil {
		return "done"
	}
	text := err.Error()
	return text[:min(len(text), 160)]
}
