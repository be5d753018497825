package prober

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// quick is the monitor of the failover benchmark.
var quick = MonitorConfig{Interval: time.Second, Timeout: 500 * time.Millisecond, Recheck: 100 * time.Millisecond, Fall: 2, Rise: 2}

// event is something that a fake saw, at a time since the bubble's start.
type event struct {
	at  time.Duration
	ids []regions.EndpointID
}

// fakeBooth is a booth with one seat at a time, in memory.
type fakeBooth struct {
	began      time.Time
	suspicions chan []regions.EndpointID
	free       chan struct{} // holds one token while nobody sits
	forgetful  bool          // keep the last ballot only

	// cast, renew and suspect take the place of a call when they are set.
	cast    func(ctx context.Context, b regions.Ballot) error
	renew   func(ctx context.Context) error
	suspect func(ctx context.Context) error

	mu       sync.Mutex
	joins    int
	seat     *fakeSeat
	ballots  []regions.Ballot
	castAt   []time.Duration
	suspects []event
	renewals []time.Duration
	leaves   []time.Duration
}

type fakeSeat struct {
	booth *fakeBooth
	lost  chan struct{}
}

func newFakeBooth() *fakeBooth {
	b := &fakeBooth{began: time.Now(), suspicions: make(chan []regions.EndpointID), free: make(chan struct{}, 1)}
	b.free <- struct{}{}
	return b
}

func (b *fakeBooth) since() time.Duration { return time.Since(b.began) }

func (b *fakeBooth) Join(ctx context.Context, _ regions.Name) (Seat, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.free:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.joins++
	b.seat = &fakeSeat{booth: b, lost: make(chan struct{})}
	return b.seat, nil
}

func (b *fakeBooth) Suspicions(context.Context, regions.Name) <-chan []regions.EndpointID {
	return b.suspicions
}

// lose ends the lease of the seat that is held.
func (b *fakeBooth) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.seat.lost)
}

func (s *fakeSeat) Cast(ctx context.Context, ballot regions.Ballot) error {
	b := s.booth
	if b.cast != nil {
		if err := b.cast(ctx, ballot); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.forgetful {
		b.ballots, b.castAt = nil, nil
	}
	b.ballots = append(b.ballots, ballot)
	b.castAt = append(b.castAt, b.since())
	return nil
}

func (s *fakeSeat) Suspect(ctx context.Context, ids []regions.EndpointID) error {
	b := s.booth
	b.mu.Lock()
	b.suspects = append(b.suspects, event{b.since(), ids})
	b.mu.Unlock()
	if b.suspect != nil {
		return b.suspect(ctx)
	}
	return nil
}

func (s *fakeSeat) Renew(ctx context.Context) error {
	b := s.booth
	b.mu.Lock()
	b.renewals = append(b.renewals, b.since())
	renew := b.renew
	b.mu.Unlock()
	if renew != nil {
		return renew(ctx)
	}
	return nil
}

func (s *fakeSeat) Lost() <-chan struct{} { return s.lost }

func (s *fakeSeat) Leave(context.Context) error {
	b := s.booth
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leaves = append(b.leaves, b.since())
	b.free <- struct{}{}
	return nil
}

// suspected returns each suspicion published of id.
func (b *fakeBooth) suspected(id regions.EndpointID) (at []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.suspects {
		for _, got := range e.ids {
			if got == id {
				at = append(at, e.at)
			}
		}
	}
	return at
}

// change is a vote whose health differs from the one cast before it.
type change struct {
	at   time.Duration
	vote regions.Vote
}

// changes returns how the cast votes on id changed; the first is the first.
func (b *fakeBooth) changes(id regions.EndpointID) (out []change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, ballot := range b.ballots {
		for _, v := range ballot.Votes {
			if v.Endpoint == id && (len(out) == 0 || out[len(out)-1].vote.Health != v.Health) {
				out = append(out, change{b.castAt[i], v})
			}
		}
	}
	return out
}

// healths returns the healths cast of id, one a change.
func (b *fakeBooth) healths(id regions.EndpointID) (out []checks.Health) {
	for _, c := range b.changes(id) {
		out = append(out, c.vote.Health)
	}
	return out
}

func (b *fakeBooth) seats() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.joins
}

func (b *fakeBooth) renewed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.renewals)
}

func (b *fakeBooth) casts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.ballots)
}

func (b *fakeBooth) last() regions.Ballot {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ballots) == 0 {
		return regions.Ballot{}
	}
	return b.ballots[len(b.ballots)-1]
}

// backend is an endpoint whose answers the test sets. It is up, and answers
// at once, until told otherwise.
type backend struct {
	began time.Time
	// answer, when set, makes the result of the nth probe (from 0).
	answer func(ctx context.Context, n int) checks.Result

	mu     sync.Mutex
	health checks.Health
	starts []time.Duration
	cut    chan struct{} // closed to cut the watched connection
	watch  []time.Duration
}

func newBackend() *backend {
	return &backend{began: time.Now(), health: checks.Up, cut: make(chan struct{})}
}

func (b *backend) Probe(ctx context.Context, _ checks.Target) checks.Result {
	b.mu.Lock()
	n, health, answer := len(b.starts), b.health, b.answer
	b.starts = append(b.starts, time.Since(b.began))
	b.mu.Unlock()
	if answer != nil {
		return answer(ctx, n)
	}
	return checks.Result{Health: health, Reason: health.String()}
}

// Watch lives while the backend is up, until the connection is cut.
func (b *backend) Watch(ctx context.Context, _ checks.Target) error {
	b.mu.Lock()
	health, cut := b.health, b.cut
	b.watch = append(b.watch, time.Since(b.began))
	b.mu.Unlock()
	if health == checks.Down {
		return errors.New("connection refused")
	}
	select {
	case <-ctx.Done():
		return nil
	case <-cut:
		return errors.New("connection reset")
	}
}

func (b *backend) set(h checks.Health) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.health = h
}

// kill makes the backend refuse, and cuts the watched connection.
func (b *backend) kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.health = checks.Down
	close(b.cut)
	b.cut = make(chan struct{})
}

func (b *backend) probes() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.starts)
}

// after returns the probes that started at or after at.
func (b *backend) after(at time.Duration) []time.Duration {
	starts := b.probes()
	i, _ := slices.BinarySearch(starts, at)
	return starts[i:]
}

func (b *backend) watches() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.watch)
}

// hang answers only when the probe's context ends, as a failure.
func hang(ctx context.Context, _ int) checks.Result {
	<-ctx.Done()
	return checks.Result{Health: checks.Down, Reason: "timed out"}
}

// rig is a prober at work in a bubble.
type rig struct {
	t      *testing.T
	booth  *fakeBooth
	p      *Prober
	skew   atomic.Int64 // what the loop's clock is ahead of the bubble's
	cancel context.CancelFunc
	done   chan error
}

// job makes a job of one backend. Its host is its endpoint.
func jobOf(id regions.EndpointID, m MonitorConfig, b *backend) Job {
	return Job{Endpoint: id, Target: checks.Target{Name: string(id), Host: string(id)}, Monitor: m, Prober: b, Watcher: b}
}

// bench makes a prober that does not run yet; change may alter its options.
func bench(t *testing.T, jobs []Job, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, booth: newFakeBooth(), done: make(chan error, 1)}
	o := Options{Vantage: "eu-west", Jobs: jobs, Booth: r.booth, Log: zerolog.Nop(), Renew: 500 * time.Millisecond, Seed: 1}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	inner := p.clock
	p.clock = func() time.Duration { return inner() + time.Duration(r.skew.Load()) }
	r.p = p
	return r
}

func (r *rig) run() *rig {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- r.p.Run(ctx) }()
	return r
}

// stop ends the prober and waits for it.
func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

// pass lets the bubble's time pass, and all that is due then happen.
func pass(d time.Duration) {
	<-time.After(d) // the bubble's clock: nobody waits
	synctest.Wait()
}

// waitFor lets time pass in small steps until cond holds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 100_000 {
		if cond() {
			return
		}
		pass(time.Millisecond)
	}
	t.Fatalf("it never came about that %s", what)
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, expected %v", what, got, want)
	}
}

const (
	unknown  = checks.Unknown
	down     = checks.Down
	degraded = checks.Degraded
	up       = checks.Up
)
