package cluster

import (
	"testing"
	"time"
)

// TestALeaseIsSureByTheClocks: that a timer has not fired, as after a pause,
// does not make a lease live; nor does a clock that stood still.
func TestALeaseIsSureByTheClocks(t *testing.T) {
	const hour = time.Hour
	for name, c := range map[string]struct {
		left, leftAwake time.Duration // of the lease, by each clock
		boot            time.Duration
		want            bool
	}{
		"it lives":                     {hour, hour, 5 * hour, true},
		"the process was paused":       {-1, hour, 5 * hour, false},
		"the machine slept":            {hour, -1, 5 * hour, false},
		"no clock goes on in a sleep":  {hour, 0, 0, true},
		"paused, without such a clock": {-1, 0, 0, false},
	} {
		s := &session{
			c: &Cluster{sleepless: func() time.Duration { return c.boot }}, done: make(chan struct{}),
			deadline: instant{time.Now().Add(c.left), c.boot + c.leftAwake},
		}
		if got := s.sure(); got != c.want {
			t.Errorf("%s: sure %v, want %v", name, got, c.want)
		}
		if c.want {
			continue
		}
		select {
		case <-s.done:
		default:
			t.Errorf("%s: it is not sure, and whoever waits is not told", name)
		}
		s.deadline = instant{time.Now().Add(hour), c.boot + hour} // a late reply
		if s.sure() {
			t.Errorf("%s: it is sure again", name)
		}
	}
}
