package cluster

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// insist sends a transaction until there is a reply: what a member has handed to
// a leader of etcd that died is lost, and nobody tells. Each try is given longer,
// should etcd be slow. The transaction must refuse to hold twice. It also returns
// when the try was sent that the reply is to.
func (c *Cluster) insist(ctx context.Context, txn func(context.Context) clientv3.Txn) (*clientv3.TxnResponse, instant, error) {
	for patience := c.conf.try(); ; patience = patience * 3 / 2 {
		sent := c.now()
		try, cancel := c.attempt(ctx, patience)
		resp, err := txn(try).Commit()
		over := try.Err() != nil
		cancel()
		if err == nil || ctx.Err() != nil || errors.Is(err, rpctypes.ErrLeaseNotFound) || errors.Is(err, rpctypes.ErrPermissionDenied) {
			return resp, sent, err
		}
		if !over { // refused, as by a member that has no leader of etcd
			pause(ctx, 20*time.Millisecond)
		}
	}
}

// attempt is the time of one try of a request that can be sent again. It ends
// when etcd has another leader: what the one before was handed may be lost.
func (c *Cluster) attempt(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	if c.member != nil {
		changed := c.member.etcd.Server.LeaderChangedNotify()
		c.spawn(func() {
			select {
			case <-changed:
				cancel()
			case <-ctx.Done():
			}
		})
	}
	return ctx, cancel
}
