//go:build netns

package clusterlab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// mishap is one fault of the checker's plan.
type mishap struct {
	at   time.Duration // since the plan began
	kind string
	// row: the mishaps of one row come one after the other.
	row int
	// whom says which region: 0 to 2, or -1 for the one that leads then, and of
	// backends for the one that is served then.
	whom int
	last time.Duration
	// off is how wrong a wall clock is.
	off time.Duration
	// bind: of the two providers, it is BIND whose write or reading is held.
	bind bool
}

// what says what happens.
func (m mishap) what() string {
	switch m.kind {
	case kindSkew:
		return fmt.Sprintf("%s by %s", m.kind, m.off)
	case kindHeld, kindLost:
		if m.bind {
			return m.kind + ", at BIND"
		}
		return m.kind + ", at Route 53"
	}
	return m.kind
}

func (m mishap) String() string {
	whom := "the leader's, or the served"
	if m.whom >= 0 {
		whom = regionNames[m.whom]
	}
	return fmt.Sprintf("%7.1f s: %s, %s, for %.1f s", m.at.Seconds(), m.what(), whom, m.last.Seconds())
}

// The kinds of mishaps.
const (
	kindKill    = "process killed"
	kindPause   = "process paused"
	kindCut     = "region cut off from the others"
	kindAlone   = "region cut off from everything"
	kindUnheard = "what it sends is lost"
	kindDeaf    = "what is sent to it is lost"
	kindSlow    = "all links 300 ms, 10 % loss"
	kindSkew    = "its wall clock jumps"
	kindHeld    = "its write held before it takes effect, and it is cut off"
	kindLost    = "its write held after it took effect, and it is cut off"
	kindRead    = "the last reply before its write held, and it is paused"
	kindCommit  = "what it sends is lost until another leads, then arrives"
	kindDoubt   = "vantage cut off from its references"

	kindDown  = "backend killed"
	kindHung  = "backend hung"
	kindBlind = "vantage cut off from the served backend"
)

// ofProcesses are the kinds of the first row, ofBackends those of the second.
var (
	ofProcesses = []string{
		kindKill, kindPause, kindCut, kindAlone, kindUnheard, kindDeaf, kindSlow, kindSkew, kindHeld, kindLost, kindRead, kindCommit,
	}
	ofBackends = []string{kindDown, kindHung, kindBlind}
)

// leaders are the kinds that only a leader can meet.
var leaders = []string{kindHeld, kindLost, kindRead, kindCommit}

// planOf draws a plan: one row of mishaps to processes and links, one at a
// time, and beside it one to backends. The same seed draws the same plan. Each
// kind comes up in each round of a row, in any order, and those more often that
// only show something where they meet a write.
func planOf(seed uint64, length time.Duration) []mishap {
	r := rand.New(rand.NewPCG(seed, 0))
	between := func(from, to time.Duration) time.Duration { return from + time.Duration(r.Int64N(int64(to-from))) }
	var out []mishap
	row := func(row int, kinds []string, special float64, last, gap [2]time.Duration) {
		round := []string(nil)
		for at := between(time.Second, 3*time.Second); ; {
			if len(round) == 0 {
				round = slices.Clone(kinds)
				r.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
			}
			m := mishap{at: at, row: row, kind: round[0], whom: r.IntN(len(regionNames)), last: between(last[0], last[1])}
			round = round[1:]
			if r.Float64() < special || slices.Contains(leaders, m.kind) {
				m.whom = -1
			}
			if m.kind == kindBlind && m.whom < 0 {
				m.whom = r.IntN(len(regionNames))
			}
			m.bind = r.IntN(2) == 0
			m.off = skewOf(r)
			if at += m.last + between(gap[0], gap[1]); at > length {
				return
			}
			out = append(out, m)
		}
	}
	s := time.Second
	row(0, append(slices.Clone(ofProcesses), kindHeld, kindHeld, kindHeld, kindHeld, kindHeld, kindHeld), 0.7, [2]time.Duration{5 * s, 9 * s}, [2]time.Duration{3 * s, 6 * s})
	row(1, []string{kindDown, kindDown, kindDown, kindHung, kindHung, kindBlind}, 0.8, [2]time.Duration{3 * s, 6 * s}, [2]time.Duration{2 * s, 4 * s})
	return out
}

// skewOf draws how wrong a wall clock is: a bit, so much that a signature of
// its time is refused (RFC 8945: 5 minutes), or by years; either way.
func skewOf(r *rand.Rand) time.Duration {
	most := []time.Duration{2 * time.Second, 4 * time.Minute, 3 * time.Hour, 24 * 365 * 3 * time.Hour}[r.IntN(4)]
	return time.Duration(r.Int64N(int64(2*most)) - int64(most)).Round(time.Millisecond)
}

func TestTheSameSeedMakesTheSamePlan(t *testing.T) {
	a, b, c := fmt.Sprint(planOf(5, time.Hour)), fmt.Sprint(planOf(5, time.Hour)), fmt.Sprint(planOf(6, time.Hour))
	if a != b || a == c {
		t.Fatalf("seed 5 twice: equal %v; seeds 5 and 6: equal %v", a == b, a == c)
	}
	for _, kind := range append(slices.Clone(ofProcesses), ofBackends...) {
		if !slices.ContainsFunc(planOf(5, 10*time.Minute), func(m mishap) bool { return m.kind == kind }) {
			t.Errorf("in 10 minutes nothing of the kind %q", kind)
		}
	}
}
