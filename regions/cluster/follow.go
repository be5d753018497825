package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// follower keeps a prefix in view: it lists it, watches it from there on, and
// starts over when the watch ends, is compacted away, or silently dies.
//
// That a watch lives and has left nothing out is proven, not assumed: every
// period a linearizable read says how many keys there are and which is the
// newest; when that is what the watch has told up to the read's revision, what
// the follower knows was true when the read was sent. On a difference, or
// without a proof for patience, it starts over. (etcd's own progress
// notifications do not serve: before 3.4.25 and 3.5.8 they can be ahead of
// the events, and the client then resumes behind events that it never got.)
type follower struct {
	etcd     *clientv3.Client
	prefix   string
	log      zerolog.Logger
	period   time.Duration
	patience time.Duration

	// list gets all keys at first and whenever the follower starts over.
	list func(kvs []*mvccpb.KeyValue)
	// events gets the changes of one revision or more, in order.
	events func(evs []*clientv3.Event)
	// known are the keys as told so far, with their revisions.
	known map[string]int64
	// proven, if set, is told a time at which what was delivered was current.
	proven func(at time.Time)
}

// sample is what a read, sent at a time, found at a revision.
type sample struct {
	at     time.Time
	rev    int64
	count  int64
	newest int64 // the highest revision of a key
}

// matches reports whether the keys as told so far are what the sample found.
// Revisions only grow: a change that was left out shows in one of the two.
func (f *follower) matches(s sample) bool {
	newest := int64(0)
	for _, rev := range f.known {
		newest = max(newest, rev)
	}
	return int64(len(f.known)) == s.count && newest == s.newest
}

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) error {
	wait := 50 * time.Millisecond
	for {
		began := time.Now()
		err := f.once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > 2*f.patience {
			wait = 50 * time.Millisecond
		}
		f.log.Debug().Err(err).Str("prefix", f.prefix).Msg("etcd: the watch ended; listing again")
		if !pause(ctx, wait/2+rand.N(wait)) {
			return ctx.Err()
		}
		wait = min(2*wait, time.Second)
	}
}

func (f *follower) once(ctx context.Context) error {
	// A member that lost its leader ends the watch instead of going silent.
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	sent := time.Now()
	rev, err := f.load(ctx)
	if err != nil {
		return err
	}
	f.prove(sent)
	watch := f.etcd.Watch(ctx, f.prefix, clientv3.WithPrefix(), clientv3.WithRev(rev+1))
	samples := make(chan sample)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.sample(ctx, samples)
	}()
	defer func() { cancel(); <-done }()
	return f.watch(ctx, watch, samples, sample{at: sent, rev: rev})
}

// load lists the prefix, linearizably, and returns the revision of the list.
func (f *follower) load(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, max(f.patience, 2*time.Second))
	defer cancel()
	resp, err := f.etcd.Get(ctx, f.prefix, clientv3.WithPrefix())
	if err != nil {
		return 0, fmt.Errorf("list %s: %w", f.prefix, err)
	}
	f.known = make(map[string]int64, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		f.known[string(kv.Key)] = kv.ModRevision
	}
	f.list(resp.Kvs)
	return resp.Header.Revision, nil
}

// errGap says that the watch left a change out.
var errGap = errors.New("the watch left a change out")

// watch delivers events until the watch fails or proofs stay away.
func (f *follower) watch(ctx context.Context, events clientv3.WatchChan, samples <-chan sample, from sample) error {
	delivered, last := from.rev, from.at
	var open []sample
	silent := time.NewTimer(f.patience)
	defer silent.Stop()
	for {
		var proof time.Time
		select {
		case <-ctx.Done():
			return ctx.Err()
		case resp, ok := <-events:
			if !ok {
				return errors.New("the watch was closed")
			}
			if err := resp.Err(); err != nil {
				return fmt.Errorf("watch %s: %w", f.prefix, err)
			}
			if len(resp.Events) == 0 {
				continue
			}
			for _, ev := range resp.Events {
				for len(open) > 0 && open[0].rev < ev.Kv.ModRevision {
					if !f.matches(open[0]) {
						return errGap
					}
					proof, open = open[0].at, open[1:]
				}
				f.track(ev)
			}
			delivered = resp.Events[len(resp.Events)-1].Kv.ModRevision
			f.events(resp.Events)
		case s := <-samples:
			if s.rev >= delivered { // else the moment to compare has passed
				open = append(open, s)
			}
		case <-silent.C:
			return fmt.Errorf("watch %s: no proof that it lives for %s", f.prefix, time.Since(last).Round(time.Millisecond))
		}
		for len(open) > 0 && f.matches(open[0]) {
			proof, open = open[0].at, open[1:]
		}
		if !proof.IsZero() {
			last = proof
			silent.Reset(time.Until(last.Add(f.patience)))
			f.prove(last)
		}
	}
}

func (f *follower) track(ev *clientv3.Event) {
	if ev.Type == clientv3.EventTypeDelete {
		delete(f.known, string(ev.Kv.Key))
	} else {
		f.known[string(ev.Kv.Key)] = ev.Kv.ModRevision
	}
}

func (f *follower) prove(at time.Time) {
	if f.proven != nil {
		f.proven(at)
	}
}

// sample reads the state of the prefix every period.
func (f *follower) sample(ctx context.Context, out chan<- sample) {
	for pause(ctx, f.period) {
		s := sample{at: time.Now()}
		read, cancel := context.WithTimeout(ctx, f.patience)
		resp, err := f.etcd.Get(read, f.prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(1),
			clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend))
		cancel()
		if err != nil {
			continue // patience runs out by itself
		}
		s.rev, s.count = resp.Header.Revision, resp.Count
		if len(resp.Kvs) > 0 {
			s.newest = resp.Kvs[0].ModRevision
		}
		select {
		case out <- s:
		case <-ctx.Done():
			return
		}
	}
}

// pause waits for d and reports whether ctx still runs.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
