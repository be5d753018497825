package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

const (
	// maxNotes is how many notes are kept.
	maxNotes = 2000
	// readAhead is how many entries one request fetches, defaultLimit how many
	// a query without a limit returns.
	readAhead    = 32
	defaultLimit = 100
)

// JournalQuery selects entries of the journal.
type JournalQuery struct {
	// Service keeps the decisions about this service only (absolute name);
	// empty: all.
	Service string
	// Moved keeps the decisions that moved an answer (of Service, if named).
	Moved bool
	// After keeps entries whose Time is later; zero: all.
	After time.Time
	// Limit is how many of the newest are returned; 0 is 100.
	Limit int
}

// Journal returns the newest entries that match, oldest first. An entry that
// cannot be read ends it with a ValueError beside the newer ones.
func (c *Cluster) Journal(ctx context.Context, q JournalQuery) ([]steering.Entry, error) {
	keys, err := c.journalKeys(ctx)
	if err != nil {
		return nil, err
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	if q.Service != "" {
		of := steering.ShardOf(q.Service)
		keys = slices.DeleteFunc(keys, func(k journalKey) bool { return k.shard != of })
	}
	var out []steering.Entry
	for len(keys) > 0 && len(out) < q.Limit {
		batch := keys[max(0, len(keys)-readAhead):]
		keys = keys[:len(keys)-len(batch)]
		entries, err := c.journalEntries(ctx, batch)
		more := true
		for _, e := range slices.Backward(entries) {
			if more = later(e, q.After); !more || len(out) == q.Limit {
				break
			}
			if q.keeps(e) {
				out = append(out, e)
			}
		}
		if err != nil {
			slices.Reverse(out)
			return out, err
		}
		if !more {
			break
		}
	}
	slices.Reverse(out)
	return out, nil
}

// later reports whether e is later than after; an entry whose time cannot be
// read counts as later.
func later(e steering.Entry, after time.Time) bool {
	t, err := time.Parse(time.RFC3339Nano, e.Time)
	return err != nil || after.IsZero() || t.After(after)
}

func (q JournalQuery) keeps(e steering.Entry) bool {
	switch {
	case !q.Moved:
		return q.Service == "" || about(e, q.Service)
	case q.Service == "":
		return len(e.Moved()) > 0
	}
	return slices.Contains(e.Moved(), q.Service)
}

// about reports whether e decided about the service.
func about(e steering.Entry, service string) bool {
	return slices.ContainsFunc(e.Input.Policy.Services, func(s steering.Service) bool { return s.Name == service }) ||
		slices.ContainsFunc(e.Decision.Why, func(r steering.Reason) bool { return r.Service == service })
}

// journalEntries reads entries, in order; one that was pruned meanwhile is
// left out. With an error come the entries that are newer than the bad one.
func (c *Cluster) journalEntries(ctx context.Context, keys []journalKey) ([]steering.Entry, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	ops := make([]clientv3.Op, len(keys))
	for i, k := range keys {
		ops[i] = clientv3.OpGet(c.keys.entry(k))
	}
	resp, err := c.etcd.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	var out []steering.Entry
	for _, r := range slices.Backward(resp.Responses) {
		for _, kv := range r.GetResponseRange().Kvs {
			e, err := unpack[entry](kv.Value)
			if err != nil {
				slices.Reverse(out)
				return out, &ValueError{Key: string(kv.Key), Err: err}
			}
			out = append(out, e.Entry)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// journalKeys lists the journal, oldest first. Keys of another form are not
// entries and are left alone.
func (c *Cluster) journalKeys(ctx context.Context) ([]journalKey, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	resp, err := c.etcd.Get(ctx, c.keys.journal(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("list the journal: %w", err)
	}
	var out []journalKey
	for _, kv := range resp.Kvs {
		if k, ok := c.keys.parseEntry(string(kv.Key)); ok {
			out = append(out, k)
		}
	}
	return out, nil
}

// journal is what a leader knows of the journal: it numbers the entries of its
// term and prunes the oldest in the background.
type journal struct {
	c *Cluster
	l *lead // whose term it is

	mu    sync.Mutex
	n     uint64
	keys  []journalKey // oldest first, but for commits that overtook each other
	bytes int64
	// busy: it is being pruned, or what earlier terms left is not listed yet.
	busy bool
}

// openJournal lists what earlier terms left in the background: nothing that a
// new leader has to do at once needs it.
func (c *Cluster) openJournal(l *lead) *journal {
	j := &journal{c: c, l: l, busy: true}
	c.spawn(j.list)
	return j
}

// list notes what earlier terms left, trying again while the lead lasts. It then
// prunes, if commits have found nothing to prune meanwhile.
func (j *journal) list() {
	for {
		keys, err := j.c.journalKeys(j.c.ctx)
		if err == nil {
			j.mu.Lock()
			// Those of this term are noted as they are committed.
			keys = slices.DeleteFunc(keys, func(k journalKey) bool { return k.term == j.l.term })
			for _, k := range keys {
				j.bytes += k.size
			}
			j.keys = append(keys, j.keys...)
			j.mu.Unlock()
			j.prune()
			return
		}
		j.c.opts.Log.Debug().Err(err).Msg("cannot list the journal, trying again")
		if !j.l.lasts(time.Second) {
			return
		}
	}
}

// next returns a number that no other commit of the term has.
func (j *journal) next() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.n++
	return j.n
}

// add notes a committed entry, and prunes when there are too many.
func (j *journal) add(k journalKey) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keys = append(j.keys, k)
	j.bytes += k.size
	if !j.busy && j.surplus() > 0 {
		j.busy = j.c.spawn(j.prune)
	}
}

// surplus is how many of the oldest keys have to go. It leaves some room below
// the bounds, so that not every commit prunes.
func (j *journal) surplus() int {
	most, room := j.c.conf.Journal.Entries, j.c.conf.Journal.Bytes
	if len(j.keys) <= most && j.bytes <= room {
		return 0
	}
	cut, bytes := max(0, len(j.keys)-most+most/100), j.bytes
	for i, k := range j.keys {
		if i >= cut && bytes <= room-room/100 || i == len(j.keys)-1 {
			return i
		}
		bytes -= k.size
	}
	return cut
}

// prune deletes the oldest entries until the bounds hold, or the lead is over.
func (j *journal) prune() {
	for {
		j.mu.Lock()
		cut := j.surplus()
		if cut == 0 {
			j.busy = false
			j.mu.Unlock()
			return
		}
		first := j.c.keys.entry(j.keys[cut])
		j.mu.Unlock()
		if err := j.deleteBefore(first); err != nil {
			j.c.opts.Log.Warn().Err(err).Msg("could not prune the journal; the next commit tries again")
			j.mu.Lock()
			j.busy = false
			j.mu.Unlock()
			return
		}
		j.mu.Lock()
		for _, k := range j.keys[:cut] {
			j.bytes -= k.size
		}
		j.keys = slices.Delete(j.keys, 0, cut)
		j.mu.Unlock()
	}
}

func (j *journal) deleteBefore(key string) error {
	ctx, cancel := context.WithTimeout(j.c.ctx, j.c.timeout)
	defer cancel()
	if !j.l.Sure() {
		return j.l.over()
	}
	resp, err := j.c.etcd.Txn(ctx).If(j.l.guards()...).Then(clientv3.OpDelete(j.c.keys.journal(), clientv3.WithRange(key))).Commit()
	if err == nil && !resp.Succeeded {
		err = controller.ErrNotLeader
	}
	return err
}
