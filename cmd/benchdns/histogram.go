//go:build linux && (amd64 || arm64)

package main

import (
	"math"
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are at most 1/64 wide of what
// they hold.
type histogram struct {
	counts [maxShift*perOctave + 2*perOctave]uint64
	total  uint64
}

const (
	perOctave = 64
	maxShift  = 33 // up to 18 minutes
)

func bucketOf(d time.Duration) int {
	v := uint64(max(0, d))
	shift := max(0, bits.Len64(v)-7)
	if shift > maxShift {
		return maxShift*perOctave + 2*perOctave - 1
	}
	return shift*perOctave + int(v>>shift) // #nosec G115 -- below 2 octaves
}

// upper is the largest duration of a bucket.
func upper(bucket int) time.Duration {
	if bucket < 2*perOctave {
		return time.Duration(bucket)
	}
	shift := bucket/perOctave - 1
	return time.Duration((bucket-shift*perOctave+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
}

// quantile returns a duration that such a share of all are not longer than; 0
// if there are none.
func (h *histogram) quantile(share float64) time.Duration {
	rank, seen := uint64(math.Ceil(share*float64(h.total))), uint64(0)
	for b, n := range h.counts {
		if seen += n; seen >= rank && n > 0 {
			return upper(b)
		}
	}
	return 0
}
