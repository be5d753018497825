package cluster_test

import (
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/steering"
)

// leadsEtcd reports whether the member behind a process leads etcd; ok is false
// while no member does.
func leadsEtcd(t *testing.T, c *cluster.Cluster) (leads, ok bool) {
	t.Helper()
	lg, err := logutil.CreateDefaultZapLogger(5)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "unix://" + c.Socket()
	raw, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: lg})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }() // it only asked
	s, err := raw.Status(within(t), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return s.Leader == s.Header.MemberId, s.Leader != 0
}

// TestOneProcessDoesNotLeadBoth: who wins Veer's election beside etcd's leader
// gives etcd's leadership away, and goes on leading.
func TestOneProcessDoesNotLeadBoth(t *testing.T) {
	members := startThree(t)
	for ctx := within(t); ; {
		err := members[0].Reach(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil { // before, etcd may elect yet
			t.Fatal(err)
		}
	}
	at := slices.IndexFunc(members, func(c *cluster.Cluster) bool { leads, _ := leadsEtcd(t, c); return leads })
	if at < 0 {
		t.Fatal("no member leads etcd, although it answers")
	}
	l, err := members[at].Campaign(within(t), "it")
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx := within(t); ; {
		if leads, ok := leadsEtcd(t, members[at]); ok && !leads {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the process that leads Veer still leads etcd")
		}
	}
	if !l.Sure() {
		t.Fatal("the lead ended")
	}
	s := steering.Shard{ID: 1, Term: l.Term(), Seq: 1}
	if _, err := members[at].Commit(within(t), l, 0, s, nil); err != nil {
		t.Errorf("a commit after the move: %v", err)
	}
}
