package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// threeOf starts three members in this process.
func threeOf(t *testing.T, change func(*Cluster)) []*Cluster {
	t.Helper()
	conf := Config{Members: map[string]Member{}, LeaderLease: 2 * time.Second}
	names := []string{"a", "b", "c"}
	for _, name := range names {
		conf.Members[name] = Member{Peer: "http://" + loopbackAddress(t), Client: "http://" + loopbackAddress(t)}
	}
	out := make([]*Cluster, len(names))
	var starting sync.WaitGroup
	for i, name := range names {
		starting.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c, err := Start(ctx, conf, Options{Owner: "test", Name: name, DataDir: t.TempDir(), Log: zerolog.Nop()})
			if err != nil {
				t.Error(err)
				return
			}
			change(c)
			t.Cleanup(func() { _ = c.Close() }) // a majority may be gone by then
			out[i] = c
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return out
}

func loopbackAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func campaignFor(t *testing.T, c *Cluster, name string) *lead {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := c.Campaign(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return l.(*lead)
}

// silenced lets the next candidate lead although the lease of the first lives:
// it gives no signs any more. It returns why two may have led at once.
func silenced(t *testing.T, overrun bool) error {
	members := threeOf(t, func(c *Cluster) { c.opts.LeaseOverrun = overrun })
	first := campaignFor(t, members[0], "a")
	won := make(chan *lead, 1)
	go func() { won <- campaignFor(t, members[1], "b") }()
	// It signs for longer than one sign is good for, and nobody takes its place.
	select {
	case l := <-won:
		t.Fatalf("term %d began although the leader gave signs of life", l.term)
	case <-time.After(3 * time.Second):
	}
	if !first.Sure() {
		t.Fatal("the leader that gave signs is not sure")
	}
	members[0].mute.Store(true)
	began := time.Now()
	next := <-won
	sure := first.Sure() // asked after the next one leads
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the next one led after %s", took)
	}
	if next.term != first.term+1 {
		t.Errorf("term %d follows term %d", next.term, first.term)
	}
	if _, err := members[0].etcd.TimeToLive(t.Context(), first.session.lease); err != nil {
		t.Errorf("the first one's lease: %v", err)
	}
	s := steering.Shard{ID: 1, Term: first.term, Seq: 1}
	if _, err := members[0].Commit(t.Context(), first, 0, s, nil); err == nil {
		t.Error("a commit of the first one holds")
	}
	s.Term = next.term
	for !overrun { // etcd may just elect: a reply that was lost says nothing
		_, err := members[1].Commit(t.Context(), next, 0, s, nil)
		if err == nil || errors.Is(err, controller.ErrMoved) {
			break
		}
		if errors.Is(err, controller.ErrNotLeader) {
			t.Fatalf("a commit of the next one: %v", err)
		}
	}
	if sure {
		return fmt.Errorf("term %d is sure while term %d leads", first.term, next.term)
	}
	return nil
}

// TestWhoGivesNoSignIsFollowed: the next candidate waits for a promise to run
// out, not for the lease, and who gave it does not lead any more by then.
func TestWhoGivesNoSignIsFollowed(t *testing.T) {
	if err := silenced(t, false); err != nil {
		t.Error(err)
	}
}

// TestMutantALeaderWithoutSignsGoesOn: the test above sees one that does.
func TestMutantALeaderWithoutSignsGoesOn(t *testing.T) {
	err := silenced(t, true)
	if err == nil {
		t.Fatal("a leader goes on without signs, and nobody saw it")
	}
	t.Logf("caught: %v", err)
}

// TestASignThatWasNotSeenCounts: a candidate that has missed the last sign, and
// so thinks that the leader is gone, is refused by the transaction.
func TestASignThatWasNotSeenCounts(t *testing.T) {
	members := threeOf(t, func(*Cluster) {})
	first := campaignFor(t, members[0], "a")
	ctx := t.Context()
	s, err := members[1].newSession(ctx, members[1].conf.LeaderLease)
	if err != nil {
		t.Fatal(err)
	}
	late := &lead{c: members[1], session: s, name: "b", holder: newHolder(), key: fmt.Sprintf("%s%016x", members[1].keys.leader(), int64(s.lease))}
	if err := late.stand(ctx); err != nil {
		t.Fatal(err)
	}
	now, err := late.look(ctx)
	if err != nil || now.before == nil {
		t.Fatalf("it sees %+v, %v; expected the leader before it", now, err)
	}
	first.signOnce(members[0].conf.sign())
	if won, err := late.raise(ctx, now); won || err != nil {
		t.Errorf("won %v, %v: expected to be refused", won, err)
	}
	if !first.Sure() {
		t.Error("the leader is not sure any more")
	}
	members[0].mute.Store(true)
	first.session.lapse() // it gives none that is under way, either
	if now, err = late.look(ctx); err != nil {
		t.Fatal(err)
	}
	if won, err := late.raise(ctx, now); !won || err != nil {
		t.Errorf("won %v, %v: nothing but the sign keeps it from leading", won, err)
	}
	var known controller.Opening = late
	if shards, err, ok := known.Opening(); len(shards) != 0 || err != nil || !ok {
		t.Errorf("it opens with %v, %v, %v: expected an empty ledger that is known", shards, err, ok)
	}
}
