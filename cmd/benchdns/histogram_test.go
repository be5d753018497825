//go:build linux && (amd64 || arm64)

package main

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBuckets(t *testing.T) {
	last := len((&histogram{}).counts) - 1
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(15*time.Minute)).Draw(t, "d"))
		b := bucketOf(d)
		if d > upper(b) || b > 0 && d <= upper(b-1) {
			t.Fatalf("%d is in bucket %d, of %d to %d", d, b, upper(max(0, b-1))+1, upper(b))
		}
		if over := upper(b) - d; over > d/perOctave {
			t.Fatalf("bucket %d tells %d for %d", b, upper(b), d)
		}
	})
	for _, d := range []time.Duration{time.Hour, 1<<63 - 1} {
		if b := bucketOf(d); b != last {
			t.Errorf("%s is in bucket %d, want the last one, %d", d, b, last)
		}
	}
	if b := bucketOf(-1); b != 0 {
		t.Errorf("a negative duration is in bucket %d, want 0", b)
	}
}

func TestQuantile(t *testing.T) {
	if got := (&histogram{}).quantile(0.5); got != 0 {
		t.Errorf("of nothing the median is %s, want 0", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		var h histogram
		all := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Second)), 1, 200).Draw(t, "all")
		for _, d := range all {
			h.add(time.Duration(d))
		}
		slices.Sort(all)
		for _, percent := range []int{1, 50, 99, 100} {
			want := time.Duration(all[(len(all)*percent+99)/100-1])
			got := h.quantile(float64(percent) / 100)
			if got < want || got-want > want/perOctave {
				t.Fatalf("%d %%: got %d, want %d and at most 1/%d more", percent, got, want, perOctave)
			}
		}
	})
}
