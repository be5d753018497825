package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions/controller"
)

var (
	// ErrNoOrder says that there is no order of that ID (any more).
	ErrNoOrder = errors.New("no such order")
	// ErrOrderExists says that an order of that ID was given before.
	ErrOrderExists = errors.New("an order of this ID exists")
)

// NewOrderID returns an ID for an order given now. IDs are unique, and sort by
// the time at which they were made.
func NewOrderID(now time.Time) string {
	var b [4]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%012x-%s", now.UnixMilli(), hex.EncodeToString(b[:]))
}

// AddOrder puts an override in force; without an ID it gets one. That it was
// given, by whom and why, is noted in the same transaction. Adding the same
// order again, after a lost reply, is ErrOrderExists.
func (c *Cluster) AddOrder(ctx context.Context, o controller.Order) error {
	if o.ID == "" {
		o.ID = NewOrderID(time.Now())
	}
	value, err := pack(order{o})
	if err != nil {
		return fmt.Errorf("add the order: %w", err)
	}
	note, err := c.noteOp(Note{Act: "ordered", By: o.By, Why: o.Why, Order: &o})
	if err != nil {
		return fmt.Errorf("add the order: %w", err)
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	key := c.keys.order(o.ID)
	resp, err := c.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, string(value)), note).Commit()
	if err != nil {
		return fmt.Errorf("add order %s: %w", o.ID, err)
	}
	if !resp.Succeeded {
		return fmt.Errorf("add order %s: %w", o.ID, ErrOrderExists)
	}
	return nil
}

// Orders returns the overrides that are in etcd at this moment, expired ones
// included, sorted by ID: View may lag behind. One that can't be read is left out.
func (c *Cluster) Orders(ctx context.Context) ([]controller.Order, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Get(ctx, c.keys.order(""), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("read the orders: %w", err)
	}
	var out []controller.Order
	for _, kv := range resp.Kvs {
		if o, err := unpack[order](kv.Value); err == nil {
			out = append(out, o.Order)
		}
	}
	return out, nil
}

// DeleteOrder ends an override without a note; see EndOrder. ErrNoOrder says
// that there was none.
func (c *Cluster) DeleteOrder(ctx context.Context, id string) error {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Delete(ctx, c.keys.order(id))
	if err != nil {
		return fmt.Errorf("delete order %s: %w", id, err)
	}
	if resp.Deleted == 0 {
		return fmt.Errorf("delete order %s: %w", id, ErrNoOrder)
	}
	return nil
}

// EndOrder ends an override and notes, in the same transaction, which one it
// was, who ended it and why.
func (c *Cluster) EndOrder(ctx context.Context, id, by, why string) error {
	return c.endOrder(ctx, id, Note{Act: "ended", By: by, Why: why}, nil)
}

// RemoveOrder implements controller.Ledger; the expiry is noted. An order that
// is gone already is no error.
func (c *Cluster) RemoveOrder(ctx context.Context, by controller.Lead, id string) error {
	l, ok := by.(*lead)
	if !ok || l.c != c {
		return fmt.Errorf("remove order %s: the lead is not one of this cluster: %w", id, controller.ErrNotLeader)
	}
	err := c.endOrder(ctx, id, Note{Act: "expired", By: "veer"}, l)
	if errors.Is(err, ErrNoOrder) {
		return nil
	}
	return err
}

func (c *Cluster) endOrder(ctx context.Context, id string, n Note, l *lead) error {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	key := c.keys.order(id)
	now, err := c.etcd.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("read order %s: %w", id, err)
	}
	if len(now.Kvs) == 0 {
		return fmt.Errorf("end order %s: %w", id, ErrNoOrder)
	}
	if o, err := unpack[order](now.Kvs[0].Value); err == nil { // one that cannot be read can still be ended
		n.Order = &o.Order
	}
	note, err := c.noteOp(n)
	if err != nil {
		return fmt.Errorf("end order %s: %w", id, err)
	}
	guards := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", now.Kvs[0].CreateRevision)}
	if l != nil {
		guards = append(guards, l.guards()...)
		if !l.Sure() {
			return fmt.Errorf("end order %s: %w", id, l.over())
		}
	}
	resp, err := c.etcd.Txn(ctx).If(guards...).Then(clientv3.OpDelete(key), note).
		Else(clientv3.OpGet(key, clientv3.WithKeysOnly())).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("end order %s: %w", id, err)
	case resp.Succeeded:
		return nil
	case len(resp.Responses[0].GetResponseRange().Kvs) == 0:
		return fmt.Errorf("end order %s: %w", id, ErrNoOrder)
	}
	return fmt.Errorf("end order %s: %w", id, controller.ErrNotLeader)
}

// JournalNote adds a note beside the decisions in the journal. A zero Time is
// now.
func (c *Cluster) JournalNote(ctx context.Context, n Note) error {
	op, err := c.noteOp(n)
	if err != nil {
		return err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	if _, err := c.etcd.Do(ctx, op); err != nil {
		return fmt.Errorf("write a note: %w", err)
	}
	return nil
}

func (c *Cluster) noteOp(n Note) (clientv3.Op, error) {
	if n.Time.IsZero() {
		n.Time = time.Now().UTC()
	}
	value, err := pack(n)
	if err != nil {
		return clientv3.Op{}, err
	}
	c.pruneNotes()
	return clientv3.OpPut(c.keys.note(NewOrderID(n.Time)), string(value)), nil
}

// Notes returns the newest notes, at most limit of them (0: 100), oldest first.
func (c *Cluster) Notes(ctx context.Context, limit int) ([]Note, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Get(ctx, c.keys.notes(), clientv3.WithPrefix(), clientv3.WithLimit(int64(limit)),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	if err != nil {
		return nil, fmt.Errorf("read the notes: %w", err)
	}
	var out []Note
	for _, kv := range resp.Kvs {
		n, err := unpack[Note](kv.Value)
		if err != nil {
			return out, &ValueError{Key: string(kv.Key), Err: err}
		}
		out = append(out, n)
	}
	slices.Reverse(out)
	return out, nil
}

// pruneNotes deletes the oldest notes in the background when there are more
// than maxNotes.
func (c *Cluster) pruneNotes() {
	c.spawn(func() {
		ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
		defer cancel()
		if err := c.cutNotes(ctx); err != nil && c.ctx.Err() == nil {
			c.opts.Log.Warn().Err(err).Msg("could not prune the notes; the next note tries again")
		}
	})
}

func (c *Cluster) cutNotes(ctx context.Context) error {
	all, err := c.etcd.Get(ctx, c.keys.notes(), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || all.Count <= maxNotes {
		return err
	}
	old, err := c.etcd.Get(ctx, c.keys.notes(), clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend), clientv3.WithLimit(all.Count-maxNotes+1))
	if err != nil || len(old.Kvs) == 0 {
		return err
	}
	_, err = c.etcd.Delete(ctx, c.keys.notes(), clientv3.WithRange(lastKey(old.Kvs)))
	return err
}

func lastKey(kvs []*mvccpb.KeyValue) string { return string(kvs[len(kvs)-1].Key) }
