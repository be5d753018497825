//go:build netns

package clusterlab

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// mishap is one fault of the checker's plan.
type mishap struct {
	at   time.Duration // since the plan began
	kind string
	// whom says which region: 0 to 2, or -1 for the one that leads then, and of
	// backends for the one that is served then.
	whom int
	last time.Duration
}

func (m mishap) String() string {
	whom := "the leader's, or the served"
	if m.whom >= 0 {
		whom = regionNames[m.whom]
	}
	return fmt.Sprintf("%7.1f s: %s, %s, for %.1f s", m.at.Seconds(), m.kind, whom, m.last.Seconds())
}

// The kinds of mishaps, those of backends last.
const (
	kindKill    = "process killed"
	kindPause   = "process paused"
	kindCut     = "region cut off from the others"
	kindAlone   = "region cut off from everything"
	kindUnheard = "what it sends is lost"
	kindDeaf    = "what is sent to it is lost"
	kindSlow    = "all links 300 ms, 10 % loss"
	kindHeld    = "its write held before it takes effect, and it is cut off"
	kindLost    = "its write held after it took effect, and it is cut off"
	kindDown    = "backend killed"
	kindHung    = "backend hung"
)

// planOf draws a plan: one row of mishaps to processes and links, one at a
// time, and beside it one to backends. The same seed draws the same plan.
func planOf(seed uint64, length time.Duration) []mishap {
	r := rand.New(rand.NewPCG(seed, 0))
	between := func(from, to time.Duration) time.Duration { return from + time.Duration(r.Int64N(int64(to-from))) }
	var out []mishap
	row := func(kinds []string, special float64, last, gap [2]time.Duration) {
		for at := between(time.Second, 3*time.Second); ; {
			m := mishap{at: at, kind: kinds[r.IntN(len(kinds))], whom: r.IntN(len(regionNames)), last: between(last[0], last[1])}
			if r.Float64() < special {
				m.whom = -1
			}
			if at += m.last + between(gap[0], gap[1]); at > length {
				return
			}
			out = append(out, m)
		}
	}
	s := time.Second
	row([]string{kindKill, kindPause, kindCut, kindAlone, kindUnheard, kindDeaf, kindSlow, kindHeld, kindHeld, kindHeld, kindHeld, kindLost}, 0.7,
		[2]time.Duration{5 * s, 9 * s}, [2]time.Duration{3 * s, 6 * s})
	row([]string{kindDown, kindDown, kindHung}, 0.8, [2]time.Duration{3 * s, 6 * s}, [2]time.Duration{2 * s, 4 * s})
	return out
}

func TestTheSameSeedMakesTheSamePlan(t *testing.T) {
	a, b, c := fmt.Sprint(planOf(5, time.Hour)), fmt.Sprint(planOf(5, time.Hour)), fmt.Sprint(planOf(6, time.Hour))
	if a != b || a == c {
		t.Fatalf("seed 5 twice: equal %v; seeds 5 and 6: equal %v", a == b, a == c)
	}
}
