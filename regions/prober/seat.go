package prober

import (
	"context"
	"sync"
	"time"
)

// Bounds of what is asked of the booth, and of the pauses between attempts.
const (
	castLimit    = 5 * time.Second
	suspectLimit = 2 * time.Second
	leaveLimit   = 3 * time.Second
	firstPause   = 100 * time.Millisecond
	lastPause    = 5 * time.Second
)

// attend takes the vantage's seat, holds it, and stands by when it is lost,
// until ctx ends.
func (p *Prober) attend(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		seat, err := p.booth.Join(ctx, p.vantage)
		began := p.clock()
		switch {
		case err == nil:
			p.hold(ctx, seat)
		case ctx.Err() != nil:
			return
		default:
			p.log.Warn().Err(err).Msg("no seat could be had")
		}
		if p.clock()-began > lastPause {
			pause = firstPause
			continue
		}
		if !wait(ctx, pause) {
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// hold votes from the seat until it is lost or ctx ends. In that case it gives
// it up, after the last write has ended.
func (p *Prober) hold(ctx context.Context, seat Seat) {
	p.log.Info().Msg("this process votes for the vantage")
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	p.desk.sit(seat)
	wg.Go(func() { p.cast(writing, seat) })
	wg.Go(func() { p.suspect(writing, seat) })
	select {
	case <-ctx.Done():
	case <-seat.Lost():
		p.log.Warn().Msg("the seat was lost: standing by, still probing")
	}
	p.desk.sit(nil)
	stop()
	wg.Wait()
	if ctx.Err() == nil {
		return
	}
	last, done := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer done()
	if err := seat.Leave(last); err != nil {
		p.log.Warn().Err(err).Msg("the seat could not be given up: its votes stay until the lease ends")
	}
}

// cast publishes the newest ballot whenever it has changed; what changes
// during one Cast goes with the next.
func (p *Prober) cast(ctx context.Context, seat Seat) {
	var sent uint64
	pause := firstPause
	for ctx.Err() == nil {
		if !p.desk.changed(sent) {
			select {
			case <-ctx.Done():
			case <-p.desk.voted:
			}
			continue
		}
		ballot, version := p.desk.newest()
		bounded, done := context.WithTimeout(ctx, castLimit)
		err := seat.Cast(bounded, ballot)
		done()
		if err == nil {
			sent, pause = version, firstPause
			p.desk.published(version)
			continue
		}
		if ctx.Err() == nil {
			p.log.Warn().Err(err).Msg("the ballot could not be cast")
		}
		wait(ctx, pause)
		pause = min(2*pause, lastPause)
	}
}

// suspect publishes suspicions as they come. One that fails is not repeated:
// the vote follows soon.
func (p *Prober) suspect(ctx context.Context, seat Seat) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.desk.suspected:
		}
		ids := p.desk.takeSuspects()
		if len(ids) == 0 {
			continue
		}
		bounded, done := context.WithTimeout(ctx, suspectLimit)
		err := seat.Suspect(bounded, ids)
		done()
		if err != nil && ctx.Err() == nil {
			p.log.Warn().Err(err).Int("endpoints", len(ids)).Msg("suspicions could not be published")
		}
	}
}

// wait returns after d, or with false when ctx ended before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
