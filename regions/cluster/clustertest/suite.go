// Package clustertest holds every cluster to the contracts of the ports that
// it implements, whatever etcd is behind it.
package clustertest

import (
	"cmp"
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/client/pkg/v3/logutil"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
)

// limit is how long any wait of a test may take. It is no measure: what is
// waited for comes by itself, or the contract is broken.
const limit = 60 * time.Second

// Fast is the config of the tests: the shortest lease of votes that etcd grants,
// and one of leaders that a disk with other work does not outlast.
func Fast() cluster.Config {
	return cluster.Config{VoteLease: time.Second, LeaderLease: 3 * time.Second}
}

// Rig is one etcd with processes on it, for one test.
type Rig struct {
	// Open starts another process of the given name. The rig closes it.
	Open func(name string) *cluster.Cluster
	// Endpoint is a client URL of the etcd, Owner whose keys it holds.
	Endpoint, Owner string
	// Access is how a process gets into that etcd: user, password and prefix;
	// Root the user of whom an operator is one, with the password.
	Access             cluster.Config
	Root, RootPassword string
}

// Run runs the suite. make gives each test a rig of its own.
func Run(t *testing.T, make func(t *testing.T) Rig) {
	RunUncompacted(t, make)
	t.Run("WorldResumesAfterCompaction", func(t *testing.T) {
		t.Parallel()
		worldResumesAfterCompaction(t, make(t))
	})
}

// RunUncompacted runs the suite without the test in which an operator compacts
// the etcd: whatever is compacted then, Veer did.
func RunUncompacted(t *testing.T, make func(t *testing.T) Rig) {
	for name, test := range map[string]func(t *testing.T, r Rig){
		"VotesReachTheOthers":           votesReachTheOthers,
		"OnlyChangedChunksAreWritten":   onlyChangedChunksAreWritten,
		"SecondProcessStandsBy":         secondProcessStandsBy,
		"VotesVanishWithTheLease":       votesVanishWithTheLease,
		"LostSeatWritesNothing":         lostSeatWritesNothing,
		"SuspicionComesOnce":            suspicionComesOnce,
		"CastSettlesASuspicion":         castSettlesASuspicion,
		"TwoContenders":                 twoContenders,
		"TermNeverFalls":                termNeverFalls,
		"LostKeyEndsTheLead":            lostKeyEndsTheLead,
		"StaleLeadersCommitIsRefused":   staleLeadersCommitIsRefused,
		"CommitOnAnOldRevision":         commitOnAnOldRevision,
		"ShardsAreWatchedInOrder":       shardsAreWatchedInOrder,
		"BadShardIsNamedAndKept":        badShardIsNamedAndKept,
		"JournalKeepsOrderAndBounds":    journalKeepsOrderAndBounds,
		"Orders":                        orders,
		"CutOffWorldForgetsVotes":       cutOffWorldForgetsVotes,
		"CutOffLeaderStopsBeforeOthers": cutOffLeaderStopsBeforeOthers,
		"LostReplyIsSettled":            lostReplyIsSettled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, make(t))
		})
	}
}

// join connects a process through an endpoint of the test's choice.
func (r Rig) join(t *testing.T, name, endpoint string) *cluster.Cluster {
	t.Helper()
	conf := r.Access
	conf.VoteLease, conf.LeaderLease = Fast().VoteLease, Fast().LeaderLease
	conf.Endpoints = []string{endpoint}
	c, err := cluster.Start(bounded(t), conf, cluster.Options{Owner: r.Owner, Name: name, Log: zerolog.New(zerolog.NewTestWriter(t))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(t, c) })
	return c
}

// raw is a plain etcd client, for what an operator or an accident would do.
func (r Rig) raw(t *testing.T) *clientv3.Client {
	t.Helper()
	lg, err := logutil.CreateDefaultZapLogger(5) // fatal only: the tests look at errors themselves
	if err != nil {
		t.Fatal(err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{r.Endpoint}, Logger: lg, Username: r.Root, Password: r.RootPassword})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (r Rig) key(rest string) string {
	return cmp.Or(r.Access.Prefix, "/veer") + "/" + r.Owner + "/" + rest
}

// Close closes a cluster and fails the test if that fails.
func Close(t testing.TB, c *cluster.Cluster) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// bounded ends before the test runner would.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// await waits until the view of c is as wanted.
func await(t *testing.T, c *cluster.Cluster, what string, ok func(v controller.View) bool) controller.View {
	t.Helper()
	ctx := bounded(t)
	for {
		changed := c.Changed()
		v := c.View()
		if ok(v) {
			return v
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("waited for %s; the view is still %+v", what, v)
		}
	}
}

// wait waits for a channel to be closed or to give something.
func wait[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-bounded(t).Done():
		t.Fatalf("waited for %s in vain", what)
		panic("not reached")
	}
}

func vote(v regions.Name, e regions.EndpointID, h checks.Health, round uint64) regions.Vote {
	return regions.Vote{Vantage: v, Endpoint: e, Health: h, Round: round, Why: "because"}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
