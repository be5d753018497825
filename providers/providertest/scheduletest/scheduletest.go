// Package scheduletest searches for a schedule of requests that breaks
// property 6: two controllers that both believe to lead write one zone by a
// network that delays, repeats, reorders and loses what they send, while the
// decisions change and people edit the zone by hand. At every step, seen from
// the provider's side:
//
//   - there is at most one fence; its term never falls, its write number grows
//     with every write, and a term has one holder;
//   - a name's records are those of one decision, whole, and never of an older
//     one than before;
//   - what is not Veer's is as people left it;
//   - no fence is given twice, and no zone that refuses a stale write is said
//     not to.
//
// Then the faults end, and the zone must soon hold what the newest leader
// decided last. With the fence switched off the same search must find a
// violation.
//
// A schedule is its seed. It runs in a bubble of testing/synctest: hours go by
// in milliseconds.
package scheduletest

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
)

// Owner is the controllers' owner.
const Owner = "shop"

// World is a provider's side with an empty zone.
type World struct {
	Zone string
	// Client returns a controller's client, whose every request goes by the
	// carrier.
	Client func(c providertest.Carrier, log zerolog.Logger) providers.Provider
	// Look returns what the zone holds, past every fence.
	Look func() (Zone, error)
	// Put and Remove change a set past every fence, as people do.
	Put    func(set providers.RRSet) error
	Remove func(key providers.Key) error
	// Throttle makes the next write by the line one too many.
	Throttle func(l *providertest.Line)
}

// Zone is what a zone holds.
type Zone struct {
	// Fences are the owner's.
	Fences []providers.Fence
	// Sets are all sets of all types but those that Veer keeps for itself.
	Sets []providers.RRSet
}

// Violation is what a schedule broke.
type Violation struct {
	Seed  uint64
	kind  kind
	Text  string
	Trace []string
}

func (v Violation) String() string {
	return fmt.Sprintf("seed %d: %s\n  %s", v.Seed, v.Text, strings.Join(v.Trace, "\n  "))
}

// kind is what a violation is about.
type kind string

const (
	ofFence   kind = "the fence"
	ofAnswers kind = "the answers"
	ofOthers  kind = "others' records"
	ofClient  kind = "the client"
	ofEnd     kind = "the end"
)

// traced is how many events before a violation are printed.
const traced = 60

// build makes a World with or without the fence.
type build = func(t *testing.T, fence bool) World

// Schedules is how many schedules a provider's test runs: 300, which takes
// seconds, fewer with -race, 10,000 with the build tag accept, or the number in
// VEER_SCHEDULES.
func Schedules(t testing.TB) uint64 {
	text := os.Getenv("VEER_SCHEDULES")
	if text == "" {
		return schedules
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		t.Fatalf("VEER_SCHEDULES is %q; expected a number", text)
	}
	return n
}

// Search runs so many schedules, and fails for the first that violates
// anything. It prints how often each difficulty came about.
func Search(t *testing.T, n uint64, b build) {
	t.Helper()
	met := map[string]uint64{}
	for seed := range n {
		v := run(t, seed, b, true, met)
		if len(v) > 0 {
			t.Fatalf("%s", v[0])
		}
	}
	for _, event := range events {
		t.Logf("%6d schedules: %5.1f %% with %s", n, 100*float64(met[event])/float64(n), event)
		if met[event] == 0 && n >= 100 {
			t.Errorf("no schedule had %s: the search proves nothing", event)
		}
	}
}

// SearchWithout runs schedules with the fence switched off, of which some must
// violate what the fence is for, and prints the first of each kind. A seed that
// did must do so again: which of two goroutines of one instant goes first is not
// the seed's, so that a seed gets several tries.
func SearchWithout(t *testing.T, b build) {
	t.Helper()
	n := uint64(without)
	first, found := map[kind]*Violation{}, map[kind]int{}
	var seeds []uint64
	for seed := range n {
		violations := run(t, seed, b, false, map[string]uint64{})
		for _, v := range violations {
			if found[v.kind]++; first[v.kind] == nil {
				first[v.kind] = &v
			}
		}
		if slices.ContainsFunc(violations, Violation.staleWrite) {
			seeds = append(seeds, seed)
		}
	}
	for _, k := range []kind{ofFence, ofAnswers, ofOthers, ofClient, ofEnd} {
		if first[k] != nil {
			t.Logf("without the fence, %d of %d schedules violate what holds of %s; the first is %s", found[k], n, k, first[k])
		}
	}
	if len(seeds) == 0 {
		t.Fatalf("none of %d schedules found what the fence is for, although it is switched off", n)
	}
	for range 5 {
		for _, seed := range seeds {
			if slices.ContainsFunc(run(t, seed, b, false, map[string]uint64{}), Violation.staleWrite) {
				return
			}
		}
	}
	t.Fatalf("none of the seeds %v violates anything when run again", seeds)
}

// staleWrite tells whether it is a violation of what the fence is for.
func (v Violation) staleWrite() bool { return v.kind == ofFence || v.kind == ofAnswers }

// run runs one schedule in a bubble.
func run(t *testing.T, seed uint64, b build, fence bool, met map[string]uint64) (v []Violation) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRace(t, seed, b(t, fence))
		v = r.run()
		for event := range r.met {
			met[event]++
		}
	})
	return v
}

// Sort parts what a zone of records holds, its TXT records in presentation
// form, into the owner's fences and what is not Veer's own.
func Sort(zone string, sets []providers.RRSet) (Zone, error) {
	var z Zone
	for _, s := range sets {
		switch first, _, _ := strings.Cut(s.Name, "."); {
		case s.Type == "TXT" && s.Name == providers.FenceName(Owner, zone):
			for _, text := range s.Data {
				f, err := providers.ParseFence(strings.Trim(text, `"`))
				if err != nil {
					return z, err
				}
				if f != providers.FirstFence(Owner) { // it is nobody's, and stays beside
					z.Fences = append(z.Fences, f)
				}
			}
		case !strings.HasPrefix(first, "_veer"):
			z.Sets = append(z.Sets, s)
		}
	}
	return z, nil
}
