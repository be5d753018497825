package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// askLease is how long a request that nobody answers is kept, and a reply
	// that nobody reads.
	askLease = time.Minute
	// maxAsk bounds a request and a reply, in bytes.
	maxAsk = 8 << 20
)

// ErrUnanswered means that no leader took the request in time: it was not
// carried out, and will not be.
var ErrUnanswered = errors.New("no leader took the request")

// ErrInTheDark means that a leader took the request, and its reply did not
// come: what became of it is not known.
var ErrInTheDark = errors.New("a leader took the request and has not told what became of it")

// request is something that a process asks the leader to do.
type request struct {
	From string          `json:"from"`
	Body json.RawMessage `json:"body"`
}

func (r request) check() error { return checkAsk(r.Body) }

// reply is what became of a request. Until Done it was only taken, by the
// leader named.
type reply struct {
	Leader string          `json:"leader"`
	Done   bool            `json:"done,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
}

func (r reply) check() error {
	if !r.Done {
		return nil
	}
	return checkAsk(r.Body)
}

func checkAsk(body json.RawMessage) error {
	if len(body) == 0 || len(body) > maxAsk || !json.Valid(body) {
		return fmt.Errorf("a body of %d bytes: expected JSON of 1 to %d", len(body), maxAsk)
	}
	return nil
}

// Ask has the leader carry out a request, wherever that is, and returns its
// name and its reply. The request goes with its lease, or with ctx: then
// ErrUnanswered or ErrInTheDark says whether it was taken.
func (c *Cluster) Ask(ctx context.Context, body json.RawMessage) (leader string, answer json.RawMessage, err error) {
	value, err := pack(request{From: c.opts.Name, Body: body})
	if err != nil {
		return "", nil, fmt.Errorf("ask the leader: %w", err)
	}
	if len(value) > requestBytes-4<<10 {
		return "", nil, fmt.Errorf("ask the leader: the request has %d bytes, etcd takes %d: ask where the leader is", len(value), requestBytes)
	}
	granting, cancel := c.bound(ctx)
	defer cancel()
	lease, err := c.etcd.Grant(granting, seconds(askLease))
	if err != nil {
		return "", nil, fmt.Errorf("ask the leader: %w", err)
	}
	defer c.revoke(lease.ID)
	id := newHolder()
	put, err := c.etcd.Put(granting, c.keys.ask(id), string(value), clientv3.WithLease(lease.ID))
	if err != nil { // it may be there all the same
		return "", nil, errors.Join(c.withdraw(id), err)
	}
	return c.awaitReply(ctx, id, put.Header.Revision)
}

func (c *Cluster) awaitReply(ctx context.Context, id string, rev int64) (string, json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), askLease)
	defer cancel()
	taken := ""
	for watch := c.etcd.Watch(ctx, c.keys.reply(id), clientv3.WithRev(rev+1)); ; {
		resp, ok := <-watch
		for _, ev := range resp.Events {
			if ev.Type != clientv3.EventTypePut {
				continue
			}
			r, err := unpack[reply](ev.Kv.Value)
			if err != nil {
				return "", nil, &ValueError{Key: string(ev.Kv.Key), Err: err}
			}
			if taken = r.Leader; r.Done {
				return r.Leader, r.Body, nil
			}
		}
		switch {
		case ok && resp.Err() == nil:
			continue
		case taken != "":
			return taken, nil, fmt.Errorf("ask the leader, %s: %w", taken, ErrInTheDark)
		}
		return "", nil, c.withdraw(id)
	}
}

// withdraw takes a request back, unless it was taken meanwhile.
func (c *Cluster) withdraw(id string) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	defer cancel()
	resp, err := c.etcd.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(c.keys.reply(id)), "=", 0)).
		Then(clientv3.OpDelete(c.keys.ask(id))).Commit()
	if err != nil || !resp.Succeeded {
		return fmt.Errorf("ask the leader: %w", errors.Join(ErrInTheDark, err))
	}
	return fmt.Errorf("ask the leader: %w", ErrUnanswered)
}

// Answer carries out what others ask for, one after another, until ctx ends.
// leads says whether this process leads; a request is taken only then, and by
// one process only. It returns nil.
func (c *Cluster) Answer(ctx context.Context, leads func() bool, do func(ctx context.Context, from string, body json.RawMessage) json.RawMessage) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	f := c.follow(c.keys.asks())
	each := func(kv *mvccpb.KeyValue) {
		if !leads() {
			return
		}
		if err := c.answer(ctx, kv, do); err != nil && ctx.Err() == nil {
			c.opts.Log.Warn().Err(err).Msg("could not answer a request")
		}
	}
	f.list = func(kvs []*mvccpb.KeyValue) {
		for _, kv := range kvs {
			each(kv)
		}
	}
	f.events = func(evs []*clientv3.Event) {
		for _, ev := range evs {
			if ev.Type == clientv3.EventTypePut {
				each(ev.Kv)
			}
		}
	}
	_ = f.run(ctx) // it ends with ctx only
	return nil
}

// answer takes a request, carries it out and replies.
func (c *Cluster) answer(ctx context.Context, kv *mvccpb.KeyValue, do func(ctx context.Context, from string, body json.RawMessage) json.RawMessage) error {
	id := string(kv.Key)[len(c.keys.asks()):]
	req, err := unpack[request](kv.Value)
	if err != nil {
		return &ValueError{Key: string(kv.Key), Err: err}
	}
	taken, err := pack(reply{Leader: c.opts.Name})
	if err != nil {
		return err
	}
	lease := clientv3.WithLease(clientv3.LeaseID(kv.Lease))
	resp, err := c.txn(ctx, []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(c.keys.ask(id)), "=", kv.CreateRevision),
		clientv3.Compare(clientv3.CreateRevision(c.keys.reply(id)), "=", 0),
	}, clientv3.OpPut(c.keys.reply(id), string(taken), lease))
	if err != nil || !resp.Succeeded {
		return err // it is gone, or another's
	}
	value, err := pack(reply{Leader: c.opts.Name, Done: true, Body: do(ctx, req.From, req.Body)})
	if err != nil {
		return err
	}
	_, err = c.txn(ctx, []clientv3.Cmp{
		clientv3.Compare(clientv3.ModRevision(c.keys.reply(id)), "=", resp.Header.Revision),
	}, clientv3.OpPut(c.keys.reply(id), string(value), lease))
	return err
}

func (c *Cluster) txn(ctx context.Context, guards []clientv3.Cmp, op clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	return c.etcd.Txn(ctx).If(guards...).Then(op).Commit()
}
