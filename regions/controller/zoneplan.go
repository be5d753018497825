package controller

import (
	"fmt"
	"maps"
	"slices"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// The guard: a plan that would change more than guardPercent of the owned sets
// in a way that no steering explains, where at least guardLeast are owned, is
// more likely a mistake than a wish.
const (
	guardPercent = 30
	guardLeast   = 10
)

// ZonePlan is what one zone should be turned into.
type ZonePlan struct {
	Provider string `json:"provider"`
	Zone     string `json:"zone"`
	// Changes are to make, sorted by name, type and set identifier.
	Changes []providers.Change `json:"changes"`
	// Refused are names that are left alone although there are answers for
	// them, sorted. They hold up no others.
	Refused []Refusal `json:"refused"`
	// Held are owned names that no service of the policy has here, sorted: they
	// are left as they are.
	Held []string `json:"held"`
	// Prune is what `veer apply --prune` deletes: the sets of the held names.
	Prune []providers.Change `json:"prune"`
	// Guard, when it is not empty, says why the plan is refused unless it is
	// confirmed. Only Safe is made without.
	Guard string `json:"guard,omitempty"`

	owned, unexpected int             // sets
	guarded           map[string]bool // names
}

// Refusal is a name that cannot be written, and why.
type Refusal struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// PlanZone compares what the zone holds with the answers of the ledger. It
// changes a name only where the policy has a service of it that goes to this
// zone and the ledger has its answer: unknown is not empty.
func PlanZone(w Written, have providers.Snapshot, answers []steering.Answer, policy steering.Policy) ZonePlan {
	p := planning{
		w: w, have: have, services: map[string]steering.Service{},
		plan: ZonePlan{
			Provider: w.Name, Zone: providers.CanonicalName(w.Zone), owned: len(have.Records), guarded: map[string]bool{},
			Changes: []providers.Change{}, Refused: []Refusal{}, Held: []string{}, Prune: []providers.Change{},
		},
		records: byName(have.Records), foreign: byName(have.Foreign), owned: map[string]bool{},
	}
	for _, s := range policy.Services {
		if w.takes(s.Name) {
			p.services[providers.CanonicalName(s.Name)] = s
		}
	}
	for _, name := range have.Owned {
		p.owned[providers.CanonicalName(name)] = true
	}
	want := map[string][]providers.RRSet{}
	for _, a := range answers {
		name := providers.CanonicalName(a.Name)
		if _, listed := p.services[name]; listed {
			want[name] = append(want[name], a.RRSet)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		p.name(name, want[name])
	}
	p.hold()
	p.guard()
	return p.plan
}

// takes reports whether the service's answers go to this zone.
func (w Written) takes(service string) bool {
	return providers.InZone(service, w.Zone) && (w.Takes == nil || w.Takes(service))
}

// planning is a plan in the making.
type planning struct {
	w                Written
	have             providers.Snapshot
	plan             ZonePlan
	services         map[string]steering.Service
	records, foreign map[string][]providers.RRSet
	owned            map[string]bool
}

// name plans one service.
func (p *planning) name(name string, want []providers.RRSet) {
	refuse := func(why string) { p.plan.Refused = append(p.plan.Refused, Refusal{name, why}) }
	if who := p.have.Owners[name]; who != "" {
		refuse(fmt.Sprintf("it belongs to %s: run veer release there, or take the service out of this config", who))
		return
	}
	if n := len(p.foreign[name]); n > 0 && !p.owned[name] {
		refuse(fmt.Sprintf("%s there already, which Veer does not own: veer import %s takes them over, or remove them", records(n), name))
		return
	}
	sets, err := p.w.Provider.Caps().Express(want)
	if err != nil {
		refuse(err.Error())
		return
	}
	changes := providers.Diff(p.records[name], sets)
	if len(changes) == 0 {
		return
	}
	if e, ok := p.w.Provider.(providers.Estimator); ok {
		if _, err := e.Estimate(p.have, changes); err != nil {
			refuse(err.Error())
			return
		}
	}
	p.plan.Changes = append(p.plan.Changes, changes...)
}

func records(n int) string {
	if n == 1 {
		return "a record stands"
	}
	return fmt.Sprintf("%d record sets stand", n)
}

// hold lists what no service has here.
func (p *planning) hold() {
	for _, name := range slices.Sorted(maps.Keys(p.owned)) {
		if _, listed := p.services[name]; listed {
			continue
		}
		p.plan.Held = append(p.plan.Held, name)
		p.plan.Prune = append(p.plan.Prune, providers.Diff(p.records[name], nil)...)
	}
}

// Safe are the changes that the guard does not hold back: all of them, or,
// where it does, those of names that steering moves or that are new.
func (p ZonePlan) Safe() []providers.Change {
	if p.Guard == "" {
		return p.Changes
	}
	out := make([]providers.Change, 0, len(p.Changes))
	for _, c := range p.Changes {
		if !p.guarded[setOf(c).Name] {
			out = append(out, c)
		}
	}
	return out
}

// Pruned are the changes with those of Prune, sorted, and what the guard says
// of all of them together.
func (p ZonePlan) Pruned() (changes []providers.Change, held string) {
	all := slices.Concat(p.Changes, p.Prune)
	slices.SortFunc(all, func(a, b providers.Change) int { return providers.Compare(setOf(a), setOf(b)) })
	return all, guardText(len(p.Prune)+p.unexpected, p.owned)
}

// guard finds what is changed for another reason than steering.
func (p *planning) guard() {
	for _, c := range p.plan.Changes {
		if c.Before == nil {
			continue
		}
		if name := setOf(c).Name; !steers(c, p.services[name]) {
			p.plan.guarded[name] = true
			p.plan.unexpected++
		}
	}
	p.plan.Guard = guardText(p.plan.unexpected, p.plan.owned)
}

func guardText(unexpected, owned int) string {
	if owned < guardLeast || unexpected*100 <= owned*guardPercent {
		return ""
	}
	return fmt.Sprintf("%d of %d owned record sets would change for another reason than steering, more than %d %%: look at veer plan; veer apply --allow-many confirms it",
		unexpected, owned, guardPercent)
}

// left are the held names that none of the changes pruned.
func (p ZonePlan) left(made []providers.Change) []string {
	pruned := map[string]bool{}
	for _, c := range made {
		pruned[setOf(c).Name] = true
	}
	return slices.DeleteFunc(slices.Clone(p.Held), func(name string) bool { return pruned[name] })
}

// steers reports whether the change moves traffic between addresses that the
// service knows, whatever becomes of TTL and shape.
func steers(c providers.Change, s steering.Service) bool {
	known := map[string]bool{}
	add := func(address string) {
		known[providers.RRSet{Type: steering.TypeOf(address), Data: []string{address}}.Canonical().Data[0]] = true
	}
	for _, p := range s.Pools {
		for _, e := range p.Endpoints {
			add(e.Address)
		}
	}
	for _, a := range s.Fallback {
		add(a)
	}
	for _, set := range []*providers.RRSet{c.Before, c.After} {
		if set == nil {
			continue
		}
		for _, d := range set.Canonical().Data {
			if !known[d] {
				return false
			}
		}
	}
	return true
}

// setOf is whichever side of the change is there.
func setOf(c providers.Change) providers.RRSet {
	if c.After != nil {
		return *c.After
	}
	return *c.Before
}

func byName(sets []providers.RRSet) map[string][]providers.RRSet {
	out := map[string][]providers.RRSet{}
	for _, s := range sets {
		name := providers.CanonicalName(s.Name)
		out[name] = append(out[name], s)
	}
	return out
}
