package checks

import "time"

// RoundTrip is what a vantage has found of the time to one endpoint and back:
// an exponentially weighted mean, which counts only after a warm-up. Its zero
// value has seen nothing. It is a value: Observe returns the next one.
type RoundTrip struct {
	Mean time.Duration `json:"mean,omitempty"`
	// Samples counts those in Mean, up to the warm-up or what the mean weighs.
	Samples int `json:"samples,omitempty"`
	// Missed counts straight results without a sample.
	Missed int `json:"missed,omitempty"`
	// Told is what was last told of Mean, 0 for nothing; Since counts the
	// samples since then, as far as they matter.
	Told  time.Duration `json:"told,omitempty"`
	Since int           `json:"since,omitempty"`
}

const (
	// meanOf is how many samples the mean weighs, as that of RFC 6298 does.
	meanOf = 8
	// outlier is how many times the mean a sample counts as at most, once the
	// mean is known: a lost packet, sent again after a second, is no way that
	// became longer. One that did is followed all the same, in a few samples.
	outlier = 4
	// tellEach is how many samples lie between two figures that are told.
	tellEach = 8
	// tellStep is the least difference that is told, and tellPart the part of
	// the figure that it must be.
	tellStep = time.Millisecond
	tellPart = 10
	// tellUnit is what figures are rounded to.
	tellUnit = 100 * time.Microsecond
	// maxSample bounds a sample.
	maxSample = time.Minute
	// maxSamples is more than any warm-up has.
	maxSamples = 1_000_000
)

// Observe adds what one result says: a sample, or none (0), as a failure has
// none. As many results in a row without one as the warm-up has samples, and
// nothing is known any more; the warm-up begins again.
func (t RoundTrip) Observe(sample time.Duration, warmUp int) RoundTrip {
	warmUp = max(warmUp, 1)
	if sample <= 0 {
		if t.Missed++; t.Samples == 0 || t.Missed >= warmUp {
			return RoundTrip{}
		}
		return t
	}
	sample = min(sample, maxSample)
	if t.Samples >= warmUp {
		sample = min(sample, outlier*t.Mean)
	}
	t.Missed = 0
	t.Samples = min(t.Samples+1, max(warmUp, meanOf))
	t.Mean += (sample - t.Mean) / time.Duration(min(t.Samples, meanOf))
	t.Since = min(t.Since+1, tellEach)
	return t.tell(warmUp)
}

// Sound reports whether t may have come of Observe, for one that was stored.
func (t RoundTrip) Sound() bool {
	for _, d := range []time.Duration{t.Mean, t.Told} {
		if d < 0 || d > maxSample {
			return false
		}
	}
	for _, n := range []int{t.Samples, t.Missed, t.Since} {
		if n < 0 || n > maxSamples {
			return false
		}
	}
	return t.Samples > 0 || t == RoundTrip{}
}

// tell sets Told. So that it seldom changes, it follows the mean only when that
// is another by a tenth and a millisecond, and not sooner than after some
// samples.
func (t RoundTrip) tell(warmUp int) RoundTrip {
	if t.Samples < warmUp {
		return t
	}
	off := (t.Mean - t.Told).Abs()
	if t.Told == 0 || t.Since >= tellEach && off >= max(t.Told/tellPart, tellStep) {
		t.Told, t.Since = max(t.Mean.Round(tellUnit), tellUnit), 0
	}
	return t
}
