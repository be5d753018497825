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
// That a watch lives is proven, not assumed: every period a linearizable read
// says which revision the cluster had reached after the read was sent; once
// the watch has told all up to that revision, what the follower knows was true
// at the time of sending. Without a proof for patience it starts over.
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
	// proven, if set, is told a time at which what was delivered was current.
	proven func(at time.Time)
}

// sample is a read sent at a time and the revision that it found.
type sample struct {
	at  time.Time
	rev int64
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
	f.list(resp.Kvs)
	return resp.Header.Revision, nil
}

// watch delivers events until the watch fails or proofs stay away. Its state
// is at: delivered is the revision up to which everything was delivered.
func (f *follower) watch(ctx context.Context, events clientv3.WatchChan, samples <-chan sample, at sample) error {
	delivered, last := at.rev, at.at
	var open []sample
	silent := time.NewTimer(f.patience)
	defer silent.Stop()
	for {
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
			if n := len(resp.Events); n > 0 {
				f.events(resp.Events)
				delivered = max(delivered, resp.Events[n-1].Kv.ModRevision)
			} else if resp.IsProgressNotify() {
				delivered = max(delivered, resp.Header.Revision)
			}
		case s := <-samples:
			open = append(open, s)
		case <-silent.C:
			return fmt.Errorf("watch %s: no proof that it lives for %s", f.prefix, time.Since(last).Round(time.Millisecond))
		}
		for len(open) > 0 && open[0].rev <= delivered {
			last = open[0].at
			open = open[1:]
			f.prove(last)
			silent.Reset(time.Until(last.Add(f.patience)))
		}
	}
}

func (f *follower) prove(at time.Time) {
	if f.proven != nil {
		f.proven(at)
	}
}

// sample reads the cluster's revision every period and asks the watch to tell
// how far it is.
func (f *follower) sample(ctx context.Context, out chan<- sample) {
	for pause(ctx, f.period) {
		s := sample{at: time.Now()}
		read, cancel := context.WithTimeout(ctx, f.patience)
		resp, err := f.etcd.Get(read, f.prefix, clientv3.WithCountOnly())
		cancel()
		if err != nil {
			continue // patience runs out by itself
		}
		s.rev = resp.Header.Revision
		select {
		case out <- s:
		case <-ctx.Done():
			return
		}
		if err := f.etcd.RequestProgress(ctx); err != nil {
			continue
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
