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
type session struct {
	c     *Cluster
	lease clientv3.LeaseID
	done  chan struct{}
	once  sync.Once
	stop  context.CancelFunc

	mu       sync.Mutex
	deadline instant
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
	s := &session{c: c, lease: resp.ID, done: make(chan struct{})}
	granted := time.Duration(resp.TTL) * time.Second
	s.timer = time.AfterFunc(granted, s.lapse)
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

// margin is what is left of a lease when done is closed: for the rates of two
// clocks to differ, and for those who wait on done to stop.
func margin(ttl time.Duration) time.Duration { return ttl / 8 }

func (s *session) extend(sent instant, ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := sent.add(ttl - margin(ttl)); s.deadline.before(d) {
		s.deadline = d
		s.timer.Reset(time.Until(d.at))
	}
}

func (s *session) until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deadline.at
}

// sure reports whether the lease surely lives now; once it does not, it never
// does again.
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
	lives := now.before(s.deadline)
	s.mu.Unlock()
	if !lives {
		s.close()
	}
	return lives
}

// keep renews the lease four times a TTL, and more often while it fails.
func (s *session) keep(ctx context.Context, ttl time.Duration) {
	defer s.stop()
	wait := ttl / 4
	for pause(ctx, wait) {
		if !s.sure() {
			return
		}
		sent := s.c.now()
		try, cancel := context.WithDeadline(ctx, earlier(s.until(), sent.at.Add(ttl/3)))
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

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
