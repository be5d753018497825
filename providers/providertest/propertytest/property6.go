package propertytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/regions/regionstest"
)

// Events6 are what Property6 must meet.
var Events6 = []string{"a late write", "a repeated write", "a lost reply", "a fenced leader", "a conflict", "an edit by hand", "two leaders at once", "a late write after a newer term"}

// Property6 holds that, however the writes of leaders of growing terms are delayed,
// reordered, repeated or their replies lost, the zone never goes back to an
// older decision's answers, and what is told to be done is.
func Property6(fresh func() World, cov *regionstest.Coverage) regionstest.Find {
	return func(rt *rapid.T) error {
		z := &zone6{World: fresh(), rt: rt, newest: map[string]int{}}
		if err := z.elect(); err != nil {
			return err
		}
		for range rapid.IntRange(20, 70).Draw(rt, "steps") {
			err := z.step()
			if err == nil {
				err = z.look()
			}
			if err != nil {
				return fmt.Errorf("%w\n  after:\n  %s", err, strings.Join(z.log, "\n  "))
			}
		}
		if cov != nil {
			cov.Run(z.met...)
		}
		return nil
	}
}

// zone6 is one case of Property6.
type zone6 struct {
	World
	rt      *rapid.T
	leaders []*leader
	late    []flight // requests that are still under way
	decided int      // the newest decision
	fence   providers.Fence
	newest  map[string]int // by name, as seen at the provider
	edited  bool
	met     []string
	log     []string
}

// leader is one that believes to lead: it claims, reads and writes as the
// controller does.
type leader struct {
	term    uint64
	client  providers.Provider
	decided int
	snap    *providers.Snapshot // read after its claim
	claimed bool
	fenced  bool
	used    uint64
}

// flight is a write under way, and whose.
type flight struct {
	term uint64
	send func(context.Context) (any, error)
}

func (z *zone6) meet(event string) { z.met = append(z.met, event) }
func (z *zone6) note(format string, args ...any) {
	z.log = append(z.log, fmt.Sprintf(format, args...))
}

// answers are those of a decision: two names, of two types now and then.
func (z *zone6) answers(n int) []providers.RRSet {
	var out []providers.RRSet
	for _, label := range []string{"a", "b"} {
		name := label + "." + z.Zone
		out = append(out, providers.RRSet{Name: name, Type: "A", TTL: 60, Data: []string{fmt.Sprintf("10.0.%d.%d", n/200, n%200+1)}})
		if n%2 == 0 {
			out = append(out, providers.RRSet{Name: name, Type: "AAAA", TTL: 60, Data: []string{fmt.Sprintf("fd00::%x", n+1)}})
		}
	}
	return out
}

func (z *zone6) elect() error {
	z.decided++
	l := &leader{term: uint64(len(z.leaders) + 1), decided: z.decided}
	net := &weather{z: z, term: l.term, fair: true}
	l.client = z.Client(Owner, net)
	if p, ok := l.client.(providers.Prover); ok {
		if err := p.Prove(context.Background(), z.Zone); err != nil {
			return err
		}
	}
	net.fair = false
	z.leaders = append(z.leaders, l)
	z.note("term %d leads, decision %d", l.term, l.decided)
	return nil
}

// step lets one thing happen.
func (z *zone6) step() error {
	switch last := z.leaders[len(z.leaders)-1]; rapid.IntRange(0, 15).Draw(z.rt, "act") {
	case 0, 7:
		if len(z.leaders) < 4 {
			return z.elect()
		}
	case 1, 2:
		z.decided++
		last.decided = z.decided
		z.note("term %d decides %d", last.term, last.decided)
	case 3:
		z.edited = true
		z.meet("an edit by hand")
		z.note("somebody edits a")
		return z.Put("", providers.RRSet{Name: "a." + z.Zone, Type: "A", TTL: 60, Data: []string{"203.0.113.1"}})
	case 4, 5, 6:
		z.deliver()
	default:
		l := z.leaders[rapid.IntRange(0, len(z.leaders)-1).Draw(z.rt, "leader")]
		if l != last && !l.fenced {
			z.meet("two leaders at once")
		}
		return z.act(l)
	}
	return nil
}

// deliver lets one of the writes under way arrive.
func (z *zone6) deliver() {
	if len(z.late) == 0 {
		return
	}
	i := rapid.IntRange(0, len(z.late)-1).Draw(z.rt, "which")
	f := z.late[i]
	z.late = slices.Delete(z.late, i, i+1)
	_, err := f.send(context.Background())
	z.meet("a late write")
	if f.term < z.fence.Term {
		z.meet("a late write after a newer term")
	}
	z.note("a write of term %d arrives late: %v", f.term, err)
}

// act makes the leader's next move: claim, read, or write what it decided.
func (z *zone6) act(l *leader) error {
	if l.fenced {
		return nil
	}
	if l.snap == nil {
		snap, err := l.client.Read(context.Background(), z.Zone)
		if err != nil {
			return nil //nolint:nilerr // the weather
		}
		l.snap = &snap
		z.note("term %d reads %s", l.term, snap.Fence)
		return nil
	}
	from := *l.snap
	l.snap = nil
	var changes []providers.Change
	if l.claimed {
		changes = providers.Diff(from.Records, z.answers(l.decided))
		if len(changes) == 0 {
			return nil
		}
	}
	next := providers.Fence{Owner: Owner, Term: l.term, Holder: fmt.Sprintf("h%d", l.term), Write: max(from.Fence.Write, l.used) + 1}
	l.used = next.Write + providers.WritesOf(len(changes)) - 1
	_, err := l.client.Apply(context.Background(), from, next, changes)
	z.note("term %d writes %d changes of decision %d over %s with write %d: %v", l.term, len(changes), l.decided, from.Fence, next.Write, err)
	switch {
	case errors.Is(err, providers.ErrFenced):
		z.meet("a fenced leader")
		l.fenced = true
	case errors.Is(err, providers.ErrUnproven):
		return err
	case errors.Is(err, providers.ErrConflict):
		z.meet("a conflict")
	case err == nil && !l.claimed:
		l.claimed = true
	case err == nil:
		return z.holds(l.decided, changes)
	}
	return nil
}

// holds makes sure that what was told to be done is.
func (z *zone6) holds(decided int, changes []providers.Change) error {
	all, err := z.All()
	if err != nil {
		return err
	}
	if d := providers.Diff(steered(all), providers.ApplyTo(steered(all), changes)); len(d) > 0 {
		return fmt.Errorf("the write of decision %d was told to be done, but the zone lacks %+v", decided, d)
	}
	return nil
}

func steered(all []providers.RRSet) []providers.RRSet {
	return slices.DeleteFunc(slices.Clone(all), func(s providers.RRSet) bool { return !providers.Steered(s.Type) })
}

// look holds the zone against what was seen before.
func (z *zone6) look() error {
	snap, err := z.Client(Owner, straight{}).Read(context.Background(), z.Zone)
	if err != nil {
		return fmt.Errorf("the zone cannot be read: %w", err)
	}
	if now := snap.Fence; now != z.fence {
		if now.Term < z.fence.Term || now.Write <= z.fence.Write && z.fence != (providers.Fence{}) {
			return fmt.Errorf("the fence went from %s to %s", z.fence, now)
		}
		z.fence = now
	}
	all, err := z.All()
	if err != nil {
		return err
	}
	for _, s := range steered(all) {
		var high, low int
		if s.Type != "A" {
			continue
		}
		if n, err := fmt.Sscanf(s.Data[0], "10.0.%d.%d", &high, &low); err != nil || n != 2 {
			continue // edited by hand
		}
		number := high*200 + low - 1
		if number < z.newest[s.Name] {
			return fmt.Errorf("%s went back from decision %d to %d", s.Name, z.newest[s.Name], number)
		}
		z.newest[s.Name] = number
	}
	return nil
}

// weather is the network of one leader.
type weather struct {
	z    *zone6
	term uint64
	fair bool
}

// Carry implements providertest.Carrier.
func (w *weather) Carry(ctx context.Context, r providertest.Request) (any, error) {
	if !r.Write || w.fair {
		return r.Send(ctx)
	}
	later := flight{w.term, r.Send}
	switch rapid.IntRange(0, 11).Draw(w.z.rt, "fate") {
	case 0, 10, 11: // it is under way for long
		w.z.late = append(w.z.late, later)
		return nil, providertest.ErrLost
	case 1:
		return nil, providertest.ErrLost
	case 2:
		w.z.meet("a lost reply")
		_, err := r.Send(ctx)
		return nil, errors.Join(providertest.ErrLost, err)
	case 3: // it arrives now, and again
		w.z.meet("a repeated write")
		w.z.late = append(w.z.late, later)
	case 4:
		w.z.meet("a repeated write")
		_, _ = r.Send(ctx)
	case 5: // another one arrives while it is lost
		w.z.deliver()
		return nil, providertest.ErrLost
	}
	return r.Send(ctx)
}
