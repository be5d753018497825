package checks_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
)

// combine is a rule to judge: checks.Combine, its twin or a broken one.
type combine func(need int, parts []checks.Health) checks.Health

// dumbCombine tries every health in the place of every unknown part.
func dumbCombine(need int, parts []checks.Health) checks.Health {
	if need < 1 || need > len(parts) {
		return checks.Unknown
	}
	if i := slices.Index(parts, checks.Unknown); i >= 0 {
		var found []checks.Health
		for _, h := range []checks.Health{checks.Down, checks.Degraded, checks.Up} {
			guess := slices.Clone(parts)
			guess[i] = h
			found = append(found, dumbCombine(need, guess))
		}
		if slices.Min(found) != slices.Max(found) {
			return checks.Unknown
		}
		return found[0]
	}
	best := slices.Sorted(slices.Values(parts))
	slices.Reverse(best)
	return best[need-1]
}

// differs is the first need and parts, of up to five, for which two rules
// differ, or "".
func differs(a, b combine) string {
	lists := [][]checks.Health{nil}
	for range 5 {
		var longer [][]checks.Health
		for _, list := range lists {
			for _, h := range []checks.Health{checks.Unknown, checks.Down, checks.Degraded, checks.Up} {
				longer = append(longer, append(slices.Clone(list), h))
			}
		}
		lists = longer
		for _, list := range lists {
			for need := range len(list) + 2 {
				if is, want := a(need, list), b(need, list); is != want {
					return fmt.Sprintf("%d of %v is %s, expected %s", need, list, is, want)
				}
			}
		}
	}
	return ""
}

func TestCombine(t *testing.T) {
	if found := differs(checks.Combine, dumbCombine); found != "" {
		t.Error(found)
	}
	// Larger wholes, where the twin would try 3^n guesses: few are unknown.
	rapid.Check(t, func(t *rapid.T) {
		known := rapid.SampledFrom([]checks.Health{checks.Down, checks.Degraded, checks.Up})
		parts := rapid.SliceOfN(known, 0, 12).Draw(t, "known")
		for range rapid.IntRange(0, 4).Draw(t, "unknown") {
			parts = slices.Insert(parts, rapid.IntRange(0, len(parts)).Draw(t, "at"), checks.Unknown)
		}
		need := rapid.IntRange(-1, len(parts)+1).Draw(t, "need")
		is, want := checks.Combine(need, parts), dumbCombine(need, parts)
		if is != want {
			t.Fatalf("%d of %v is %s, expected %s", need, parts, is, want)
		}
		shuffled := rapid.Permutation(parts).Draw(t, "shuffled")
		if again := checks.Combine(need, shuffled); again != is {
			t.Fatalf("%d of %v is %s, of %v it is %s", need, parts, is, shuffled, again)
		}
	})
}

// TestCombineMutants shows that broken rules are told from the twin.
func TestCombineMutants(t *testing.T) {
	replace := func(parts []checks.Health, from, to checks.Health) []checks.Health {
		out := slices.Clone(parts)
		for i, h := range out {
			if h == from {
				out[i] = to
			}
		}
		return out
	}
	for name, broken := range map[string]combine{
		"unknown is down": func(need int, parts []checks.Health) checks.Health {
			return checks.Combine(need, replace(parts, checks.Unknown, checks.Down))
		},
		"unknown is up": func(need int, parts []checks.Health) checks.Health {
			return checks.Combine(need, replace(parts, checks.Unknown, checks.Up))
		},
		"unknown is left out": func(need int, parts []checks.Health) checks.Health {
			return checks.Combine(need, slices.DeleteFunc(slices.Clone(parts), func(h checks.Health) bool { return h == checks.Unknown }))
		},
		"any unknown is unknown": func(need int, parts []checks.Health) checks.Health {
			if slices.Contains(parts, checks.Unknown) {
				return checks.Unknown
			}
			return checks.Combine(need, parts)
		},
		"degraded is up": func(need int, parts []checks.Health) checks.Health {
			return checks.Combine(need, replace(parts, checks.Degraded, checks.Up))
		},
		"one fewer": func(need int, parts []checks.Health) checks.Health {
			if need > 1 {
				need--
			}
			return checks.Combine(need, parts)
		},
		"one more": func(need int, parts []checks.Health) checks.Health {
			if need > 0 && need < len(parts) {
				need++
			}
			return checks.Combine(need, parts)
		},
	} {
		if found := differs(broken, dumbCombine); found == "" {
			t.Errorf("%s: not caught", name)
		} else {
			t.Logf("%s: %s", name, found)
		}
	}
}
