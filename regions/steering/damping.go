package steering

import "time"

// flapPenalty is what one departure adds (RFC 2439, section 4.2, leaves the
// unit open; 1000 is the usual one).
const flapPenalty = 1000

// maxFlaps bounds the state: older departures than these have decayed, or the
// penalty is far above any threshold without them.
const maxFlaps = 64

// damp ages the departures, adds one if the pool fell, and sets Suppressed by
// the thresholds (RFC 2439, sections 4.4 and 4.8).
func (s *PoolState) damp(d Damping, elapsed time.Duration, fell bool) {
	if d.Suppress == 0 || d.HalfLife <= 0 {
		s.Flaps, s.Suppressed, s.Held = nil, false, 0
		return
	}
	var flaps []time.Duration
	if fell {
		flaps = append(flaps, 0)
	}
	for _, age := range s.Flaps {
		if age += elapsed; age < 11*d.HalfLife && len(flaps) < maxFlaps {
			flaps = append(flaps, age)
		}
	}
	s.Flaps = flaps
	penalty := d.penalty(flaps, 0)
	switch {
	case fell && penalty >= d.Suppress:
		s.Suppressed, s.Held = true, 0
	case s.Suppressed:
		s.Held += elapsed
		if penalty < d.Reuse || s.Held >= d.Max {
			s.Suppressed, s.Held = false, 0
		}
	}
}

// penalty is the sum over departures of 1000 x 2^-(age/half-life), in whole
// numbers, so that every machine computes the same: within a half-life the
// curve is drawn as a straight line, at most 6 % above the exponential.
func (d Damping) penalty(ages []time.Duration, later time.Duration) uint32 {
	var sum uint32
	for _, age := range ages {
		age += later
		halvings := age / d.HalfLife
		if halvings > 10 {
			continue
		}
		whole := int64(flapPenalty) << 10 >> halvings
		part := whole / 2 * int64(age%d.HalfLife/time.Microsecond) / max(int64(d.HalfLife/time.Microsecond), 1)
		sum += uint32((whole - part) >> 10)
	}
	return sum
}

// reuseIn is the time until damping lets go of a suppressed pool.
func (s PoolState) reuseIn(d Damping) time.Duration {
	lo, hi := time.Duration(0), max(d.Max-s.Held, 0)
	if d.penalty(s.Flaps, hi) >= d.Reuse {
		return hi
	}
	for hi-lo > time.Millisecond {
		mid := lo + (hi-lo)/2
		if d.penalty(s.Flaps, mid) < d.Reuse {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}
