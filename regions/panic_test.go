package regions

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/regions/regionstest"
)

// strikes is Panic.Strikes, or a broken twin of it.
type strikes func(p Panic, tolls []Toll) bool

func TestPanicRule(t *testing.T) {
	for _, c := range []struct {
		name    string
		percent int
		tolls   []Toll
		want    bool
	}{
		{"all of two regions of three", 50, []Toll{{"eu", 10, 10}, {"us", 10, 10}, {"ap", 0, 10}}, true},
		{"one region, however large", 50, []Toll{{"eu", 900, 900}, {"us", 0, 50}, {"ap", 0, 50}}, false},
		{"one region, and one endpoint elsewhere", 50, []Toll{{"eu", 100, 100}, {"us", 1, 99}}, false},
		{"one region, and the only endpoint of another", 50, []Toll{{"eu", 100, 100}, {"us", 1, 1}}, false},
		{"half of each is not over half", 50, []Toll{{"eu", 10, 20}, {"us", 10, 20}}, false},
		{"just over half", 50, []Toll{{"eu", 11, 20}, {"us", 11, 20}}, true},
		{"two of five regions are not over half of all", 50, []Toll{{"eu", 9, 9}, {"us", 9, 9}, {"ap", 0, 9}, {"sa", 0, 9}, {"af", 0, 9}}, false},
		{"three regions of one endpoint", 50, []Toll{{"eu", 1, 1}, {"us", 1, 1}, {"ap", 1, 1}}, false},
		{"nine endpoints are too few", 50, []Toll{{"eu", 3, 3}, {"us", 3, 3}, {"ap", 3, 3}}, false},
		{"ten are enough", 50, []Toll{{"eu", 5, 5}, {"us", 5, 5}}, true},
		{"another share", 80, []Toll{{"eu", 8, 10}, {"us", 10, 10}}, false},
		{"off", 0, []Toll{{"eu", 10, 10}, {"us", 10, 10}}, false},
	} {
		if got := (Panic{Percent: c.percent}).Strikes(c.tolls); got != c.want {
			t.Errorf("%s: %v makes a panic: %v, expected %v", c.name, c.tolls, got, c.want)
		}
	}
}

func TestPanicProperties(t *testing.T) {
	for _, p := range []func(strikes) regionstest.Find{oneRegionIsNoPanic, fewAreNoPanic, mostIsPanic} {
		regionstest.Holds(t, p(Panic.Strikes))
	}
}

func TestPanicMutants(t *testing.T) {
	for _, m := range []struct {
		name string
		prop func(strikes) regionstest.Find
		twin strikes
	}{
		{"all endpoints are one region's", oneRegionIsNoPanic, func(p Panic, tolls []Toll) bool {
			fell, of := 0, 0
			for _, t := range tolls {
				fell, of = fell+t.Fell, of+t.Of
			}
			return fell >= PanicLeast && fell*100 > of*p.Percent
		}},
		{"one endpoint makes a region", oneRegionIsNoPanic, func(p Panic, tolls []Toll) bool {
			fell, of, struck := 0, 0, 0
			for _, t := range tolls {
				if fell, of = fell+t.Fell, of+t.Of; t.Fell > 0 {
					struck++
				}
			}
			return struck > 1 && fell >= PanicLeast && fell*100 > of*p.Percent
		}},
		{"no number is too small", fewAreNoPanic, func(p Panic, tolls []Toll) bool {
			struck := 0
			for _, t := range tolls {
				if t.Fell*100 > t.Of*p.Percent {
					struck++
				}
			}
			return struck > 1
		}},
		{"it never strikes", mostIsPanic, func(Panic, []Toll) bool { return false }},
		{"the first region decides", mostIsPanic, func(p Panic, tolls []Toll) bool {
			return p.Strikes(tolls) && tolls[0].Fell > 0
		}},
	} {
		regionstest.Caught(t, 1000, m.name, m.prop(m.twin))
	}
}

func drawTolls(rt *rapid.T, most int) []Toll {
	var tolls []Toll
	for i := range rapid.IntRange(2, 5).Draw(rt, "regions") {
		t := Toll{Region: Name(rune('a' + i)), Of: rapid.IntRange(1, most).Draw(rt, "of")}
		t.Fell = rapid.IntRange(0, t.Of).Draw(rt, "fell")
		tolls = append(tolls, t)
	}
	return tolls
}

// oneRegionIsNoPanic: a region is lost, and no more than half falls elsewhere.
func oneRegionIsNoPanic(s strikes) regionstest.Find {
	return func(rt *rapid.T) error {
		tolls := drawTolls(rt, 40)
		lost := rapid.IntRange(0, len(tolls)-1).Draw(rt, "lost")
		for i := range tolls {
			if tolls[i].Fell = min(tolls[i].Fell, tolls[i].Of/2); i == lost {
				tolls[i].Of *= 100
				tolls[i].Fell = tolls[i].Of
			}
		}
		if s(Panic{Percent: 50}, tolls) {
			return fmt.Errorf("%s is lost, and that is a panic: %v", tolls[lost].Region, tolls)
		}
		return nil
	}
}

// fewAreNoPanic: whatever fewer than ten endpoints do.
func fewAreNoPanic(s strikes) regionstest.Find {
	return func(rt *rapid.T) error {
		tolls, fell := drawTolls(rt, 9), 0
		for i := range tolls {
			tolls[i].Fell = min(tolls[i].Fell, 9-fell)
			fell += tolls[i].Fell
		}
		if s(Panic{Percent: rapid.IntRange(1, 100).Draw(rt, "percent")}, tolls) {
			return fmt.Errorf("%d endpoints make a panic: %v", fell, tolls)
		}
		return nil
	}
}

// mostIsPanic: more than the share of each of two regions and of all, in any
// order; and more of it is one, too.
func mostIsPanic(s strikes) regionstest.Find {
	return func(rt *rapid.T) error {
		p := Panic{Percent: rapid.IntRange(30, 95).Draw(rt, "percent")}
		tolls := []Toll{{Region: "quiet", Of: rapid.IntRange(1, 5).Draw(rt, "quiet")}}
		for i := range rapid.IntRange(2, 4).Draw(rt, "struck") {
			tolls = append(tolls, Toll{Region: Name(rune('a' + i)), Fell: 100, Of: 100})
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "order"), 1))
		r.Shuffle(len(tolls), func(i, j int) { tolls[i], tolls[j] = tolls[j], tolls[i] })
		if !s(p, tolls) {
			return fmt.Errorf("no panic at %d %%: %v", p.Percent, tolls)
		}
		return nil
	}
}
