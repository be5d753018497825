package authority

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/regions/regionstest"
)

var testRules = aliasRules{minTTL: 5 * time.Second, maxTTL: 5 * time.Minute, stale: 30 * time.Second}

// look is one look-up of a story.
type look struct {
	after time.Duration
	got   [2]finding
}

func drawLooks(t *rapid.T) []look {
	var out []look
	for range rapid.IntRange(1, 12).Draw(t, "looks") {
		l := look{after: time.Duration(rapid.IntRange(0, 400).Draw(t, "after")) * time.Second}
		for i := range l.got {
			o := &l.got[i]
			o.ttl = rapid.SampledFrom([]uint32{0, 1, 30, 300, 86400, maxTTL}).Draw(t, "ttl")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				o.err = errors.New("SERVFAIL")
			case 1, 2:
				o.none = "NXDOMAIN"
			default:
				for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 4), 1, 3, rapid.ID[int]).Draw(t, "addresses") {
					o.addrs = append(o.addrs, netip.MustParseAddr([]string{fmt.Sprint("192.0.2.", n), fmt.Sprint("2001:db8::", n)}[i]))
				}
				slices.SortFunc(o.addrs, netip.Addr.Compare)
			}
		}
		out = append(out, l)
	}
	return out
}

// learner is what the properties are about; a mutant is another one.
type learner func(t *target, now time.Time, got [2]finding) news

func realLearner(t *target, now time.Time, got [2]finding) news {
	return t.learn(now, got, testRules, 0.5)
}

// lastSaid is what a family leads to after the first looks, by reading the
// story backwards: the addresses that were said last, unless it was said three
// times in a row since that there are none while there were others.
func lastSaid(looks []look, family int) (known bool, addrs []netip.Addr) {
	gone := 0
	for _, l := range looks {
		o, other := l.got[family], l.got[1-family]
		others := other.err == nil && len(other.addrs) > 0
		switch {
		case o.err != nil, len(o.addrs) == 0 && !others:
			gone = 0
		case len(o.addrs) > 0:
			known, addrs, gone = true, o.addrs, 0
		case len(addrs) > 0:
			if gone++; gone == 3 {
				addrs, gone = nil, 0
			}
		default:
			known = true
		}
	}
	return known, addrs
}

// keepsTheGood: what is served is what the story says, it is never emptied, its
// times are within bounds, and what is out of date is said to be.
func keepsTheGood(t *rapid.T, learn learner) error {
	looks := drawLooks(t)
	now, is, had := epoch, new(target), false
	var renewed [2]time.Time
	for i, l := range looks {
		now = now.Add(l.after)
		before := is.flat(now, testRules)
		n := learn(is, now, l.got)
		served := is.flat(now, testRules)
		total, failed := 0, false
		for k, f := range served.families {
			known, want := lastSaid(looks[:i+1], k)
			if got := is.families[k].addrs; known != f.known || !slices.Equal(got, want) || !slices.Equal(f.addrs, texts(want)) {
				return fmt.Errorf("after %d looks family %d is known %v as %v; expected %v, %v, of %+v", i+1, k, f.known, got, known, want, looks[:i+1])
			}
			total += len(f.addrs)
			o := l.got[k]
			failed = failed || o.err != nil || len(o.addrs) == 0 && (len(before.families[k].addrs) > 0 && len(f.addrs) > 0 || len(l.got[1-k].addrs) == 0 || l.got[1-k].err != nil)
			if o.err == nil && len(o.addrs) > 0 {
				ttl := max(min(time.Duration(o.ttl)*time.Second, testRules.maxTTL), testRules.minTTL)
				if renewed[k] = now.Add(ttl); f.stale || f.ttl != uint32(ttl/time.Second) || !f.until.Equal(renewed[k]) {
					return fmt.Errorf("family %d got TTL %d and has %d until %s", k, o.ttl, f.ttl, f.until.Sub(now))
				}
			} else if len(f.addrs) > 0 && !now.Before(renewed[k]) && (!f.stale || f.ttl != 30 || !f.until.IsZero()) {
				return fmt.Errorf("family %d is out of date and has TTL %d, stale %v", k, f.ttl, f.stale)
			}
		}
		if had && total == 0 {
			return fmt.Errorf("emptied by look %d of %+v", i+1, looks)
		}
		had = had || total > 0
		if failed != (is.failed > 0) || failed != (is.problem != "") {
			return fmt.Errorf("look %d failed %v, and it says %d, %q", i+1, failed, is.failed, is.problem)
		}
		wait := is.due.Sub(now)
		if least := map[bool]time.Duration{true: firstAskAgain, false: testRules.minTTL}[failed]; wait < least || wait > testRules.maxTTL+5*time.Second || failed && wait > mostAskAgain+5*time.Second {
			return fmt.Errorf("look %d, failed %v: the next one in %s", i+1, failed, wait)
		}
		if n.addresses == slices.Equal(before.families[0].addrs, served.families[0].addrs) && slices.Equal(before.families[1].addrs, served.families[1].addrs) &&
			before.families[0].known == served.families[0].known && before.families[1].known == served.families[1].known {
			return fmt.Errorf("look %d: news of addresses %v; before %+v, now %+v", i+1, n.addresses, before, served)
		}
	}
	return nil
}

func TestKeepsTheLastGood(t *testing.T) {
	regionstest.Holds(t, func(rt *rapid.T) error { return keepsTheGood(rt, realLearner) })
	for name, mutant := range map[string]learner{
		"NXDOMAIN empties": func(t *target, now time.Time, got [2]finding) news {
			n := realLearner(t, now, got)
			if got[0].none != "" && got[1].none != "" {
				t.families[0].addrs, t.families[1].addrs = nil, nil
			}
			return n
		},
		"a failure empties": func(t *target, now time.Time, got [2]finding) news {
			n := realLearner(t, now, got)
			if got[0].err != nil {
				t.families[0].addrs = nil
			}
			return n
		},
		"a family is gone at the first word": func(t *target, now time.Time, got [2]finding) news {
			n := realLearner(t, now, got)
			if got[0].none != "" && len(got[1].addrs) > 0 {
				t.families[0].addrs = nil
			}
			return n
		},
		"a family that is gone stays for ever": func(t *target, now time.Time, got [2]finding) news {
			was := t.families[0].addrs
			n := realLearner(t, now, got)
			if len(t.families[0].addrs) == 0 {
				t.families[0].addrs = was
			}
			return n
		},
		"the TTL has no upper bound": func(t *target, now time.Time, got [2]finding) news {
			return t.learn(now, got, aliasRules{testRules.minTTL, 1 << 62, testRules.stale}, 0.5)
		},
		"the TTL has no lower bound": func(t *target, now time.Time, got [2]finding) news {
			return t.learn(now, got, aliasRules{0, testRules.maxTTL, testRules.stale}, 0.5)
		},
		"old addresses count as renewed by a failure": func(t *target, now time.Time, got [2]finding) news {
			n := realLearner(t, now, got)
			for i := range t.families {
				t.families[i].until = now.Add(time.Minute)
			}
			return n
		},
		"failures are asked again at once": func(t *target, now time.Time, got [2]finding) news {
			n := realLearner(t, now, got)
			if t.failed > 0 {
				t.due = now
			}
			return n
		},
		"a failure is not told": func(t *target, now time.Time, got [2]finding) news {
			n := realLearner(t, now, got)
			t.failed, t.problem = 0, ""
			return n
		},
	} {
		regionstest.Caught(t, 2000, name, func(rt *rapid.T) error { return keepsTheGood(rt, mutant) })
	}
}

// TestSavedTargets: what is kept comes back, as out of date.
func TestSavedTargets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		is, now := new(target), epoch
		for _, l := range drawLooks(rt) {
			now = now.Add(l.after)
			realLearner(is, now, l.got)
		}
		content, err := aliasFile.encode(saveTargets(map[string]*target{hostName: is, "never.example.net.": new(target)}))
		if err != nil {
			rt.Fatal(err)
		}
		saved, err := decodeTargets(content)
		if err != nil {
			rt.Fatal(err)
		}
		again := saved.targets()
		if len(is.addresses()) == 0 {
			if len(again) != 0 {
				rt.Fatalf("%+v of nothing", again)
			}
			return
		}
		got := again[hostName]
		for i, f := range got.families {
			if want := is.families[i]; f.known != want.known || !slices.Equal(f.addrs, want.addrs) || f.known && !f.stale(epoch) {
				rt.Fatalf("family %d: %+v, want %+v", i, f, want)
			}
		}
	})
}
