package scheduletest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/veerdns/veer/providers/providertest"
)

// network is between one controller and the provider.
type network struct {
	race *race
	who  string
	seed uint64
	// trouble is how much of the traffic suffers, 0 to 1.
	trouble float64
	// reads and writes count, so that a request's fate is the same however
	// goroutines take turns.
	reads, writes atomic.Uint64
}

// fate is what befalls one request.
type fate struct {
	word string
	// there are the times until it arrives, one for each arrival.
	there []time.Duration
	// back is how long the reply takes, reply which arrival's it is.
	back  time.Duration
	reply int
	lost  bool // no reply returns
}

// draw decides a request's fate.
func (n *network) draw(write bool) fate {
	count, kind := n.reads.Add(1), uint64(0)
	if write {
		count, kind = n.writes.Add(1), 1
	}
	rng := rand.New(rand.NewPCG(n.seed, count<<1|kind)) //nolint:gosec // a schedule is its seed
	some := func(most time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(most))) + 1 }
	f := fate{word: "passes", there: []time.Duration{some(20 * time.Millisecond)}, back: some(20 * time.Millisecond)}
	if n.race.calm.Load() || rng.Float64() >= n.trouble {
		return f
	}
	pick := rng.IntN(100)
	switch {
	case pick < 30:
		f.word, f.there[0] = "is slow", some(5*time.Second)
	case pick < 45:
		f.word, f.there[0], f.back = "is very slow", some(40*time.Second), some(15*time.Second)
	case pick < 55:
		f.word, f.there, f.lost = "is lost", nil, true
	case !write:
		f.word, f.back = "has a slow reply", some(10*time.Second)
	case pick < 70:
		f.word, f.lost = "has its reply lost", true
	case pick < 85:
		f.word, f.there, f.reply = "arrives twice", append(f.there, some(40*time.Second)), rng.IntN(2)
	default:
		f.word, f.there[0], f.lost = "arrives late", some(latest), true
	}
	return f
}

// latest is how late a request can arrive.
const latest = time.Minute

// patience is how long a client without a reply waits, as a connection does
// that somebody cut.
const patience = 20 * time.Second

// Carry implements providertest.Carrier.
func (n *network) Carry(ctx context.Context, r providertest.Request) (any, error) {
	f := n.draw(r.Write)
	if r.Write && f.word != "passes" {
		n.race.meet("a write that " + f.word)
	}
	replies := make([]chan result, len(f.there))
	for i, after := range f.there {
		replies[i] = make(chan result, 1)
		n.race.flying.Go(func() {
			pass(context.Background(), after)
			reply, err := n.race.arrive(n.who, r, f.word)
			pass(context.Background(), f.back)
			replies[i] <- result{reply, err}
		})
	}
	if f.lost {
		pass(ctx, patience)
		return nil, errors.Join(providertest.ErrLost, ctx.Err())
	}
	select {
	case got := <-replies[f.reply]:
		return got.reply, got.err
	case <-ctx.Done():
		return nil, errors.Join(providertest.ErrLost, ctx.Err())
	}
}

type result struct {
	reply any
	err   error
}

// pass waits, or less when ctx ends.
func pass(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// gate lets one request at a time be at the provider, so that what is seen
// after each is what it left. It is no mutex, since a bubble's time stands
// still while one is waited for.
type gate chan struct{}

func newGate() gate { g := make(gate, 1); g <- struct{}{}; return g }

func (g gate) enter() { <-g }
func (g gate) leave() { g <- struct{}{} }

// arrive lets a request arrive, and looks at the zone.
func (r *race) arrive(who string, req providertest.Request, word string) (any, error) {
	r.gate.enter()
	defer r.gate.leave()
	reply, err := req.Send(context.Background())
	if req.Write {
		became := "done"
		if err != nil {
			became = err.Error()
		} else if req.Done != nil {
			if err := req.Done(reply); err != nil {
				became = err.Error()
			}
		}
		r.note("a write of %s arrives, which %s: %.120s", who, word, became)
		r.look()
	}
	return reply, err
}

// trace is what happened, for a violation.
type trace struct {
	mu     sync.Mutex
	began  time.Time
	lines  []string
	broken []broken
	met    map[string]bool
}

func (t *trace) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%10.3fs ", time.Since(t.began).Seconds())+fmt.Sprintf(format, args...))
}

// violate takes down what was broken; the first of each kind counts.
func (t *trace) violate(k kind, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.note("VIOLATION: %s", text)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = append(t.broken, broken{k, text, len(t.lines)})
}

func (t *trace) meet(event string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.met[event] = true
}

// violations are the first of each kind.
func (t *trace) violations(seed uint64) []Violation {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Violation
	for _, b := range t.broken {
		if !slices.ContainsFunc(out, func(v Violation) bool { return v.kind == b.kind }) {
			out = append(out, Violation{seed, b.kind, b.text, t.lines[max(0, b.line-traced):b.line]})
		}
	}
	return out
}

// broken is one violation, and how many lines the trace had by then.
type broken struct {
	kind kind
	text string
	line int
}
