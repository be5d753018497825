package steering_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/regions/steering"
)

func TestBudgetIsTheSumOfItsTerms(t *testing.T) {
	timings := steering.Timings{
		Interval: 5500 * time.Millisecond, Timeout: 2 * time.Second, Recheck: 500 * time.Millisecond, Fall: 3,
		RTT: 80 * time.Millisecond, Write: 100 * time.Millisecond, Leader: 6 * time.Second,
		Queue: time.Second, Propagation: 2 * time.Second,
	}
	b := timings.WithTTL(60, 90*time.Second)
	const want = "detection 12.5s + vote 180ms + leader 6s + commit 180ms + queue 1s + propagation 2s + ttl 1m0s = 1m21.86s"
	if got := b.String(); got != want {
		t.Errorf("budget is\n%s\nexpected\n%s", got, want)
	}
	if !b.Holds() {
		t.Errorf("%s does not hold %s", b, b.Limit)
	}
	if ttl, ok := timings.SteadyTTL(5, 60, 30*time.Second); ttl != 8 || !ok {
		t.Errorf("steady TTL within 30s is %d, %v: expected 8, true", ttl, ok)
	}
	if ttl, ok := timings.SteadyTTL(10, 60, 30*time.Second); ttl != 10 || ok {
		t.Errorf("steady TTL within 30s and not below 10 is %d, %v: expected 10, false", ttl, ok)
	}
	if ttl, ok := timings.SteadyTTL(5, 60, 0); ttl != 60 || !ok {
		t.Errorf("steady TTL without a limit is %d, %v: expected 60, true", ttl, ok)
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
			Fall: rapid.IntRange(0, 5).Draw(t, "fall"), RTT: ms("rtt"), Write: ms("write"), Leader: ms("leader"),
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
