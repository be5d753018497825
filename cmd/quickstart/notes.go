package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// settle is how long an event waits for earlier ones that are heard of later:
// the logs are read every 20 ms, on a busy machine later, DNS replies come at once.
const settle = 250 * time.Millisecond

// forget is when an act on a web server is no longer what events count from.
const forget = 30 * time.Second

// note is an event to print.
type note struct {
	at   time.Time
	kind noteKind
	text string
}

type noteKind int

const (
	plain noteKind = iota
	acted          // somebody did something to a web server
	moved          // the DNS answer changed
)

// notes are events in the order of their times.
type notes struct {
	waiting []note
	act     time.Time // what the printed times count from; zero: nothing
	moved   time.Time // when the answer changed because of it; zero: not yet
}

func (n *notes) add(kind noteKind, at time.Time, format string, args ...any) {
	n.waiting = append(n.waiting, note{at, kind, fmt.Sprintf(format, args...)})
}

// due returns the lines of the events that have settled, oldest first, and how
// long to wait for the next; 0 means that none waits.
func (n *notes) due(now time.Time) (lines []string, wait time.Duration) {
	slices.SortStableFunc(n.waiting, func(a, b note) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for len(n.waiting) > 0 {
		one := n.waiting[0]
		if wait := one.at.Add(settle).Sub(now); wait > 0 {
			return lines, wait
		}
		n.waiting = n.waiting[1:]
		lines = append(lines, n.line(one))
	}
	return lines, 0
}

// line is one event with the time of day and, while that means something, the
// time since the act that it follows.
func (n *notes) line(e note) string {
	if e.kind == acted {
		n.act, n.moved = e.at, time.Time{}
	}
	if e.at.Sub(n.act) > forget || !n.moved.IsZero() && e.at.Sub(n.moved) > time.Second {
		n.act = time.Time{}
	}
	if e.kind == moved && n.moved.IsZero() {
		n.moved = e.at
	}
	since := "         "
	if !n.act.IsZero() && !e.at.Before(n.act) {
		since = fmt.Sprintf("%+7.3f s", e.at.Sub(n.act).Seconds())
	}
	return fmt.Sprintf("  %s %s  %s", e.at.Local().Format("15:04:05.000"), since, e.text)
}
