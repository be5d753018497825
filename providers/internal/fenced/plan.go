package fenced

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/veerdns/veer/providers"
)

// group is what changes at one name: it is never parted.
type group struct {
	name  string
	steps []Step
}

// groups turns changes into steps, by name, and adds the marks of ownership.
// What the zone as it was read contradicts is an ErrConflict.
func (p *Provider) groups(h *held, changes []providers.Change) ([]group, error) {
	byName := map[string][]Step{}
	left := map[string]int{} // by name: how many sets there will be
	for _, c := range changes {
		key, before, err := p.admit(h, c)
		if err != nil {
			return nil, err
		}
		step := Step{Before: before}
		if _, seen := left[key.Name]; !seen {
			left[key.Name] = h.count[key.Name]
		}
		if c.After != nil {
			step.After = &Record{RRSet: c.After.Canonical()}
			left[key.Name]++
		}
		if before != nil {
			left[key.Name]--
		}
		byName[key.Name] = append(byName[key.Name], step)
	}
	for name, n := range left {
		mark, marked := h.marks[name]
		switch {
		case n > 0 && !marked:
			byName[name] = append(byName[name], p.take(h, name))
		case n == 0 && marked:
			byName[name] = append(byName[name], Step{Before: &mark})
		}
	}
	for name, claim := range h.claims { // of a write that did not come to its end
		if step, _ := p.unclaim(claim); byName[name] == nil {
			byName[name] = []Step{step}
		}
	}
	out := make([]group, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		sortSteps(byName[name])
		out = append(out, group{name, byName[name]})
	}
	return out, nil
}

// admit finds what the change is about, and refuses what is not ours, or not
// as the change has it.
func (p *Provider) admit(h *held, c providers.Change) (providers.Key, *Record, error) {
	set := c.After
	if set == nil {
		set = c.Before
	}
	key := set.Canonical().Key()
	bad := func(format string, args ...any) (providers.Key, *Record, error) {
		return key, nil, fmt.Errorf("%w: %s %s %s", providers.ErrConflict, key.Name, key.Type, fmt.Sprintf(format, args...))
	}
	now, have := h.sets[key]
	switch who := h.owner[key.Name]; {
	case who != "" && who != p.owner:
		return bad("belongs to %s", who)
	case who == "" && (c.Before != nil || h.count[key.Name] > 0):
		return bad("is not owned by %s: `veer import` takes the name, or remove its records", p.owner)
	case c.Before == nil && have:
		return bad("exists already")
	case c.Before == nil:
		return key, nil, nil
	case !have:
		return bad("does not exist any more")
	case !now.Equal(*c.Before):
		return bad("is not as the change has it")
	}
	return key, &now, nil
}

// keep makes the steps that take and release names.
func (p *Provider) keep(h *held, take, release []string) ([]group, error) {
	var out []group
	for _, name := range take {
		name = providers.CanonicalName(name)
		switch who := h.owner[name]; who {
		case p.owner:
		case "":
			out = append(out, group{name, []Step{p.take(h, name)}})
		default:
			return nil, fmt.Errorf("%w: %s belongs to %s", providers.ErrConflict, name, who)
		}
	}
	for _, name := range release {
		name = providers.CanonicalName(name)
		if h.owner[name] != p.owner {
			return nil, fmt.Errorf("%w: %s is not owned by %s", providers.ErrConflict, name, p.owner)
		}
		mark := h.marks[name]
		out = append(out, group{name, []Step{{Before: &mark}}})
	}
	return out, nil
}

// take makes the step that makes an unowned name this owner's.
func (p *Provider) take(h *held, name string) Step {
	step := Step{After: p.mark(providers.OwnerName(name), providers.OwnerText(p.owner))}
	if claim, ok := h.claims[name]; ok {
		step.Before = &claim
	}
	return step
}

// sortSteps puts deletions first and creations last, so that an API that takes
// the steps in order never sees two sets that exclude each other.
func sortSteps(steps []Step) {
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.kind(), b.kind()) })
}

func (s Step) kind() int {
	switch {
	case s.After == nil:
		return 0
	case s.Before != nil:
		return 1
	}
	return 2
}

// pack fills requests in order, each as far as the limit allows. At least one
// is made, for the fence alone. Where every name costs the same c, the number
// of requests is ceil(names / floor((limit - fence) / c)): no fewer can do.
func (p *Provider) pack(zone string, groups []group) ([][]Step, error) {
	longest := providers.Fence{Owner: p.owner, Term: math.MaxUint64, Holder: nonce(), Write: math.MaxUint64}
	mark := p.mark(providers.FenceName(p.owner, zone), longest.String())
	fence := p.api.Size(Step{Before: mark, After: mark})
	limit := p.api.Limit()
	requests, size := [][]Step{nil}, fence
	for _, g := range groups {
		var own Size
		for _, s := range g.steps {
			own = own.add(p.api.Size(s))
		}
		if !fence.add(own).within(limit) {
			return nil, fmt.Errorf("%s needs %d records and %d characters in one request; the provider's limit leaves %d and %d: give it fewer endpoints",
				g.name, own.Records, own.Characters, limit.Records-fence.Records, limit.Characters-fence.Characters)
		}
		if !size.add(own).within(limit) {
			requests, size = append(requests, nil), fence
		}
		last := &requests[len(requests)-1]
		*last, size = append(*last, g.steps...), size.add(own)
	}
	for _, steps := range requests {
		sortSteps(steps)
	}
	return requests, nil
}

// Estimate implements providers.Estimator.
func (p *Provider) Estimate(from providers.Snapshot, changes []providers.Change) (providers.Estimate, error) {
	h, ok := from.Token.(*held)
	if !ok {
		return providers.Estimate{}, fmt.Errorf("zone %s: the snapshot is not this provider's", from.Zone)
	}
	if len(changes) == 0 {
		return providers.Estimate{}, nil
	}
	groups, err := p.groups(h, changes)
	if err != nil {
		return providers.Estimate{}, fmt.Errorf("zone %s: %w", from.Zone, err)
	}
	claims, groups := p.claims(groups)
	calls := 0
	for _, stage := range [][]group{claims, groups} {
		if len(stage) == 0 {
			continue
		}
		requests, err := p.pack(from.Zone, stage)
		if err != nil {
			return providers.Estimate{}, fmt.Errorf("zone %s: %w", from.Zone, err)
		}
		calls += len(requests)
	}
	return providers.Estimate{Calls: calls, Quota: p.api.Quota(calls)}, nil
}
