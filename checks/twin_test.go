package checks_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
)

// twin is Track as slowly as can be: it keeps no counts, but reads the whole
// run of results and of its own earlier states again for each result.
func twin(th checks.Thresholds, run string) []checks.Health {
	fall, rise, ok := max(th.Fall, 1), max(th.Rise, 1), max(th.OK, 1)
	run = strings.ReplaceAll(run, "S", "D")
	var all []checks.Health
	state, since, blind := checks.Unknown, 0, checks.Unknown
	for i := range run {
		seen := run[since : i+1] // since the state was last entered, blind spells passed over
		tier := map[byte]checks.Health{'U': checks.Up, 'D': checks.Degraded}[run[i]]
		before := state
		switch {
		case strings.HasSuffix(run[:i+1], strings.Repeat("?", fall)):
			if state != checks.Unknown {
				blind = state
			}
			state = checks.Unknown
			all = append(all, state)
			continue
		case run[i] == '?':
		case run[i] == 'F' && (state == checks.Down || blind == checks.Down):
			state = checks.Down
		case run[i] == 'F' && uncleared(seen, ok, fall) >= fall:
			state = checks.Down
		case run[i] == 'F':
		case state == checks.Down || blind == checks.Down:
			if straight(seen, "UD", fall) >= rise {
				state = tier
			}
		case state == checks.Unknown:
			if uncleared(seen[:len(seen)-1], ok, fall) == 0 || straight(seen, "UD", fall) >= ok {
				state = tier
			}
		case state == checks.Up && straight(seen, "D", fall) >= fall:
			state = checks.Degraded
		case state == checks.Degraded && straight(seen, "U", fall) >= rise:
			state = checks.Up
		}
		tiers := before >= checks.Degraded && state >= checks.Degraded
		if state != before && !tiers {
			since, blind = i+1, checks.Unknown
		}
		all = append(all, state)
	}
	return all
}

// uncleared counts the failures of a run that no ok straight successes after
// them have cleared. A blind spell breaks a run of successes.
func uncleared(run string, ok, blind int) int {
	run = strings.ReplaceAll(run, strings.Repeat("?", blind), "|")
	run = strings.NewReplacer("U", "s", "D", "s", "?", "").Replace(run)
	if cleared := strings.LastIndex(run, strings.Repeat("s", ok)); cleared >= 0 {
		run = run[cleared:]
	}
	return strings.Count(run, "F")
}

// straight counts the results of a kind at the end of a run; unknown ones
// neither count nor break it, unless they are blind in a row.
func straight(run, kind string, blind int) int {
	count := 0
	for i := len(run) - 1; i >= 0; i-- {
		switch {
		case strings.HasSuffix(run[:i+1], strings.Repeat("?", blind)):
			return count
		case run[i] == '?':
		case strings.ContainsRune(kind, rune(run[i])):
			count++
		default:
			return count
		}
	}
	return count
}

// agrees returns an error where a tracker and the twin part ways.
func agrees(see observe, th checks.Thresholds, run string) error {
	got, _ := play(see, th, run)
	if want := twin(th, run); write(got) != write(want) {
		return fmt.Errorf("the twin says %s", write(want))
	}
	return nil
}

// bounded returns an error where states move in a way that the thresholds do
// not allow, whatever the rules in detail.
func bounded(see observe, th checks.Thresholds, run string) error {
	got, last := play(see, th, run)
	failures, successes, falls, returns := 0, 0, 0, 0
	known, before := checks.Unknown, checks.Unknown
	for i, state := range got {
		switch letter := run[i]; {
		case letter == '?':
			if state != before && state != checks.Unknown {
				return fmt.Errorf("an unknown result made it %s", state)
			}
		case letter == 'F':
			failures++
			if state > before && state != checks.Down {
				return fmt.Errorf("a failure made it %s", state)
			}
		default:
			successes++
			if state != before && state == checks.Down {
				return fmt.Errorf("a success made it down")
			}
		}
		before = state
		if state == checks.Unknown || state == known {
			continue
		}
		if state == checks.Down {
			falls++
		} else if known == checks.Down {
			returns++
		}
		known = state
	}
	if falls*max(th.Fall, 1) > failures {
		return fmt.Errorf("%d failures made it down %d times", failures, falls)
	}
	if returns*max(th.Rise, 1) > successes {
		return fmt.Errorf("%d successes made it return %d times", successes, returns)
	}
	return tidy(th, last)
}

// tidy returns an error where counters hold what no threshold allows.
func tidy(th checks.Thresholds, t checks.Track) error {
	switch {
	case t.Failures >= max(th.Fall, 1), t.Unknowns > max(th.Fall, 1), t.Odd >= max(th.Fall, th.Rise, 1),
		t.Successes >= max(th.Rise, th.OK, 1):
		return fmt.Errorf("a counter is past its threshold: %+v", t)
	case t.State == checks.Down && (t.Failures > 0 || t.Suspicious()):
		return fmt.Errorf("down, but failures are counted: %+v", t)
	case t.State != checks.Unknown && t.Was != checks.Unknown:
		return fmt.Errorf("known, but an earlier state is kept: %+v", t)
	}
	return nil
}

// sightless returns an error where unknown results that come singly change
// what the known ones say.
func sightless(see observe, th checks.Thresholds, run string) error {
	if th.Fall < 2 {
		return nil
	}
	known := strings.ReplaceAll(run, "?", "")
	single := strings.Join(strings.Split(known, ""), "?")
	_, without := play(see, th, known)
	_, with := play(see, th, single)
	if with != without {
		return fmt.Errorf("after %s it is %+v, without the unknown ones %+v", single, with, without)
	}
	return nil
}

var properties = map[string]func(observe, checks.Thresholds, string) error{
	"agrees with the twin": agrees, "bounded by thresholds": bounded, "unknown counts neither way": sightless,
}

// TestTrackProperties searches long random runs for a counter-example.
func TestTrackProperties(t *testing.T) {
	met := map[string]int{}
	runs := 0
	search := func(rt *rapid.T) {
		th := checks.Thresholds{
			Fall: rapid.IntRange(0, 5).Draw(rt, "fall"), Rise: rapid.IntRange(0, 5).Draw(rt, "rise"),
			OK: rapid.IntRange(0, 5).Draw(rt, "ok"), Slow: slowLimit,
		}
		run := strings.Join(rapid.SliceOfN(drawSpell(), 0, 20).Draw(rt, "run"), "")
		for name, holds := range properties {
			if err := holds(checks.Track.Observe, th, run); err != nil {
				states, _ := play(checks.Track.Observe, th, run)
				rt.Fatalf("%s: %+v\n%s\n%s\n%v", name, th, run, write(states), err)
			}
		}
		runs++
		states, _ := play(checks.Track.Observe, th, run)
		for event, mark := range map[string]string{"fell": "ux", "returned": "xu", "went blind while down": "x?", "slowed": "ud"} {
			if strings.Contains(write(states), mark) {
				met[event]++
			}
		}
	}
	for range 20 { // times rapid's number of runs: enough for the shares below
		rapid.Check(t, search)
	}
	for _, event := range []string{"fell", "returned", "went blind while down", "slowed"} {
		t.Logf("%s in %d of %d runs", event, met[event], runs)
		if met[event]*20 < runs {
			t.Errorf("%s in fewer than 5 %% of the runs, so the properties hardly looked at it", event)
		}
	}
}

// drawSpell draws a few results of the same kind, so that thresholds are met.
func drawSpell() *rapid.Generator[string] {
	return rapid.Custom(func(rt *rapid.T) string {
		letter := rapid.SampledFrom([]string{"U", "U", "F", "F", "S", "D", "?"}).Draw(rt, "letter")
		return strings.Repeat(letter, rapid.IntRange(1, 5).Draw(rt, "times"))
	})
}
