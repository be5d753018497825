package regions

import "time"

// The smallest numbers of endpoints of which a panic is made. Where there are
// fewer, two that fail one after the other would be most of a region: an
// ordinary event, on which traffic has to move.
const (
	// PanicLeast is how many must fall in all.
	PanicLeast = 10
	// PanicLeastRegion is how many must fall in a region for it to count.
	PanicLeastRegion = 3
)

// Panic is the rule by which so much falls at once that the monitors, or the
// way to the endpoints, are likelier to be broken than the endpoints.
//
// The loss of one region, however large, is none: whatever falls elsewhere at
// the same time has to be most of another region, too.
type Panic struct {
	// Percent is the share of the endpoints that must be exceeded, of all and
	// of each region that counts. 0: there is no panic.
	Percent int
	// Span is what "at once" means, Hold how long a panic lasts at most.
	Span, Hold time.Duration
}

// Toll is how many endpoints of a region fell within the span, and still are
// down, of how many.
type Toll struct {
	Region   Name
	Fell, Of int
}

// Strikes reports whether the tolls of all regions, in any order, make a panic.
func (p Panic) Strikes(tolls []Toll) bool {
	if p.Percent <= 0 {
		return false
	}
	over := func(fell, of int) bool { return fell*100 > of*p.Percent }
	fell, of, struck := 0, 0, 0
	for _, t := range tolls {
		fell, of = fell+t.Fell, of+t.Of
		if t.Fell >= PanicLeastRegion && over(t.Fell, t.Of) {
			struck++
		}
	}
	return struck > 1 && fell >= PanicLeast && over(fell, of)
}
