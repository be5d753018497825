package steering

import (
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
)

// shiftsWithin is the time over which Service.Shifts counts.
const shiftsWithin = time.Hour

// Panic is a fact that the controller makes over all endpoints: so many of them
// fell at once, in more than one region, that the monitors or the way to them
// are likelier to be broken than the endpoints. Until it is over, that the
// endpoints named fell counts as unknown, and so moves nothing.
type Panic struct {
	// Held are the endpoints that fell in it.
	Held []regions.EndpointID `json:"held,omitempty"`
	// Left is the time until it is over at the latest.
	Left time.Duration `json:"left,omitempty"`
	// Why says in words what fell.
	Why string `json:"why,omitempty"`
}

func (p Panic) sorted() Panic {
	p.Held = slices.Sorted(slices.Values(p.Held))
	return p
}

// Velocity bounds how many services' traffic may return at once. A departure,
// the way out of all-down and what an operator ordered are never bounded.
type Velocity struct {
	// Scarce: no more than Returns services of this decision may return, the
	// first by name; Retry is the time until more may. Without, all may.
	Scarce  bool          `json:"scarce,omitempty"`
	Returns int           `json:"returns,omitempty"`
	Retry   time.Duration `json:"retry,omitempty"`
}

// Unconfirmed names services whose answer would be another by the config alone,
// in a config that alters so many answers that an operator has to confirm it.
// Each keeps its answer until one of the addresses in it is down, or an operator
// moves it: then it is decided by the config like any other.
type Unconfirmed struct {
	// Config is the hash of the config, Services the names that are held.
	Config   string   `json:"config,omitempty"`
	Services []string `json:"services,omitempty"`
}

// Pending is what is remembered of a service that is held so.
type Pending struct {
	// Config is the hash of the config that waits.
	Config string `json:"config"`
	// Answered are the endpoints whose addresses are answered, of which the
	// config may know nothing any more; sorted by ID.
	Answered []AnsweredState `json:"answered,omitempty"`
}

// AnsweredState is such an endpoint, where it was, and what was last known of
// it.
type AnsweredState struct {
	ID      regions.EndpointID `json:"id"`
	Address string             `json:"address"`
	Region  regions.Name       `json:"region"`
	Known   checks.Health      `json:"known"`
}

// limits are the facts over all services, indexed.
type limits struct {
	panic       Panic
	panicked    map[regions.EndpointID]bool
	velocity    Velocity
	returns     *int // left for the services still to be decided
	unconfirmed map[string]bool
	config      string
}

func newLimits(in Input) limits {
	l := limits{
		panic: in.Panic, panicked: make(map[regions.EndpointID]bool, len(in.Panic.Held)),
		velocity: in.Velocity, unconfirmed: make(map[string]bool, len(in.Unconfirmed.Services)), config: in.Unconfirmed.Config,
	}
	for _, id := range in.Panic.Held {
		l.panicked[id] = true
	}
	for _, name := range in.Unconfirmed.Services {
		l.unconfirmed[name] = true
	}
	returns := max(in.Velocity.Returns, 0)
	l.returns = &returns
	return l
}

// doubt makes the falls of a panic unknown. Which endpoints really did fall is
// kept in panicked.
func (l limits) doubt(verdicts map[regions.EndpointID]regions.Verdict) {
	for id := range l.panicked {
		v, ok := verdicts[id]
		if l.panicked[id] = ok && v.Health == checks.Down; l.panicked[id] {
			v.Health = checks.Unknown
			verdicts[id] = v
		}
	}
}

// byName returns the services in the order in which they may use up what is
// scarce.
func (in Input) byName() []Service {
	return slices.SortedStableFunc(slices.Values(in.Policy.Services), func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
}

// limited is what bounds one service.
type limited struct {
	shifts   []time.Duration // as in ServiceState, with the time since
	returned bool            // traffic returned, as Velocity counts it
	starved  bool            // it would have, if more might
	held     bool            // the answer is held until the config is confirmed
	pending  Pending
}

func (s *steer) limit() limited {
	l := limited{pending: s.prev.Pending}
	elapsed := s.elapsed
	if !slices.ContainsFunc(s.prev.Pools, func(p PoolState) bool { return p.Seen != checks.Unknown }) {
		elapsed = 0 // no timer runs while all is unknown
	}
	for _, age := range s.prev.Shifts {
		if age += elapsed; age < shiftsWithin {
			l.shifts = append(l.shifts, age)
		}
	}
	if s.unconfirmed[s.svc.Name] && !s.first && !s.prev.AllDown {
		l.pending = s.answered()
		// Where nothing is known of what is answered, it might be held for good.
		l.held = len(l.pending.Answered) > 0 && !slices.ContainsFunc(l.pending.Answered, s.lets)
	}
	return l
}

// answered returns the endpoints whose addresses are answered, as they stand.
func (s *steer) answered() Pending {
	out := Pending{Config: s.config, Answered: slices.Clone(s.prev.Pending.Answered)}
	if s.prev.Pending.Config == "" {
		out.Answered = nil
		for _, p := range s.prev.Pools {
			for _, e := range p.Endpoints {
				if answers(s.prev.Answer, e.Address) {
					out.Answered = append(out.Answered, AnsweredState{ID: e.ID, Address: e.Address, Region: p.Region, Known: e.Known})
				}
			}
		}
		slices.SortFunc(out.Answered, func(a, b AnsweredState) int { return strings.Compare(string(a.ID), string(b.ID)) })
	}
	for i := range out.Answered {
		e := &out.Answered[i]
		if v := s.verdicts[e.ID]; v.Health != checks.Unknown {
			e.Known = v.Health
		}
	}
	return out
}

// lets reports whether an answered endpoint lets its service be decided although
// the config is not confirmed: it is down, or an operator moves it.
func (s *steer) lets(e AnsweredState) bool {
	if e.Known == checks.Down {
		return true
	}
	return slices.ContainsFunc(s.acts, func(o Override) bool {
		if o.Act != Force && o.Act != Drain || o.Target.Service != "" && o.Target.Service != s.svc.Name {
			return false
		}
		at := Pool{Region: e.Region, Endpoints: []Endpoint{{ID: e.ID, Address: e.Address}}}
		return o.Act == Force && o.Target.matches(s.svc) || o.Target.pool(at)
	})
}

func answers(sets []providers.RRSet, address string) bool {
	address = canonicalAddress(address)
	return slices.ContainsFunc(sets, func(set providers.RRSet) bool { return slices.Contains(set.Data, address) })
}

// spent reports whether the service has had all its shifts of the hour.
func (s *steer) spent() bool { return s.svc.Shifts > 0 && len(s.shifts) >= s.svc.Shifts }

// spentFor is the time until it has not.
func (s *steer) spentFor() time.Duration { return shiftsWithin - s.shifts[s.svc.Shifts-1] }

// spend reports whether traffic may return by the bounds of velocity, and takes
// the service's share of them. The way out of all-down has none.
func (s *steer) spend() bool {
	switch {
	case s.prev.AllDown:
		return true
	case s.spent():
		return false
	case s.returned || !s.velocity.Scarce:
	case *s.returns > 0:
		*s.returns--
	default:
		s.starved = true
		return false
	}
	s.returned = true
	return true
}

// count remembers what bounds the next decisions, and says what bounded this
// one. A shift of a service whose share is spent pushes the oldest one out.
func (s *steer) count() {
	if !s.first && !slices.Equal(s.prev.Serving, s.next.Serving) {
		s.shifts = slices.Insert(s.shifts, 0, 0)
	}
	s.next.Shifts = s.shifts[:min(len(s.shifts), max(s.svc.Shifts, 1))]
	s.next.Waits, s.next.Spent = s.starved, s.spent()
	if s.held {
		s.next.Pending = s.pending
	}
}

// timeLimits wakes when a bound ends, and says which of them hold the answer.
func (s *steer) timeLimits() {
	if s.starved {
		s.soonest(s.velocity.Retry, true)
	}
	if s.held {
		s.say(RuleUnconfirmed, "", "the config %s would alter this answer, and so many others that they are held until an operator confirms it: veer apply --accept-config %s", s.config, s.config)
	}
	if s.panics() {
		s.soonest(s.panic.Left, true)
		s.say(RulePanic, "", "panic: %s; until it is over, in %s at the latest, that counts as unknown; veer drain or veer force moves the traffic all the same", s.panic.Why, round(s.panic.Left))
	}
}

// panics reports whether an endpoint of the service is held by a panic.
func (s *steer) panics() bool {
	return slices.ContainsFunc(s.pools, func(p *pool) bool {
		return slices.ContainsFunc(p.endpoints, func(e endpoint) bool { return s.panicked[e.ID] })
	})
}
