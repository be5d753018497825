//go:build linux && (amd64 || arm64)

package authority

import (
	"testing"
	"time"
)

// TestPace: what comes fast gathers, what comes slowly or piles up does not.
func TestPace(t *testing.T) {
	for _, test := range []struct {
		name  string
		every time.Duration
		taken int
		want  bool
	}{
		{"one by one, slowly", 50 * time.Microsecond, 1, false},
		{"one by one, just below", 17 * time.Microsecond, 1, false},
		{"one by one, just above", 16 * time.Microsecond, 1, true},
		{"one by one, fast", 10 * time.Microsecond, 1, true},
		{"gathered", 50 * time.Microsecond, 10, true},
		{"gathered no more", 100 * time.Microsecond, 2, false},
		{"a backlog", 100 * time.Microsecond, batchSize, false},
	} {
		p, at, last := new(pace), epoch, false
		for range 1000 {
			last = p.after(at, test.taken)
			at = at.Add(test.every)
		}
		if last != test.want {
			t.Errorf("%s: gathers: %v, want %v", test.name, last, test.want)
		}
		// After a silence the first query is taken at once, and so is the next.
		if at = at.Add(time.Second); p.after(at, 1) || p.after(at.Add(time.Microsecond), 1) {
			t.Errorf("%s: gathers after a silence", test.name)
		}
	}
}
