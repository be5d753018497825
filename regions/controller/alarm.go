package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// alarm finds panics: that of all endpoints so many fall at once, in more than
// one region, that it is not believed (regions.Panic).
type alarm struct {
	// size is how many endpoints a region has.
	size map[regions.Name]int
	// fell are the seats that fell lately, and when; while a panic lasts, none
	// is too old. Held are those that fell in it.
	fell map[int]time.Duration
	held map[int]bool
	// until is the Now at which the panic is over at the latest; 0: there is
	// none. why says what fell.
	until time.Duration
	why   string
	// resume is what is left of a panic that the leader before was in, until
	// resumeBy.
	resume, resumeBy time.Duration
	// over: that panic ended since, so that what is first seen to be down did
	// not fall now.
	over bool
}

func newAlarm() alarm {
	return alarm{size: map[regions.Name]int{}, fell: map[int]time.Duration{}, held: map[int]bool{}}
}

// place notes in which regions the policy has the endpoints.
func (f *floor) place() {
	for _, sh := range f.shards {
		for _, s := range sh.services {
			for _, p := range s.Pools {
				for _, e := range p.Endpoints {
					s := &f.seats[f.index[e.ID]]
					if !slices.Contains(s.regions, p.Region) {
						s.regions = append(s.regions, p.Region)
						f.size[p.Region]++
					}
				}
			}
		}
	}
}

// goOn takes over the panic that the ledger knows of. Credit is the time that
// went by since it was written.
func (f *floor) goOn(credit time.Duration) {
	for _, sh := range f.shards {
		if left := sh.kept.State.Panic.Left; left > 0 {
			f.resume = max(f.resume, left-credit)
			f.over = f.resume == 0
		}
	}
}

// remember takes over what the ledger last knew of an endpoint, the best of
// several shards: what is not down in one of them has not been left there.
func (f *floor) remember(id regions.EndpointID, known checks.Health) {
	s := &f.seats[f.index[id]]
	if s.verdict.Health == checks.Unknown {
		s.known = max(s.known, known)
	}
}

// note takes down that a seat's verdict is a new one.
func (f *floor) note(at int, now time.Duration) {
	s := &f.seats[at]
	switch {
	case s.verdict.Health == checks.Unknown:
		return
	case s.verdict.Health != checks.Down:
		delete(f.fell, at)
		delete(f.held, at)
	case f.over:
	case s.known == checks.Up || s.known == checks.Degraded:
		f.fell[at] = now
		if f.until != 0 {
			f.held[at] = true
		}
	case s.known == checks.Down && f.resume != 0:
		f.fell[at] = now - 1 // before this leader, and so it is not held
	}
	s.known = s.verdict.Health
}

// observePanic begins or ends a panic.
func (f *floor) observePanic(now time.Duration) {
	rule := f.o.Panic
	f.over = false
	if f.resume != 0 && f.resumeBy == 0 {
		f.resumeBy = now + max(rule.Span, 1)
	}
	if f.resume != 0 && now > f.resumeBy {
		f.resume = 0
	}
	switch {
	case f.until == 0:
		for at, fell := range f.fell {
			if now-fell > rule.Span {
				delete(f.fell, at)
			}
		}
		if rule.Strikes(f.tolls()) {
			f.beginPanic(now)
		}
	case now >= f.until:
		f.endPanic("its time is over")
	case !rule.Strikes(f.tolls()):
		f.endPanic("no more than usual is down")
	}
}

// beginPanic holds what fell in the view that made it: what fell before has
// been left already.
func (f *floor) beginPanic(now time.Duration) {
	left := f.o.Panic.Hold
	if f.resume != 0 {
		left = min(f.resume, left)
	}
	f.until, f.resume = now+left, 0
	var in []string
	for _, t := range f.tolls() {
		if t.Fell > 0 {
			in = append(in, fmt.Sprintf("%d of %d endpoints in %s", t.Fell, t.Of, t.Region))
		}
	}
	f.why = fmt.Sprintf("%s fell within %s", strings.Join(in, ", "), f.o.Panic.Span)
	for at, fell := range f.fell {
		if fell == now {
			f.held[at] = true
		}
	}
	f.o.Log.Warn().Str("why", f.why).Int("held", len(f.held)).Dur("at_most_ms", left).
		Msg("panic: too much fell at once to be believed, answers stay as they are")
	f.tell("panic: " + f.why)
}

func (f *floor) endPanic(why string) {
	f.o.Log.Warn().Str("why", why).Int("held", len(f.held)).Msg("the panic is over, what is down counts as down")
	f.tell("the panic is over: " + why)
	f.until = 0
	clear(f.fell)
	clear(f.held)
}

// tell marks the shards that have a held endpoint.
func (f *floor) tell(text string) {
	for at := range f.held {
		for _, id := range f.seats[at].shards {
			f.shards[id].dirty = true
			f.shards[id].causes.add(text)
		}
	}
}

// tolls are what fell in each region, sorted.
func (f *floor) tolls() []regions.Toll {
	if len(f.fell) < regions.PanicLeast {
		return nil // no panic is made of so few
	}
	by := make(map[regions.Name]int, len(f.size))
	for at := range f.fell {
		for _, r := range f.seats[at].regions {
			by[r]++
		}
	}
	out := make([]regions.Toll, 0, len(f.size))
	for r, of := range f.size {
		out = append(out, regions.Toll{Region: r, Fell: by[r], Of: of})
	}
	slices.SortFunc(out, func(a, b regions.Toll) int { return strings.Compare(string(a.Region), string(b.Region)) })
	return out
}

// panicOf is the panic as far as a shard has endpoints that fell in it.
func (f *floor) panicOf(shard int, now time.Duration) steering.Panic {
	if f.until == 0 {
		return steering.Panic{}
	}
	var p steering.Panic
	for _, at := range f.byShard[shard] {
		if f.held[at] {
			p.Held = append(p.Held, f.seats[at].id)
		}
	}
	if len(p.Held) > 0 {
		p.Left, p.Why = max(f.until-now, 1), f.why
	}
	return p
}
