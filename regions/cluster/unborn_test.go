package cluster_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"

	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
)

// TestKilledWhileItWasMade: a process is killed after etcd made its log and
// before it wrote down who its members are. The next one starts.
func TestKilledWhileItWasMade(t *testing.T) {
	t.Parallel()
	dir := clustertest.ShortDir(t)
	o := cluster.Options{Owner: "test", Name: "first", DataDir: dir, Log: zerolog.Nop()}
	c, err := cluster.Start(within(t), fast(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	member := filepath.Join(dir, "etcd", "member")
	w, err := wal.OpenForRead(nil, filepath.Join(member, "wal"), &walpb.Snapshot{})
	if err != nil {
		t.Fatal(err)
	}
	metadata, _, entries, err := w.ReadAll()
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	_ = w.Close() // it was only read
	if err := os.RemoveAll(member); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(member, "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	unborn, err := wal.Create(nil, filepath.Join(member, "wal"), metadata)
	if err != nil {
		t.Fatal(err)
	}
	if err := unborn.Close(); err != nil {
		t.Fatal(err)
	}
	o.Name = "second"
	start(t, fast(), o)
}
