package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/veerdns/veer/regions"
)

// AsOf is the last time at which everything that this process had heard was
// proven to be what a quorum has; the zero time: never. It is of this process's
// monotonic clock.
func (c *Cluster) AsOf() time.Time {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	return c.world.asOf
}

// Quorum asks whether a quorum answers. An error is what says neither: etcd
// answers and refuses.
func (c *Cluster) Quorum(ctx context.Context) (bool, error) {
	err := c.Reach(ctx)
	if err == nil {
		return true, nil
	}
	// The client gives errors of etcd and of its connections alike.
	var told interface{ Code() codes.Code }
	code := status.Code(err)
	if errors.As(err, &told) {
		code = told.Code()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), code == codes.Unavailable, code == codes.DeadlineExceeded:
		return false, nil
	case c.ctx.Err() != nil, code == codes.Canceled && ctx.Err() == nil: // the member gave up
		return false, nil
	}
	return false, fmt.Errorf("etcd answers, and refuses: %w", err)
}

// TakeoversEnded is the highest term of a takeover whose end this lead knows
// of: up to it, a zone that an operator has taken over may be written again.
func (l *lead) TakeoversEnded() regions.Term { return l.ended }

// EndTakeover raises the ledger's term above that of an operator's takeover,
// and ends the present lead: the next leader's term is higher, and it claims
// the zones again. It may be repeated.
func (c *Cluster) EndTakeover(ctx context.Context, term regions.Term, by, why string) error {
	note, err := c.noteOp(Note{Act: fmt.Sprintf("takeover of term %d ended", term), By: by, Why: why})
	if err != nil {
		return fmt.Errorf("end the takeover: %w", err)
	}
	for {
		done, err := c.endTakeover(ctx, term, note)
		if err != nil {
			return fmt.Errorf("end the takeover of term %d: %w", term, err)
		}
		if done {
			return nil
		}
	}
}

// endTakeover tries once: it is not done where another raised the term
// meanwhile.
func (c *Cluster) endTakeover(ctx context.Context, term regions.Term, note clientv3.Op) (bool, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	key := c.keys.term()
	now, err := c.etcd.Txn(ctx).Then(clientv3.OpGet(key),
		clientv3.OpGet(c.keys.leader(), clientv3.WithPrefix(), clientv3.WithKeysOnly(),
			clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend), clientv3.WithLimit(1))).Commit()
	if err != nil {
		return false, err
	}
	var was termRecord
	var at int64
	raw := []byte("{}")
	if kvs := now.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		at, raw = kvs[0].ModRevision, kvs[0].Value
		if was, err = unpack[termRecord](kvs[0].Value); err != nil {
			return false, &ValueError{Key: key, Err: err}
		}
	}
	// The holder is nobody's, so that nobody leads until the next election.
	next := termRecord{Term: max(was.Term, term) + 1, Holder: newHolder(), Ended: max(was.Ended, term)}
	value, err := repack(raw, next)
	if err != nil {
		return false, err
	}
	ops := []clientv3.Op{clientv3.OpPut(key, string(value)), note}
	if kvs := now.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
		ops = append(ops, clientv3.OpDelete(string(kvs[0].Key)))
	}
	resp, err := c.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", at)).Then(ops...).Commit()
	if err != nil {
		return false, err
	}
	return resp.Succeeded, nil
}
