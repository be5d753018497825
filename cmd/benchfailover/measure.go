package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// kind is the way a backend fails.
type kind string

const (
	killed kind = "killed" // SIGKILL: connections are refused
	hung   kind = "hung"   // SIGSTOP: connections open, nothing answers
)

// limit is when a server counts as one that never noticed.
const limit = 20 * time.Second

// round is what all servers made of one failure and of the return.
type round struct {
	kind kind
	away []time.Duration // by server; limit: never
	back []time.Duration
	// moves counts changes of the answer, by server: 2 when it went away once
	// and came back once.
	moves []int
}

// backend is the primary or secondary toy service.
type backend struct {
	self, address, log string
	process            *lab.Process
}

func (b *backend) start() error {
	p, err := lab.Start(lab.Spec{Name: "backend " + b.address, Path: b.self, Args: []string{"backend", b.address}, Log: b.log, Ready: true})
	b.process = p
	return err
}

// fail makes the backend fail and returns when.
func (b *backend) fail(k kind) (time.Time, error) {
	if k == hung {
		at := time.Now()
		return at, b.process.Signal(syscall.SIGSTOP)
	}
	at := time.Now()
	b.process.Kill()
	return at, nil
}

// mend ends the failure and returns when the backend could answer again.
func (b *backend) mend(k kind) (time.Time, error) {
	if k == hung {
		at := time.Now()
		return at, b.process.Signal(syscall.SIGCONT)
	}
	err := b.start()
	return time.Now(), err
}

// period is the longest schedule among the servers (gdnsd's).
const period = 2 * time.Second

// phases are the random moments, within a period, of repeated acts. There is
// one in each of as many equal parts of the period as there are repeats, in
// random order: every part of each server's schedule is met, and 20 repeats
// give a steadier median than 20 moments drawn freely.
type phases struct {
	began time.Time
	at    []time.Duration
}

func newPhases(r *rand.Rand, began time.Time, repeats int) *phases {
	p := &phases{began: began}
	for _, part := range r.Perm(repeats) {
		p.at = append(p.at, time.Duration((float64(part)+r.Float64())/float64(repeats)*float64(period)))
	}
	return p
}

// next returns the n-th act's moment: the first of its phase that is at least
// a second after now, so that the servers have settled.
func (p *phases) next(n int, now time.Time) time.Time {
	after := now.Add(time.Second).Sub(p.began)
	whole := (after - p.at[n] + period - 1) / period
	return p.began.Add(max(0, whole)*period + p.at[n])
}

// plan is when the acts of one kind happen.
type plan struct {
	kind       kind
	fail, mend *phases
}

// once fails the primary once and lets it come back. Every server probes the
// same backend, so each failure is the same event for all of them.
func once(ctx context.Context, n int, p plan, servers []*server, b *backend) (round, error) {
	out := round{kind: p.kind}
	if err := lab.Pause(ctx, time.Until(p.fail.next(n, time.Now()))); err != nil {
		return out, err
	}
	before := make([]int, len(servers))
	ready := make([]bool, len(servers))
	for i, s := range servers {
		all, _ := s.poller.Changes(0)
		before[i] = len(all)
		ready[i] = len(all) > 0 && all[len(all)-1].Answer == primary
	}
	at, err := b.fail(p.kind)
	if err != nil {
		return out, err
	}
	if out.away, err = wait(ctx, servers, at, secondary); err != nil {
		return out, err
	}
	for i, was := range ready {
		if !was {
			out.away[i] = limit // it did not answer with the primary, so this was no failover
		}
	}
	if err := lab.Pause(ctx, time.Until(p.mend.next(n, time.Now()))); err != nil {
		return out, err
	}
	if at, err = b.mend(p.kind); err != nil {
		return out, err
	}
	if out.back, err = wait(ctx, servers, at, primary); err != nil {
		return out, err
	}
	for i, s := range servers {
		moved, _ := s.poller.Changes(before[i])
		out.moves = append(out.moves, len(moved))
		if err := s.dead(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// wait returns how long after a moment each server first gave the answer.
func wait(ctx context.Context, servers []*server, since time.Time, answer string) ([]time.Duration, error) {
	inTime, cancel := context.WithDeadline(ctx, since.Add(limit))
	defer cancel()
	out := make([]time.Duration, len(servers))
	for i, s := range servers {
		at, err := s.poller.Wait(inTime, since, answer)
		out[i] = at.Sub(since)
		if err != nil {
			out[i] = limit
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return out, nil
}

// backends starts both toy services on one port.
func backends(b *bench) (first, second *backend, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find this program: %w", err)
	}
	var all []*backend
	for _, address := range []string{primary, secondary} {
		one := &backend{self: self, address: fmt.Sprintf("%s:%d", address, b.port), log: filepath.Join(b.dir, address+".log")}
		if err := one.start(); err != nil {
			return nil, nil, err
		}
		all = append(all, one)
	}
	return all[0], all[1], nil
}
