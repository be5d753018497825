package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/prober"
)

// Join blocks until this process holds the vantage's seat. A process that
// waits takes it at once after Leave, and within the vote lease (and etcd's
// scan for leases, 500 ms) after the other's last Renew. Errors of etcd are
// retried; only the end of ctx, or a vantage that cannot be named, ends it.
func (c *Cluster) Join(ctx context.Context, vantage regions.Name) (prober.Seat, error) {
	if err := checkName("vantage", string(vantage)); err != nil {
		return nil, err
	}
	told := false
	for {
		s, taken, err := c.sit(ctx, vantage)
		switch {
		case ctx.Err() != nil:
			if s != nil {
				c.revoke(s.lease)
			}
			return nil, fmt.Errorf("join as vantage %s: %w", vantage, ctx.Err())
		case err != nil:
			c.opts.Log.Debug().Err(err).Str("vantage", string(vantage)).Msg("could not take the seat; trying again")
			pause(ctx, 200*time.Millisecond)
		case s != nil:
			return s, nil
		default:
			if !told {
				told = true
				c.opts.Log.Info().Str("vantage", string(vantage)).Msg("another process votes for this vantage: standing by")
			}
			c.awaitDeletion(ctx, c.keys.seat(vantage), taken, c.conf.VoteLease)
		}
	}
}

// sit tries once to take the seat. Without a seat and an error it returns the
// revision at which the seat was seen taken. A pass that sat there is over, or
// gives way; so is an earlier process in this data folder, which is dead.
func (c *Cluster) sit(ctx context.Context, vantage regions.Name) (*seat, int64, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	s, was, err := c.take(ctx, vantage, c.conf.VoteLease)
	if s != nil && was.lease != 0 {
		c.revoke(was.lease)
	}
	return s, was.seen, err
}

// before is who sat on a seat.
type before struct {
	seen  int64 // the revision at which this was read
	lease clientv3.LeaseID
	claim claim
}

// take takes the seat if nobody has it, or a pass, or a daemon's predecessor in
// its data folder. Without a seat and an error it is taken.
func (c *Cluster) take(ctx context.Context, vantage regions.Name, ttl time.Duration) (*seat, before, error) {
	key := c.keys.seat(vantage)
	now, err := c.etcd.Get(ctx, key)
	if err != nil {
		return nil, before{}, fmt.Errorf("read the seat: %w", err)
	}
	was, at := before{seen: now.Header.Revision}, int64(0)
	if len(now.Kvs) > 0 {
		kv := now.Kvs[0]
		was.claim, err = unpack[claim](kv.Value)
		if err != nil || !was.claim.Pass && (c.opts.Pass > 0 || !c.predecessor(was.claim)) {
			return nil, was, nil
		}
		was.lease, at = clientv3.LeaseID(kv.Lease), kv.ModRevision
	}
	value, err := pack(claim{Name: c.opts.Name, Holder: newHolder(), Home: c.home, Process: c.process, Pass: c.opts.Pass > 0})
	if err != nil {
		return nil, was, err
	}
	lease, err := c.etcd.Grant(ctx, seconds(ttl))
	if err != nil {
		return nil, was, fmt.Errorf("get a lease for the seat: %w", err)
	}
	resp, err := c.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", at)).
		Then(clientv3.OpPut(key, string(value), clientv3.WithLease(lease.ID))).
		Commit()
	if err != nil || !resp.Succeeded {
		// Also after a lost reply: the seat, if it was taken, goes with the lease.
		c.revoke(lease.ID)
		if err != nil {
			return nil, was, fmt.Errorf("take the seat: %w", err)
		}
		was.seen = resp.Header.Revision
		return nil, was, nil
	}
	return newSeat(c, vantage, lease.ID, resp.Header.Revision), was, nil
}

// Suspicions implements prober.Booth.
func (c *Cluster) Suspicions(ctx context.Context, vantage regions.Name) <-chan []regions.EndpointID {
	out := make(chan []regions.EndpointID)
	s := c.world.subscribe(vantage)
	if !c.spawn(func() { c.world.forward(ctx, c.ctx.Done(), s, out) }) {
		c.world.unsubscribe(s)
		close(out)
	}
	return out
}

// awaitDeletion returns when the key was deleted after rev, or after the
// longest time, or when the watch fails: the caller looks again in any case.
func (c *Cluster) awaitDeletion(ctx context.Context, key string, rev int64, longest time.Duration) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), longest)
	defer cancel()
	watch := c.etcd.Watch(ctx, key, clientv3.WithRev(rev+1), clientv3.WithFilterPut())
	for {
		select {
		case resp, ok := <-watch:
			if !ok || resp.Err() != nil {
				pause(ctx, 100*time.Millisecond)
				return
			}
			if len(resp.Events) > 0 {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// revoke ends a lease as well as it can, and reports whether it has.
func (c *Cluster) revoke(id clientv3.LeaseID) bool {
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	defer cancel()
	if _, err := c.etcd.Revoke(ctx, id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		c.opts.Log.Debug().Err(err).Msg("could not revoke a lease; it runs out by itself")
		return false
	}
	return true
}

// seconds is d in etcd's unit, rounded up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
