package authority

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// This file takes a few queries with their answers off the query path, for the
// query log and for dnstap. A loop only copies; what becomes of the copies is
// another goroutine's matter, and whatever holds that up, the loop never waits:
// what there is no room for is dropped, and counted.

// observation is one query with its answer.
type observation struct {
	from   peer
	at     time.Time // when it was answered
	query  []byte
	answer []byte
	zone   key // "" for none of ours
	region string
}

// Bounds of a tap: how many observations wait, and how long a buffer they keep.
const (
	tapRoom  = 512
	keepRoom = 4096
)

// tap takes one query of every so many. There are so many observations as there
// is room for, so that to hand one on never waits.
type tap struct {
	every   uint32
	free    chan *observation
	full    chan *observation
	dropped atomic.Uint64
}

func newTap(every int) *tap {
	t := &tap{every: uint32(every), free: make(chan *observation, tapRoom), full: make(chan *observation, tapRoom)} // #nosec G115 -- Config.Check bounds it
	for range tapRoom {
		t.free <- new(observation)
	}
	return t
}

// run handles what was taken until ctx ends.
func (t *tap) run(ctx context.Context, handle func(*observation)) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-t.full:
			handle(o)
			t.release(o)
		}
	}
}

// release makes an observation ready for another query.
func (t *tap) release(o *observation) {
	if cap(o.query)+cap(o.answer) > keepRoom {
		*o = observation{}
	}
	t.free <- o
}

// sampler is one answerer's side of a tap.
type sampler struct {
	*tap
	left uint32 // of queries until one is taken
	now  *observation
}

// samplers are those of a new answerer. Where each begins is random: a
// connection may bring fewer queries than one of which is taken.
func (s *Server) samplers() []sampler {
	var out []sampler
	for _, t := range s.taps {
		out = append(out, sampler{tap: t, left: 1 + rand.Uint32N(t.every)}) // #nosec G404 -- no secret
	}
	return out
}

// respond is answer, observed where the config wants that.
func (a *answerer) respond(buf []byte, n int) (size int, more []byte) {
	if a.samplers == nil {
		return a.answer(buf, n)
	}
	for i := range a.samplers {
		a.samplers[i].before(buf[:n])
	}
	size, more = a.answer(buf, n)
	for i := range a.samplers {
		if o := a.samplers[i].now; o != nil {
			a.samplers[i].now = nil
			a.samplers[i].after(a, o, buf, size, more)
		}
	}
	return size, more
}

// before keeps the query, which its answer is about to replace, if it is one to
// take.
func (s *sampler) before(query []byte) {
	if s.left--; s.left > 0 {
		return
	}
	s.left = s.every
	select {
	case s.now = <-s.free:
		s.now.query = append(s.now.query[:0], query...)
	default:
		s.dropped.Add(1)
	}
}

// after hands the query on with its answer; one that was not answered is none.
func (s *sampler) after(a *answerer, o *observation, buf []byte, size int, more []byte) {
	if size == 0 {
		s.free <- o
		return
	}
	if more == nil {
		more = buf[:size]
	}
	o.from, o.at, o.answer = a.from, time.Now(), append(o.answer[:0], more...)
	o.zone, o.region = "", ""
	if a.was.zone != nil {
		o.zone = a.was.zone.apex
	}
	if a.was.pick != nil {
		o.region = a.was.pick.region
	}
	s.full <- o
}

// The names of the taps, as Dropped has them.
const (
	tapQueryLog = "query_log"
	tapDnstap   = "dnstap"
)

// Dropped returns how many queries the query log and dnstap should have had and
// did not get, since there was no room or nobody took them; of those only that
// the config has.
func (s *Server) Dropped() map[string]uint64 {
	out := make(map[string]uint64, len(s.taps))
	for name, t := range s.taps {
		out[name] = t.dropped.Load()
	}
	return out
}

// makeTaps makes what the config wants.
func (s *Server) makeTaps() {
	s.taps = make(map[string]*tap)
	if q := s.config.QueryLog; q.Sample > 0 {
		s.taps[tapQueryLog] = newTap(q.Sample)
		s.queries = newQueryLog(q, s.opts.Log)
	}
	if d := s.config.Dnstap; d.wanted() {
		s.taps[tapDnstap] = newTap(max(d.Sample, 1))
	}
}

// runTaps serves them until ctx ends.
func (s *Server) runTaps(ctx context.Context, start func(func() error)) {
	if t := s.taps[tapQueryLog]; t != nil {
		start(func() error { s.queries.run(ctx, t); return nil })
	}
	if t := s.taps[tapDnstap]; t != nil {
		d := &dnstapWriter{config: s.config.Dnstap, identity: s.config.Identity, version: s.config.Version, tap: t, log: s.opts.Log}
		start(func() error { d.run(ctx); return nil })
	}
}
