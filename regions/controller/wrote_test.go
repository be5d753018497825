package controller_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// moody fails some of its writes.
type moody struct {
	zone
	moods []error // of the writes to come; none left: it writes
}

func (m *moody) Apply(ctx context.Context, from providers.Snapshot, next providers.Fence, changes []providers.Change) (providers.Receipt, error) {
	m.mu.Lock()
	var mood error
	if len(m.moods) > 0 {
		mood, m.moods = m.moods[0], m.moods[1:]
	}
	m.mu.Unlock()
	if mood != nil {
		return providers.Receipt{}, fmt.Errorf("moody: %w", mood)
	}
	return m.zone.Apply(ctx, from, next, changes)
}

// TestEachWriteIsTold: what became of each write is told, once.
func TestEachWriteIsTold(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		broken := errors.New("503")
		z := &moody{moods: []error{broken, providers.ErrConflict, broken}}
		r.o.Providers = []controller.Written{{Name: "z", Zone: "example.test.", Provider: z}}
		var mu sync.Mutex
		told := map[error]int{}
		r.o.Wrote = func(w controller.Written, err error) {
			mu.Lock()
			defer mu.Unlock()
			if w.Name != "z" {
				t.Errorf("told of %q", w.Name)
			}
			for _, kind := range []error{broken, providers.ErrConflict, nil} {
				if errors.Is(err, kind) {
					told[kind]++
				}
			}
		}
		r.voteAll(checks.Up, one, two)
		r.start()
		pass(5 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if told[broken] != 2 || told[providers.ErrConflict] != 1 || told[nil] != z.applies || z.applies == 0 {
			t.Errorf("told of %v, and %d were done", told, z.applies)
		}
	})
}
