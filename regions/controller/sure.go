package controller

import (
	"context"
	"sync/atomic"
)

// leading is a context of a write. It ends with the one that it holds, and when
// leadership is no longer sure, which Err and Done find out by reading the clock
// each time: what ends a context by a timer comes too late in a process that was
// paused. A provider asks right before it sends a request, or has net/http ask,
// which derives a context from the request's. What is on its way then is kept
// out by the fence.
type leading struct {
	context.Context
	lead   Lead
	over   *atomic.Bool
	closed chan struct{} // what Done returns then
}

func whileLeading(ctx context.Context, lead Lead) context.Context {
	closed := make(chan struct{})
	close(closed)
	return leading{ctx, lead, new(atomic.Bool), closed}
}

// Err implements context.Context.
func (c leading) Err() error {
	switch err := c.Context.Err(); {
	case err != nil:
		return err
	case c.ended():
		return errDeposed
	}
	return nil
}

// Done implements context.Context.
func (c leading) Done() <-chan struct{} {
	if c.ended() {
		return c.closed
	}
	return c.Context.Done()
}

func (c leading) ended() bool {
	if !c.over.Load() && !c.lead.Sure() {
		c.over.Store(true)
	}
	return c.over.Load()
}
