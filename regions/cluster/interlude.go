package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

var _ controller.Interlude = (*Cluster)(nil)

// interludeLease is how long an interlude can be measured, in seconds; etcd's
// leases have no finer unit.
const interludeLease = 24 * 3600

// mark is put when a pass has committed the timers. It tells the next term, and
// no later one, how long they have stood still: by the age of its lease, or,
// where etcd runs only while a pass does, by the machine's clock since boot. No
// two machines' clocks are compared.
type mark struct {
	// Term is the pass that put it.
	Term regions.Term `json:"term"`
	// Votes is how long the votes surely lived from the mark on: what is beyond
	// was unknown, and unknown advances nothing.
	Votes time.Duration `json:"votes"`
	Boot  string        `json:"boot,omitempty"`
	At    time.Duration `json:"at,omitempty"`
}

func (m mark) check() error {
	if m.Term < 1 || m.Votes < 0 || m.At < 0 {
		return errors.New("expected a term above 0, and times not below 0")
	}
	return nil
}

// credit is what the timers are given in a term, when the mark is at least that
// old.
func (m mark) credit(term regions.Term, age time.Duration) time.Duration {
	if m.Term+1 != term { // another leader ran the timers since, or may have
		return 0
	}
	return max(min(age, m.Votes), 0)
}

// leaseAge is the least age of a lease. etcd cuts what remains down to whole
// seconds (etcd, server/etcdserver/v3_server.go, LeaseTimeToLive), and a new
// etcd leader starts every lease again: then it is younger than it seems.
func leaseAge(granted, remaining int64) time.Duration {
	return time.Duration(max(granted-remaining-1, 0)) * time.Second
}

// bootAge is the time since a reading of the clock of the same boot.
func bootAge(m mark, boot string, now time.Duration) time.Duration {
	if m.Boot == "" || m.Boot != boot {
		return 0
	}
	return max(now-m.At, 0)
}

// Resume implements controller.Interlude.
func (c *Cluster) Resume(ctx context.Context, by controller.Lead) (time.Duration, error) {
	l, ok := by.(*lead)
	if !ok || l.c != c {
		return 0, fmt.Errorf("measure the time since the last pass: the lead is not one of this cluster: %w", controller.ErrNotLeader)
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	key := c.keys.interlude()
	resp, err := c.etcd.Get(ctx, key)
	if err != nil {
		return 0, fmt.Errorf("measure the time since the last pass: %w", err)
	}
	if len(resp.Kvs) == 0 {
		return 0, nil
	}
	kv := resp.Kvs[0]
	m, err := unpack[mark](kv.Value)
	if err != nil {
		return 0, &ValueError{Key: key, Err: err}
	}
	l.mark = clientv3.LeaseID(kv.Lease)
	if c.alone() {
		id, at, _ := c.boot()
		return m.credit(l.term, bootAge(m, id, at)), nil
	}
	age, err := c.etcd.TimeToLive(ctx, clientv3.LeaseID(kv.Lease))
	if err != nil {
		return 0, fmt.Errorf("measure the time since the last pass: %w", err)
	}
	if age.TTL < 0 { // it ended since
		return 0, nil
	}
	return m.credit(l.term, leaseAge(age.GrantedTTL, age.TTL)), nil
}

// Pause implements controller.Interlude.
func (c *Cluster) Pause(ctx context.Context, by controller.Lead, again bool) error {
	l, ok := by.(*lead)
	if !ok || l.c != c {
		return fmt.Errorf("mark the end of the pass: the lead is not one of this cluster: %w", controller.ErrNotLeader)
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	m, was, lease, err := c.newMark(ctx, l, again)
	if err != nil {
		return fmt.Errorf("mark the end of the pass: %w", err)
	}
	value, err := repack(was, m)
	if err != nil {
		return fmt.Errorf("mark the end of the pass: %w", err)
	}
	if !l.Sure() {
		return fmt.Errorf("mark the end of the pass: %w", l.over())
	}
	resp, err := c.etcd.Txn(ctx).If(l.guards()...).
		Then(clientv3.OpPut(c.keys.interlude(), string(value), clientv3.WithLease(lease))).Commit()
	if err != nil {
		return fmt.Errorf("mark the end of the pass: %w", err)
	}
	if !resp.Succeeded {
		return fmt.Errorf("mark the end of the pass: %w", controller.ErrNotLeader)
	}
	if l.mark != 0 && l.mark != lease {
		c.revoke(l.mark)
	}
	return nil
}

// newMark is the mark of this term: the one that is there, where again says
// that the timers stand as that one left them, or else one that begins now. It
// is made after the last commit, so that it is never older than the timers. Its
// value goes with it.
func (c *Cluster) newMark(ctx context.Context, l *lead, again bool) (m mark, was []byte, lease clientv3.LeaseID, err error) {
	was = []byte("{}")
	if again {
		resp, err := c.etcd.Get(ctx, c.keys.interlude())
		if err != nil {
			return mark{}, nil, 0, err
		}
		if len(resp.Kvs) > 0 {
			if m, err := unpack[mark](resp.Kvs[0].Value); err == nil && m.Term+1 == l.term {
				m.Term = l.term
				return m, resp.Kvs[0].Value, clientv3.LeaseID(resp.Kvs[0].Lease), nil
			}
		}
	}
	m = mark{Term: l.term}
	id, at, known := c.boot()
	if c.alone() {
		if known {
			m.Boot, m.At = id, at
		}
	} else {
		granted, err := c.etcd.Grant(ctx, interludeLease)
		if err != nil {
			return mark{}, nil, 0, err
		}
		lease = granted.ID
	}
	m.Votes, err = c.votesLive(ctx)
	return m, was, lease, err
}

// votesLive is how long every vote that is there lives at least.
func (c *Cluster) votesLive(ctx context.Context) (time.Duration, error) {
	resp, err := c.etcd.Get(ctx, c.keys.world()+"ballot/", clientv3.WithPrefix())
	if err != nil {
		return 0, err
	}
	least, seen := int64(-1), map[int64]bool{}
	for _, kv := range resp.Kvs {
		if seen[kv.Lease] {
			continue
		}
		seen[kv.Lease] = true
		left, err := c.etcd.TimeToLive(ctx, clientv3.LeaseID(kv.Lease))
		if err != nil {
			return 0, err
		}
		if least < 0 || left.TTL < least {
			least = max(left.TTL, 0)
		}
	}
	return time.Duration(max(least, 0)) * time.Second, nil
}
