package scheduletest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/veerdns/veer/providers"
)

// decision names what a set of records was decided as.
type decision struct {
	lineage string // of the ledger
	number  uint64
}

// answer makes the records of a decision: each says which one it is of. Some
// have two types, so that types come and go.
func answer(name string, d decision) []providers.RRSet {
	sets := []providers.RRSet{{
		Name: name, Type: "A", TTL: 60,
		Data: []string{fmt.Sprintf("10.%d.%d.%d", lineages[d.lineage], d.number>>8&255, d.number&255)},
	}}
	if d.number%3 == 0 {
		sets = append(sets, providers.RRSet{Name: name, Type: "AAAA", TTL: 60, Data: []string{fmt.Sprintf("fd00:%x::%x", lineages[d.lineage], d.number)}})
	}
	return sets
}

// lineages are the ledgers that there can be: two controllers of one term have
// one each.
var lineages = map[string]int{"one": 1, "two": 2}

// read tells of which decision a name's records are: whole, or not at all.
func read(name string, sets []providers.RRSet) (decision, bool) {
	for _, s := range sets {
		if s.Type != "A" || len(s.Data) != 1 {
			continue
		}
		address, err := netip.ParseAddr(s.Data[0])
		if err != nil || !address.Is4() || address.As4()[0] != 10 {
			return decision{}, false
		}
		b := address.As4()
		for word, number := range lineages {
			d := decision{word, uint64(b[2])<<8 | uint64(b[3])}
			if number == int(b[1]) && same(answer(name, d), sets) {
				return d, true
			}
		}
	}
	return decision{}, false
}

func same(a, b []providers.RRSet) bool {
	return slices.EqualFunc(providers.ApplyTo(a, nil), providers.ApplyTo(b, nil), providers.RRSet.Equal)
}

// seen is what was seen at the provider so far.
type seen struct {
	fence    providers.Fence
	holders  map[uint64]string   // by term
	newest   map[string]decision // by name
	touched  map[string]bool     // names that people edited since Veer wrote them
	foreign  map[providers.Key]providers.RRSet
	services []string
}

// look holds the zone against the invariants. The gate is the caller's.
func (r *race) look() {
	zone, err := r.world.Look()
	if err != nil {
		r.violate(ofFence, "the zone cannot be looked at: %v", err)
		return
	}
	r.lookAtFence(zone.Fences)
	byName := map[string][]providers.RRSet{}
	foreign := map[providers.Key]providers.RRSet{}
	for _, s := range zone.Sets {
		s = s.Canonical()
		if providers.Steered(s.Type) && slices.Contains(r.seen.services, s.Name) {
			byName[s.Name] = append(byName[s.Name], s)
		} else {
			foreign[s.Key()] = s
		}
	}
	for _, name := range r.seen.services {
		r.lookAtName(name, byName[name])
	}
	if !maps.EqualFunc(foreign, r.seen.foreign, providers.RRSet.Equal) {
		r.violate(ofOthers, "what is not Veer's was changed: %v, people left %v", slices.Collect(maps.Values(foreign)), slices.Collect(maps.Values(r.seen.foreign)))
	}
}

func (r *race) lookAtFence(fences []providers.Fence) {
	was := r.seen.fence
	switch {
	case len(fences) > 1:
		r.violate(ofFence, "the zone has %d fences: %v", len(fences), fences)
		return
	case len(fences) == 0:
		if was != (providers.Fence{}) {
			r.violate(ofFence, "the fence %s is gone", was)
		}
		return
	case fences[0] == was:
		return
	}
	now := fences[0]
	r.seen.fence = now
	r.note("the fence is %s", now)
	if now.Term < was.Term || now.Write <= was.Write && was != (providers.Fence{}) {
		r.violate(ofFence, "the fence went from %s to %s", was, now)
	}
	if h := r.seen.holders[now.Term]; h != "" && h != now.Holder {
		r.violate(ofFence, "the fence %s is of another holder of a term that %s had", now, h)
	}
	r.seen.holders[now.Term] = now.Holder
}

func (r *race) lookAtName(name string, sets []providers.RRSet) {
	was, ever := r.seen.newest[name]
	d, ok := read(name, sets)
	switch {
	case !ok && r.seen.touched[name]:
		return
	case !ok && !ever && len(sets) == 0:
		return
	case !ok:
		r.violate(ofAnswers, "%s has %v, which nobody decided; before it had decision %d", name, sets, was.number)
		return
	}
	delete(r.seen.touched, name)
	if ever && d.lineage != was.lineage {
		r.violate(ofAnswers, "%s went from a decision of ledger %s to one of ledger %s, of the same term", name, was.lineage, d.lineage)
	}
	if ever && d.number < was.number {
		r.violate(ofAnswers, "%s went back from decision %d to %d", name, was.number, d.number)
	}
	if !ever || d.number > was.number {
		r.seen.newest[name] = d
		r.note("%s has decision %d", name, d.number)
	}
}

// converged compares the zone with what the survivor's ledger says.
func (r *race) converged(survivor *contender) {
	r.gate.enter()
	defer r.gate.leave()
	r.look()
	if r.seen.fence.Holder != survivor.holder {
		r.violate(ofEnd, "in the end the fence is %s, not of the newest leader, %s", r.seen.fence, survivor.holder)
	}
	zone, err := r.world.Look()
	if err != nil {
		r.violate(ofEnd, "the zone cannot be looked at: %v", err)
		return
	}
	for name, want := range survivor.ledger.answers() {
		var got []providers.RRSet
		for _, s := range zone.Sets {
			if s = s.Canonical(); s.Name == name && providers.Steered(s.Type) {
				got = append(got, s)
			}
		}
		if !same(got, want) {
			r.violate(ofEnd, "in the end %s has %s, the newest leader decided %s", name, words(got), words(want))
		}
	}
}

func words(sets []providers.RRSet) string {
	var all []string
	for _, s := range sets {
		all = append(all, s.Data...)
	}
	return strings.Join(all, " ")
}
