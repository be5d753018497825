package checks

// Combine returns the health of a whole of which need parts must work: that of
// the need-th best part, so that all parts needed give the worst of them and
// one needed the best.
//
// An unknown part counts as neither down nor up: the whole has the health that
// it would have whatever the unknown parts turned out to be, and is Unknown
// where that depends on them. It is also Unknown where need is not from 1 to
// the number of parts. The order of the parts does not matter.
func Combine(need int, parts []Health) Health {
	if need < 1 || need > len(parts) {
		return Unknown
	}
	var count [Up + 1]int
	for _, h := range parts {
		count[h]++
	}
	atWorst := reached(need, count[Up], count[Degraded])
	atBest := reached(need, count[Up]+count[Unknown], count[Degraded])
	if atWorst != atBest {
		return Unknown
	}
	return atWorst
}

// reached is the health of the need-th best of parts of which so many are up
// and degraded, and all others down.
func reached(need, up, degraded int) Health {
	switch {
	case up >= need:
		return Up
	case up+degraded >= need:
		return Degraded
	}
	return Down
}
