package checks

import "time"

// Thresholds are gdnsd's three (up_thresh, down_thresh, ok_thresh of
// gdnsd.config(5)), with a limit above which a success counts as degraded.
type Thresholds struct {
	// Fall is how many failures make an endpoint down. The failures may be
	// interleaved with successes: only OK straight successes clear the count.
	Fall int `json:"fall"`
	// Rise is how many straight successes make a down endpoint up.
	Rise int `json:"rise"`
	// OK is how many straight successes clear the count of failures.
	OK int `json:"ok"`
	// Slow is the latency above which a success is degraded; 0 is no limit.
	Slow time.Duration `json:"slow,omitempty"`
}

// Track is the hysteresis of one endpoint as one vantage sees it. Its zero
// value has seen nothing and is Unknown. It is a value: Observe returns the
// next one, so that it can be kept, compared and replayed.
//
// From Unknown, one success is up at once and Fall failures are down: a
// checker that starts must not hold up what works, nor call down what it saw
// fail once. Unknown results count neither way; Fall of them in a row mean
// that the checker no longer knows.
type Track struct {
	State     Health `json:"state"`
	Failures  int    `json:"failures,omitempty"`
	Successes int    `json:"successes,omitempty"`
	// Odd counts straight successes of the other tier (slow while up, fast
	// while degraded), which Fall or Rise of them change.
	Odd      int `json:"odd,omitempty"`
	Unknowns int `json:"unknowns,omitempty"`
}

// Observe adds one result. Thresholds below 1 count as 1.
func (t Track) Observe(th Thresholds, r Result) Track {
	switch grade(th, r) {
	case Unknown:
		return t.unknown(th)
	case Down:
		return t.failure(th)
	case Degraded:
		return t.success(th, Degraded)
	default:
		return t.success(th, Up)
	}
}

// Suspicious reports whether failures are being counted against an endpoint
// that is not (yet) down: the time for re-probes at the short interval.
func (t Track) Suspicious() bool { return t.State != Down && t.Failures > 0 }

// grade is the health of a single result with the latency limit applied.
func grade(th Thresholds, r Result) Health {
	if r.Health == Up && th.Slow > 0 && r.Latency > th.Slow {
		return Degraded
	}
	return r.Health
}

func (t Track) unknown(th Thresholds) Track {
	t.Unknowns++
	if t.Unknowns >= max(th.Fall, 1) {
		return Track{State: Unknown, Unknowns: t.Unknowns}
	}
	return t
}

func (t Track) failure(th Thresholds) Track {
	t.Unknowns, t.Successes, t.Odd = 0, 0, 0
	if t.State == Down {
		return t
	}
	t.Failures++
	if t.Failures >= max(th.Fall, 1) {
		return Track{State: Down}
	}
	return t
}

func (t Track) success(th Thresholds, tier Health) Track {
	t.Unknowns = 0
	t.Successes++
	switch t.State {
	case Unknown:
		if t.Failures > 0 && t.Successes < max(th.OK, 1) {
			return t
		}
		return Track{State: tier}
	case Down:
		if t.Successes < max(th.Rise, 1) {
			return t
		}
		return Track{State: tier}
	}
	if t.Successes >= max(th.OK, 1) {
		t.Failures, t.Successes = 0, 0
	}
	return t.tier(th, tier)
}

// tier moves between up and degraded: Fall slow successes in a row degrade,
// Rise fast ones in a row restore.
func (t Track) tier(th Thresholds, tier Health) Track {
	if tier == t.State {
		t.Odd = 0
		return t
	}
	t.Odd++
	need := max(th.Fall, 1)
	if tier == Up {
		need = max(th.Rise, 1)
	}
	if t.Odd >= need {
		t.State, t.Odd = tier, 0
	}
	return t
}
