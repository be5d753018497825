package cluster

import (
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

// firstLog is the name of a member's first log file.
const firstLog = "0000000000000000-0000000000000000.wal"

// removeUnborn removes what a member left that was killed while it was made:
// a log that names the member and holds nothing. etcd makes the log first and
// writes down who its members are later; from such a log it starts as a member
// of no cluster, and waits for a leader for ever. Nothing was ever agreed there.
// It reports whether there was such a log.
func removeUnborn(inner string) (bool, error) {
	member := filepath.Join(inner, "member")
	logs, err := filepath.Glob(filepath.Join(member, "wal", "*.wal"))
	if err != nil || len(logs) != 1 || filepath.Base(logs[0]) != firstLog {
		return false, nil // none yet, or one that has gone on
	}
	w, err := wal.OpenForRead(zap.NewNop(), filepath.Dir(logs[0]), &walpb.Snapshot{})
	if err != nil {
		return false, nil // etcd says what is wrong with it
	}
	_, state, entries, err := w.ReadAll()
	_ = w.Close() // it was only read
	if err != nil || len(entries) > 0 || state.GetCommit() > 0 || state.GetTerm() > 0 {
		return false, nil
	}
	return true, clearUnborn(inner)
}
