package cluster

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions"
)

// Outrank raises the term to one that is served somewhere, where the ledger's
// was lost and is lower, and deposes who leads in it: a server never goes back
// to a lower term, and would not hear that leader.
func (c *Cluster) Outrank(ctx context.Context, served regions.Term) error {
	if served < 1 || served > maxTerm {
		return nil
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	key := c.keys.term()
	for {
		now, err := c.etcd.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read the term: %w", err)
		}
		was, at, raw := termRecord{}, int64(0), []byte("{}")
		if len(now.Kvs) > 0 {
			at, raw = now.Kvs[0].ModRevision, now.Kvs[0].Value
			if was, err = unpack[termRecord](raw); err != nil {
				return &ValueError{Key: key, Err: err}
			}
		}
		if was.Term >= served {
			return nil
		}
		value, err := repack(raw, termRecord{Term: served, Holder: newHolder(), Name: c.opts.Name, Ended: was.Ended})
		if err != nil {
			return err
		}
		resp, err := c.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", at)).
			Then(clientv3.OpPut(key, string(value)), clientv3.OpDelete(c.keys.leader(), clientv3.WithPrefix())).Commit()
		if err != nil {
			return fmt.Errorf("raise the term to the one that is served, %d: %w", served, err)
		}
		if resp.Succeeded {
			c.opts.Log.Warn().Uint64("ledger", uint64(was.Term)).Uint64("served", uint64(served)).
				Msg("the ledger was lost or restored: a higher term is served here; who leads stands for election again, above it")
			return nil
		}
	}
}
