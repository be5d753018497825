package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The bounds of composites of composites: how many levels, and how many checks
// one probe makes.
const (
	maxLevels = 3
	maxLeaves = 64
)

// composites finds the parts of the composite monitors.
func (l *loader) composites() {
	known := slices.Sorted(maps.Keys(l.c.Monitors))
	sound := true
	for _, name := range known {
		m, path := l.c.Monitors[name], "monitors."+name
		if m.Composite == nil {
			continue
		}
		if m.Port != 0 {
			l.bad(path+".port", "kind composite has no port of its own", "a port in each of the monitors it names, where one needs it", "")
		}
		for i, part := range m.Composite.Monitors {
			at := path + ".monitors[" + strconv.Itoa(i) + "]"
			if _, ok := l.c.Monitors[part]; !ok {
				l.unknown(at, "monitor", part, known)
				sound = false
			} else if way := l.wayBack(part, name, nil); way != nil {
				l.bad(at, "the monitor is a part of itself: "+strings.Join(append([]string{name}, way...), " -> "), "parts that do not lead back", "")
				sound = false
			}
		}
	}
	if sound {
		l.compose(known)
	}
}

// wayBack returns the monitors from one to another, both included, along the
// parts of composites; nil where there is no way.
func (l *loader) wayBack(from, to string, seen map[string]bool) []string {
	if from == to {
		return []string{to}
	}
	m := l.c.Monitors[from]
	if m.Composite == nil || seen[from] {
		return nil
	}
	if seen == nil {
		seen = map[string]bool{}
	}
	seen[from] = true
	for _, part := range m.Composite.Monitors {
		if way := l.wayBack(part, to, seen); way != nil {
			return append([]string{from}, way...)
		}
	}
	return nil
}

// compose gives each composite its parts. No monitor is a part of itself.
func (l *loader) compose(names []string) {
	for _, name := range names {
		m, path := l.c.Monitors[name], "monitors."+name
		if m.Composite == nil {
			continue
		}
		levels, leaves := l.extent(name)
		switch {
		case levels > maxLevels:
			l.bad(path+".monitors", fmt.Sprintf("found %d levels of composites", levels), fmt.Sprintf("at most %d", maxLevels), "")
		case leaves > maxLeaves:
			l.bad(path+".monitors", fmt.Sprintf("found %d checks in all, those of its composites among them", leaves), fmt.Sprintf("at most %d", maxLeaves), "")
		default:
			l.c.Monitors[name] = l.whole(m)
		}
	}
}

// extent returns how many levels of composites a monitor has, 0 for none, and
// how many checks it makes. It stops where a bound is passed.
func (l *loader) extent(name string) (levels, leaves int) {
	m := l.c.Monitors[name]
	if m.Composite == nil {
		return 0, 1
	}
	for _, part := range m.Composite.Monitors {
		below, checks := l.extent(part)
		levels, leaves = max(levels, below), leaves+checks
		if levels > maxLevels || leaves > maxLeaves {
			break
		}
	}
	return levels + 1, leaves
}

func (l *loader) whole(m Monitor) Monitor {
	if m.Composite == nil {
		return m
	}
	m.Parts = nil
	for _, name := range m.Composite.Monitors {
		m.Parts = append(m.Parts, Part{name, l.whole(l.c.Monitors[name])})
	}
	return m
}
