package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

var _ controller.Marks = (*Cluster)(nil)

// writing says that a leader's write of a zone may be under way.
type writing struct {
	Term   regions.Term `json:"term"`
	Holder string       `json:"holder"`
}

func (w writing) check() error {
	if w.Term < 1 || w.Holder == "" {
		return errors.New("expected a term above 0 and a holder")
	}
	return nil
}

// Marked implements controller.Marks. A mark whose value cannot be read counts.
func (c *Cluster) Marked(ctx context.Context) ([]controller.ZoneID, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Get(ctx, c.keys.writing(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("read which zones are being written: %w", err)
	}
	var out []controller.ZoneID
	for _, kv := range resp.Kvs {
		provider, zone, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), c.keys.writing()), "/")
		out = append(out, controller.ZoneID{Provider: provider, Zone: zone})
	}
	return out, nil
}

// Mark implements controller.Marks.
func (c *Cluster) Mark(ctx context.Context, by controller.Lead, z controller.ZoneID) error {
	l, ok := by.(*lead)
	if !ok || l.c != c {
		return fmt.Errorf("mark zone %s of %s: the lead is not one of this cluster: %w", z.Zone, z.Provider, controller.ErrNotLeader)
	}
	value, err := pack(writing{Term: l.term, Holder: l.holder})
	if err != nil {
		return err
	}
	return l.marks(ctx, z, clientv3.OpPut(c.writingKey(z), string(value)))
}

// Unmark implements controller.Marks. It holds only on the mark that it found:
// one that was given up and arrives late must not undo a later Mark.
func (c *Cluster) Unmark(ctx context.Context, by controller.Lead, z controller.ZoneID) error {
	l, ok := by.(*lead)
	if !ok || l.c != c {
		return fmt.Errorf("unmark zone %s of %s: the lead is not one of this cluster: %w", z.Zone, z.Provider, controller.ErrNotLeader)
	}
	key := c.writingKey(z)
	found, err := c.revision(ctx, key)
	if err != nil {
		return fmt.Errorf("note whether zone %s of %s is being written: %w", z.Zone, z.Provider, err)
	}
	// Where another revision has come meanwhile, a Mark has, and stays.
	return l.marks(ctx, z, clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", found)},
		[]clientv3.Op{clientv3.OpDelete(key)}, nil))
}

// revision is the revision at which the key was written last, 0 without it.
func (c *Cluster) revision(ctx context.Context, key string) (int64, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Get(ctx, key, clientv3.WithKeysOnly())
	if err != nil || len(resp.Kvs) == 0 {
		return 0, err
	}
	return resp.Kvs[0].ModRevision, nil
}

func (c *Cluster) writingKey(z controller.ZoneID) string {
	return c.keys.writing() + z.Provider + "/" + z.Zone
}

func (l *lead) marks(ctx context.Context, z controller.ZoneID, op clientv3.Op) error {
	ctx, cancel := l.c.bound(ctx)
	defer cancel()
	if !l.Sure() {
		return fmt.Errorf("note whether zone %s of %s is being written: %w", z.Zone, z.Provider, l.over())
	}
	resp, err := l.c.etcd.Txn(ctx).If(l.guards()...).Then(op).Commit()
	if err != nil {
		return fmt.Errorf("note whether zone %s of %s is being written: %w", z.Zone, z.Provider, err)
	}
	if !resp.Succeeded {
		return fmt.Errorf("note whether zone %s of %s is being written: %w", z.Zone, z.Provider, controller.ErrNotLeader)
	}
	return nil
}
