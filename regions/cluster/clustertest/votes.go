package clustertest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
)

// keep renews a seat until the test ends or stop is called, as a probing loop
// does.
func keep(t *testing.T, s prober.Seat) (stop func()) {
	ctx, cancel := context.WithCancel(bounded(t))
	done := make(chan struct{})
	go func() {
		defer close(done)
		every := time.NewTicker(200 * time.Millisecond)
		defer every.Stop()
		for ctx.Err() == nil {
			if err := s.Renew(ctx); err != nil {
				return
			}
			select {
			case <-every.C:
			case <-ctx.Done():
			}
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func ballots(n int) func(controller.View) bool {
	return func(v controller.View) bool { return len(v.Ballots) == n }
}

func votesReachTheOthers(t *testing.T, r Rig) {
	a, b := r.Open("a"), r.Open("b")
	sa := must(a.Join(bounded(t), "eu"))(t)
	sb := must(b.Join(bounded(t), "us"))(t)
	keep(t, sa)
	keep(t, sb)
	eu := regions.Ballot{Vantage: "eu", Votes: []regions.Vote{vote("eu", "web@192.0.2.1", checks.Up, 1), vote("eu", "web@2001:db8::1", checks.Down, 7)}}
	us := regions.Ballot{Vantage: "us", Votes: []regions.Vote{vote("us", "web@192.0.2.1", checks.Degraded, 3)}, Suspect: true, Why: "both references fail"}
	check(t, sa.Cast(bounded(t), eu))
	check(t, sb.Cast(bounded(t), us))
	want := []regions.Ballot{eu, us}
	full := func(v controller.View) bool { return cmp.Equal(want, v.Ballots) }
	await(t, a, "both ballots at a", full)
	v := await(t, b, "both ballots at b", full)
	v.Ballots[0].Votes[0].Health = checks.Down // the copy is the caller's
	await(t, b, "an unchanged view", full)
	want[0].Votes[0].RoundTrip = 20 * time.Millisecond // alone
	check(t, sa.Cast(bounded(t), want[0]))
	await(t, b, "what eu measures", full)
}

func onlyChangedChunksAreWritten(t *testing.T, r Rig) {
	a := r.Open("a")
	seat := must(a.Join(bounded(t), "eu"))(t)
	keep(t, seat)
	b := regions.Ballot{Vantage: "eu"}
	for i := range 1234 {
		b.Votes = append(b.Votes, vote("eu", regions.EndpointID(fmt.Sprintf("web@host%04d", i)), checks.Up, 1))
	}
	check(t, seat.Cast(bounded(t), b))
	raw := r.raw(t)
	before := mods(t, r, raw)
	b.Votes[777].Health, b.Votes[777].Round = checks.Down, 2
	check(t, seat.Cast(bounded(t), b))
	changed := 0
	after := mods(t, r, raw)
	for k, rev := range after {
		if before[k] != rev {
			changed++
		}
	}
	if changed != 1 || len(after) != len(before) {
		t.Errorf("one vote changed: %d of %d keys were written", changed, len(after))
	}
	b.Votes = b.Votes[:10]
	check(t, seat.Cast(bounded(t), b))
	await(t, a, "the short ballot", func(v controller.View) bool {
		return len(v.Ballots) == 1 && cmp.Equal(v.Ballots[0].Votes, b.Votes)
	})
}

// mods are the ballots' keys with their revisions.
func mods(t *testing.T, r Rig, raw *clientv3.Client) map[string]int64 {
	t.Helper()
	resp := must(raw.Get(bounded(t), r.key("world/ballot/"), clientv3.WithPrefix(), clientv3.WithKeysOnly()))(t)
	out := map[string]int64{}
	for _, kv := range resp.Kvs {
		out[string(kv.Key)] = kv.ModRevision
	}
	return out
}

func secondProcessStandsBy(t *testing.T, r Rig) {
	a, b := r.Open("a"), r.Open("b")
	first := must(a.Join(bounded(t), "eu"))(t)
	keep(t, first)
	short, cancel := context.WithCancel(bounded(t))
	joined := make(chan prober.Seat, 1)
	failed := make(chan error, 1)
	go func() {
		s, err := b.Join(short, "eu")
		failed <- err
		joined <- s
	}()
	for range 3 { // it has had time to look, and stands by
		check(t, first.Renew(bounded(t)))
		must(r.raw(t).Get(bounded(t), r.key("seat/eu")))(t)
	}
	select {
	case <-joined:
		t.Fatal("two processes hold one seat")
	default:
	}
	check(t, first.Leave(bounded(t)))
	wait(t, "the first process to know that it left", first.Lost())
	check(t, wait(t, "the second process to join", failed))
	second := wait(t, "the seat", joined)
	check(t, second.Cast(bounded(t), regions.Ballot{Vantage: "eu"}))
	cancel()
	stopped, stop := context.WithCancel(bounded(t))
	stop()
	if _, err := a.Join(stopped, "eu"); err == nil {
		t.Error("Join returned a seat although its context had ended")
	}
}

func votesVanishWithTheLease(t *testing.T, r Rig) {
	a, b := r.Open("a"), r.Open("b")
	seat := must(a.Join(bounded(t), "eu"))(t)
	stop := keep(t, seat)
	check(t, seat.Cast(bounded(t), regions.Ballot{Vantage: "eu", Votes: []regions.Vote{vote("eu", "e", checks.Up, 1)}}))
	await(t, b, "the ballot", ballots(1))
	joined := make(chan prober.Seat, 1)
	go func() {
		if s, err := b.Join(bounded(t), "eu"); err == nil {
			joined <- s
		}
	}()
	stop()
	await(t, b, "the ballot to vanish", ballots(0))
	wait(t, "the second process to take the seat", joined)
	if err := seat.Renew(bounded(t)); err == nil {
		t.Error("a seat whose lease ended was renewed")
	}
	wait(t, "the first process to know", seat.Lost())
}

func lostSeatWritesNothing(t *testing.T, r Rig) {
	a := r.Open("a")
	seat := must(a.Join(bounded(t), "eu"))(t)
	keep(t, seat)
	must(r.raw(t).Delete(bounded(t), r.key("seat/eu")))(t)
	if err := seat.Cast(bounded(t), regions.Ballot{Vantage: "eu", Votes: []regions.Vote{vote("eu", "e", checks.Up, 1)}}); err == nil {
		t.Error("a process without its seat cast votes")
	}
	wait(t, "the process to know", seat.Lost())
	if n := len(mods(t, r, r.raw(t))); n != 0 {
		t.Errorf("%d keys were written without a seat", n)
	}
	if err := seat.Suspect(bounded(t), []regions.EndpointID{"e"}); err == nil {
		t.Error("a process without its seat published a suspicion")
	}
}

func suspicionComesOnce(t *testing.T, r Rig) {
	a, b := r.Open("a"), r.Open("b")
	seat := must(a.Join(bounded(t), "eu"))(t)
	keep(t, seat)
	check(t, seat.Suspect(bounded(t), []regions.EndpointID{"old"}))
	await(t, b, "the old suspicion", func(v controller.View) bool { return slices.Contains(v.Suspects, "old") })
	ctx, cancel := context.WithCancel(bounded(t))
	others := b.Suspicions(ctx, "us")
	own := b.Suspicions(ctx, "eu")
	check(t, seat.Suspect(bounded(t), []regions.EndpointID{"x", "y"}))
	var got []regions.EndpointID
	for len(got) < 2 {
		got = append(got, wait(t, "the suspicions", others)...)
	}
	slices.Sort(got)
	if !slices.Equal(got, []regions.EndpointID{"x", "y"}) {
		t.Errorf("got %v, want x and y, once each, and nothing older", got)
	}
	check(t, seat.Suspect(bounded(t), []regions.EndpointID{"z"}))
	if got := wait(t, "the next suspicion", others); !slices.Equal(got, []regions.EndpointID{"z"}) {
		t.Errorf("got %v, want z only", got)
	}
	cancel()
	if got, open := <-own; open {
		t.Errorf("a vantage was told of its own suspicion %v", got)
	}
	if _, open := <-others; open {
		t.Error("the channel was not closed when its context ended")
	}
}

func castSettlesASuspicion(t *testing.T, r Rig) {
	a, b := r.Open("a"), r.Open("b")
	seat := must(a.Join(bounded(t), "eu"))(t)
	keep(t, seat)
	ballot := regions.Ballot{Vantage: "eu", Votes: []regions.Vote{vote("eu", "x", checks.Up, 5), vote("eu", "y", checks.Up, 5)}}
	check(t, seat.Cast(bounded(t), ballot))
	check(t, seat.Suspect(bounded(t), []regions.EndpointID{"x", "y"}))
	await(t, b, "both suspects", func(v controller.View) bool { return len(v.Suspects) == 2 })
	ballot.Votes[0].Health, ballot.Votes[0].Round = checks.Down, 8
	check(t, seat.Cast(bounded(t), ballot))
	v := await(t, b, "the verdict on x", func(v controller.View) bool {
		return len(v.Ballots) == 1 && v.Ballots[0].Votes[0].Health == checks.Down
	})
	if !slices.Equal(v.Suspects, []regions.EndpointID{"y"}) {
		t.Errorf("the view with the vote on x has suspects %v, want y: they change together", v.Suspects)
	}
	ballot.Votes[1].Round = 9 // up as before, and looked at again
	check(t, seat.Cast(bounded(t), ballot))
	await(t, b, "no suspects", func(v controller.View) bool { return len(v.Suspects) == 0 })
}
