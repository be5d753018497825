// Package callcheck judges endpoints by what was called in, rather than by what
// a probe finds: heartbeats, which an endpoint sends of itself, and what a hook
// says, somebody else who watches endpoints.
//
// A Book remembers what was heard, and when, on this process's monotonic clock:
// nobody's wall clock counts. What was called in anywhere is spread to every
// process; Hearing tells how far this one has heard. The rules:
//
//   - An endpoint that called in within Within is what it said of itself. One
//     that did not is down, if this process has heard all that was spread for so
//     long, without a gap; else it is unknown.
//   - What a hook says counts for Silence, and then is unknown until it is said
//     again, taken back, or forgotten after as long again. Of what it says
//     nothing against is up, if the hook has given a sign of life within Silence
//     and this process has heard of it for so long, without a gap; else unknown.
//   - Who hears nothing knows nothing: a process that has just started, or is cut
//     off, says unknown where it would have to say down or up of silence.
//
// A Book and its probers are safe for concurrent use. They do no I/O.
package callcheck

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// Hearing is how far a process has heard what was spread, on its own monotonic
// clock.
type Hearing struct {
	// AsOf is the newest time at which all that had been spread was heard, and
	// Since is from when on nothing was missed.
	AsOf, Since time.Time
	// For is how long AsOf counts as now.
	For time.Duration
}

// now reports whether the process hears.
func (h Hearing) now(at time.Time) bool {
	return !h.Since.IsZero() && at.Sub(h.AsOf) <= h.For
}

// Call is a call-in of an endpoint.
type Call struct {
	Endpoint string // as in checks.Target.Name
	Health   checks.Health
	Why      string
}

// Statement is what a hook says of some endpoints.
type Statement struct {
	// Key tells it from the hook's other statements.
	Key    string
	Health checks.Health
	Why    string
	// N is another one each time that it is said.
	N uint64
	// About reports whether it is about an endpoint.
	About func(endpoint string) bool
}

// Book is what was heard. Make one with NewBook.
type Book struct {
	hearing func() Hearing

	mu    sync.Mutex
	calls map[string]called // by endpoint; only those that are awaited
	hooks map[string]*hook  // only those that are awaited
}

type called struct {
	Call
	at time.Time // zero: it has not
}

type hook struct {
	n      uint64    // of the newest message
	life   time.Time // the last sign of life; zero: none
	loaded bool
	said   map[string]said
}

// said is a statement with when it was heard; not sure: it was said at any time
// before.
type said struct {
	Statement
	at   time.Time
	sure bool
}

// NewBook makes a book for the endpoints and hooks that are awaited: others do
// not take room. Hearing is called under no lock of the book; nil: this process
// hears nothing.
func NewBook(hearing func() Hearing, endpoints, hooks []string) *Book {
	if hearing == nil {
		hearing = func() Hearing { return Hearing{} }
	}
	b := &Book{hearing: hearing, calls: map[string]called{}, hooks: map[string]*hook{}}
	for _, e := range endpoints {
		b.calls[e] = called{}
	}
	for _, h := range hooks {
		b.hooks[h] = &hook{said: map[string]said{}}
	}
	return b
}

// Hear takes call-ins in, in the order in which they were spread.
func (b *Book) Hear(calls []Call) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range calls {
		if _, awaited := b.calls[c.Endpoint]; awaited && c.Health != checks.Unknown {
			b.calls[c.Endpoint] = called{c, now}
		}
	}
}

// HearHook takes in all that a hook says as of its n-th message; 0: nothing is
// known of it any more. Listed: it was not heard when it was said, but found.
func (b *Book) HearHook(name string, n uint64, statements []Statement, listed bool) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.hooks[name]
	if h == nil {
		return
	}
	if n == 0 {
		*h = hook{said: map[string]said{}, loaded: true}
		return
	}
	first := listed && !h.loaded // of before this process heard anything
	if n != h.n && !first {
		h.life = now
	}
	h.n, h.loaded = n, true
	is := make(map[string]said, len(statements))
	for _, s := range statements {
		was, known := h.said[s.Key]
		if known && was.N == s.N {
			is[s.Key] = was
			continue
		}
		is[s.Key] = said{s, now, !first}
	}
	h.said = is
}

// Forgotten is what a hook said so long ago that it does not count any more: the
// N of each statement, by its key.
func (b *Book) Forgotten(name string, silence time.Duration) map[string]uint64 {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]uint64{}
	if h := b.hooks[name]; h != nil {
		for key, s := range h.said {
			if now.Sub(s.at) > 2*silence {
				out[key] = s.N
			}
		}
	}
	return out
}

// Heartbeats returns the prober of a monitor of kind heartbeat. The target's
// name is what calls in.
func (b *Book) Heartbeats(c Config) checks.Prober { return heartbeats{b, c.Within} }

type heartbeats struct {
	book   *Book
	within time.Duration
}

// Probe implements checks.Prober.
func (p heartbeats) Probe(ctx context.Context, t checks.Target) checks.Result {
	a := attempt.Begin("heartbeat of " + attempt.Clip(t.Name, 160))
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	hearing, now := p.book.hearing(), time.Now() // in this order, so that now is not before
	p.book.mu.Lock()
	c, awaited := p.book.calls[t.Name]
	p.book.mu.Unlock()
	if !awaited {
		return a.End(checks.Unknown, "is not heard here: the daemons hear call-ins, and `veer status` tells what they know")
	}
	if age := now.Sub(c.at); !c.at.IsZero() && age <= p.within {
		return a.End(c.Health, "came %s ago and said %s%s; expected one within %s", attempt.Duration(age), c.Health, colon(c.Why), p.within)
	}
	if !hearing.now(now) {
		return a.End(checks.Unknown, "cannot be heard: this process is cut off from etcd; this says nothing of the endpoint")
	}
	from := hearing.Since
	if c.at.After(from) {
		from = c.at
	}
	silent := hearing.AsOf.Sub(from)
	if silent <= p.within {
		return a.End(checks.Unknown, "is not known yet: this process has listened for %s; silence counts after %s", attempt.Duration(max(silent, 0)), p.within)
	}
	return a.End(checks.Down, "has not come for %s; expected one within %s", attempt.Duration(silent), p.within)
}

// Hook returns the prober that says of endpoints what a hook says of them. The
// target's name is the endpoint.
func (b *Book) Hook(name string, silence time.Duration) checks.Prober {
	return spoken{b, name, silence}
}

type spoken struct {
	book    *Book
	name    string
	silence time.Duration
}

// Probe implements checks.Prober.
func (p spoken) Probe(ctx context.Context, t checks.Target) checks.Result {
	a := attempt.Begin("hook " + p.name)
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	hearing, now := p.book.hearing(), time.Now() // in this order, so that now is not before
	if !hearing.now(now) {
		return a.End(checks.Unknown, "cannot be heard: this process is cut off from etcd; this says nothing of the endpoint")
	}
	p.book.mu.Lock()
	defer p.book.mu.Unlock()
	h := p.book.hooks[p.name]
	if h == nil {
		return a.End(checks.Unknown, "is not heard here")
	}
	worst, stale := h.about(t.Name, p.silence, now)
	heard := hearing.AsOf.Sub(hearing.Since)
	switch {
	case worst != nil && worst.Health != checks.Up:
		return a.End(worst.Health, "says %s%s, %s ago", worst.Health, colon(worst.Why), attempt.Duration(now.Sub(worst.at)))
	case stale != nil:
		return a.End(checks.Unknown, "said %s%s, and has not repeated it for %s; expected within %s", stale.Health, colon(stale.Why), attempt.Duration(now.Sub(stale.at)), p.silence)
	case worst != nil:
		return a.End(checks.Up, "says up%s, %s ago", colon(worst.Why), attempt.Duration(now.Sub(worst.at)))
	case h.life.IsZero() || now.Sub(h.life) > p.silence:
		return a.End(checks.Unknown, "is silent; expected a message within %s, with or without news", p.silence)
	case heard <= p.silence:
		return a.End(checks.Unknown, "has been listened to for %s; that it says nothing counts after %s", attempt.Duration(max(heard, 0)), p.silence)
	}
	return a.End(checks.Up, "says nothing against it, and spoke last %s ago", attempt.Duration(now.Sub(h.life)))
}

// about returns the worst of what counts about an endpoint, and of what counted,
// the newest of equal ones; of equal ones of one time, that of the lesser key.
func (h *hook) about(endpoint string, silence time.Duration, now time.Time) (worst, stale *said) {
	for _, s := range h.said {
		age := now.Sub(s.at)
		switch {
		case age > 2*silence || !s.About(endpoint):
		case age > silence || !s.sure:
			if stale == nil || s.worse(*stale) {
				stale = &s
			}
		case worst == nil || s.worse(*worst):
			worst = &s
		}
	}
	return worst, stale
}

func (s said) worse(than said) bool {
	switch {
	case s.Health != than.Health:
		return s.Health < than.Health
	case !s.at.Equal(than.at):
		return s.at.After(than.at)
	}
	return s.Key < than.Key
}

func colon(why string) string {
	if why == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", attempt.Clip(why, 200))
}
