package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers/memory"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// interlude is an Interlude on the bubble's clock, as exact as can be.
type interlude struct {
	term  regions.Term
	since time.Time
	votes time.Duration
	// fails makes Pause fail, as if the pass had been killed before.
	fails bool
	// forgets is the planted fault: it credits whatever term paused.
	forgets bool
}

func (i *interlude) Resume(_ context.Context, l controller.Lead) (time.Duration, error) {
	if i.term == 0 || !i.forgets && i.term+1 != l.Term() {
		return 0, nil
	}
	return min(time.Since(i.since), i.votes), nil
}

func (i *interlude) Pause(_ context.Context, l controller.Lead, again bool) error {
	switch {
	case i.fails:
		return errDown
	case !again || i.term+1 != l.Term():
		i.since = time.Now()
	}
	i.term = l.Term()
	return nil
}

// marks are Marks in memory.
type marks map[controller.ZoneID]bool

func (m marks) Marked(context.Context) ([]controller.ZoneID, error) {
	var out []controller.ZoneID
	for z := range m {
		out = append(out, z)
	}
	return out, nil
}

func (m marks) Mark(_ context.Context, _ controller.Lead, z controller.ZoneID) error {
	m[z] = true
	return nil
}

func (m marks) Unmark(_ context.Context, _ controller.Lead, z controller.ZoneID) error {
	delete(m, z)
	return nil
}

// passer makes passes on a world.
type passer struct {
	*rig
	gap   *interlude
	marks marks
	store *memory.Store
	line  *providertest.Line
	told  []controller.ZoneState // by the last pass
}

func newPasser(t *testing.T, services ...steering.Service) *passer {
	p := &passer{rig: newRig(t, services...), gap: &interlude{votes: time.Hour}, marks: marks{}, line: &providertest.Line{}}
	p.store = memory.NewStore("example.test.").Over(providertest.Carry(p.line))
	p.o.Marks = p.marks
	p.o.Providers = []controller.Written{{Name: "z", Zone: "example.test.", Provider: p.store.Provider("test")}}
	return p
}

func (p *passer) once(req *controller.Request) (controller.Outcome, error) {
	return controller.New(p.o).Once(context.Background(), controller.PassOptions{
		Wait: time.Minute, Interlude: p.gap, Request: req,
		Look: func(context.Context) (controller.View, error) { return p.View(), nil },
		Tell: func(_ context.Context, zones []controller.ZoneState) { p.told = zones },
	})
}

func (p *passer) must() controller.Outcome {
	p.t.Helper()
	out, err := p.once(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, z := range out.Zones {
		if z.Err != nil {
			p.t.Fatal(z.Err)
		}
	}
	return out
}

// zone is the data of app in the zone, and the fence's write number.
func (p *passer) zone() (string, uint64) {
	p.t.Helper()
	snap, err := p.store.Read("test", "example.test.")
	if err != nil {
		p.t.Fatal(err)
	}
	data := ""
	for _, s := range snap.Records {
		if s.Name == app {
			data = fmt.Sprint(s.Data)
		}
	}
	return data, snap.Fence.Write
}

func passes(t *testing.T, hold time.Duration, f func(p *passer)) {
	synctest.Test(t, func(t *testing.T) { f(newPasser(t, service(app, hold, one, two))) })
}

func TestPassesFailOverAndBack(t *testing.T) {
	passes(t, 2*time.Minute, func(p *passer) {
		p.voteAll(checks.Up, one, two)
		out := p.must()
		if data, write := p.zone(); data != "[192.0.2.1]" || write != 1 || !out.Changed() || len(out.Moves) != 1 {
			t.Fatalf("after the first pass the zone has %s at write %d: %+v", data, write, out)
		}
		for range 5 { // steady: nothing is claimed, nothing written
			pass(time.Minute)
			if out := p.must(); out.Changed() {
				t.Fatalf("a steady pass changed something: %+v", out)
			}
		}
		if _, write := p.zone(); write != 1 || len(p.marks) != 0 {
			t.Fatalf("steady passes wrote: write %d, marks %v", write, p.marks)
		}
		p.voteAll(checks.Down, one)
		p.must()
		if data, _ := p.zone(); data != "[192.0.2.2]" {
			t.Fatalf("no failover: %s", data)
		}
		p.voteAll(checks.Up, one)
		for minute, want := range []string{"[192.0.2.2]", "[192.0.2.2]", "[192.0.2.1]"} {
			p.must()
			if data, _ := p.zone(); data != want {
				t.Fatalf("%d min after it is up again: %s, want %s", minute, data, want)
			}
			pass(time.Minute)
		}
	})
}

func TestPassOfAnUnknownStateWritesNothing(t *testing.T) {
	passes(t, 0, func(p *passer) {
		out := p.must()
		if _, write := p.zone(); out.Known || write != 0 || p.commits != 0 || !slices.Equal(out.Unknown, []string{app}) {
			t.Fatalf("%+v: write %d, %d commits", out, write, p.commits)
		}
		p.vote("eu", checks.Up, one) // one of three is no quorum
		if out := p.must(); out.Known || p.commits != 0 {
			t.Fatalf("%+v", out)
		}
		if p.leading != nil {
			t.Error("the pass still leads")
		}
	})
}

func TestPassWaitsForAnothersLead(t *testing.T) {
	passes(t, 0, func(p *passer) {
		p.voteAll(checks.Up, one, two)
		lead, err := p.Campaign(context.Background(), "us")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.once(nil); !errors.Is(err, controller.ErrBusy) {
			t.Fatalf("beside a leader: %v", err)
		}
		go func() {
			<-time.After(time.Second)
			_ = lead.Resign(context.Background())
		}()
		if out := p.must(); !out.Changed() {
			t.Fatalf("after the other resigned: %+v", out)
		}
	})
}

// A write whose outcome is not known stays marked, and the next pass claims
// the zone before it reads it.
func TestPassClaimsOnlyWhatIsMarked(t *testing.T) {
	passes(t, 0, func(p *passer) {
		p.voteAll(checks.Up, one, two)
		held := p.line.Hold()
		go func() { <-held; p.depose(nil) }() // killed while the write is under way
		if _, err := p.once(nil); err == nil {
			t.Fatal("a deposed pass says that all is well")
		}
		if len(p.marks) != 1 {
			t.Fatalf("marks %v", p.marks)
		}
		p.voteAll(checks.Down, one)
		p.must()
		if data, write := p.zone(); data != "[192.0.2.2]" || write != 2 || len(p.marks) != 0 {
			t.Fatalf("the zone has %s at write %d, marks %v: want a claim and one write", data, write, p.marks)
		}
		for _, err := range p.line.Deliver() {
			if err == nil {
				t.Error("the late write was taken")
			}
		}
		if data, _ := p.zone(); data != "[192.0.2.2]" {
			t.Errorf("the late write is in the zone: %s", data)
		}
	})
}

func TestOneZoneHoldsNoOtherUp(t *testing.T) {
	passes(t, 0, func(p *passer) {
		bad := &zone{fail: errDown}
		p.o.Providers = append([]controller.Written{{Name: "bad", Zone: "example.test.", Provider: bad}}, p.o.Providers...)
		p.voteAll(checks.Up, one, two)
		out, err := p.once(nil)
		if err != nil || len(out.Zones) != 2 || out.Zones[0].Err == nil || out.Zones[1].Err != nil {
			t.Fatalf("%+v %v", out.Zones, err)
		}
		if data, _ := p.zone(); data != "[192.0.2.1]" {
			t.Errorf("the good zone has %s", data)
		}
		if len(p.told) != 2 || p.told[0].State != controller.ZoneFailing || p.told[1].State != controller.ZoneOK {
			t.Errorf("told of the zones: %+v", p.told)
		}
		if _, err := p.once(&controller.Request{By: "alice"}); err != nil || p.told != nil {
			t.Errorf("an operator's pass tells %+v (%v)", p.told, err)
		}
	})
}

// A daemon's reign marks its zones, and forgets them at a clean end.
func TestADaemonsZonesAreMarked(t *testing.T) {
	passes(t, 0, func(p *passer) {
		p.voteAll(checks.Up, one, two)
		p.start()
		if len(p.marks) != 1 {
			t.Errorf("while a daemon leads: marks %v", p.marks)
		}
		p.stop()
		if len(p.marks) != 0 {
			t.Errorf("after a clean end: marks %v", p.marks)
		}
	})
}

// killing is a random history: how long until each pass, whether it is killed
// before its end, and whether another candidate raises the term in between.
type killing struct {
	wait          time.Duration
	killed, other bool
}

// heldFor is how long traffic stays away from an endpoint that is up again.
func (p *passer) heldFor(history []killing) time.Duration {
	p.voteAll(checks.Up, one, two)
	p.must()
	p.voteAll(checks.Down, one)
	p.must()
	p.voteAll(checks.Up, one)
	p.must()
	began := time.Now()
	for i := 0; p.served(app) != "192.0.2.1"; i++ {
		h := history[i%len(history)]
		<-time.After(h.wait)
		if p.gap.fails = h.killed; h.other {
			l, err := p.Campaign(context.Background(), "us")
			if err != nil {
				p.t.Fatal(err)
			}
			_ = l.Resign(context.Background())
		}
		if i == 100 { // of nothing but kills no hold can end
			return time.Hour
		}
		p.must()
	}
	return time.Since(began)
}

// TestPropertyHoldsAreNeverShortened: whatever becomes of passes, traffic
// returns no sooner than the hold after the endpoint was seen up.
func TestPropertyHoldsAreNeverShortened(t *testing.T) {
	histories := rapid.Custom(func(rt *rapid.T) []killing {
		return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) killing {
			return killing{
				wait:   time.Duration(rapid.IntRange(500, 90_000).Draw(rt, "ms")) * time.Millisecond,
				killed: rapid.IntRange(0, 2).Draw(rt, "killed") == 0, other: rapid.IntRange(0, 4).Draw(rt, "other") == 0,
			}
		}), 1, 8).Draw(rt, "history")
	})
	shortened := func(hold time.Duration, history []killing, forgets bool) (away time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			p := newPasser(t, service(app, hold, one, two))
			p.gap.forgets = forgets
			away = p.heldFor(history)
		})
		return away
	}
	caught := false
	rapid.Check(t, func(rt *rapid.T) {
		hold := time.Duration(rapid.IntRange(1, 200).Draw(rt, "hold")) * time.Second
		history := histories.Draw(rt, "history")
		if away := shortened(hold, history, false); away < hold {
			rt.Fatalf("a hold of %s ended after %s", hold, away)
		}
		caught = caught || shortened(hold, history, true) < hold
	})
	if !caught {
		t.Error("crediting a time twice was never noticed")
	}
}

// A hold that is longer than votes live goes on from pass to pass all the same,
// also where its end changes no answer: what a pass is credited is kept.
func TestHoldsOutlastTheVotes(t *testing.T) {
	manual := service(app, 10*time.Minute, one, two)
	manual.Manual = true
	synctest.Test(t, func(t *testing.T) {
		p := newPasser(t, manual)
		p.gap.votes = 3 * time.Minute
		p.voteAll(checks.Up, one, two)
		p.must()
		p.voteAll(checks.Down, one)
		p.must()
		p.voteAll(checks.Up, one)
		for range 9 {
			p.must()
			pass(time.Minute)
		}
		sh := p.shards[steering.ShardOf(app)]
		if left := sh.State.Services[0].Pools[0].Hold; left < 2*time.Minute-time.Second || left > 2*time.Minute {
			t.Errorf("after 8 min of passes %s are left of a hold of 10 min", left)
		}
	})
}
