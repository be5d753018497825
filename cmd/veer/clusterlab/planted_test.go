//go:build netns

package clusterlab

import (
	"slices"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/internal/lab"
)

// planted are the faults that a process can have, or a provider, each with the
// mishaps in which it shows, and the check that must see it. The process is
// built for that: see cmd/veer/hooks_netns.go.
var planted = []struct {
	name string
	// rounds is how often the mishaps may be repeated until it is seen: not
	// every write, and not every vote, falls into the one moment.
	rounds  int
	every   time.Duration
	mishaps []mishap
	seen    string
}{
	{"fence off", 3, 25 * time.Second, []mishap{
		{at: 1 * time.Second, row: 0, kind: kindHeld, whom: -1, last: 4 * time.Second},
		{at: 2 * time.Second, row: 1, kind: kindDown, whom: 0, last: 8 * time.Second},
	}, checkOrder},
	{"lease overrun", 3, 30 * time.Second, []mishap{
		{at: 1 * time.Second, row: 0, kind: kindRead, whom: -1, last: time.Second},
		{at: 2 * time.Second, row: 1, kind: kindDown, whom: 0, last: 12 * time.Second},
	}, checkLate},
	{"ledger guard off", 8, 20 * time.Second, []mishap{
		{at: 1 * time.Second, row: 0, kind: kindCommit, whom: -1},
		{at: 2 * time.Second, row: 1, kind: kindDown, whom: 0, last: 5 * time.Second},
	}, checkLedger},
	{"unknown as down", 2, 30 * time.Second, []mishap{
		{at: 1 * time.Second, row: 0, kind: kindPause, whom: 2, last: 20 * time.Second},
		{at: 1 * time.Second, row: 1, kind: kindBlind, whom: 1, last: 20 * time.Second},
	}, checkMove},
	{"live denominator", 2, 40 * time.Second, []mishap{
		{at: 1 * time.Second, row: 0, kind: kindDoubt, whom: 1, last: 30 * time.Second},
		{at: 1 * time.Second, row: 1, kind: kindDoubt, whom: 2, last: 30 * time.Second},
		{at: 1 * time.Second, row: 2, kind: kindBlind, whom: 0, last: 30 * time.Second},
	}, checkMove},
	{"hold on departure", 2, 60 * time.Second, []mishap{
		{at: 1 * time.Second, row: 0, kind: kindDown, whom: 0, last: 50 * time.Second},
	}, checkDepart},
}

// TestPlantedFaultsAreCaught runs three regions with each of the faults, and
// the checker of TestMishaps, until it has seen it.
func TestPlantedFaultsAreCaught(t *testing.T) {
	w := newWorld(t, quick,
		"providers:\n  here", "references: [\"tcp://10.77.20.10:53\"]\nproviders:\n  here",
		"timeout: 3s", "timeout: 20s", // a reply may wait for as long as a process is paused
		"    rto: 15s\n", "", "    rto: 20s\n", "",
	)
	for _, f := range planted {
		t.Run(f.name, func(t *testing.T) {
			was := w.t
			w.t = t
			defer func() { w.t = was }()
			w.plant(f.name)
			w.settle()
			c := newChecker(w)
			c.hasty = true
			var plan []mishap
			for n := range f.rounds {
				for _, m := range f.mishaps {
					m.at += time.Duration(n) * f.every
					plan = append(plan, m)
				}
			}
			c.run(plan)
			c.finish()
			caught := slices.IndexFunc(c.wrong, func(one wrong) bool { return one.check == f.seen })
			if caught < 0 {
				t.Errorf("%q did not see it; the others saw %v\n%s", f.seen, c.wrong, c.story(plan))
				return
			}
			t.Logf("caught after %s by %q: %s; load %s", c.wrong[caught].after.Round(100*time.Millisecond), f.seen, c.wrong[caught].what, lab.Load())
		})
	}
	t.Run("no fault", func(t *testing.T) { w.innocent(t) })
}

// innocent requires that without a fault it all goes on, and in the full size
// that the mishaps in which faults show break nothing by themselves.
func (w *world) innocent(t *testing.T) {
	was := w.t
	w.t = t
	defer func() { w.t = was }()
	w.plant("")
	w.settle()
	if !innocent {
		return
	}
	for _, f := range planted {
		c := newChecker(w)
		c.run(f.mishaps)
		w.settle()
		c.finish()
		if len(c.wrong) > 0 {
			t.Errorf("the mishaps of %q: %v\n%s", f.name, c.wrong, c.story(f.mishaps))
		}
	}
}

// plant ends the processes, and has them start anew with a fault.
func (w *world) plant(fault string) {
	w.aws.unfenced = fault == "fence off"
	w.fault = fault
	for _, r := range w.regions {
		r.resume()
		r.kill()
	}
}
