package checks_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/veerdns/veer/checks"
)

// A run of results is written as letters: U up, S up but slow, D degraded,
// F failure (down), ? unknown. A run of states is written as u, d (degraded),
// x (down) and ?.

const slowLimit = 100 * time.Millisecond

var letters = map[rune]checks.Result{
	'U': {Health: checks.Up, Latency: slowLimit},
	'S': {Health: checks.Up, Latency: slowLimit + 1},
	'D': {Health: checks.Degraded},
	'F': {Health: checks.Down},
	'?': {Health: checks.Unknown},
}

var states = map[checks.Health]string{checks.Up: "u", checks.Degraded: "d", checks.Down: "x", checks.Unknown: "?"}

// observe is Track.Observe, or a broken twin of it.
type observe func(checks.Track, checks.Thresholds, checks.Result) checks.Track

// play returns the states after each letter.
func play(see observe, th checks.Thresholds, run string) (states []checks.Health, last checks.Track) {
	for _, letter := range run {
		last = see(last, th, letters[letter])
		states = append(states, last.State)
	}
	return states, last
}

func write(all []checks.Health) string {
	var text strings.Builder
	for _, h := range all {
		text.WriteString(states[h])
	}
	return text.String()
}

// TestTrackTable reads testdata/track: each case gives thresholds and a run of
// results, and expects the states, and below them a + where re-probes are due.
func TestTrackTable(t *testing.T) {
	datadriven.Walk(t, "testdata/track", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			th := checks.Thresholds{Slow: slowLimit}
			d.ScanArgs(t, "fall", &th.Fall)
			d.ScanArgs(t, "rise", &th.Rise)
			d.ScanArgs(t, "ok", &th.OK)
			run := strings.ReplaceAll(strings.TrimSpace(d.Input), " ", "")
			var track checks.Track
			var shown, due strings.Builder
			for _, letter := range run {
				result, known := letters[letter]
				if !known {
					d.Fatalf(t, "letter %q is none of U S D F ?", letter)
				}
				track = track.Observe(th, result)
				shown.WriteString(states[track.State])
				due.WriteString(map[bool]string{true: "+", false: "."}[track.Suspicious()])
			}
			return fmt.Sprintf("%s\n%s\n%s\n", run, shown.String(), due.String())
		})
	})
}

func TestHealthText(t *testing.T) {
	for _, h := range []checks.Health{checks.Unknown, checks.Down, checks.Degraded, checks.Up} {
		text, err := h.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back checks.Health = 99
		if err := back.UnmarshalText(text); err != nil || back != h {
			t.Errorf("%s came back as %s, %v", h, back, err)
		}
	}
	for _, text := range []string{"", "UP", "healthy", "up "} {
		h := checks.Degraded
		if err := h.UnmarshalText([]byte(text)); err == nil || h != checks.Degraded {
			t.Errorf("%q was read as %s", text, h)
		}
	}
	if got := checks.Health(77).String(); got != "unknown" {
		t.Errorf("a health that does not exist is called %q", got)
	}
}
