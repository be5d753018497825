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
// From a first Unknown, one success is up at once and Fall failures are down:
// a checker that starts must not hold up what works, nor call down what it saw
// fail once. Unknown results count neither way. Fall of them in a row mean
// that the checker no longer knows: the state is Unknown until results say
// otherwise, failures stay counted, and what was down before still needs Rise
// straight successes, so that a blind spell is no short way back.
type Track struct {
	State Health `json:"state"`
	// Was is the last state that was known, while State is Unknown.
	Was Health `json:"was,omitempty"`
	// Failures counts failures since OK straight successes, while not down.
	Failures int `json:"failures,omitempty"`
	// Successes counts straight successes, as far as they matter.
	Successes int `json:"successes,omitempty"`
	// Odd counts straight successes of the other tier (slow while up, fast
	// while degraded), which Fall or Rise of them change.
	Odd int `json:"odd,omitempty"`
	// Unknowns counts straight unknown results, up to Fall.
	Unknowns int `json:"unknowns,omitempty"`
}

// Observe adds one result. Thresholds below 1 count as 1.
func (t Track) Observe(th Thresholds, r Result) Track {
	switch tier := grade(th, r); tier {
	case Up, Degraded:
		return t.success(th, tier)
	case Down:
		return t.failure(th)
	default:
		return t.unknown(th)
	}
}

// Suspicious reports whether failures are being counted against an endpoint
// that is not (yet) down: the time for re-probes at the short interval. A
// checker that sees nothing at all has no suspicion.
func (t Track) Suspicious() bool {
	blind := t.State == Unknown && t.Unknowns > 0
	return t.State != Down && t.Failures > 0 && !blind
}

// grade is the health of a single result with the latency limit applied.
func grade(th Thresholds, r Result) Health {
	if r.Health == Up && th.Slow > 0 && r.Latency > th.Slow {
		return Degraded
	}
	return r.Health
}

func (t Track) unknown(th Thresholds) Track {
	fall := max(th.Fall, 1)
	t.Unknowns = min(t.Unknowns+1, fall)
	if t.Unknowns < fall {
		return t
	}
	if t.State != Unknown {
		t.State, t.Was = Unknown, t.State
	}
	t.Successes, t.Odd = 0, 0
	return t
}

func (t Track) failure(th Thresholds) Track {
	if t.State == Down || t.State == Unknown && t.Was == Down {
		return Track{State: Down}
	}
	t.Unknowns, t.Successes, t.Odd = 0, 0, 0
	t.Failures++
	if t.Failures >= max(th.Fall, 1) {
		return Track{State: Down}
	}
	return t
}

func (t Track) success(th Thresholds, tier Health) Track {
	t.Unknowns = 0
	t.Successes++
	if t.State == Unknown || t.State == Down {
		if t.Successes < t.toReturn(th) {
			return t
		}
		return Track{State: tier}
	}
	if t.Successes >= max(th.OK, 1) {
		t.Failures, t.Successes = 0, 0
	}
	return t.tier(th, tier)
}

// toReturn is how many straight successes make up what is down or unknown.
func (t Track) toReturn(th Thresholds) int {
	switch {
	case t.State == Down || t.Was == Down:
		return max(th.Rise, 1)
	case t.Failures > 0:
		return max(th.OK, 1)
	}
	return 1
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
