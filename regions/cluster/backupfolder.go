package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"google.golang.org/protobuf/proto"
)

// BackupFolder reads a backup from the data folder of an embedded member that
// does not run, and changes nothing there. It has what the member had applied
// and written down, which it does ten times a second and at a clean end.
func BackupFolder(ctx context.Context, c Config, owner, dataDir string) (b Backup, err error) {
	if err := checkName("owner", owner); err != nil {
		return Backup{}, err
	}
	path := filepath.Join(dataDir, "etcd", "member", "snap", "db")
	if _, err := os.Stat(path); err != nil {
		return Backup{}, fmt.Errorf("read the ledger of %s: %w", dataDir, err)
	}
	lock, err := lockFolder(ctx, dataDir)
	if err != nil {
		return Backup{}, err
	}
	defer func() { err = errors.Join(err, unlockFolder(lock)) }()
	k := keysBelow(c.Prefix, owner)
	b = Backup{Owner: owner, Made: time.Now().UTC().Truncate(time.Second)}
	all, err := readFolder(path, k)
	if err == nil {
		err = b.fill(k, all)
	}
	if err != nil {
		return Backup{}, fmt.Errorf("read the ledger of %s: %w", dataDir, err)
	}
	return b, nil
}

// readFolder returns the newest value of each of the owner's keys. A database
// that is corrupt makes bbolt panic, or read beyond the file's end.
func readFolder(path string, k keys) (all map[string]*mvccpb.KeyValue, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("%s is corrupt: %v", path, what)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	all = map[string]*mvccpb.KeyValue{}
	err = db.View(func(tx *bbolt.Tx) error {
		revisions := tx.Bucket([]byte("key"))
		if revisions == nil {
			return errors.New("it has no keys of etcd")
		}
		return revisions.ForEach(func(rev, raw []byte) error { // in the order of the writes
			kv := &mvccpb.KeyValue{}
			if err := proto.Unmarshal(raw, kv); err != nil {
				return fmt.Errorf("revision %x: %w", rev, err)
			}
			switch key := string(kv.Key); {
			case !strings.HasPrefix(key, string(k)):
			case mvcc.IsTombstone(rev):
				delete(all, key)
			default:
				all[key] = kv // its own memory, not the file's
			}
			return nil
		})
	})
	return all, err
}

func backward(all map[string]*mvccpb.KeyValue) []string {
	out := slices.Sorted(maps.Keys(all))
	slices.Reverse(out)
	return out
}
