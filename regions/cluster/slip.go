package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions/controller"
)

// maxSlip bounds a slip, maxSlips how many are listed.
const (
	maxSlip  = 8 << 20
	maxSlips = 1000
)

// slip is the JSON of whoever keeps it.
type slip struct{ json.RawMessage }

func (s slip) check() error {
	if len(s.RawMessage) > maxSlip || !json.Valid(s.RawMessage) {
		return fmt.Errorf("%d bytes: expected JSON of at most %d", len(s.RawMessage), maxSlip)
	}
	return nil
}

// Slip returns what is kept under a name in the ledger, beside what is decided,
// and its revision; 0: nothing is.
func (c *Cluster) Slip(ctx context.Context, name string) (json.RawMessage, controller.Revision, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Get(ctx, c.keys.slip(name))
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, err)
	}
	if len(resp.Kvs) == 0 {
		return nil, 0, nil
	}
	kv := resp.Kvs[0]
	s, err := unpack[slip](kv.Value)
	if err != nil {
		return nil, controller.Revision(kv.ModRevision), &ValueError{Key: string(kv.Key), Err: err}
	}
	return s.RawMessage, controller.Revision(kv.ModRevision), nil
}

// Slips returns all whose name begins with prefix, by name. One that cannot be
// read ends it with a ValueError.
func (c *Cluster) Slips(ctx context.Context, prefix string) (map[string]json.RawMessage, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Get(ctx, c.keys.slip(prefix), clientv3.WithPrefix(), clientv3.WithLimit(maxSlips))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	out := make(map[string]json.RawMessage, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		s, err := unpack[slip](kv.Value)
		if err != nil {
			return out, &ValueError{Key: string(kv.Key), Err: err}
		}
		out[string(kv.Key)[len(c.keys.slip("")):]] = s.RawMessage
	}
	return out, nil
}

// PutSlip keeps a value under a name, if that is still at the revision from (0:
// it does not exist), and returns the new revision. ErrMoved says that another
// has written it. After another error it is not known whether it is kept.
func (c *Cluster) PutSlip(ctx context.Context, name string, value json.RawMessage, from controller.Revision) (controller.Revision, error) {
	if name == "" || len(name) > 400 {
		return 0, fmt.Errorf("keep %q: expected a name of at most 400 bytes", name)
	}
	packed, err := pack(slip{value})
	if err == nil && len(packed) > requestBytes-4<<10 {
		err = fmt.Errorf("%d bytes, compressed: etcd takes %d", len(packed), requestBytes)
	}
	if err != nil {
		return 0, fmt.Errorf("keep %s: %w", name, err)
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	key := c.keys.slip(name)
	resp, err := c.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", int64(from))).Then(clientv3.OpPut(key, string(packed))).Commit()
	if err != nil {
		return 0, fmt.Errorf("keep %s: %w", name, err)
	}
	if !resp.Succeeded {
		return 0, fmt.Errorf("keep %s: %w", name, controller.ErrMoved)
	}
	return controller.Revision(resp.Header.Revision), nil
}
