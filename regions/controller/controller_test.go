package controller_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// bubble runs a test on a rig in a synctest bubble.
func bubble(t *testing.T, services []steering.Service, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, services...)
		defer func() { r.stop() }()
		f(r)
	})
}

func TestFirstDecisionIsCommittedAtOnce(t *testing.T) {
	bubble(t, []steering.Service{service(app, time.Minute, one, two)}, func(r *rig) {
		r.start()
		r.wantServed(app, "192.0.2.1")
		r.wantCause("eu leads, term 1")
		if s := r.shards[steering.ShardOf(app)]; s.Term != 1 || s.Seq != 1 || s.Config != "c" || s.Version != "v" {
			t.Errorf("shard %+v", s.Shard)
		}
	})
}

func TestFailoverAndBack(t *testing.T) {
	bubble(t, []steering.Service{service(app, time.Minute, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		r.wantServed(app, "192.0.2.1")
		r.vote("eu", checks.Down, one)
		r.wantServed(app, "192.0.2.1")
		pass(700 * time.Millisecond)
		r.vote("us", checks.Down, one)
		r.wantServed(app, "192.0.2.2")
		r.wantCause("us voted web@192.0.2.1 down")
		e := r.lastEvent()
		if e.Rule != steering.RuleDepart || e.Seen != 700*time.Millisecond || e.Service != app || len(e.From) != 1 || len(e.To) != 1 {
			t.Errorf("event %+v", e)
		}
		r.vote("ap", checks.Down, one)
		r.voteAll(checks.Up, one)
		r.wantServed(app, "192.0.2.2")
		pass(time.Minute - time.Millisecond)
		r.wantServed(app, "192.0.2.2")
		pass(2 * time.Millisecond)
		r.wantServed(app, "192.0.2.1")
		r.wantCause("hold of " + app + " in eu ended")
		if e := r.lastEvent(); e.Rule != steering.RuleReturn || e.Seen != 0 {
			t.Errorf("event %+v", e)
		}
	})
}

// A move that votes made is measured: the first sign at the latest, then what
// the leader saw, then the TTL of the answer that was left. One that took longer
// than the service allows is a warning.
func TestMovesAreMeasured(t *testing.T) {
	const took = 7*time.Second + 700*time.Millisecond + 30*time.Second
	for _, c := range []struct {
		limit time.Duration
		level string
	}{{took, "info"}, {took - 1, "warn"}, {0, "info"}} {
		bubble(t, []steering.Service{service(app, time.Minute, one, two)}, func(r *rig) {
			var log bytes.Buffer
			r.o.Log = zerolog.New(&log)
			r.o.Recovery = map[string]controller.Recovery{app: {Limit: c.limit, FirstSign: 7 * time.Second}}
			r.voteAll(checks.Up, one, two)
			r.start()
			r.wantServed(app, "192.0.2.1")
			if e := r.lastEvent(); e.Recovery != 0 {
				t.Errorf("the first answer was measured: %+v", e)
			}
			r.vote("eu", checks.Down, one)
			pass(700 * time.Millisecond)
			r.vote("us", checks.Down, one)
			r.wantServed(app, "192.0.2.2")
			if e := r.lastEvent(); e.Recovery != took || e.Limit != c.limit {
				t.Errorf("recovery %s within %s, expected %s within %s", e.Recovery, e.Limit, took, c.limit)
			}
			r.stop()
			want := fmt.Sprintf(`"level":%q,"recovery_ms":37700`, c.level)
			if !strings.Contains(log.String(), want) {
				t.Errorf("rto %s: the log has no %s:\n%s", c.limit, want, log.String())
			}
		})
	}
}

func TestJournalReplays(t *testing.T) {
	bubble(t, []steering.Service{service(app, time.Minute, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		for range 3 {
			r.voteAll(checks.Down, one)
			pass(time.Second)
			r.voteAll(checks.Up, one)
			pass(2 * time.Minute)
		}
		_, n := r.counts()
		if n < 7 {
			t.Fatalf("%d entries", n)
		}
		for _, e := range r.entries {
			if _, same := e.Replay(); !same {
				t.Errorf("entry %d does not replay", e.Seq)
			}
		}
	})
}

func TestNothingChangedCommitsNothing(t *testing.T) {
	bubble(t, []steering.Service{service(app, time.Minute, one, two)}, func(r *rig) {
		r.o.Reconcile = every(time.Minute)
		r.voteAll(checks.Up, one, two)
		r.start()
		before, _ := r.counts()
		r.change(func() {})
		pass(10 * time.Minute)
		if after, _ := r.counts(); after != before {
			t.Errorf("%d commits where nothing changed", after-before)
		}
	})
}

type every time.Duration

func (e every) Next(now time.Time) time.Time { return now.Add(time.Duration(e)) }

func TestHoldGrowsOverChangeOfLeader(t *testing.T) {
	bubble(t, []steering.Service{service(app, time.Minute, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		r.voteAll(checks.Down, one)
		r.wantServed(app, "192.0.2.2")
		r.voteAll(checks.Up, one)
		synctest.Wait()
		began := time.Now()
		for range 4 { // each leader saves after 10 s; what it ran after that is lost
			pass(14 * time.Second)
			r.depose(nil)
			synctest.Wait()
		}
		for r.served(app) != "192.0.2.1" {
			pass(100 * time.Millisecond)
			if time.Since(began) > 5*time.Minute {
				t.Fatal("the hold never ended")
			}
		}
		if held := time.Since(began); held < time.Minute {
			t.Errorf("held for %s: shorter than the hold", held)
		}
		if held := time.Since(began); held > time.Minute+5*(4*time.Second+saveSlack) {
			t.Errorf("held for %s: longer than the saved timers explain", held)
		}
	})
}

// saveSlack covers the pauses between two leaders in the fakes.
const saveSlack = time.Second

func TestLostLeadershipStopsAtOnce(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		r.world.mu.Lock()
		r.fail = func(s steering.Shard) error {
			if s.Term == 1 {
				return controller.ErrNotLeader
			}
			return nil
		}
		r.world.mu.Unlock()
		r.voteAll(checks.Down, one)
		pass(time.Second)
		r.wantServed(app, "192.0.2.2")
		if s := r.shards[steering.ShardOf(app)]; s.Term != 2 {
			t.Errorf("committed in term %d, want 2", s.Term)
		}
		r.wantCause("eu leads, term 2; " + votedDown(one))
	})
}

// votedDown is what a new leader says when it finds all vantages' votes.
func votedDown(id regions.EndpointID) string {
	return fmt.Sprintf("ap voted %s down; eu voted %s down; us voted %s down; and 3 more", id, id, id)
}

func TestMovedShardIsReadAgain(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		id := steering.ShardOf(app)
		r.world.mu.Lock()
		v := r.shards[id]
		r.rev++
		v.At, v.Seq = r.rev, v.Seq+5
		r.shards[id] = v
		r.world.mu.Unlock()
		r.voteAll(checks.Down, one)
		r.wantServed(app, "192.0.2.2")
		if s := r.shards[id]; s.Seq != 7 {
			t.Errorf("seq %d, want 7: it never goes back", s.Seq)
		}
	})
}

func TestLostReplyIsSettled(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		lost := 0
		r.world.mu.Lock()
		r.after = func(steering.Shard) error {
			if lost++; lost == 1 {
				return errDown
			}
			return nil
		}
		r.world.mu.Unlock()
		_, before := r.counts()
		r.vote("eu", checks.Down, one)
		r.vote("us", checks.Down, one)
		pass(time.Second)
		r.wantServed(app, "192.0.2.2")
		if e := r.lastEvent(); e.Rule != steering.RuleDepart {
			t.Errorf("the move's event is missing: %+v", e)
		}
		_, after := r.counts()
		if after-before != 1 {
			t.Errorf("%d entries for one move", after-before)
		}
	})
}

// TestRevertedAfterLostReply: the move was committed, its reply was lost, and
// what caused it is gone before the leader tries again. The ledger must not
// keep an answer that nobody decided to keep.
func TestRevertedAfterLostReply(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		lost := 0
		r.world.mu.Lock()
		r.after = func(steering.Shard) error {
			if lost++; lost == 1 {
				return errDown
			}
			return nil
		}
		r.world.mu.Unlock()
		order := controller.Order{Override: steering.Override{ID: "1", Act: steering.Drain, Target: steering.Target{Region: "eu"}, By: "alice", Why: "x"}}
		r.change(func() { r.orders["1"] = order })
		r.wantServed(app, "192.0.2.2")
		r.change(func() { delete(r.orders, "1") })
		pass(time.Second)
		r.wantServed(app, "192.0.2.1")
	})
}

func TestFailingLedgerIsTriedAgain(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		away := true
		r.world.mu.Lock()
		r.fail = func(steering.Shard) error {
			if away {
				return errDown
			}
			return nil
		}
		r.world.mu.Unlock()
		r.voteAll(checks.Down, one)
		pass(time.Minute)
		r.wantServed(app, "192.0.2.1")
		r.world.mu.Lock()
		away = false
		r.world.mu.Unlock()
		pass(11 * time.Second)
		r.wantServed(app, "192.0.2.2")
		if !strings.Contains(r.lastCause(), "voted web@192.0.2.1 down") {
			t.Errorf("cause %q", r.lastCause())
		}
	})
}

func TestOverrideExpires(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		r.change(func() {
			r.orders["1"] = controller.Order{Until: time.Now().Add(5 * time.Minute), Override: steering.Override{
				ID: "1", Act: steering.Drain, Target: steering.Target{Service: app, Region: "eu"}, By: "alice", Why: "disks"}}
		})
		r.wantServed(app, "192.0.2.2")
		r.wantCause("override drain by alice")
		pass(5*time.Minute - time.Millisecond)
		r.wantServed(app, "192.0.2.2")
		pass(2 * time.Millisecond)
		r.wantServed(app, "192.0.2.1")
		if !strings.Contains(r.lastCause(), "override drain by alice expired") {
			t.Errorf("cause %q", r.lastCause())
		}
		if len(r.View().Overrides) != 0 {
			t.Error("the expired override is still in the ledger")
		}
	})
}

func TestOverrideEndedByOperator(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		r.change(func() {
			r.orders["1"] = controller.Order{Override: steering.Override{
				ID: "1", Act: steering.Drain, Target: steering.Target{Region: "eu"}, By: "alice", Why: "disks"}}
		})
		r.wantServed(app, "192.0.2.2")
		r.change(func() { delete(r.orders, "1") })
		r.wantServed(app, "192.0.2.1")
		r.wantCause("override drain by alice ended")
	})
}

func TestSuspicionLowersTTL(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		_, before := r.counts()
		r.change(func() { r.suspects = []regions.EndpointID{one} })
		synctest.Wait()
		if a := r.shards[steering.ShardOf(app)].Answers[0]; a.Left == 0 {
			t.Error("a suspected answer is promised to hold")
		}
		r.change(func() { r.suspects = nil })
		synctest.Wait()
		if a := r.shards[steering.ShardOf(app)].Answers[0]; a.Left != 0 {
			t.Errorf("left %s after the suspicion ended", a.Left)
		}
		if _, after := r.counts(); after != before {
			t.Error("a TTL that was lowered is no decision and has no journal entry")
		}
	})
}

func TestSelfSuspectBallotCountsAsUnknown(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		r.vote("eu", checks.Down, one)
		r.change(func() {
			b := r.ballots["eu"]
			b.Suspect, b.Why = true, "2 of 2 references fail"
			r.ballots["eu"] = b
		})
		r.vote("us", checks.Down, one)
		r.wantServed(app, "192.0.2.1")
	})
}

func TestWindowOpens(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		opens := time.Now().Add(3 * time.Hour)
		r.o.Calendar = func(now time.Time) steering.Calendar {
			if now.Before(opens) {
				return steering.Calendar{Closed: []string{app}, Change: opens.Sub(now)}
			}
			return steering.Calendar{}
		}
		r.voteAll(checks.Up, one, two)
		r.start()
		r.voteAll(checks.Down, one)
		synctest.Wait()
		r.voteAll(checks.Up, one)
		pass(time.Hour)
		r.wantServed(app, "192.0.2.2")
		pass(2 * time.Hour)
		r.wantServed(app, "192.0.2.1")
		if !strings.Contains(r.lastCause(), "failback window of "+app+" opened") {
			t.Errorf("cause %q", r.lastCause())
		}
	})
}

func TestUnlistedServiceIsHeld(t *testing.T) {
	bubble(t, []steering.Service{service(app, 0, one, two)}, func(r *rig) {
		r.voteAll(checks.Up, one, two)
		r.start()
		r.stop()
		r.o.Policy = steering.Policy{}
		r.start()
		r.voteAll(checks.Down, one)
		pass(time.Minute)
		r.wantServed(app, "192.0.2.1")
		r.stop()
	})
}

func TestOnlyTouchedShardsAreDecided(t *testing.T) {
	var services []steering.Service
	for i := range 5000 {
		a := regions.EndpointID(fmt.Sprintf("web@10.0.%d.%d", i/250, i%250))
		b := regions.EndpointID(fmt.Sprintf("web@10.1.%d.%d", i/250, i%250))
		services = append(services, service(fmt.Sprintf("s%d.example.test.", i), 0, a, b))
	}
	bubble(t, services, func(r *rig) {
		var all []regions.EndpointID
		for _, s := range services {
			for _, p := range s.Pools {
				all = append(all, p.Endpoints[0].ID)
			}
		}
		r.voteAll(checks.Up, all...)
		decided := make(chan int, 1<<16)
		r.o.Decide = func(in steering.Input) steering.Decision {
			decided <- len(in.Policy.Services)
			return steering.Decide(in)
		}
		r.start()
		if n := len(decided); n != steering.Shards {
			t.Fatalf("%d decisions for the first view, want one a shard", n)
		}
		for len(decided) > 0 {
			<-decided
		}
		id := services[42].Pools[0].Endpoints[0].ID
		r.vote("eu", checks.Down, id)
		synctest.Wait()
		r.vote("us", checks.Down, id)
		synctest.Wait()
		if n := len(decided); n != 2 {
			t.Errorf("%d decisions for two votes on one endpoint", n)
		}
		r.wantServed(services[42].Name, strings.TrimPrefix(string(services[42].Pools[1].Endpoints[0].ID), "web@"))
	})
}
