package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions/steering"
)

// Place is how far a reader of the journal has come. The zero Place is before
// everything that there is.
type Place struct {
	// Cluster is etcd's own ID of the cluster.
	Cluster   uint64 `json:"cluster"`
	Decisions Mark   `json:"decisions"`
	Notes     Mark   `json:"notes"`
}

// Mark is how far one kind of record was read.
type Mark struct {
	// Revision is that of etcd up to which all was read.
	Revision int64 `json:"revision"`
	// Key is the last record's, At its revision: by them it shows whether what
	// followed was pruned, and whether the ledger is still the same one.
	Key string `json:"key,omitempty"`
	At  int64  `json:"at,omitempty"`
}

// Record is one thing of the journal. One of Entry, Note and Gap is set.
type Record struct {
	// Place is where to go on after it.
	Place Place
	Entry *steering.Entry
	Note  *Note
	// Gap says in words why records before this one may be missing. Anew: the
	// ledger is another one, and all of it comes from here on.
	Gap  string
	Anew bool
}

// tailCheck is how often a tail looks whether its watch has left a record out.
const tailCheck = 10 * time.Second

// errSilent says that a watch did not tell of a record.
var errSilent = errors.New("the watch left a record out")

// Now returns the place after the newest record, for a reader that wants only
// what comes.
func (c *Cluster) Now(ctx context.Context) (Place, error) {
	p, _, err := (&tail{c: c}).end(ctx)
	return p, err
}

// Tail calls fn with each record of the journal after from, decisions and
// notes, in the order in which they were agreed on, and then with each new one.
// Each record comes once, but after a restore of the ledger, when what is left
// of it comes again. Where records may be missing between from and the next
// one, a Record with Gap says so first: the ledger keeps the newest decisions
// only (Config.Journal). It returns when ctx ends, or with fn's error: no record
// is read ahead of fn, so one that cannot go on ends the tail and begins it
// again from its last place. Errors of etcd are tried again.
func (c *Cluster) Tail(ctx context.Context, from Place, fn func(Record) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	t := &tail{c: c, at: from, fn: fn}
	wait := 50 * time.Millisecond
	for {
		was, seen := t.at, t.seen
		err := t.once(ctx)
		if t.failed != nil {
			return t.failed
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if t.at != was || t.seen != seen {
			wait = 50 * time.Millisecond
		}
		c.opts.Log.Debug().Err(err).Msg("the journal's watch ended; listing again")
		if !pause(ctx, wait) {
			return ctx.Err()
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// Records calls fn as Tail does, with each record after from that there is now.
// It returns fn's error, or that of etcd.
func (c *Cluster) Records(ctx context.Context, from Place, fn func(Record) error) error {
	t := &tail{c: c, at: from, fn: fn}
	newest, rev, err := t.end(ctx)
	if err != nil {
		return err
	}
	return t.catchUp(ctx, rev, newest.Cluster)
}

// tail is one reader.
type tail struct {
	c  *Cluster
	at Place
	// seen is the revision up to which all was read. It is not in at, since a
	// record's place must be the same for whoever reads it, whenever that is.
	seen   int64
	fn     func(Record) error
	failed error // fn's
}

// recordKey is the key of a record that is not read yet.
type recordKey struct {
	key string
	rev int64
}

// once reads what there is, then watches until that fails.
func (t *tail) once(ctx context.Context) error {
	newest, rev, err := t.end(ctx)
	if err != nil {
		return err
	}
	if err := t.catchUp(ctx, rev, newest.Cluster); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// One watch of all from the journal to the notes, since two would not keep the
	// order. Of what is between, leader/ and memory/, little comes.
	both := clientv3.WithRange(clientv3.GetPrefixRangeEnd(t.c.keys.notes()))
	return t.watch(ctx, t.c.etcd.Watch(ctx, t.c.keys.journal(), both, clientv3.WithRev(rev+1), clientv3.WithFilterDelete()))
}

// end is the place after the newest record, and etcd's revision then.
func (t *tail) end(ctx context.Context) (Place, int64, error) {
	ctx, cancel := t.c.bound(ctx)
	defer cancel()
	newest := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(1), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)}
	resp, err := t.c.etcd.Txn(ctx).Then(clientv3.OpGet(t.c.keys.journal(), newest...), clientv3.OpGet(t.c.keys.notes(), newest...)).Commit()
	if err != nil {
		return Place{}, 0, fmt.Errorf("read the journal's end: %w", err)
	}
	p, rev := Place{Cluster: resp.Header.ClusterId}, resp.Header.Revision
	for i, m := range []*Mark{&p.Decisions, &p.Notes} {
		for _, kv := range resp.Responses[i].GetResponseRange().Kvs {
			m.Key, m.At = string(kv.Key), kv.ModRevision
		}
		m.Revision = rev
	}
	return p, rev, nil
}

// mark is the one of the key's kind.
func (p *Place) mark(k keys, key string) *Mark {
	if strings.HasPrefix(key, k.notes()) {
		return &p.Notes
	}
	return &p.Decisions
}

// has reports whether a record was read. Of those of one revision, as a restore
// writes them, it is told by the key.
func (m Mark) has(k recordKey) bool {
	return k.rev < m.Revision || k.rev == m.Revision && (m.At < m.Revision || k.key <= m.Key)
}

// after is the place past a record.
func (p Place) after(k keys, key string, rev int64) Place {
	*p.mark(k, key) = Mark{Revision: rev, Key: key, At: rev}
	return p
}

// catchUp delivers what there was between t.at and a revision of a cluster.
func (t *tail) catchUp(ctx context.Context, rev int64, cluster uint64) error {
	keys, err := t.keysAt(ctx, rev)
	if err != nil {
		return err
	}
	gap, anew := "", false
	switch other, err := t.other(ctx, rev, cluster); {
	case err != nil:
		return err
	case t.at == Place{}:
		t.at.Cluster = cluster
	case other:
		gap = "the ledger is another one than before, as after a restore: what is in it comes again, and what is not in it is lost"
		t.at, anew = Place{Cluster: cluster}, true
	default:
		gap = t.pruned(keys, rev)
	}
	if gap != "" {
		if err := t.deliver(Record{Place: t.at, Gap: gap, Anew: anew}); err != nil {
			return err
		}
	}
	keys = slices.DeleteFunc(keys, func(k recordKey) bool { return t.at.mark(t.c.keys, k.key).has(k) })
	for batch := range slices.Chunk(keys, readAhead) {
		if err := t.read(ctx, batch); err != nil {
			return err
		}
	}
	t.seen = rev
	return nil
}

// pruned says which records after t.at may be gone, by the keys that there are
// at a revision; "": none.
func (t *tail) pruned(there []recordKey, rev int64) string {
	var out []string
	for what, m := range map[string]*Mark{"decisions": &t.at.Decisions, "notes": &t.at.Notes} {
		oldest := rev
		if i := slices.IndexFunc(there, func(k recordKey) bool { return t.at.mark(t.c.keys, k.key) == m }); i >= 0 {
			oldest = there[i].rev
		}
		if m.Key != "" && oldest > m.At {
			out = append(out, fmt.Sprintf("%s between revision %d and %d may be missing: the ledger has pruned them", what, m.At, oldest))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// keysAt lists the records as of a revision, in the order in which they were
// agreed on.
func (t *tail) keysAt(ctx context.Context, rev int64) ([]recordKey, error) {
	ctx, cancel := t.c.bound(ctx)
	defer cancel()
	var all []recordKey
	for _, prefix := range []string{t.c.keys.journal(), t.c.keys.notes()} {
		resp, err := t.c.etcd.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithRev(rev))
		if err != nil {
			return nil, fmt.Errorf("list the journal: %w", err)
		}
		for _, kv := range resp.Kvs {
			if t.c.keys.isRecord(string(kv.Key)) {
				all = append(all, recordKey{string(kv.Key), kv.ModRevision})
			}
		}
	}
	slices.SortFunc(all, func(a, b recordKey) int { return cmp.Or(cmp.Compare(a.rev, b.rev), strings.Compare(a.key, b.key)) })
	return all, nil
}

// isRecord reports whether a key is that of a decision or a note.
func (k keys) isRecord(key string) bool {
	_, known := k.parseEntry(key)
	return known || strings.HasPrefix(key, k.notes())
}

// other reports whether the ledger is not the one of t.at: rebuilt ledgers begin
// their revisions again, and may have the same ID.
func (t *tail) other(ctx context.Context, rev int64, cluster uint64) (bool, error) {
	if t.at.Cluster != cluster || max(t.at.Decisions.Revision, t.at.Notes.Revision, t.seen) > rev {
		return true, nil
	}
	ctx, cancel := t.c.bound(ctx)
	defer cancel()
	for _, m := range []Mark{t.at.Decisions, t.at.Notes} {
		if m.Key == "" {
			continue
		}
		resp, err := t.c.etcd.Get(ctx, m.Key, clientv3.WithKeysOnly(), clientv3.WithRev(rev))
		if err != nil {
			return false, fmt.Errorf("read the journal: %w", err)
		}
		if len(resp.Kvs) > 0 && resp.Kvs[0].ModRevision != m.At {
			return true, nil
		}
	}
	return false, nil
}

// read delivers records by their keys. One that was pruned meanwhile is a gap.
func (t *tail) read(ctx context.Context, batch []recordKey) error {
	ctx, cancel := t.c.bound(ctx)
	defer cancel()
	ops := make([]clientv3.Op, len(batch))
	for i, k := range batch {
		ops[i] = clientv3.OpGet(k.key)
	}
	resp, err := t.c.etcd.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	for i, r := range resp.Responses {
		if kvs := r.GetResponseRange().Kvs; len(kvs) > 0 {
			err = t.take(kvs[0])
		} else {
			err = t.deliver(Record{Place: t.at.after(t.c.keys, batch[i].key, batch[i].rev), Gap: fmt.Sprintf("the record of revision %d is missing: it was pruned before it was read", batch[i].rev)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take delivers one record. A value that cannot be read is a gap: it must not
// stop what comes after it.
func (t *tail) take(kv *mvccpb.KeyValue) error {
	key := string(kv.Key)
	r := Record{Place: t.at.after(t.c.keys, key, kv.ModRevision)}
	if strings.HasPrefix(key, t.c.keys.notes()) {
		n, err := unpack[Note](kv.Value)
		if r.Note = &n; err != nil {
			r.Note, r.Gap = nil, (&ValueError{Key: key, Err: err}).Error()
		}
	} else {
		e, err := unpack[entry](kv.Value)
		if r.Entry = &e.Entry; err != nil {
			r.Entry, r.Gap = nil, (&ValueError{Key: key, Err: err}).Error()
		}
	}
	return t.deliver(r)
}

func (t *tail) deliver(r Record) error {
	if err := t.fn(r); err != nil {
		t.failed = err
		return err
	}
	t.at = r.Place
	return nil
}

// watch delivers new records until the watch fails, or turns out to have left
// one out.
func (t *tail) watch(ctx context.Context, records clientv3.WatchChan) error {
	check := time.NewTicker(tailCheck)
	defer check.Stop()
	var unheard string // the key that the last check knew of and the watch had not told
	for {
		var resp clientv3.WatchResponse
		var ok bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case resp, ok = <-records:
		case <-check.C:
			key, err := t.ahead(ctx)
			if err != nil {
				continue // the watch itself says whether etcd is gone
			}
			if key != "" && key == unheard {
				return errSilent
			}
			unheard = key
			continue
		}
		if !ok {
			return errors.New("the watch was closed")
		}
		if err := resp.Err(); err != nil {
			return fmt.Errorf("watch the journal: %w", err)
		}
		for _, ev := range resp.Events {
			if !t.c.keys.isRecord(string(ev.Kv.Key)) {
				continue // of what else is in the range
			}
			if err := t.take(ev.Kv); err != nil {
				return err
			}
		}
	}
}

// ahead is the key of a record beyond those that were delivered; "": there is
// none. Keys of decisions sort by term and number, those of notes by time.
func (t *tail) ahead(ctx context.Context) (string, error) {
	ctx, cancel := t.c.bound(ctx)
	defer cancel()
	for prefix, m := range map[string]Mark{t.c.keys.journal(): t.at.Decisions, t.c.keys.notes(): t.at.Notes} {
		resp, err := t.c.etcd.Get(ctx, max(m.Key+"\x00", prefix), clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err != nil {
			return "", err
		}
		if len(resp.Kvs) > 0 && resp.Kvs[0].ModRevision > max(m.Revision, t.seen) {
			return string(resp.Kvs[0].Key), nil
		}
	}
	return "", nil
}
