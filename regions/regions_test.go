package regions_test

import (
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
)

// TestDistance holds what of a vote's round trip is believed: it comes from
// outside.
func TestDistance(t *testing.T) {
	for _, c := range []struct {
		health checks.Health
		told   time.Duration
		want   time.Duration
	}{
		{checks.Up, 20 * time.Millisecond, 20 * time.Millisecond},
		{checks.Degraded, 20 * time.Millisecond, 20 * time.Millisecond},
		{checks.Up, time.Minute, time.Minute},
		{checks.Up, 0, 0},
		{checks.Up, -1, 0},
		{checks.Up, time.Minute + 1, 0},
		{checks.Up, 1<<63 - 1, 0},
		{checks.Down, 20 * time.Millisecond, 0},
		{checks.Unknown, 20 * time.Millisecond, 0},
	} {
		if is := (regions.Vote{Health: c.health, RoundTrip: c.told}).Distance(); is != c.want {
			t.Errorf("%s, %s: %s, expected %s", c.health, c.told, is, c.want)
		}
	}
}
