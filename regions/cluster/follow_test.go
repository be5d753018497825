package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// scripted runs a follower's watch on hand-made events and samples, one step
// at a time, in a bubble of its own clock.
type scripted struct {
	follower *follower
	events   chan clientv3.WatchResponse
	samples  chan sample
	proofs   []time.Time
	result   error
}

func newScripted(ctx context.Context) *scripted {
	s := &scripted{events: make(chan clientv3.WatchResponse), samples: make(chan sample)}
	s.follower = &follower{
		prefix: "p/", patience: 5 * time.Second, known: map[string]int64{"p/a": 10},
		events: func([]*clientv3.Event) {},
		proven: func(at time.Time) { s.proofs = append(s.proofs, at) },
	}
	go func() {
		s.result = s.follower.watch(ctx, s.events, s.samples, sample{at: time.Now(), rev: 10})
	}()
	synctest.Wait()
	return s
}

func (s *scripted) put(key string, rev int64) { s.event(clientv3.EventTypePut, key, rev) }

func (s *scripted) event(kind mvccpb.Event_EventType, key string, rev int64) {
	ev := &clientv3.Event{Type: kind, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: rev}}
	s.events <- clientv3.WatchResponse{Events: []*clientv3.Event{ev}}
	synctest.Wait()
}

func (s *scripted) sample(rev, count, newest int64) {
	s.samples <- sample{at: time.Now(), rev: rev, count: count, newest: newest}
	synctest.Wait()
}

func TestWatchIsProven(t *testing.T) {
	for _, c := range []struct {
		name   string
		steps  func(s *scripted)
		proofs int
		err    error
	}{
		{"nothing changed", func(s *scripted) { s.sample(20, 1, 10) }, 1, nil},
		{"event, then sample", func(s *scripted) { s.put("p/b", 11); s.sample(11, 2, 11) }, 1, nil},
		{"sample, then event", func(s *scripted) { s.sample(11, 2, 11); s.put("p/b", 11) }, 1, nil},
		{"sample before what it could not see", func(s *scripted) { s.sample(15, 1, 10); s.put("p/b", 16) }, 1, nil},
		{"sample too late to compare", func(s *scripted) { s.put("p/b", 16); s.sample(15, 1, 10) }, 0, nil},
		{"deletion", func(s *scripted) { s.event(clientv3.EventTypeDelete, "p/a", 12); s.sample(12, 0, 0) }, 1, nil},
		{"put left out", func(s *scripted) { s.sample(12, 2, 12); s.put("p/c", 13) }, 0, errGap},
		{"deletion left out", func(s *scripted) { s.sample(12, 0, 0); s.put("p/c", 13) }, 0, errGap},
		{"silence", func(s *scripted) { s.sample(12, 2, 12); time.Sleep(6 * time.Second); synctest.Wait() }, 0, errors.New("any")},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				s := newScripted(ctx)
				c.steps(s)
				if len(s.proofs) != c.proofs {
					t.Errorf("%d proofs, want %d", len(s.proofs), c.proofs)
				}
				switch {
				case (s.result == nil) != (c.err == nil), c.err == errGap && !errors.Is(s.result, errGap):
					t.Errorf("the watch ended with %v, want %v", s.result, c.err)
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}
