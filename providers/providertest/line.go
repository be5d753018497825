package providertest

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrLost is what a client sees of a request or reply that was lost.
var ErrLost = errors.New("the connection was lost")

// Carrier brings a client's requests to a provider's API. It is safe for
// concurrent use.
type Carrier interface {
	// Carry makes r arrive as often as it likes, and returns one of the
	// replies, or ErrLost, wrapped. A request may arrive after Carry returned.
	Carry(ctx context.Context, r Request) (any, error)
}

// Request is one request on its way.
type Request struct {
	// Write tells a request that writes from one that reads.
	Write bool
	// Send makes the request arrive once, and returns what is replied.
	Send func(context.Context) (any, error)
	// Done tells from a reply whether the API did what was asked: nil if so.
	// A nil Done takes every reply without an error for done.
	Done func(reply any) error
}

// Carry is a Carrier as a function, for packages that do not know this one.
func Carry(c Carrier) func(ctx context.Context, write bool, send func(context.Context) (any, error)) (any, error) {
	return func(ctx context.Context, write bool, send func(context.Context) (any, error)) (any, error) {
		return c.Carry(ctx, Request{Write: write, Send: send})
	}
}

// Line is a Carrier by which the next writes are lost, repeated or held up.
// Its methods that make faults do so for one write each, in the order in which
// they are called; what only reads passes. The zero Line has no fault.
type Line struct {
	mu     sync.Mutex
	faults []fault
	late   []func() error
	wait   int // requests until before is called
	before func()
}

// fault carries one write its own way.
type fault func(ctx context.Context, r Request) (any, error)

// Carry implements Carrier.
func (l *Line) Carry(ctx context.Context, r Request) (any, error) {
	l.mu.Lock()
	carry, before := fault(once), func() {}
	if r.Write && len(l.faults) > 0 {
		carry, l.faults = l.faults[0], l.faults[1:]
	}
	if l.before != nil {
		if l.wait--; l.wait == 0 {
			before, l.before = l.before, nil
		}
	}
	l.mu.Unlock()
	before()
	return carry(ctx, r)
}

// once lets the request arrive once, and its reply return.
func once(ctx context.Context, r Request) (any, error) { return r.Send(ctx) }

func (l *Line) inject(f fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, f)
}

// Pass makes the next write suffer nothing: the fault that is made next befalls
// the one after it.
func (l *Line) Pass() { l.inject(once) }

// LoseRequest makes the next write never arrive.
func (l *Line) LoseRequest() {
	l.inject(func(context.Context, Request) (any, error) { return nil, ErrLost })
}

// Fail makes the next write never arrive; the client sees err.
func (l *Line) Fail(err error) {
	l.inject(func(context.Context, Request) (any, error) { return nil, err })
}

// Edit makes do happen when the next write is about to arrive.
func (l *Line) Edit(do func()) {
	l.inject(func(ctx context.Context, r Request) (any, error) {
		do()
		return r.Send(ctx)
	})
}

// LoseReply makes the next write arrive, and its reply not.
func (l *Line) LoseReply() {
	l.inject(func(ctx context.Context, r Request) (any, error) {
		_, err := r.Send(ctx)
		return nil, errors.Join(ErrLost, err)
	})
}

// Duplicate makes the next write arrive twice; the client sees the first
// reply.
func (l *Line) Duplicate() { l.inject(twice(0)) }

// DuplicateSecond makes the next write arrive twice; the client sees the
// second reply.
func (l *Line) DuplicateSecond() { l.inject(twice(1)) }

func twice(seen int) fault {
	return func(ctx context.Context, r Request) (any, error) {
		var replies [2]any
		var errs [2]error
		for i := range replies {
			replies[i], errs[i] = r.Send(ctx)
		}
		return replies[seen], errs[seen]
	}
}

// Before makes do happen when the nth request from now on, reads included, is
// about to arrive. With n = 0 it happens no more.
func (l *Line) Before(n int, do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wait, l.before = n, do; n == 0 {
		l.before = nil
	}
}

// Hold makes the next write be under way until Deliver; its reply never
// returns, and its client waits until its context ends. The channel is closed
// when the write is under way.
func (l *Line) Hold() <-chan struct{} {
	held := make(chan struct{})
	l.inject(func(ctx context.Context, r Request) (any, error) {
		l.mu.Lock()
		l.late = append(l.late, func() error {
			reply, err := r.Send(context.WithoutCancel(ctx))
			if err == nil && r.Done != nil {
				err = r.Done(reply)
			}
			return err
		})
		l.mu.Unlock()
		close(held)
		<-ctx.Done()
		return nil, errors.Join(ErrLost, ctx.Err())
	})
	return held
}

// Deliver lets each write that is held up arrive, in order, and returns what
// became of each: nil for what was done.
func (l *Line) Deliver() []error {
	l.mu.Lock()
	late := slices.Clone(l.late)
	l.late = nil
	l.mu.Unlock()
	results := make([]error, 0, len(late))
	for _, arrive := range late {
		results = append(results, arrive())
	}
	return results
}
