package prober

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPropertyPunctuality: a quantile is never below the real one, and less than
// twice as high, but for the first bucket; the worst is exact.
func TestPropertyPunctuality(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		late := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(time.Microsecond)<<rapid.IntRange(0, 26).Draw(t, "scale")).Draw(t, "late"))
		}), 1, 200).Draw(t, "lates")
		var l lateness
		for _, d := range late {
			l.count(d)
		}
		slices.Sort(late)
		got := l.tell()
		if got.Probes != uint64(len(late)) || got.Worst != late[len(late)-1] {
			t.Fatalf("%+v of %v", got, late)
		}
		for percent, is := range map[int]time.Duration{50: got.P50, 99: got.P99} {
			want := late[(len(late)*percent+99)/100-1]
			if is < want || is > max(2*want, finest) {
				t.Fatalf("%d %%: %s, want %s to its double, of %v", percent, is, want, late)
			}
		}
	})
	if p := (&lateness{}).tell(); p != (Punctuality{}) {
		t.Errorf("without probes: %+v", p)
	}
}
