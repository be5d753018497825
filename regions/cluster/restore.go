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

// seqGap is how far a restored shard's Seq goes on above the backup's: commits
// that were made since, and are lost, must not be numbered again, nor may the
// serial of a zone that is derived from the numbers go back. Of all shards it
// is far below half of a serial's range (RFC 1982), so that it counts as growth.
const seqGap = 1 << 20

var (
	// ErrLedgerExists means that a restore would replace a ledger, or depose a
	// leader, and was not told to.
	ErrLedgerExists = errors.New("there is a ledger already")
	// ErrOwner means that a backup is another owner's.
	ErrOwner = errors.New("the backup is another owner's")
	// ErrRestoring means that another restore has begun meanwhile.
	ErrRestoring = errors.New("another restore has begun")
)

// Restoring is what a restore is told beside the backup.
type Restoring struct {
	By, Why string
	// Over replaces a ledger that exists, and deposes who leads.
	Over bool
	// Floor is the highest term that is known beside the ledger: of fences, and
	// of what is served. The next term is above it.
	Floor regions.Term
	// Zones are those in which a write of the lost ledger's leader may be under
	// way: the next leader claims them.
	Zones []controller.ZoneID
}

// restoring is the value of the key that keeps everybody from leading while a
// restore goes on, or has been broken off.
type restoring struct {
	ID string    `json:"id"`
	By string    `json:"by"`
	At time.Time `json:"at"`
}

func (r restoring) check() error {
	if r.ID == "" {
		return errors.New("no ID")
	}
	return nil
}

// Restore puts a backup's ledger and orders in the place of those that are
// there, and adds its decisions and notes to theirs. It returns the term above
// which the next leader's will be. Nobody leads from its first step to its last.
// Broken off between them, it leaves a mark: nobody leads then before a restore
// has come to its end, so that half a ledger is never acted on.
func (c *Cluster) Restore(ctx context.Context, b Backup, o Restoring) (regions.Term, error) {
	if b.Owner != c.opts.Owner {
		return 0, fmt.Errorf("restore the ledger: %w: it is %q's, this one is %q's", ErrOwner, b.Owner, c.opts.Owner)
	}
	r := restore{c: c, b: b, o: o, mark: restoring{ID: newHolder(), By: o.By, At: time.Now().UTC().Truncate(time.Second)}}
	for _, step := range []func(context.Context) error{r.begin, r.clear, r.fill, r.end} {
		if err := step(ctx); err != nil {
			if r.at != 0 {
				err = fmt.Errorf("%w; the restore is half done, and nobody leads until one has ended: run it again", err)
			}
			return r.term, fmt.Errorf("restore the ledger: %w", err)
		}
	}
	return r.term, nil
}

type restore struct {
	c    *Cluster
	b    Backup
	o    Restoring
	mark restoring
	at   int64 // the revision of the mark, once it is there
	term regions.Term
	seqs map[int]uint64 // of the shards that were there
}

// begin looks at what is there, and then, in one transaction, deposes the
// leader, raises the term and puts the mark.
func (r *restore) begin(ctx context.Context) error {
	k := r.c.keys
	ctx, cancel := r.c.bound(ctx)
	defer cancel()
	resp, err := r.c.etcd.Txn(ctx).Then(clientv3.OpGet(k.term()), clientv3.OpGet(k.restoring()),
		clientv3.OpGet(k.leader(), clientv3.WithPrefix(), clientv3.WithKeysOnly()),
		clientv3.OpGet(k.shards(), clientv3.WithPrefix()),
		clientv3.OpGet(k.order(""), clientv3.WithPrefix(), clientv3.WithCountOnly())).Commit()
	if err != nil {
		return fmt.Errorf("look at what is there: %w", err)
	}
	term, mark, leaders := resp.Responses[0].GetResponseRange(), resp.Responses[1].GetResponseRange(), resp.Responses[2].GetResponseRange()
	shards, orders := resp.Responses[3].GetResponseRange(), resp.Responses[4].GetResponseRange()
	if there := len(leaders.Kvs) + len(shards.Kvs) + int(orders.Count); there > 0 && len(mark.Kvs) == 0 && !r.o.Over {
		return fmt.Errorf("%w: %d shards, %d orders, %d candidates", ErrLedgerExists, len(shards.Kvs), orders.Count, len(leaders.Kvs))
	}
	r.seqs = map[int]uint64{}
	for _, kv := range shards.Kvs { // one that cannot be read is replaced as well
		if s, err := r.c.readShard(kv); err == nil {
			r.seqs[s.ID] = s.Seq
		}
	}
	was, at := termRecord{}, int64(0)
	raw := []byte("{}")
	if len(term.Kvs) > 0 {
		at = term.Kvs[0].ModRevision
		if was, err = unpack[termRecord](term.Kvs[0].Value); err == nil {
			raw = term.Kvs[0].Value
		}
	}
	r.term = max(was.Term, r.b.Term, r.o.Floor, 1)
	raised, err := repack(raw, termRecord{Term: r.term, Holder: r.mark.ID, Name: "restore", Ended: was.Ended})
	if err != nil {
		return err
	}
	marked, err := pack(r.mark)
	if err != nil {
		return err
	}
	done, err := r.c.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(k.term()), "=", at)).
		Then(clientv3.OpPut(k.term(), string(raised)), clientv3.OpPut(k.restoring(), string(marked)),
			clientv3.OpDelete(k.leader(), clientv3.WithPrefix())).Commit()
	if err != nil {
		return fmt.Errorf("begin (if it has begun, nobody leads until a restore has ended): %w", err)
	}
	if !done.Succeeded {
		return errors.New("another began to lead at the same moment, and nothing was changed: try again")
	}
	r.at = done.Header.Revision
	return nil
}

// clear takes away what the backup replaces.
func (r *restore) clear(ctx context.Context) error {
	return r.do(ctx, clientv3.OpDelete(r.c.keys.shards(), clientv3.WithPrefix()), clientv3.OpDelete(r.c.keys.order(""), clientv3.WithPrefix()))
}

// fill puts the backup's values, a transaction's worth at a time.
func (r *restore) fill(ctx context.Context) error {
	var ops []clientv3.Op
	size := 0
	for _, v := range r.b.kept {
		raw, err := r.value(v)
		if err != nil {
			return fmt.Errorf("key %s: %w", v.Key, err)
		}
		if len(ops) == txnOps || len(ops) > 0 && size+len(raw) > txnBytes {
			if err := r.do(ctx, ops...); err != nil {
				return err
			}
			ops, size = nil, 0
		}
		ops, size = append(ops, clientv3.OpPut(string(r.c.keys)+v.Key, string(raw))), size+len(raw)
	}
	if len(ops) == 0 {
		return nil
	}
	return r.do(ctx, ops...)
}

// value is a value as it is restored: a shard's Seq goes on above all that may
// have been used.
func (r *restore) value(v kept) ([]byte, error) {
	id, err := r.c.keys.shardID(string(r.c.keys) + v.Key)
	if err != nil {
		return v.Value, nil // not a shard
	}
	s, err := unpack[shard](v.Value)
	if err != nil {
		return nil, err
	}
	s.Seq = max(s.Seq, r.seqs[id]) + seqGap
	return repack(v.Value, s)
}

// end takes the mark away, in the transaction that notes the restore.
func (r *restore) end(ctx context.Context) error {
	note, err := r.c.noteOp(Note{Act: fmt.Sprintf("restored the backup of %s, term %d", r.b.Made.Format(time.RFC3339), r.b.Term), By: r.o.By, Why: r.o.Why})
	if err != nil {
		return err
	}
	ops := []clientv3.Op{note, clientv3.OpDelete(r.c.keys.restoring())}
	for _, z := range r.o.Zones {
		value, err := pack(writing{Term: r.term, Holder: r.mark.ID})
		if err != nil {
			return err
		}
		if ops = append(ops, clientv3.OpPut(r.c.writingKey(z), string(value))); len(ops) == txnOps {
			if err := r.do(ctx, ops[2:]...); err != nil {
				return err
			}
			ops = ops[:2]
		}
	}
	return r.do(ctx, ops...)
}

// do makes a step, as long as no other restore has begun.
func (r *restore) do(ctx context.Context, ops ...clientv3.Op) error {
	ctx, cancel := r.c.bound(ctx)
	defer cancel()
	resp, err := r.c.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(r.c.keys.restoring()), "=", r.at)).Then(ops...).Commit()
	if err != nil {
		return err
	}
	if !resp.Succeeded {
		return ErrRestoring
	}
	return nil
}

// HalfRestored reports whether a restore is known to have begun and not ended.
func (c *Cluster) HalfRestored(ctx context.Context) bool {
	now, err := c.read(ctx, c.keys.restoring(), clientv3.WithKeysOnly())
	return err == nil && len(now.Kvs) > 0
}

// awaitRestore waits while a restore goes on, and then has the election begun
// anew.
func (l *lead) awaitRestore(ctx context.Context) error {
	key := l.c.keys.restoring()
	now, err := l.c.etcd.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("look for a restore: %w", err)
	}
	if len(now.Kvs) == 0 {
		return nil
	}
	r, _ := unpack[restoring](now.Kvs[0].Value) // whoever began it
	l.c.opts.Log.Warn().Str("by", r.By).Time("since", r.At).
		Msg("a restore of the ledger has begun and not ended: nobody leads before; if it was broken off, run veer restore again")
	l.c.awaitDeletion(ctx, key, now.Header.Revision, 10*time.Second)
	return errRetry
}
