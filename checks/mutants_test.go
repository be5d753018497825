package checks_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/veerdns/veer/checks"
)

// The longest run and the highest threshold that the exhaustive search goes to.
const (
	longestRun       = 6
	highestThreshold = 3
)

// shortest returns the shortest run, over all thresholds, that a property
// does not hold for, as text; "" for none.
func shortest(holds func(observe, checks.Thresholds, string) error, see observe) string {
	runs := []string{""}
	for range longestRun {
		var longer []string
		for _, run := range runs {
			for _, letter := range "UDF?" {
				longer = append(longer, run+string(letter))
			}
		}
		runs = longer
		for i := range highestThreshold * highestThreshold * highestThreshold {
			th := checks.Thresholds{Fall: 1 + i%3, Rise: 1 + i/3%3, OK: 1 + i/9, Slow: slowLimit}
			for _, run := range runs {
				if err := holds(see, th, run); err != nil {
					states, _ := play(see, th, run)
					return fmt.Sprintf("fall %d, rise %d, ok %d: %s gives %s: %v", th.Fall, th.Rise, th.OK, run, write(states), err)
				}
			}
		}
	}
	return ""
}

// TestMutants shows that each property catches broken twins of Observe.
func TestMutants(t *testing.T) {
	after := func(change func(before, after checks.Track, th checks.Thresholds, r checks.Result) checks.Track) observe {
		return func(before checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			return change(before, before.Observe(th, r), th, r)
		}
	}
	for _, mutant := range []struct {
		name, property string
		see            observe
	}{
		{"one success clears the failures", "agrees with the twin", func(b checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			th.OK = 1
			return b.Observe(th, r)
		}},
		{"failures must be straight", "agrees with the twin", after(func(_, a checks.Track, _ checks.Thresholds, r checks.Result) checks.Track {
			if r.Health >= checks.Degraded {
				a.Failures = 0
			}
			return a
		})},
		{"a failure does not break the way back", "agrees with the twin", after(func(b, a checks.Track, _ checks.Thresholds, r checks.Result) checks.Track {
			if b.State == checks.Down && r.Health == checks.Down {
				a.Successes = b.Successes
			}
			return a
		})},
		{"a blind spell forgets what was down", "agrees with the twin", after(func(_, a checks.Track, _ checks.Thresholds, _ checks.Result) checks.Track {
			a.Was = checks.Unknown
			return a
		})},
		{"a blind spell forgets failures", "agrees with the twin", after(func(_, a checks.Track, _ checks.Thresholds, r checks.Result) checks.Track {
			if a.State == checks.Unknown && r.Health == checks.Unknown {
				a.Failures = 0
			}
			return a
		})},
		{"slow is up", "agrees with the twin", func(b checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			if r.Health == checks.Degraded {
				r.Health = checks.Up
			}
			return b.Observe(th, r)
		}},
		{"unknown is a failure", "bounded by thresholds", func(b checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			if r.Health == checks.Unknown {
				r.Health = checks.Down
			}
			return b.Observe(th, r)
		}},
		{"up after one success", "bounded by thresholds", func(b checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			th.Rise = 1
			return b.Observe(th, r)
		}},
		{"down after one failure", "bounded by thresholds", func(b checks.Track, th checks.Thresholds, r checks.Result) checks.Track {
			th.Fall = 1
			return b.Observe(th, r)
		}},
		{"counts unknown without end", "bounded by thresholds", after(func(b, a checks.Track, _ checks.Thresholds, r checks.Result) checks.Track {
			if r.Health == checks.Unknown {
				a.Unknowns = b.Unknowns + 1
			}
			return a
		})},
		{"unknown breaks a run", "unknown counts neither way", after(func(_, a checks.Track, _ checks.Thresholds, r checks.Result) checks.Track {
			if r.Health == checks.Unknown {
				a.Successes = 0
			}
			return a
		})},
	} {
		counterexample := shortest(properties[mutant.property], mutant.see)
		if counterexample == "" {
			t.Errorf("%q is not caught by %q", mutant.name, mutant.property)
			continue
		}
		t.Logf("caught: %s, by %q: %s", mutant.name, mutant.property, counterexample)
	}
}

// TestTrackExhaustively tries every short run, which the mutants' search does
// as well: what it does not find there, it would have found.
func TestTrackExhaustively(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if counterexample := shortest(properties[name], checks.Track.Observe); counterexample != "" {
			t.Errorf("%s: %s", name, counterexample)
		}
	}
}
