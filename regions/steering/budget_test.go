package steering_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions/regionstest"
	"github.com/veerdns/veer/regions/steering"
)

func TestBudgetIsTheSumOfItsTerms(t *testing.T) {
	timings := steering.Timings{
		Interval: 5500 * time.Millisecond, Timeout: 2 * time.Second, Recheck: 500 * time.Millisecond, Fall: 3,
		RTT: 80 * time.Millisecond, Write: 100 * time.Millisecond, Leader: 14 * time.Second,
		Queue: time.Second, Propagation: 2 * time.Second,
	}
	b := timings.WithTTL(60, 90*time.Second)
	const want = "detection 12.5s + vote 260ms + leader 1.24s + commit 260ms + queue 1s + propagation 2s + ttl 1m0s = 1m17.26s"
	if got := b.String(); got != want {
		t.Errorf("budget is\n%s\nexpected\n%s", got, want)
	}
	if !b.Holds() {
		t.Errorf("%s does not hold %s", b, b.Limit)
	}
	if ttl, ok := timings.SteadyTTL(5, 60, 30*time.Second); ttl != 12 || !ok {
		t.Errorf("steady TTL within 30s is %d, %v: expected 12, true", ttl, ok)
	}
	if ttl, ok := timings.SteadyTTL(13, 60, 30*time.Second); ttl != 13 || ok {
		t.Errorf("steady TTL within 30s and not below 13 is %d, %v: expected 13, false", ttl, ok)
	}
	if ttl, ok := timings.SteadyTTL(5, 60, 0); ttl != 60 || !ok {
		t.Errorf("steady TTL without a limit is %d, %v: expected 60, true", ttl, ok)
	}
}

// TestTheLossOfTheLeaderGoesOnBesideDetection: it counts once detection and vote
// are over, and where passes decide, the next one's turn comes after all.
func TestTheLossOfTheLeaderGoesOnBesideDetection(t *testing.T) {
	timings := steering.Timings{Interval: 10 * time.Second, Timeout: time.Second, Fall: 1, Leader: 4 * time.Second}
	if got := timings.WithTTL(0, 0); got.String() != "detection 11s = 11s" {
		t.Errorf("a leader that is replaced before the votes are in adds to the budget: %s", got)
	}
	timings.Twice = 13 * time.Second
	if got := timings.WithTTL(0, 0); got.String() != "detection 11s + election 2s = 13s" {
		t.Errorf("a second election counts by what it takes longer: %s", got)
	}
	timings.Twice, timings.Turn = 0, time.Minute
	if got := timings.WithTTL(0, 0); got.String() != "detection 11s + leader 1m0s = 1m11s" {
		t.Errorf("the next pass's turn is not added: %s", got)
	}
}

// TestSteadyTTLIsTheLargest: the steady TTL keeps the limit, and one second
// more would not, unless it is the highest allowed.
func TestSteadyTTLIsTheLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(0, 20_000).Draw(t, name)) * time.Millisecond
		}
		timings := steering.Timings{Interval: ms("interval"), Timeout: ms("timeout"), Recheck: ms("recheck"),
			Fall: rapid.IntRange(0, 5).Draw(t, "fall"), RTT: ms("rtt"), Write: ms("write"), Leader: ms("leader"), Twice: ms("twice"), Turn: ms("turn"),
			Queue: ms("queue"), Propagation: ms("propagation")}
		lo := rapid.Uint32Range(0, 300).Draw(t, "min")
		hi := rapid.Uint32Range(lo, 3600).Draw(t, "max")
		limit := time.Duration(rapid.IntRange(1, 600).Draw(t, "rto")) * time.Second
		ttl, ok := timings.SteadyTTL(lo, hi, limit)
		switch {
		case ttl < lo || ttl > hi:
			t.Fatalf("%d is outside %d..%d", ttl, lo, hi)
		case ok != timings.WithTTL(lo, limit).Holds():
			t.Fatalf("found=%v, but a TTL of %d gives %s", ok, lo, timings.WithTTL(lo, limit))
		case ok && !timings.WithTTL(ttl, limit).Holds():
			t.Fatalf("a TTL of %d breaks %s: %s", ttl, limit, timings.WithTTL(ttl, limit))
		case ok && ttl < hi && timings.WithTTL(ttl+1, limit).Holds():
			t.Fatalf("a TTL of %d would hold too, %d was chosen", ttl+1, ttl)
		}
	})
}

// timeline plays one region's loss against the timings: when the needed votes
// are in, when a leader has them, when the last cached answer is gone. Each
// vantage is caught at any phase of its schedule, each probe takes up to its
// time-out, and rise and fall are the real ones.
func timeline(t *rapid.T, timings steering.Timings, survivors, need int, ttl uint32) time.Duration {
	upTo := func(name string, most time.Duration) time.Duration {
		if rapid.Bool().Draw(t, name+" as long as can be") {
			return most
		}
		return time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, name))
	}
	th := checks.Thresholds{Fall: timings.Fall, Rise: 3, OK: 3}
	var votes []time.Duration
	for range survivors {
		at := upTo("phase", timings.Interval)
		track := checks.Track{State: checks.Up}
		for {
			at += upTo("probe", timings.Timeout)
			if track = track.Observe(th, checks.Result{Health: checks.Down}); track.State == checks.Down {
				break
			}
			at += timings.Recheck
		}
		votes = append(votes, at+upTo("vote written", timings.Write)+upTo("vote agreed", 2*timings.RTT))
	}
	slices.Sort(votes)
	decided := max(votes[need-1], upTo("new leader", timings.Leader), upTo("elected twice", timings.Twice)) + upTo("next pass", timings.Turn)
	committed := decided + upTo("commit", timings.Write) + upTo("agreed", 2*timings.RTT)
	return committed + upTo("queue", timings.Queue) + upTo("propagation", timings.Propagation) + upTo("ttl", time.Duration(ttl)*time.Second)
}

// coversTimelines is property 11's time: no timeline is longer than the sum.
func coversTimelines(t *rapid.T, sum func(steering.Timings, uint32) time.Duration) error {
	ms := func(name string) time.Duration {
		return time.Duration(rapid.IntRange(0, 9_000).Draw(t, name)) * time.Millisecond
	}
	timings := steering.Timings{Interval: ms("interval"), Timeout: ms("timeout"), Recheck: ms("recheck"),
		Fall: rapid.IntRange(1, 5).Draw(t, "fall"), RTT: ms("rtt"), Write: ms("write"), Leader: ms("leader"), Twice: ms("twice"), Turn: ms("turn"),
		Queue: ms("queue"), Propagation: ms("propagation")}
	survivors := rapid.IntRange(1, 5).Draw(t, "survivors")
	ttl := rapid.Uint32Range(0, 10).Draw(t, "ttl seconds")
	took := timeline(t, timings, survivors, rapid.IntRange(1, survivors).Draw(t, "need"), ttl)
	if most := sum(timings, ttl); took > most {
		return fmt.Errorf("%+v with a TTL of %d took %s, the budget is %s", timings, ttl, took, most)
	}
	return nil
}

func TestProperty11TheBudgetCoversEveryTimeline(t *testing.T) {
	regionstest.Holds(t, func(rt *rapid.T) error {
		return coversTimelines(rt, func(ts steering.Timings, ttl uint32) time.Duration { return ts.WithTTL(ttl, 0).Total })
	})
}

// TestMutantsOfTheBudget drops one term at a time.
func TestMutantsOfTheBudget(t *testing.T) {
	without := func(change func(*steering.Timings)) func(*rapid.T) error {
		return func(rt *rapid.T) error {
			return coversTimelines(rt, func(ts steering.Timings, ttl uint32) time.Duration {
				change(&ts)
				return ts.WithTTL(ttl, 0).Total
			})
		}
	}
	regionstest.Caught(t, searches, "11: one failure is enough", without(func(ts *steering.Timings) { ts.Fall = 1 }))
	regionstest.Caught(t, searches, "11: the interval is forgotten", without(func(ts *steering.Timings) { ts.Interval = 0 }))
	regionstest.Caught(t, searches, "11: leaders live for ever", without(func(ts *steering.Timings) { ts.Leader = 0 }))
	regionstest.Caught(t, searches, "11: no vote is split", without(func(ts *steering.Timings) { ts.Twice = 0 }))
	regionstest.Caught(t, searches, "11: the next pass is at once", without(func(ts *steering.Timings) { ts.Turn = 0 }))
	regionstest.Caught(t, searches, "11: what is agreed is known everywhere", without(func(ts *steering.Timings) { ts.RTT = 0 }))
}
