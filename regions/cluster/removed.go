package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// removedName is the mark of a member that was removed from its cluster. It lies
// in etcd's own folder: who moves the folder away, moves the mark away.
const removedName = "removed"

func removedPath(inner string) string { return filepath.Join(inner, "member", removedName) }

// markRemoved keeps that the folder's member was removed: etcd itself finds
// that out only from a member that it reaches, each time anew.
func markRemoved(inner string) error {
	f, err := os.OpenFile(removedPath(inner), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("keep that this member was removed: %w", err)
	}
	return nil
}

// Removed tells whether the member that kept its data in a data_dir was
// removed from its cluster. Its process goes on as a client of the others, see
// Options.Client, until etcd's folder is moved away.
func Removed(dataDir string) (bool, error) {
	_, err := os.Stat(removedPath(filepath.Join(dataDir, "etcd")))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err == nil, nil
	}
	return false, fmt.Errorf("look whether this member was removed: %w", err)
}

// Others reports whether the config has a member beside name that a client can
// reach.
func (c Config) Others(name string) bool {
	for other, m := range c.Members {
		if other != name && m.Client != "" {
			return true
		}
	}
	return false
}
