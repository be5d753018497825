package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// session is a lease that is kept alive and knows, on the monotonic clock,
// until when it surely lives: etcd counts the TTL from when it gets a request,
// which is not before the request was sent. done is closed before that; where
// the process was paused, it is closed late, and only sure tells.
//
// At first the session waits: that nobody knows whether the lease lives ends
// nothing then, only that it does not. hold ends the waiting. From the first
// sign on, the last sign must be good as well.
type session struct {
	c     *Cluster
	lease clientv3.LeaseID
	done  chan struct{}
	once  sync.Once
	stop  context.CancelFunc

	urged   chan struct{} // holds one token: renew at once
	renewed chan struct{} // holds one token: the lease was renewed

	mu       sync.Mutex
	waits    bool
	deadline instant
	signed   instant // until when the last sign is good; zero: none was given
	timer    *time.Timer
}

// instant is a time on two clocks: Go's, which stands still while the machine
// sleeps, and the one since boot, which does not and is not everywhere (0).
type instant struct {
	at   time.Time
	boot time.Duration
}

func (c *Cluster) now() instant { return instant{time.Now(), c.sleepless()} }

func (i instant) add(d time.Duration) instant {
	i.at = i.at.Add(d)
	if i.boot != 0 {
		i.boot += d
	}
	return i
}

// before reports whether i is before j on both clocks.
func (i instant) before(j instant) bool {
	return i.at.Before(j.at) && (i.boot == 0 || j.boot == 0 || i.boot < j.boot)
}

// newSession gets a lease and keeps it until end is called, the cluster is
// closed or the lease is lost.
func (c *Cluster) newSession(ctx context.Context, ttl time.Duration) (*session, error) {
	sent := c.now()
	req, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Grant(req, seconds(ttl))
	if err != nil {
		return nil, err
	}
	s := &session{c: c, lease: resp.ID, done: make(chan struct{}), urged: make(chan struct{}, 1), renewed: make(chan struct{}, 1), waits: true}
	granted := time.Duration(resp.TTL) * time.Second
	s.timer = time.AfterFunc(granted, s.expire)
	s.extend(sent, granted)
	run, stop := context.WithCancel(c.ctx)
	s.stop = stop
	if !c.spawn(func() { s.keep(run, granted) }) {
		stop()
		s.close()
	}
	return s, nil
}

func (s *session) close() { s.once.Do(func() { close(s.done) }) }

// lapse closes done since the lease may have run out.
func (s *session) lapse() {
	if !s.c.opts.LeaseOverrun {
		s.close()
	}
}

// end stops keeping the lease and revokes it.
func (s *session) end() {
	s.stop()
	s.close()
	s.timer.Stop()
	s.c.revoke(s.lease)
}

// expire is called when the session should be sure no more.
func (s *session) expire() {
	if s.c.opts.LeaseOverrun || s.waiting() || !s.sure() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Reset(max(time.Until(s.ends().at), time.Millisecond))
}

// margin is what is left of a lease when done is closed: for the rates of two
// clocks to differ, and for those who wait on done to stop.
func margin(ttl time.Duration) time.Duration { return ttl / 8 }

func (s *session) extend(sent instant, ttl time.Duration) {
	s.reach(&s.deadline, sent, ttl)
	select {
	case s.renewed <- struct{}{}:
	default:
	}
}

// sign notes a sign that was sent at a time, and is agreed on.
func (s *session) sign(sent instant, good time.Duration) { s.reach(&s.signed, sent, good) }

func (s *session) reach(end *instant, sent instant, good time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := sent.add(good - margin(good)); end.before(d) {
		*end = d
		s.timer.Reset(time.Until(s.ends().at))
	}
}

// ends is when the session is sure no more, with mu held.
func (s *session) ends() instant {
	if s.signed != (instant{}) && s.signed.before(s.deadline) {
		return s.signed
	}
	return s.deadline
}

func (s *session) until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deadline.at
}

func (s *session) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waits
}

// urge has the lease renewed at once.
func (s *session) urge() {
	select {
	case s.urged <- struct{}{}:
	default:
	}
}

// hold ends the waiting, once it is known that the lease lives. It reports
// whether it does.
func (s *session) hold(ctx context.Context) bool {
	for {
		now := s.c.now()
		s.mu.Lock()
		lives := now.before(s.ends())
		s.waits = s.waits && !lives
		over := !lives && s.signed != (instant{}) && !now.before(s.signed)
		s.mu.Unlock()
		if lives || over {
			return lives && s.sure()
		}
		select {
		case <-s.renewed:
		case <-s.done:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// sure reports whether the lease surely lives now and the last sign is good;
// once it is not, unless the session waits, it never is again.
func (s *session) sure() bool {
	select {
	case <-s.done:
		return false
	default:
	}
	if s.c.opts.LeaseOverrun {
		return true
	}
	now := s.c.now()
	s.mu.Lock()
	lives, waits := now.before(s.ends()), s.waits
	s.mu.Unlock()
	if !lives && !waits {
		s.close()
	}
	return lives
}

// keep renews the lease four times a TTL, and more often while it fails.
func (s *session) keep(ctx context.Context, ttl time.Duration) {
	defer s.stop()
	wait := ttl / 4
	for s.due(ctx, wait) {
		sent := s.c.now()
		until := sent.at.Add(min(ttl/3, s.c.conf.try()))
		if !s.sure() {
			if !s.waiting() {
				return
			}
		} else {
			until = earlier(s.until(), sent.at.Add(ttl/3))
		}
		try, cancel := context.WithDeadline(ctx, until)
		resp, err := s.c.etcd.KeepAliveOnce(try, s.lease)
		cancel()
		switch {
		case err == nil:
			s.extend(sent, time.Duration(resp.TTL)*time.Second)
			wait = ttl / 4
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			s.lapse()
			return
		default:
			wait = ttl / 20
		}
	}
	s.close()
}

// due waits until the lease is to be renewed, and reports whether ctx still
// runs.
func (s *session) due(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.urged:
	case <-ctx.Done():
		return false
	}
	return true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
