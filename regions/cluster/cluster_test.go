package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
	"github.com/veerdns/veer/regions/steering"
)

// fast is the suite's config.
func fast() cluster.Config {
	c := clustertest.Fast()
	c.Journal.Entries = clustertest.JournalEntries
	return c
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// start starts a cluster that the test's end closes.
func start(t testing.TB, c cluster.Config, o cluster.Options) *cluster.Cluster {
	t.Helper()
	o.Log = zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)
	cl, err := cluster.Start(within(t), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { clustertest.Close(t, cl) })
	return cl
}

// TestOneMember: the first process embeds etcd, others come in by its socket.
func TestOneMember(t *testing.T) {
	t.Parallel()
	clustertest.Run(t, func(t *testing.T) clustertest.Rig {
		embedded := start(t, fast(), cluster.Options{Owner: "test", Name: "first", DataDir: clustertest.ShortDir(t)})
		rig := clustertest.Rig{Owner: "test", Endpoint: "unix://" + embedded.Socket()}
		opened := 0
		rig.Open = func(name string) *cluster.Cluster {
			if opened++; opened == 1 {
				return embedded
			}
			c := fast()
			c.Endpoints = []string{rig.Endpoint}
			return start(t, c, cluster.Options{Owner: "test", Name: name})
		}
		return rig
	})
}

// TestThreeMembers: three embedded members; the processes of a test are spread
// over them, each test with an owner of its own.
func TestThreeMembers(t *testing.T) {
	t.Parallel()
	members := startThree(t)
	var mu sync.Mutex
	n := 0
	t.Run("suite", func(t *testing.T) {
		clustertest.Run(t, func(t *testing.T) clustertest.Rig {
			mu.Lock()
			defer mu.Unlock()
			n++
			owner, at := fmt.Sprintf("test%d", n), n
			return clustertest.Rig{
				Owner: owner, Endpoint: "unix://" + members[at%3].Socket(),
				Open: func(name string) *cluster.Cluster {
					at++
					c := fast()
					c.Endpoints = []string{"unix://" + members[at%3].Socket()}
					return start(t, c, cluster.Options{Owner: owner, Name: name})
				},
			}
		})
	})
	loseOneOfThree(t, members)
}

// startThree starts three members at once: alone none gets anywhere.
func startThree(t *testing.T) []*cluster.Cluster {
	conf := fast()
	conf.Members = map[string]cluster.Member{}
	names := []string{"a", "b", "c"}
	for _, name := range names {
		conf.Members[name] = cluster.Member{Peer: "http://" + freeAddress(t), Client: "http://" + freeAddress(t)}
	}
	options := map[string]cluster.Options{}
	for _, name := range names {
		options[name] = cluster.Options{Owner: "base", Name: name, DataDir: clustertest.ShortDir(t)}
	}
	return startAll(t, conf, options)
}

// startAll starts members at once, and returns them by name in order.
func startAll(t *testing.T, conf cluster.Config, options map[string]cluster.Options) []*cluster.Cluster {
	t.Helper()
	names := slices.Sorted(maps.Keys(options))
	out := make([]*cluster.Cluster, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { out[i] = start(t, conf, options[name]) }) // each waits until all are there
	}
	wg.Wait()
	return out
}

// freeAddress returns an address of 127/8 that nothing else will guess.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		addr := fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		addr = l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return addr
	}
}

// loseOneOfThree: the others go on, in process, with what was agreed.
func loseOneOfThree(t *testing.T, members []*cluster.Cluster) {
	l, err := members[0].Campaign(within(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	clustertest.Close(t, members[0])
	select {
	case <-l.Done():
	default:
		t.Error("a closed cluster still leads")
	}
	next, err := members[1].Campaign(within(t), "b")
	if err != nil {
		t.Fatal(err)
	}
	if next.Term() != l.Term()+1 {
		t.Errorf("term %d follows term %d", next.Term(), l.Term())
	}
	name, _, err := members[2].Leader(within(t))
	if err != nil || name != "b" {
		t.Errorf("the leader is %q (%v), want b", name, err)
	}
}

func TestOneFolderOneProcess(t *testing.T) {
	t.Parallel()
	dir := clustertest.ShortDir(t)
	start(t, fast(), cluster.Options{Owner: "test", Name: "a", DataDir: dir})
	_, err := cluster.Start(within(t), fast(), cluster.Options{Owner: "test", Name: "b", DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "is in use by another veer") || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second process opened the folder: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []cluster.Options{{Owner: ""}, {Owner: "a/b", DataDir: "x"}, {Owner: "a"}} {
		if _, err := cluster.Start(within(t), fast(), o); err == nil {
			t.Errorf("started with %+v", o)
		}
	}
	members := map[string]cluster.Member{"a": {Peer: "http://127.0.0.1:2"}}
	_, err := cluster.Start(within(t), cluster.Config{Members: members}, cluster.Options{Owner: "a", Name: "z", DataDir: clustertest.ShortDir(t)})
	if err == nil || !strings.Contains(err.Error(), `"z" is not in cluster.members (a)`) {
		t.Errorf("started as a member that is not listed: %v", err)
	}
}

func TestClosedCluster(t *testing.T) {
	t.Parallel()
	c := start(t, fast(), cluster.Options{Owner: "test", Name: "a", DataDir: clustertest.ShortDir(t)})
	clustertest.Close(t, c)
	if _, open := <-c.Suspicions(within(t), "eu"); open {
		t.Error("a closed cluster tells of suspicions")
	}
	if _, err := c.Campaign(within(t), "a"); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("campaigning on a closed cluster gave %v", err)
	}
}

// TestTheTermStartsAboveTheFloor: a ledger that was rebuilt does not use the
// terms of the lost one again.
func TestTheTermStartsAboveTheFloor(t *testing.T) {
	t.Parallel()
	floor := func() regions.Term { return 41 }
	cl := start(t, fast(), cluster.Options{Owner: "test", Name: "first", DataDir: clustertest.ShortDir(t), Floor: floor})
	for _, want := range []regions.Term{42, 43} {
		lead, err := cl.Campaign(within(t), "first")
		if err != nil {
			t.Fatal(err)
		}
		if lead.Term() != want {
			t.Fatalf("term %d, want %d", lead.Term(), want)
		}
		if err := lead.Resign(within(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReachNamesTheEtcdThatDoesNotAnswer(t *testing.T) {
	c := fast()
	c.Endpoints = []string{"http://" + freeAddress(t)}
	cl := start(t, c, cluster.Options{Owner: "test", Name: "a"})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := cl.Reach(ctx); err == nil || !strings.Contains(err.Error(), "etcd does not answer at "+c.Endpoints[0]) {
		t.Fatal(err)
	}
	c = fast()
	main := start(t, c, cluster.Options{Owner: "test", Name: "b", DataDir: clustertest.ShortDir(t)})
	if err := main.Reach(within(t)); err != nil {
		t.Fatal(err)
	}
}

// TestBackupWithoutAQuorum: the last of three members still tells what was
// agreed, and that nobody stands behind it.
func TestBackupWithoutAQuorum(t *testing.T) {
	members := startThree(t)
	l, err := members[0].Campaign(within(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := members[0].Commit(within(t), l, 0, steering.Shard{ID: 1, Term: l.Term(), Seq: 1}, nil); err != nil {
		t.Fatal(err)
	}
	whole, err := members[2].Backup(within(t)) // it has heard of the commit, too
	if err != nil || !whole.Agreed || whole.Term != l.Term() {
		t.Fatalf("agreed %v, term %d, %v", whole.Agreed, whole.Term, err)
	}
	clustertest.Close(t, members[0])
	clustertest.Close(t, members[1])
	b, err := members[2].Backup(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if shards, _, _, _ := b.Counts(); b.Agreed || shards != 1 || b.Term != l.Term() {
		t.Errorf("agreed %v, %d shards, term %d: expected what was agreed on, and that no majority stands behind it", b.Agreed, shards, b.Term)
	}
	if _, err := members[2].Restore(within(t), b, cluster.Restoring{Over: true}); err == nil {
		t.Error("a restore without a majority was made")
	}
}
