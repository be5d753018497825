package cluster_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
	"github.com/veerdns/veer/regions/cluster/clustertest"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// TestEndTakeover: the end of a takeover ends the present lead, and the next
// term is above the takeover's and knows of it.
func TestEndTakeover(t *testing.T) {
	t.Parallel()
	c := start(t, fast(), cluster.Options{Owner: "test", Name: "a", DataDir: clustertest.ShortDir(t)})
	ctx := within(t)
	ended := func(l controller.Lead) regions.Term {
		return l.(interface{ TakeoversEnded() regions.Term }).TakeoversEnded()
	}
	old, err := c.Campaign(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if ended(old) != 0 {
		t.Errorf("ended %d before any takeover", ended(old))
	}
	last := old
	for _, takeover := range []regions.Term{9, 9, 4, 12} {
		highest := max(takeover, ended(last))
		if err := c.EndTakeover(ctx, takeover, "lea", "test"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-last.Done():
		case <-ctx.Done():
			t.Fatal("the lead of before did not end")
		}
		if _, err := c.Commit(ctx, last, 0, steering.Shard{ID: 1, Term: last.Term(), Seq: 1}, nil); !errors.Is(err, controller.ErrNotLeader) {
			t.Errorf("a commit of the lead of before: %v, want ErrNotLeader", err)
		}
		next, err := c.Campaign(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		if next.Term() <= max(last.Term(), takeover) || ended(next) != highest {
			t.Errorf("after the end of takeover %d, term %d follows %d and knows of %d, want %d", takeover, next.Term(), last.Term(), ended(next), highest)
		}
		last = next
	}
	notes, err := c.Notes(ctx, 0)
	if err != nil || len(notes) != 4 || notes[0].Act != "takeover of term 9 ended" || notes[0].By != "lea" {
		t.Errorf("notes %+v, %v", notes, err)
	}
}

// TestQuorum tells a quorum from none, and how old what is known is.
func TestQuorum(t *testing.T) {
	t.Parallel()
	dir := clustertest.ShortDir(t)
	c := start(t, fast(), cluster.Options{Owner: "test", Name: "a", DataDir: dir})
	if ok, err := c.Quorum(within(t)); !ok || err != nil {
		t.Errorf("with a member: %v, %v", ok, err)
	}
	for c.AsOf().IsZero() {
		<-c.Changed()
	}
	if age := time.Since(c.AsOf()); age < 0 || age > time.Minute {
		t.Errorf("what is known is of %s ago", age)
	}
	nobody := fast()
	nobody.Endpoints = []string{"unix://" + filepath.Join(dir, "nobody.sock")}
	lonely := start(t, nobody, cluster.Options{Owner: "test", Name: "b"})
	if ok, err := lonely.Quorum(within(t)); ok || err != nil {
		t.Errorf("without: %v, %v", ok, err)
	}
	if !lonely.AsOf().IsZero() {
		t.Errorf("it has heard of a quorum at %s", lonely.AsOf())
	}
}

// TestQuorumOfThree: with two of three members gone, the third has none, and
// what it knows grows old.
func TestQuorumOfThree(t *testing.T) {
	t.Parallel()
	members := startThree(t)
	last := members[2]
	for last.AsOf().IsZero() {
		<-last.Changed()
	}
	if ok, err := last.Quorum(within(t)); !ok || err != nil {
		t.Fatalf("with three members: %v, %v", ok, err)
	}
	clustertest.Close(t, members[0])
	for ctx := within(t); ; { // there may be an election
		ok, err := last.Quorum(ctx)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("with two members: %v, %v", ok, err)
		}
		if ok {
			break
		}
	}
	clustertest.Close(t, members[1])
	asOf := last.AsOf()
	if ok, err := last.Quorum(within(t)); ok || err != nil {
		t.Errorf("with one member: %v, %v", ok, err)
	}
	if now := last.AsOf(); now.Sub(asOf) > time.Second {
		t.Errorf("what it knows was proven %s after the quorum was gone", now.Sub(asOf))
	}
}
