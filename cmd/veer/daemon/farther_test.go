package daemon

import (
	"strings"
	"testing"
	"time"
)

// A round trip that is longer than declared is warned of, and no other.
func TestFarther(t *testing.T) {
	measured := map[string]time.Duration{"ap-south": 120 * time.Millisecond, "us-east": 80 * time.Millisecond}
	for _, c := range []struct {
		declared time.Duration
		want     int
	}{{0, 2}, {79 * time.Millisecond, 2}, {80 * time.Millisecond, 1}, {120 * time.Millisecond, 0}} {
		if got := farther(measured, c.declared); len(got) != c.want {
			t.Errorf("declared %s: %q, want %d", c.declared, got, c.want)
		}
	}
	if got := farther(measured, 80*time.Millisecond); !strings.Contains(got[0], "etcd member ap-south is 120ms at its shortest, above the declared cluster.rtt of 80ms") {
		t.Errorf("it says %q", got)
	}
	if got := farther(map[string]time.Duration{"near": 3 * time.Millisecond}, 0); len(got) > 0 {
		t.Errorf("a near member is warned of: %q", got)
	}
}
