package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions"
)

const (
	// MaxBackup bounds a backup's file, in bytes. The oldest decisions of a
	// journal that is larger are left out.
	MaxBackup = 256 << 20
	// maxKept bounds the values of a backup, each with its line.
	maxKept = 3*maxEntries/2 + maxNotes
	// backupPage is how many values one request reads.
	backupPage = 32
)

// Backup is an owner's ledger, orders, journal and notes at one revision. Votes
// are not in it: they are made again. The values are as etcd has them, so that
// fields of a newer version stay.
type Backup struct {
	Owner string
	// Term is the last term; 0: there was none.
	Term regions.Term
	// Made is when, by the clock of whoever made it, and Version the Veer.
	Made    time.Time
	Version string
	// Agreed: a majority of the members stands behind it. Otherwise it is what
	// one member had, and may lack the last writes.
	Agreed bool
	// LeftOut is how many of the oldest decisions had no room; Unread are keys
	// whose values cannot be read, and are left out.
	LeftOut int
	Unread  []string

	kept []kept // sorted by key
	size int    // of their lines
}

// kept is one value; its key is below the owner's.
type kept struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Counts tells how many values of each kind a backup has.
func (b Backup) Counts() (shards, orders, decisions, notes int) {
	for _, v := range b.kept {
		switch kind, _, _ := strings.Cut(v.Key, "/"); kind {
		case "shard":
			shards++
		case "journal":
			decisions++
		case "note":
			notes++
		default:
			orders++
		}
	}
	return shards, orders, decisions, notes
}

// backedUp are the prefixes of what a backup has, with the journal last.
func (k keys) backedUp() []string {
	return []string{k.shards(), k.world() + "order/", k.notes(), k.journal()}
}

// checkKept refuses a key that a backup may not have, and a value that its
// readers would refuse.
func (k keys) checkKept(key string, raw []byte) error {
	whole := string(k) + key
	switch {
	case len(raw) > requestBytes:
		return fmt.Errorf("%d bytes: expected at most %d", len(raw), requestBytes)
	case strings.HasPrefix(whole, k.shards()):
		id, err := k.shardID(whole)
		if err != nil {
			return err
		}
		s, err := unpack[shard](raw)
		if err == nil && s.ID != id {
			err = fmt.Errorf("found shard %d, expected shard %d", s.ID, id)
		}
		return err
	case strings.HasPrefix(whole, k.journal()):
		at, ok := k.parseEntry(whole)
		if !ok || at.size != int64(len(raw)) {
			return errors.New("expected journal/TERM/NUMBER/SHARD-SIZE of its value")
		}
		e, err := unpack[entry](raw)
		if err == nil && (e.Term != at.term || e.Shard != at.shard) {
			err = fmt.Errorf("found a decision of term %d, shard %d", e.Term, e.Shard)
		}
		return err
	case strings.HasPrefix(whole, k.notes()):
		if err := checkName("note", strings.TrimPrefix(whole, k.notes())); err != nil {
			return err
		}
		_, err := unpack[Note](raw)
		return err
	case strings.HasPrefix(whole, k.order("")):
		o, err := unpack[order](raw)
		if err == nil && k.order(o.ID) != whole {
			err = fmt.Errorf("found order %q", o.ID)
		}
		return err
	}
	return errors.New("not a shard, an order, a decision or a note")
}

// add takes a value in, or notes that it cannot be read. It reports false when
// there is no room for it.
func (b *Backup) add(k keys, key string, raw []byte) bool {
	key = strings.TrimPrefix(key, string(k))
	if err := k.checkKept(key, raw); err != nil {
		b.Unread = append(b.Unread, fmt.Sprintf("%s%s: %v", k, key, err))
		return true
	}
	size := len(key) + (len(raw)+2)/3*4 + len(`{"key":"","value":""}`+"\n")
	if b.size+size > MaxBackup-maxHeader || len(b.kept) == maxKept {
		return false
	}
	b.size += size
	b.kept = append(b.kept, kept{key, raw})
	return true
}

// errHalf refuses to make a backup of half a ledger.
var errHalf = errors.New("a restore of the ledger has begun and not ended: run veer restore again first")

// Backup reads what a backup has, all of it at one revision. Without a majority
// of the members it reads what the nearest one has.
func (c *Cluster) Backup(ctx context.Context) (Backup, error) {
	b := Backup{Owner: c.opts.Owner, Made: time.Now().UTC().Truncate(time.Second), Agreed: true}
	var how []clientv3.OpOption
	first, err := c.read(ctx, c.keys.term())
	if err != nil && ctx.Err() == nil {
		b.Agreed, how = false, []clientv3.OpOption{clientv3.WithSerializable()}
		var again error
		if first, again = c.read(ctx, c.keys.term(), how...); again != nil {
			return b, fmt.Errorf("read the ledger: %w (and without a majority: %w)", err, again)
		}
	} else if err != nil {
		return b, fmt.Errorf("read the ledger: %w", err)
	}
	how = append(how, clientv3.WithRev(first.Header.Revision))
	switch half, err := c.read(ctx, c.keys.restoring(), how...); {
	case err != nil:
		return b, fmt.Errorf("read the ledger: %w", err)
	case len(half.Kvs) > 0:
		return b, errHalf
	}
	if len(first.Kvs) > 0 {
		t, err := unpack[termRecord](first.Kvs[0].Value)
		if err != nil {
			return b, &ValueError{Key: c.keys.term(), Err: err}
		}
		b.Term = t.Term
	}
	for _, prefix := range c.keys.backedUp() {
		if err := c.backupPrefix(ctx, &b, prefix, how); err != nil {
			return b, fmt.Errorf("read the ledger: %w", err)
		}
	}
	b.sort()
	return b, nil
}

// backupPrefix reads page by page, the newest first, so that what has no room
// is the oldest.
func (c *Cluster) backupPrefix(ctx context.Context, b *Backup, prefix string, how []clientv3.OpOption) error {
	full := false
	for end := clientv3.GetPrefixRangeEnd(prefix); ; {
		page, err := c.read(ctx, prefix, append([]clientv3.OpOption{
			clientv3.WithRange(end), clientv3.WithLimit(backupPage), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend),
		}, how...)...)
		if err != nil {
			return err
		}
		for _, kv := range page.Kvs {
			if full = full || !b.add(c.keys, string(kv.Key), kv.Value); full {
				b.LeftOut++
			}
		}
		if len(page.Kvs) == 0 || !page.More {
			return nil
		}
		end = lastKey(page.Kvs)
	}
}

func (c *Cluster) read(ctx context.Context, key string, how ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	return c.etcd.Get(ctx, key, how...)
}

// fill makes the backup of keys and values that were read from a folder.
func (b *Backup) fill(k keys, all map[string]*mvccpb.KeyValue) error {
	if all[k.restoring()] != nil {
		return errHalf
	}
	if kv := all[k.term()]; kv != nil {
		t, err := unpack[termRecord](kv.Value)
		if err != nil {
			return &ValueError{Key: k.term(), Err: err}
		}
		b.Term = t.Term
	}
	for _, prefix := range k.backedUp() {
		full := false
		for _, key := range backward(all) {
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			if full = full || !b.add(k, key, all[key].Value); full {
				b.LeftOut++
			}
		}
	}
	b.sort()
	return nil
}
