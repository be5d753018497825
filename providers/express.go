package providers

import (
	"fmt"
	"strings"
)

// Express returns the sets of one name as a provider with these capabilities
// holds them, so that what it holds can be compared with what is wanted:
// weights are scaled down to MaxWeight, none above 0 to 0, and a CNAME to one
// of Aliases has its TTL. What cannot be expressed is an error that says so.
func (c Caps) Express(sets []RRSet) ([]RRSet, error) {
	sets, err := c.alias(sets)
	if err != nil {
		return nil, err
	}
	var largest uint32
	for _, s := range sets {
		switch {
		case s.Type == TypeAlias && !c.Flatten:
			return nil, fmt.Errorf("%s is to be answered with the addresses of %s (ALIAS), which the provider does not look up", s.Name, strings.Join(s.Data, ", "))
		case s.Location != "" && !c.Geo:
			return nil, fmt.Errorf("%s %s is for the clients of a location, which the provider's records cannot tell", s.Name, s.Type)
		case s.SetID != "" && !c.Weights:
			return nil, fmt.Errorf("%s %s has weights, which the provider's records do not", s.Name, s.Type)
		case c.Plain && !plainName(s.Name):
			return nil, fmt.Errorf("%s has characters that the provider's names do not; it takes letters, digits, hyphens and underscores, and a * as the first label", s.Name)
		case s.TTL < c.MinTTL || s.TTL > c.MaxTTL:
			return nil, fmt.Errorf("%s %s has TTL %d; the provider takes %d to %d", s.Name, s.Type, s.TTL, c.MinTTL, c.MaxTTL)
		}
		largest = max(largest, s.Weight)
	}
	if c.MaxWeight == 0 || largest <= c.MaxWeight {
		return sets, nil
	}
	out := make([]RRSet, len(sets))
	for i, s := range sets {
		if s.Weight > 0 {
			s.Weight = max(uint32(uint64(s.Weight)*uint64(c.MaxWeight)/uint64(largest)), 1)
		}
		out[i] = s
	}
	return out, nil
}

// alias gives a CNAME to one of Aliases its TTL. An alias record is an A or
// AAAA record to the API, which refuses a CNAME beside it.
func (c Caps) alias(sets []RRSet) ([]RRSet, error) {
	if len(c.Aliases) == 0 {
		return sets, nil
	}
	out := make([]RRSet, len(sets))
	aliased, plain := "", ""
	for i, s := range sets {
		if s.Type == "CNAME" && len(s.Data) == 1 {
			if ttl, ok := c.Aliases[CanonicalName(s.Data[0])]; ok {
				s.TTL, aliased = ttl, s.Data[0]
			} else {
				plain = s.Data[0]
			}
		}
		out[i] = s
	}
	if aliased != "" && plain != "" {
		return nil, fmt.Errorf("%s leads to %s, an alias, and to %s, which is none: the provider takes all as aliases or none", sets[0].Name, aliased, plain)
	}
	return out, nil
}

// CheckWrite refuses what no provider could write, whatever its zone holds:
// another owner's fence, names outside the zone, sets without data, changes
// that are none.
func CheckWrite(c Caps, owner string, from Snapshot, next Fence, changes []Change) error {
	if next.Owner != owner {
		return fmt.Errorf("fence %s is another owner's; expected %s", next, owner)
	}
	seen := make(map[Key]bool, len(changes))
	for _, change := range changes {
		if change.Before == nil && change.After == nil {
			return fmt.Errorf("a change of nothing to nothing")
		}
		key := change.set().Canonical().Key()
		if seen[key] {
			return fmt.Errorf("%s %s is changed twice", key.Name, key.Type)
		}
		seen[key] = true
		for _, set := range []*RRSet{change.Before, change.After} {
			if set == nil {
				continue
			}
			switch {
			case set.Canonical().Key() != key:
				return fmt.Errorf("a change of %s %s to %s %s; expected one key", change.Before.Name, change.Before.Type, key.Name, key.Type)
			case !InZone(set.Name, from.Zone):
				return fmt.Errorf("%s %s is not in the zone", set.Name, set.Type)
			case Reserved(key.Name):
				return fmt.Errorf("%s is where Veer keeps its own records", set.Name)
			case !Steered(key.Type) && key.Type != TypeAlias:
				return fmt.Errorf("%s %s is of a type that Veer does not write", set.Name, set.Type)
			}
		}
		if change.After == nil {
			continue
		}
		if len(change.After.Data) == 0 {
			return fmt.Errorf("%s %s has no data; a set is never empty", key.Name, key.Type)
		}
		if _, err := c.Express([]RRSet{*change.After}); err != nil {
			return err
		}
	}
	return nil
}
