package checks_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions/regionstest"
)

// measure is how a round trip goes on; a mutant is another one.
type measure func(t checks.RoundTrip, sample time.Duration, warmUp int) checks.RoundTrip

// drawWay draws samples of a way whose length changes now and then: 0 is a
// result without one.
func drawWay(rt *rapid.T) (samples []time.Duration) {
	for range rapid.IntRange(1, 4).Draw(rt, "ways") {
		way := time.Duration(rapid.IntRange(1, 300).Draw(rt, "ms")) * time.Millisecond
		lost := rapid.IntRange(0, 3).Draw(rt, "lost") == 0
		for range rapid.IntRange(1, 30).Draw(rt, "results") {
			sample := way + time.Duration(rapid.IntRange(-10, 10).Draw(rt, "noise"))*way/100
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				sample = 0
			case 1:
				sample += time.Second
			}
			if lost {
				sample = 0
			}
			samples = append(samples, sample)
		}
	}
	return samples
}

// roundTripsHold says what must be true of every figure that is told, whatever the
// rules in detail.
func roundTripsHold(rt *rapid.T, observe measure) error {
	warmUp := rapid.IntRange(1, 12).Draw(rt, "warm_up")
	var is checks.RoundTrip
	seen, missed, since := 0, 0, 0 // samples since nothing was known; results without one; samples since a figure was told
	var least, most, before time.Duration
	for i, sample := range drawWay(rt) {
		told := is.Told
		if is = observe(is, sample, warmUp); !is.Sound() {
			return fmt.Errorf("after %d results it is not sound: %+v", i+1, is)
		}
		if sample == 0 {
			missed++
		} else {
			missed = 0
			seen++
			since++
			if seen == 1 {
				least, most = sample, sample
			}
			least, most = min(least, sample), max(most, sample)
		}
		where := func(format string, args ...any) error {
			return fmt.Errorf("result %d, %s, warm-up %d: %s; %+v", i, sample, warmUp, fmt.Sprintf(format, args...), is)
		}
		switch {
		case missed >= warmUp:
			if is != (checks.RoundTrip{}) {
				return where("%d results in a row had no sample, and something is known", missed)
			}
			seen, since = 0, 0
			continue
		case is.Told != 0 && seen < warmUp:
			return where("told after %d samples", seen)
		case is.Told == 0 && seen >= warmUp:
			return where("not told after %d samples", seen)
		case is.Told != 0 && (is.Told < least-time.Millisecond || is.Told > most+time.Millisecond):
			return where("told outside of the samples, %s to %s", least, most)
		case told != 0 && is.Told != told && (is.Told-told).Abs() < told/10-time.Millisecond/10: // what is told is rounded
			return where("told again for less than a tenth, %s before", told)
		case told != 0 && is.Told != told && since < 8:
			return where("told again after %d samples", since)
		case seen > warmUp && sample > 0 && before > 0 && is.Mean > before+before*3/time.Duration(min(seen, 8)):
			return where("one sample took the mean from %s", before)
		}
		before = is.Mean
		if is.Told != told {
			since = 0
		}
	}
	// What stays as it is becomes known, and near to what it is.
	way := time.Duration(rapid.IntRange(2, 300).Draw(rt, "at last")) * time.Millisecond
	for range 200 {
		is = observe(is, way, warmUp)
	}
	if off := (is.Told - way).Abs(); off > max(way/8, time.Millisecond)+time.Millisecond {
		return fmt.Errorf("after 200 samples of %s it tells %s", way, is.Told)
	}
	return nil
}

func TestRoundTrips(t *testing.T) {
	regionstest.Holds(t, func(rt *rapid.T) error { return roundTripsHold(rt, checks.RoundTrip.Observe) })
}

func TestMutantsOfRoundTrip(t *testing.T) {
	for name, mutant := range map[string]measure{
		"no warm-up": func(t checks.RoundTrip, sample time.Duration, warmUp int) checks.RoundTrip {
			if t = t.Observe(sample, warmUp); t.Told == 0 {
				t.Told = t.Mean
			}
			return t
		},
		"figures never run out": func(t checks.RoundTrip, sample time.Duration, warmUp int) checks.RoundTrip {
			if sample <= 0 {
				return t
			}
			return t.Observe(sample, warmUp)
		},
		"a failure is a round trip of nothing": func(t checks.RoundTrip, sample time.Duration, warmUp int) checks.RoundTrip {
			return t.Observe(max(sample, 1), warmUp)
		},
		"the last sample is told": func(t checks.RoundTrip, sample time.Duration, warmUp int) checks.RoundTrip {
			t = t.Observe(sample, warmUp)
			if t.Told != 0 && sample > 0 {
				t.Told = sample
			}
			return t
		},
		"an outlier counts in full": func(t checks.RoundTrip, sample time.Duration, warmUp int) checks.RoundTrip {
			before := t
			if t = t.Observe(sample, warmUp); sample > 0 && before.Samples >= warmUp {
				t.Mean = before.Mean + (sample-before.Mean)/8
			}
			return t
		},
		"the first figure stays": func(t checks.RoundTrip, sample time.Duration, warmUp int) checks.RoundTrip {
			told := t.Told
			if t = t.Observe(sample, warmUp); told != 0 && t.Told != 0 {
				t.Told = told
			}
			return t
		},
		"every change is told": func(t checks.RoundTrip, sample time.Duration, warmUp int) checks.RoundTrip {
			if t = t.Observe(sample, warmUp); t.Told != 0 {
				t.Told = t.Mean
			}
			return t
		},
	} {
		regionstest.Caught(t, 2000, name, func(rt *rapid.T) error { return roundTripsHold(rt, mutant) })
	}
}

// TestSound holds what is refused of one that was stored: it comes from outside.
func TestSound(t *testing.T) {
	good := checks.RoundTrip{Mean: 20 * time.Millisecond, Samples: 8, Missed: 1, Told: 20 * time.Millisecond, Since: 3}
	if !good.Sound() || !(checks.RoundTrip{}).Sound() {
		t.Error("a sound one is refused")
	}
	for _, spoil := range []func(*checks.RoundTrip){
		func(r *checks.RoundTrip) { r.Mean = -1 },
		func(r *checks.RoundTrip) { r.Mean = 1<<63 - 1 },
		func(r *checks.RoundTrip) { r.Told = -1 },
		func(r *checks.RoundTrip) { r.Told = time.Hour },
		func(r *checks.RoundTrip) { r.Samples = -1 },
		func(r *checks.RoundTrip) { r.Samples = 1 << 40 },
		func(r *checks.RoundTrip) { r.Samples = 0 },
		func(r *checks.RoundTrip) { r.Missed = -1 },
		func(r *checks.RoundTrip) { r.Since = -1 },
	} {
		bad := good
		if spoil(&bad); bad.Sound() {
			t.Errorf("%+v is taken for sound", bad)
		}
	}
}
