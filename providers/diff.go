package providers

import (
	"net/netip"
	"slices"
	"strings"
)

// Canonical returns the set with its name in canonical form, its type in upper
// case, addresses as RFC 5952 writes them, host names canonical, and its data
// sorted, each once.
func (s RRSet) Canonical() RRSet {
	s.Name, s.Type = CanonicalName(s.Name), strings.ToUpper(s.Type)
	data := make([]string, len(s.Data))
	for i, d := range s.Data {
		data[i] = canonicalData(s.Type, d)
	}
	slices.Sort(data)
	s.Data = slices.Compact(data)
	if s.SetID == "" {
		s.Weight = 0
	}
	return s
}

func canonicalData(typ, d string) string {
	switch typ {
	case "A", "AAAA":
		if a, err := netip.ParseAddr(d); err == nil {
			return a.String()
		}
	case "CNAME", "NS", TypeAlias:
		return CanonicalName(d)
	}
	return d
}

// Equal reports whether two sets say the same, whatever the order of their
// data or the spelling of names and addresses.
func (s RRSet) Equal(o RRSet) bool {
	a, b := s.Canonical(), o.Canonical()
	return a.Key() == b.Key() && (a.TTL == b.TTL || a.AutoTTL || b.AutoTTL) && a.Weight == b.Weight && slices.Equal(a.Data, b.Data)
}

// Compare orders sets by name, type, location and set identifier.
func Compare(a, b RRSet) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	if c := strings.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	if c := strings.Compare(a.Location, b.Location); c != 0 {
		return c
	}
	return strings.Compare(a.SetID, b.SetID)
}

// Diff returns the changes that turn before into after, sorted by Key. Sets
// that say the same make no change. Where one list names a Key twice, the last
// one holds.
func Diff(before, after []RRSet) []Change {
	was, is := byKey(before), byKey(after)
	var changes []Change
	for key, b := range was {
		a, ok := is[key]
		switch {
		case !ok:
			changes = append(changes, Change{Before: &b})
		case !a.Equal(b):
			changes = append(changes, Change{Before: &b, After: &a})
		}
	}
	for key, a := range is {
		if _, ok := was[key]; !ok {
			changes = append(changes, Change{After: &a})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return Compare(a.set(), b.set()) })
	return changes
}

// ApplyTo returns records with the changes made: what a provider holds after
// them. Records that no change names stay as they are.
func ApplyTo(records []RRSet, changes []Change) []RRSet {
	held := byKey(records)
	for _, c := range changes {
		if c.After == nil {
			delete(held, c.Before.Canonical().Key())
			continue
		}
		set := c.After.Canonical()
		held[set.Key()] = set
	}
	out := make([]RRSet, 0, len(held))
	for _, s := range held {
		out = append(out, s)
	}
	slices.SortFunc(out, Compare)
	return out
}

// set returns whichever side of the change is there.
func (c Change) set() RRSet {
	if c.After != nil {
		return *c.After
	}
	return *c.Before
}

func byKey(sets []RRSet) map[Key]RRSet {
	m := make(map[Key]RRSet, len(sets))
	for _, s := range sets {
		c := s.Canonical()
		m[c.Key()] = c
	}
	return m
}
