package cluster

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// ValueError says that a key holds what cannot be read. Nothing overwrites
// such a key: look at it with etcdctl, then delete it or put it right.
type ValueError struct {
	Key string
	Err error
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("etcd key %s holds a value that cannot be read: %v", e.Key, e.Err)
}

func (e *ValueError) Unwrap() error { return e.Err }

// Shards implements controller.Ledger. Shards that cannot be read are left out
// and named in the error, one ValueError each; the others are returned beside
// it.
func (c *Cluster) Shards(ctx context.Context) ([]controller.Versioned, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Get(ctx, c.keys.shards(), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return c.readShards(resp.Kvs)
}

func (c *Cluster) readShards(kvs []*mvccpb.KeyValue) ([]controller.Versioned, error) {
	var out []controller.Versioned
	var bad []error
	for _, kv := range kvs {
		s, err := c.readShard(kv)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		c.strangers.saw(s.ID, kv.ModRevision, unknown[shard](kv.Value))
		out = append(out, controller.Versioned{Shard: s.Shard, At: controller.Revision(kv.ModRevision)})
	}
	return out, errors.Join(bad...)
}

func (c *Cluster) readShard(kv *mvccpb.KeyValue) (shard, error) {
	id, err := c.keys.shardID(string(kv.Key))
	if err != nil {
		return shard{}, &ValueError{Key: string(kv.Key), Err: err}
	}
	s, err := unpack[shard](kv.Value)
	if err == nil && s.ID != id {
		err = fmt.Errorf("found shard %d, expected shard %d", s.ID, id)
	}
	if err != nil {
		return shard{}, &ValueError{Key: string(kv.Key), Err: err}
	}
	return s, nil
}

// Commit implements controller.Ledger. After an error that is neither
// ErrNotLeader nor ErrMoved it is not known whether the commit holds: read the
// shards again before deciding anew.
func (c *Cluster) Commit(ctx context.Context, by controller.Lead, from controller.Revision, s steering.Shard, e *steering.Entry) (controller.Revision, error) {
	l, ok := by.(*lead)
	if !ok || l.c != c {
		return 0, fmt.Errorf("commit shard %d: the lead is not one of this cluster: %w", s.ID, controller.ErrNotLeader)
	}
	n := l.journal.next()
	rec := shard{Shard: s, Holder: l.holder, Commit: n}
	key := c.keys.shard(s.ID)
	value, err := c.presses.pack(rec)
	var strange []byte
	if was, ok := c.strangers.at(s.ID, int64(from)); ok && err == nil {
		value, err = repack(was, rec)
		strange = value
	}
	if err != nil {
		return 0, fmt.Errorf("commit shard %d: %w", s.ID, err)
	}
	ops := []clientv3.Op{clientv3.OpPut(key, string(value))}
	size := len(value)
	var at journalKey
	if e != nil {
		packed, err := c.presses.pack(entry{*e})
		if err != nil {
			return 0, fmt.Errorf("commit shard %d: its journal entry: %w", s.ID, err)
		}
		at = journalKey{term: l.term, n: n, shard: s.ID, size: int64(len(packed))}
		ops = append(ops, clientv3.OpPut(c.keys.entry(at), string(packed)))
		size += len(packed)
	}
	if size > requestBytes-4<<10 {
		return 0, fmt.Errorf("commit shard %d: shard and journal entry have %d bytes, etcd takes %d: spread the services over more owners", s.ID, size, requestBytes)
	}
	rev, err := l.commit(ctx, key, from, ops, n)
	if err != nil {
		return 0, fmt.Errorf("commit shard %d in term %d: %w", s.ID, l.term, err)
	}
	c.strangers.saw(s.ID, int64(rev), strange)
	if e != nil {
		l.journal.add(at)
	}
	return rev, nil
}

// commit runs the transaction and settles a lost reply.
func (l *lead) commit(ctx context.Context, key string, from controller.Revision, ops []clientv3.Op, n uint64) (controller.Revision, error) {
	guards := append(l.guards(), clientv3.Compare(clientv3.ModRevision(key), "=", int64(from)))
	if l.c.opts.Unguarded {
		guards = nil
	}
	if !l.Sure() {
		return 0, l.over()
	}
	req, cancel := l.c.bound(ctx)
	resp, err := l.c.etcd.Txn(req).If(guards...).Then(ops...).
		Else(clientv3.OpGet(l.key, clientv3.WithKeysOnly()), clientv3.OpGet(l.c.keys.term(), clientv3.WithKeysOnly())).
		Commit()
	cancel()
	if err != nil {
		return l.settle(ctx, key, from, n, err)
	}
	if resp.Succeeded {
		return controller.Revision(resp.Header.Revision), nil
	}
	own, term := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
	if len(own) == 0 || own[0].CreateRevision != l.rev || len(term) == 0 || term[0].ModRevision != l.termRev {
		l.session.close()
		return 0, controller.ErrNotLeader
	}
	return 0, controller.ErrMoved
}

// over says that the lease may have run out. It is asked for right before a
// request is sent, although etcd guards every one: a leader that was paused
// writes nothing when it goes on.
func (l *lead) over() error {
	return fmt.Errorf("the lease of term %d ended: %w", l.term, controller.ErrNotLeader)
}

// guards hold while this lead leads.
func (l *lead) guards() []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(l.key), "=", l.rev),
		clientv3.Compare(clientv3.ModRevision(l.c.keys.term()), "=", l.termRev),
	}
}

// settle finds out by reading whether a commit whose reply was lost holds. If
// it does not yet, it still may: cause is returned, and the next commit from
// the same revision excludes the lost one, or is refused by it.
func (l *lead) settle(ctx context.Context, key string, from controller.Revision, n uint64, cause error) (controller.Revision, error) {
	req, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.c.timeout)
	defer cancel()
	resp, err := l.c.etcd.Get(req, key)
	if err != nil {
		return 0, fmt.Errorf("the reply was lost (%w), and so was what it did: %w", cause, err)
	}
	if len(resp.Kvs) == 0 || resp.Kvs[0].ModRevision == int64(from) {
		return 0, fmt.Errorf("the reply was lost; the commit has not been made so far: %w", cause)
	}
	s, err := l.c.readShard(resp.Kvs[0])
	if err == nil && s.Holder == l.holder && s.Commit == n {
		return controller.Revision(resp.Kvs[0].ModRevision), nil
	}
	return 0, errors.Join(controller.ErrMoved, err)
}

// WatchShards calls fn with all shards first and then with those that changed,
// in order. After a lost connection it calls fn with all again. It returns
// when ctx ends. A shard that cannot be read is logged and not delivered.
func (c *Cluster) WatchShards(ctx context.Context, fn func([]steering.Shard)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	deliver := func(kvs []*mvccpb.KeyValue) {
		var out []steering.Shard
		for _, kv := range kvs {
			s, err := c.readShard(kv)
			if err != nil {
				c.opts.Log.Error().Err(err).Msg("a shard of the ledger cannot be read; its last answers stay")
				continue
			}
			out = append(out, s.Shard)
		}
		if len(out) > 0 {
			fn(out)
		}
	}
	f := c.follow(c.keys.shards())
	f.list = deliver
	f.events = func(evs []*clientv3.Event) {
		var kvs []*mvccpb.KeyValue
		for _, ev := range evs {
			if ev.Type == clientv3.EventTypePut {
				kvs = append(kvs, ev.Kv)
			}
		}
		deliver(kvs)
	}
	return f.run(ctx)
}
