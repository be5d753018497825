package cluster

import (
	"context"
	"slices"
	"sync"

	"github.com/veerdns/veer/regions"
)

// subscriber waits for suspicions of other vantages. What it has not taken yet
// is kept as a set, so that a slow one costs nothing but its own time.
type subscriber struct {
	vantage regions.Name
	mu      sync.Mutex
	pending []regions.EndpointID
	signal  chan struct{} // holds one
}

// tell hands suspicions to every subscriber; called with mu held.
func (w *world) tell(fresh []suspectID) {
	if len(fresh) == 0 {
		return
	}
	for s := range w.subs {
		s.add(fresh)
	}
}

func (s *subscriber) add(fresh []suspectID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range fresh {
		if id.vantage != s.vantage && !slices.Contains(s.pending, id.endpoint) {
			s.pending = append(s.pending, id.endpoint)
		}
	}
	if len(s.pending) > 0 {
		select {
		case s.signal <- struct{}{}:
		default:
		}
	}
}

func (s *subscriber) take() []regions.EndpointID {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.pending
	s.pending = nil
	return out
}

func (w *world) subscribe(vantage regions.Name) *subscriber {
	s := &subscriber{vantage: vantage, signal: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subs[s] = struct{}{}
	return s
}

func (w *world) unsubscribe(s *subscriber) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.subs, s)
}

// forward sends what s gets until ctx or stop ends.
func (w *world) forward(ctx context.Context, stop <-chan struct{}, s *subscriber, out chan<- []regions.EndpointID) {
	defer close(out)
	defer w.unsubscribe(s)
	for {
		select {
		case <-s.signal:
		case <-ctx.Done():
			return
		case <-stop:
			return
		}
		taken := s.take()
		if len(taken) == 0 {
			continue
		}
		select {
		case out <- taken:
		case <-ctx.Done():
			return
		case <-stop:
			return
		}
	}
}
