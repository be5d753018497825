package clustertest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
)

func cutOffWorldForgetsVotes(t *testing.T, r Rig) {
	a := r.Open("a")
	relay := NewRelay(t, r.Endpoint)
	b := r.join(t, "b", relay.Endpoint())
	seat := must(a.Join(bounded(t), "eu"))(t)
	keep(t, seat)
	check(t, seat.Cast(bounded(t), regions.Ballot{Vantage: "eu", Votes: []regions.Vote{vote("eu", "e", checks.Up, 1)}}))
	await(t, b, "the ballot", ballots(1))
	relay.Hold() // nothing fails; nothing comes
	await(t, b, "the ballot to be forgotten", ballots(0))
	if len(a.View().Ballots) != 1 {
		t.Error("who is not cut off must keep the ballot")
	}
	relay.Pass()
	await(t, b, "the ballot again", ballots(1))
	relay.Cut()
	check(t, seat.Suspect(bounded(t), []regions.EndpointID{"e"}))
	await(t, b, "what was published meanwhile", func(v controller.View) bool { return len(v.Suspects) == 1 })
}

func worldResumesAfterCompaction(t *testing.T, r Rig) {
	a := r.Open("a")
	relay := NewRelay(t, r.Endpoint)
	b := r.join(t, "b", relay.Endpoint())
	seat := must(a.Join(bounded(t), "eu"))(t)
	keep(t, seat)
	ballot := regions.Ballot{Vantage: "eu", Votes: []regions.Vote{vote("eu", "e", checks.Up, 1)}}
	check(t, seat.Cast(bounded(t), ballot))
	await(t, b, "the ballot", ballots(1))
	told := b.Suspicions(bounded(t), "us")
	relay.Hold()
	for i := range 20 {
		ballot.Votes[0].Health = checks.Health(1 + i%3)
		ballot.Votes[0].Round++
		check(t, seat.Cast(bounded(t), ballot))
	}
	check(t, seat.Suspect(bounded(t), []regions.EndpointID{"new"}))
	raw := r.raw(t)
	now := must(raw.Get(bounded(t), r.key("term")))(t).Header.Revision
	if _, err := raw.Compact(bounded(t), now); err != nil {
		t.Logf("another test compacted later: %v", err)
	}
	relay.Cut()
	relay.Pass()
	last := ballot.Votes[0].Health
	await(t, b, "the newest ballot", func(v controller.View) bool {
		return len(v.Ballots) == 1 && v.Ballots[0].Votes[0].Health == last
	})
	if got := wait(t, "the suspicion that was missed", told); len(got) != 1 || got[0] != "new" {
		t.Errorf("was told of %v, want new", got)
	}
}

func cutOffLeaderStopsBeforeOthers(t *testing.T, r Rig) {
	relay := NewRelay(t, r.Endpoint)
	a, b := r.join(t, "a", relay.Endpoint()), r.Open("b")
	old := lead(t, a, "a")
	won := make(chan controller.Lead, 1)
	overlap := make(chan bool, 1)
	go func() {
		l, err := b.Campaign(bounded(t), "b")
		overlap <- old.Sure()
		if err == nil {
			won <- l
		}
	}()
	relay.Hold()
	next := wait(t, "another leader", won)
	if wait(t, "the comparison", overlap) {
		t.Error("another led while the leader that was cut off still counted itself one")
	}
	wait(t, "the old lead's end", old.Done())
	if next.Term() != old.Term()+1 {
		t.Errorf("term %d follows term %d", next.Term(), old.Term())
	}
	relay.Pass()
	if _, err := a.Commit(bounded(t), old, 0, shardOf(old, 1, 1), nil); !errors.Is(err, controller.ErrNotLeader) {
		t.Errorf("the old leader's commit gave %v, want ErrNotLeader", err)
	}
}

// lostReplyIsSettled lets commits' replies get lost: what was committed is
// reported so, or as not known, never as refused, and never written twice.
func lostReplyIsSettled(t *testing.T, r Rig) {
	relay := NewRelay(t, r.Endpoint)
	a := r.join(t, "a", relay.Endpoint())
	raw := r.raw(t)
	l := lead(t, a, "a")
	var rev controller.Revision
	for seq := uint64(1); seq <= 5; seq++ {
		s := shardOf(l, 1, seq)
		// The connection is cut at the moment at which etcd has committed.
		ctx, cancel := context.WithCancel(bounded(t))
		seen := raw.Watch(ctx, r.key("shard/001"), clientv3.WithCreatedNotify())
		wait(t, "the watch", seen)
		cut := make(chan struct{})
		go func() {
			defer close(cut)
			if _, ok := <-seen; ok {
				relay.Cut()
			}
		}()
		got, err := a.Commit(bounded(t), l, rev, s, entryOf(s, fmt.Sprint(seq)))
		wait(t, "the cut", cut)
		cancel()
		now := must(raw.Get(bounded(t), r.key("shard/001")))(t).Kvs[0]
		if err != nil {
			t.Fatalf("seq %d: %v, although it was committed and etcd can be reached again", seq, err)
		}
		if int64(got) != now.ModRevision || now.Version != int64(seq) {
			t.Fatalf("seq %d: got revision %d, etcd has %d after %d writes", seq, got, now.ModRevision, now.Version)
		}
		rev = got
		// A commit on the cut connection would not even be sent. Where the reply
		// was faster than the cut, it is this read that meets with the cut.
		again := bounded(t)
		_, _, err = a.Leader(again)
		for err != nil && again.Err() == nil {
			_, _, err = a.Leader(again)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
