package authority

import (
	"slices"

	"github.com/veerdns/veer/regions/steering"
)

// effective is which service answers for each name, and what that makes of
// the zones' names. It remembers which names may have changed, so that a new
// table costs what has changed, not what there is.
type effective struct {
	services map[string]service
	owned    map[key]bool // the services' names
	dirty    map[string]bool
	// below counts the services below each name that their zone's file does
	// not have: as long as there are any, it is an empty non-terminal.
	below map[key]int
}

func newEffective() effective {
	return effective{services: make(map[string]service), owned: make(map[key]bool), dirty: make(map[string]bool), below: make(map[key]int)}
}

// touch notes that the names' services may be others from now on.
func (e *effective) touch(services map[string]service) {
	for name := range services {
		e.dirty[name] = true
	}
}

// edits is what changes in a zone's names; a nil node is gone.
type edits map[key]*node

// settle brings the services up to date: of gives that of a name, if it has
// one. It returns what changes in the zones, by apex.
func (e *effective) settle(bases map[key]*zone, of func(name string) (service, bool)) map[key]edits {
	out := make(map[key]edits)
	for name := range e.dirty {
		was, had := e.services[name]
		is, has := of(name)
		if had && has && slices.Equal(was.sets, is.sets) {
			continue // the very same
		}
		// One name is always in the same zone, under the same key.
		at := is
		if !has {
			at = was
		}
		if !had && !has {
			continue
		}
		zone := bases[at.apex]
		changes := out[at.apex]
		if changes == nil {
			changes = make(edits)
			out[at.apex] = changes
		}
		if has {
			e.services[name], e.owned[at.key] = is, true
		} else {
			delete(e.services, name)
			delete(e.owned, at.key)
		}
		if had != has {
			e.count(zone, at.key, has, changes)
		}
		n := e.node(zone, at.key, is.sets)
		if n != nil && is.lines != nil {
			n.line = is.lines.none
		}
		changes[at.key] = n
	}
	clear(e.dirty)
	return out
}

// count notes that a service is there or gone, in the names above it.
func (e *effective) count(z *zone, k key, has bool, changes edits) {
	for k != z.apex {
		k, _ = k.parent()
		if z.base[k] != nil {
			return // the file has it, and so all above
		}
		if has {
			e.below[k]++
		} else if e.below[k]--; e.below[k] == 0 {
			delete(e.below, k)
		}
		if !e.owned[k] {
			changes[k] = e.node(z, k, nil)
		}
	}
}

// node is what a name has, beyond what its zone's file says; nil for nothing.
func (e *effective) node(z *zone, k key, sets []*set) *node {
	switch {
	case sets != nil:
		return &node{sets: overlay(z.base[k], sets), id: k.id()}
	case e.below[k] > 0:
		return &node{id: k.id()}
	}
	return nil
}

// sameAnswers reports whether two sorted lists of a name's answers say the
// same for the same time: what has time left runs anew with each commit.
func sameAnswers(a, b []steering.Answer) bool {
	return slices.EqualFunc(a, b, func(a, b steering.Answer) bool {
		return a.Left == 0 && b.Left == 0 && a.MinTTL == b.MinTTL && sameSet(a, b)
	})
}

func sameSet(a, b steering.Answer) bool {
	return a.Name == b.Name && a.Type == b.Type && a.SetID == b.SetID && a.Location == b.Location && a.Weight == b.Weight &&
		a.TTL == b.TTL && a.AutoTTL == b.AutoTTL && slices.Equal(a.Data, b.Data)
}
