package clustertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// shardOf makes a shard that a reader can tell from others.
func shardOf(l controller.Lead, id int, seq uint64) steering.Shard {
	return steering.Shard{ID: id, Term: l.Term(), Seq: seq, Config: "hash", Version: "test", Answers: []steering.Answer{{
		RRSet:  providers.RRSet{Name: "app.example.test.", Type: "A", TTL: 30, Data: []string{fmt.Sprintf("192.0.2.%d", seq%250)}},
		MinTTL: 5,
	}}}
}

func entryOf(s steering.Shard, cause string) *steering.Entry {
	return &steering.Entry{
		Term: s.Term, Seq: s.Seq, Shard: s.ID, Config: s.Config, Version: s.Version,
		Time: time.Unix(int64(s.Seq), 0).UTC().Format(time.RFC3339Nano), Cause: cause,
		Decision: steering.Decision{Answers: s.Answers, Why: []steering.Reason{{Service: "app.example.test.", Rule: steering.RuleFirst}}},
	}
}

// lead wins an election at once, or fails the test.
func lead(t *testing.T, c *cluster.Cluster, name string) controller.Lead {
	t.Helper()
	return must(c.Campaign(bounded(t), name))(t)
}

func twoContenders(t *testing.T, r Rig) {
	a, b := r.Open("a"), r.Open("b")
	first := lead(t, a, "a")
	won := make(chan controller.Lead, 1)
	go func() {
		if l, err := b.Campaign(bounded(t), "b"); err == nil {
			won <- l
		}
	}()
	for range 3 {
		name, term, err := b.Leader(bounded(t))
		check(t, err)
		if name != "a" || term != first.Term() {
			t.Fatalf("the leader is %q in term %d, want a in term %d", name, term, first.Term())
		}
	}
	rev := must(a.Commit(bounded(t), first, 0, shardOf(first, 3, 1), nil))(t)
	select {
	case <-won:
		t.Fatal("two lead")
	case <-first.Done():
		t.Fatal("the leader lost its place although it kept its lease")
	default:
	}
	check(t, first.Resign(bounded(t)))
	wait(t, "the first leader's end", first.Done())
	second := wait(t, "the second leader", won)
	if second.Term() <= first.Term() || second.Holder() == first.Holder() || second.Holder() == "" {
		t.Errorf("term %d holder %q follows term %d holder %q: expected a higher term and another holder", second.Term(), second.Holder(), first.Term(), first.Holder())
	}
	must(b.Commit(bounded(t), second, rev, shardOf(second, 3, 2), nil))(t)
	name, term, err := a.Leader(bounded(t))
	if check(t, err); name != "b" || term != second.Term() {
		t.Errorf("the leader is %q in term %d, want b in term %d", name, term, second.Term())
	}
}

func termNeverFalls(t *testing.T, r Rig) {
	a := r.Open("a")
	var last controller.Lead
	for range 5 {
		l := lead(t, a, "a")
		if last != nil && l.Term() <= last.Term() {
			t.Fatalf("term %d follows term %d", l.Term(), last.Term())
		}
		last = l
		check(t, l.Resign(bounded(t)))
	}
	must(r.raw(t).Put(bounded(t), r.key("term"), "not a term"))(t)
	_, err := a.Campaign(bounded(t), "a")
	var bad *cluster.ValueError
	if !errors.As(err, &bad) || bad.Key != r.key("term") {
		t.Errorf("campaigning over an unreadable term gave %v, want an error that names the key", err)
	}
}

func lostKeyEndsTheLead(t *testing.T, r Rig) {
	a := r.Open("a")
	l := lead(t, a, "a")
	must(r.raw(t).Delete(bounded(t), r.key("leader/"), clientv3.WithPrefix()))(t)
	wait(t, "the lead to end", l.Done())
	if _, err := a.Commit(bounded(t), l, 0, shardOf(l, 1, 1), nil); !errors.Is(err, controller.ErrNotLeader) {
		t.Errorf("a commit without the leader key gave %v, want ErrNotLeader", err)
	}
}

func staleLeadersCommitIsRefused(t *testing.T, r Rig) {
	a := r.Open("a")
	l := lead(t, a, "a")
	rev := must(a.Commit(bounded(t), l, 0, shardOf(l, 1, 1), nil))(t)
	// Another takes the term behind its back: etcd itself must refuse.
	raw := r.raw(t)
	must(raw.Put(bounded(t), r.key("term"), fmt.Sprintf(`{"term":%d,"holder":"other","name":"x"}`, l.Term()+1)))(t)
	if _, err := a.Commit(bounded(t), l, rev, shardOf(l, 1, 2), nil); !errors.Is(err, controller.ErrNotLeader) {
		t.Errorf("a commit of an older term gave %v, want ErrNotLeader", err)
	}
	wait(t, "the leader to stop", l.Done())
	if err := a.RemoveOrder(bounded(t), l, "x"); err != nil && !errors.Is(err, controller.ErrNotLeader) {
		t.Error(err)
	}
	shards := must(a.Shards(bounded(t)))(t)
	if len(shards) != 1 || shards[0].Seq != 1 {
		t.Errorf("the ledger holds %+v, want the shard at seq 1", shards)
	}
}

func commitOnAnOldRevision(t *testing.T, r Rig) {
	a := r.Open("a")
	l := lead(t, a, "a")
	one := must(a.Commit(bounded(t), l, 0, shardOf(l, 5, 1), nil))(t)
	if _, err := a.Commit(bounded(t), l, 0, shardOf(l, 5, 2), nil); !errors.Is(err, controller.ErrMoved) {
		t.Errorf("creating a shard that exists gave %v, want ErrMoved", err)
	}
	two := must(a.Commit(bounded(t), l, one, shardOf(l, 5, 2), nil))(t)
	if _, err := a.Commit(bounded(t), l, one, shardOf(l, 5, 3), entryOf(shardOf(l, 5, 3), "x")); !errors.Is(err, controller.ErrMoved) {
		t.Errorf("a commit on an old revision gave %v, want ErrMoved", err)
	}
	got := must(a.Shards(bounded(t)))(t)
	want := []controller.Versioned{{Shard: shardOf(l, 5, 2), At: two}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the ledger (-want +got):\n%s", d)
	}
	if j := must(a.Journal(bounded(t), cluster.JournalQuery{}))(t); len(j) != 0 {
		t.Errorf("a refused commit left %d journal entries", len(j))
	}
}

func shardsAreWatchedInOrder(t *testing.T, r Rig) {
	a := r.Open("a")
	relay := NewRelay(t, r.Endpoint)
	b := r.join(t, "b", relay.Endpoint())
	l := lead(t, a, "a")
	rev := must(a.Commit(bounded(t), l, 0, shardOf(l, 1, 1), nil))(t)
	must(a.Commit(bounded(t), l, 0, shardOf(l, 2, 1), nil))(t)
	got := make(chan []steering.Shard, 1000)
	ctx, cancel := context.WithCancel(bounded(t))
	done := make(chan error, 1)
	go func() { done <- b.WatchShards(ctx, func(s []steering.Shard) { got <- s }) }()
	if all := wait(t, "the first shards", got); len(all) != 2 {
		t.Errorf("the first call had %d shards, want both", len(all))
	}
	seq := uint64(1)
	var last uint64
	for round := range 3 {
		for range 20 {
			seq++
			rev = must(a.Commit(bounded(t), l, rev, shardOf(l, 1, seq), nil))(t)
		}
		for last != seq {
			for _, s := range wait(t, "the newest shard", got) {
				if s.ID != 1 {
					continue
				}
				if s.Seq < last {
					t.Errorf("seq %d came after seq %d", s.Seq, last)
				}
				last = s.Seq
			}
		}
		if round < 2 {
			relay.Cut() // it reconnects by itself
		}
	}
	cancel()
	if err := wait(t, "WatchShards to return", done); !errors.Is(err, context.Canceled) {
		t.Errorf("WatchShards returned %v", err)
	}
}

func badShardIsNamedAndKept(t *testing.T, r Rig) {
	a := r.Open("a")
	l := lead(t, a, "a")
	must(a.Commit(bounded(t), l, 0, shardOf(l, 1, 1), nil))(t)
	raw := r.raw(t)
	bad := r.key("shard/002")
	must(raw.Put(bounded(t), bad, `{"id": 2, "term": "one"}`))(t)
	got, err := a.Shards(bounded(t))
	var value *cluster.ValueError
	if !errors.As(err, &value) || value.Key != bad {
		t.Errorf("Shards gave %v, want an error that names %s", err, bad)
	}
	if len(got) != 1 || got[0].ID != 1 {
		t.Errorf("Shards gave %+v beside the error, want shard 1", got)
	}
	if _, err := a.Commit(bounded(t), l, 0, shardOf(l, 2, 1), nil); !errors.Is(err, controller.ErrMoved) {
		t.Errorf("a commit over an unreadable shard gave %v, want ErrMoved", err)
	}
	if kv := must(raw.Get(bounded(t), bad))(t).Kvs[0]; string(kv.Value) != `{"id": 2, "term": "one"}` {
		t.Errorf("the unreadable shard was overwritten with %s", kv.Value)
	}
}

func journalKeepsOrderAndBounds(t *testing.T, r Rig) {
	a := r.Open("a")
	var want []steering.Entry
	var rev controller.Revision
	seq := uint64(0)
	var l controller.Lead
	for term := range 3 {
		if term > 0 {
			check(t, l.Resign(bounded(t)))
		}
		l = lead(t, a, "a")
		for range JournalEntries {
			seq++
			s := shardOf(l, steering.ShardOf("app.example.test."), seq)
			e := entryOf(s, fmt.Sprintf("cause %d", seq))
			rev = must(a.Commit(bounded(t), l, rev, s, e))(t)
			want = append(want, *e)
		}
	}
	got := must(a.Journal(bounded(t), cluster.JournalQuery{Limit: 10 * JournalEntries}))(t)
	if len(got) == 0 || len(got) > len(want) {
		t.Fatalf("the journal has %d entries of %d", len(got), len(want))
	}
	if d := cmp.Diff(want[len(want)-len(got):], got); d != "" {
		t.Errorf("the journal (-want +got):\n%s", d)
	}
	newest := must(a.Journal(bounded(t), cluster.JournalQuery{Limit: 3, Service: "app.example.test."}))(t)
	if d := cmp.Diff(want[len(want)-3:], newest); d != "" {
		t.Errorf("the newest three (-want +got):\n%s", d)
	}
	if other := must(a.Journal(bounded(t), cluster.JournalQuery{Service: "other.example.test."}))(t); len(other) != 0 {
		t.Errorf("found %d entries of a service that was never decided", len(other))
	}
	after := must(a.Journal(bounded(t), cluster.JournalQuery{After: time.Unix(int64(seq)-2, 0)}))(t)
	if len(after) != 2 {
		t.Errorf("found %d entries after the last but two, want 2", len(after))
	}
	awaitPruned(t, r, len(want)) // by the last leader, while it leads
	check(t, l.Resign(bounded(t)))
}

// JournalEntries is the retention with which the rigs start their processes.
const JournalEntries = 60

// awaitPruned waits until the journal is within its bound: the pruning runs in
// the background.
func awaitPruned(t *testing.T, r Rig, written int) {
	t.Helper()
	raw := r.raw(t)
	ctx := bounded(t)
	count := func() int64 {
		return must(raw.Get(ctx, r.key("journal/"), clientv3.WithPrefix(), clientv3.WithCountOnly()))(t).Count
	}
	watch := raw.Watch(ctx, r.key("journal/"), clientv3.WithPrefix(), clientv3.WithFilterPut(), clientv3.WithRev(1))
	for n := count(); n > JournalEntries; n = count() {
		wait(t, fmt.Sprintf("the pruning of %d entries, %d are left", written, n), watch)
	}
}

func orders(t *testing.T, r Rig) {
	a, b := r.Open("a"), r.Open("b")
	now := time.Now().UTC().Truncate(time.Second)
	make := func(act steering.Act) controller.Order {
		return controller.Order{
			Override: steering.Override{ID: cluster.NewOrderID(now), Act: act, Target: steering.Target{Region: "eu"}, By: "ann", Why: "maintenance"},
			Until:    now.Add(time.Hour), Made: now,
		}
	}
	drain, freeze := make(steering.Drain), make(steering.Freeze)
	check(t, a.AddOrder(bounded(t), drain))
	if err := a.AddOrder(bounded(t), drain); !errors.Is(err, cluster.ErrOrderExists) {
		t.Errorf("adding an order twice gave %v, want ErrOrderExists", err)
	}
	v := await(t, b, "the order", func(v controller.View) bool { return len(v.Overrides) == 1 })
	if d := cmp.Diff([]controller.Order{drain}, v.Overrides); d != "" {
		t.Errorf("the orders (-want +got):\n%s", d)
	}
	check(t, a.AddOrder(bounded(t), freeze))
	check(t, b.EndOrder(bounded(t), drain.ID, "bob", "done early"))
	if err := b.EndOrder(bounded(t), drain.ID, "bob", "again"); !errors.Is(err, cluster.ErrNoOrder) {
		t.Errorf("ending an order twice gave %v, want ErrNoOrder", err)
	}
	l := lead(t, a, "a")
	check(t, a.RemoveOrder(bounded(t), l, freeze.ID))
	check(t, a.RemoveOrder(bounded(t), l, freeze.ID))
	if err := a.DeleteOrder(bounded(t), freeze.ID); !errors.Is(err, cluster.ErrNoOrder) {
		t.Errorf("deleting an order that is gone gave %v, want ErrNoOrder", err)
	}
	await(t, b, "no orders", func(v controller.View) bool { return len(v.Overrides) == 0 })
	var told []string
	for _, n := range must(b.Notes(bounded(t), 0))(t) {
		told = append(told, fmt.Sprintf("%s %s by %s: %s", n.Act, n.Order.Act, n.By, n.Why))
	}
	want := map[string]bool{
		"ordered drain by ann: maintenance": true, "ordered freeze by ann: maintenance": true,
		"ended drain by bob: done early": true, "expired freeze by veer: ": true,
	}
	for _, n := range told {
		delete(want, n)
	}
	if len(want) > 0 {
		t.Errorf("the notes %q lack %v", told, want)
	}
	bad := drain
	bad.Act = "explode"
	if err := a.AddOrder(bounded(t), bad); err == nil {
		t.Error("an order of no known act was taken")
	}
}
