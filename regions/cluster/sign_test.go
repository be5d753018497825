package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestASignCountsFromWhenItCanHaveBeenSent: at the latest from when it is heard
// of, and by the sign before, not from when etcd agreed on it at last.
func TestASignCountsFromWhenItCanHaveBeenSent(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		holder       string
		before, sent time.Duration // by the leader's clock
		late         time.Duration // heard of so long after the sign before
		want         time.Duration // counts from so long after the sign before
		missed       int64         // signs between the two that were not seen
	}{
		"on time":                       {"a", 100 * s, 101 * s, 1 * s, 1 * s, 0},
		"agreed on late":                {"a", 100 * s, 101 * s, 5 * s, 1 * s, 0},
		"sent late":                     {"a", 100 * s, 102 * s, 2 * s, 2 * s, 0},
		"after more than a promise":     {"a", 100 * s, 105 * s, 9 * s, 9 * s, 0},
		"the clock went back":           {"a", 100 * s, 99 * s, 5 * s, 5 * s, 0},
		"another leader":                {"b", 100 * s, 101 * s, 5 * s, 5 * s, 0},
		"without such a clock":          {"a", 0, 0, 5 * s, 5 * s, 0},
		"one between was missed":        {"a", 100 * s, 101 * s, 5 * s, 5 * s, 1},
		"the one before was without it": {"a", 0, 1 * s, 5 * s, 5 * s, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			sign := func(holder string, clock time.Duration) []byte {
				b, err := pack(claim{Holder: holder, Sign: 2 * s, Clock: clock})
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			var r rival
			r.saw(sign("a", c.before), 1, 1)
			began := time.Now()
			time.Sleep(c.late)
			r.saw(sign(c.holder, c.sent), 2, 2+c.missed)
			if got := r.seen.Sub(began); got != c.want {
				t.Errorf("%s: it counts from %s after the sign before, expected %s", name, got, c.want)
			}
		})
	}
}
