package cluster_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// BenchmarkCastToShard measures the way of a changed vote through etcd: Cast
// by another process over the unix socket, the leader's World, its Commit, and
// the shard as WatchShards gives it to an authority.
func BenchmarkCastToShard(b *testing.B) {
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	options := cluster.Options{Owner: "bench", Name: "a", DataDir: dir, Log: zerolog.New(os.Stderr)}
	began := time.Now()
	leader, err := cluster.Start(ctx, cluster.Config{}, options)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("started in %s", time.Since(began))
	defer func() {
		began := time.Now()
		if err := leader.Close(); err != nil {
			b.Error(err)
		}
		b.Logf("closed in %s", time.Since(began))
	}()
	options.DataDir = ""
	voter, err := cluster.Start(ctx, cluster.Config{Endpoints: []string{"unix://" + leader.Socket()}}, options)
	if err != nil {
		b.Fatal(err)
	}
	defer voter.Close()
	seat, err := voter.Join(ctx, "a")
	if err != nil {
		b.Fatal(err)
	}
	lead, err := leader.Campaign(ctx, "a")
	if err != nil {
		b.Fatal(err)
	}
	shards := make(chan steering.Shard, 1)
	done := make(chan struct{})
	watch, stop := context.WithCancel(ctx)
	go func() {
		defer close(done)
		_ = leader.WatchShards(watch, func(s []steering.Shard) { shards <- s[0] })
	}()
	defer func() { stop(); <-done }()
	ballot := regions.Ballot{Vantage: "a"}
	for i := range 100 {
		ballot.Votes = append(ballot.Votes, regions.Vote{Vantage: "a", Endpoint: regions.EndpointID("web@192.0.2." + string(rune('a'+i))), Health: checks.Up, Round: 1, Why: "GET /healthz answered 200 OK"})
	}
	if err := seat.Cast(ctx, ballot); err != nil {
		b.Fatal(err)
	}
	var cast, world, commit, shard time.Duration
	var seq uint64
	var from controller.Revision
	for b.Loop() {
		seq++
		ballot.Votes[0].Round++
		ballot.Votes[0].Health = checks.Down + checks.Health(seq%2)
		changed := leader.Changed()
		t0 := time.Now()
		castDone := make(chan error, 1)
		go func() { castDone <- seat.Cast(ctx, ballot) }()
		<-changed
		t1 := time.Now()
		if len(leader.View().Ballots) != 1 && seq > 1 {
			b.Fatal("no ballot")
		}
		s := steering.Shard{ID: 1, Term: lead.Term(), Seq: seq, Config: "c", Version: "v"}
		rev, err := leader.Commit(ctx, lead, from, s, &steering.Entry{Term: lead.Term(), Seq: seq, Shard: 1})
		if err != nil {
			b.Fatal(err)
		}
		from = rev
		t2 := time.Now()
		if got := <-shards; got.Seq != seq {
			b.Fatalf("got seq %d, want %d", got.Seq, seq)
		}
		t3 := time.Now()
		if err := <-castDone; err != nil {
			b.Fatal(err)
		}
		cast += t1.Sub(t0)
		commit += t2.Sub(t1)
		shard += t3.Sub(t2)
		world += t3.Sub(t0)
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
	b.ReportMetric(per(cast), "us/cast-to-world")
	b.ReportMetric(per(commit), "us/commit")
	b.ReportMetric(per(shard), "us/commit-to-shard")
	b.ReportMetric(per(world), "us/total")
}
