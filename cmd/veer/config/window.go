package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the same file must be valid on a host without zone files

	"github.com/veerdns/veer/regions/steering"
)

// Window is when traffic may return to a pool: on Days, from From up to To,
// which is on the next day where it is not later than From. It opens on the
// days named; one that runs past midnight ends on the day after.
type Window struct {
	Days Days  `yaml:"days"`
	From Clock `yaml:"from"`
	To   Clock `yaml:"to"`
	// Location is a name of the IANA time zone database.
	Location string `yaml:"location"`
}

func (w *Window) setDefaults() {
	w.Days, w.Location = Days{0, 1, 2, 3, 4, 5, 6}, "UTC"
}

// Days are days of the week, sorted.
type Days []time.Weekday

func dayNames() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// fromNode reads a list of days and ranges, such as [mon-fri, sun].
func (d *Days) fromNode(dec decoder, n *node, path string) {
	items := n.items
	if n.shape == scalar {
		items = []*node{n}
	}
	set := map[time.Weekday]bool{}
	for _, item := range items {
		if !addDays(set, item) {
			dec.mismatch(item, path, "days such as mon or mon-fri: "+strings.Join(dayNames(), ", "), "")
		}
	}
	if len(items) == 0 {
		dec.mismatch(n, path, "at least one day, such as mon or mon-fri", "")
	}
	*d = nil
	for day := range time.Weekday(7) {
		if set[day] {
			*d = append(*d, day)
		}
	}
}

func addDays(set map[time.Weekday]bool, n *node) bool {
	if n.shape != scalar {
		return false
	}
	first, last, ranged := strings.Cut(n.text, "-")
	if !ranged {
		last = first
	}
	from, to := slices.Index(dayNames(), first), slices.Index(dayNames(), last)
	if from < 0 || to < 0 {
		return false
	}
	for day := from; ; day = (day + 1) % 7 {
		set[time.Weekday(day)] = true
		if day == to {
			return true
		}
	}
}

func (d Days) toNode(encoder) *node {
	out := &node{shape: sequence}
	for _, day := range d {
		out.items = append(out.items, textNode(dayNames()[day]))
	}
	return out
}

// Clock is a time of day in minutes after midnight; 24:00 is the day's end.
type Clock int

// dayEnd is the end of a day.
const dayEnd = Clock(24 * 60)

func (c *Clock) fromNode(dec decoder, n *node, path string) {
	var hour, minute int
	if n.shape == scalar && len(n.text) == 5 && n.text[2] == ':' {
		if _, err := fmt.Sscanf(n.text, "%02d:%02d", &hour, &minute); err == nil && n.text == fmt.Sprintf("%02d:%02d", hour, minute) &&
			minute < 60 && Clock(hour*60+minute) <= dayEnd {
			*c = Clock(hour*60 + minute)
			return
		}
	}
	dec.mismatch(n, path, `a time of day from "00:00" to "24:00"`, "")
}

func (c Clock) toNode(encoder) *node { return textNode(c.String()) }

func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

// span is one opening of a window.
type span struct{ from, to time.Time }

// spans are the openings that begin from the day before now until eight days
// after it. Where the clocks are changed, a time that does not exist is taken
// as time.Date takes it.
func (w Window) spans(now time.Time) []span {
	where, err := time.LoadLocation(w.Location)
	if err != nil {
		where = time.UTC // Load has refused it
	}
	year, month, day := now.In(where).Date()
	at := func(offset int, c Clock) time.Time {
		return time.Date(year, month, day+offset, int(c)/60, int(c)%60, 0, 0, where)
	}
	var out []span
	for offset := -1; offset <= 8; offset++ {
		if !slices.Contains(w.Days, at(offset, 12*60).Weekday()) {
			continue
		}
		s := span{at(offset, w.From), at(offset, w.To)}
		if w.To <= w.From {
			s.to = at(offset+1, w.To)
		}
		out = append(out, s)
	}
	return out
}

// At reports whether the window is open at a time, and how long until that
// changes; 0 is never.
func (w Window) At(now time.Time) (open bool, change time.Duration) {
	spans := w.spans(now)
	openAt := func(t time.Time) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return !t.Before(s.from) && t.Before(s.to) })
	}
	open = openAt(now)
	var edges []time.Time
	for _, s := range spans {
		edges = append(edges, s.from, s.to)
	}
	slices.SortFunc(edges, time.Time.Compare)
	// The last edge is the end of what is looked at, not of the window.
	for _, edge := range edges[:max(len(edges)-1, 0)] {
		if edge.After(now) && openAt(edge) != open {
			return open, edge.Sub(now)
		}
	}
	return open, 0
}

// Calendar says which services' windows are closed at a wall-clock time, and
// when that changes.
func (c *Config) Calendar(now time.Time) steering.Calendar {
	var out steering.Calendar
	for _, s := range c.Services {
		if s.Failback.Window == nil {
			continue
		}
		open, change := s.Failback.Window.At(now)
		if !open {
			out.Closed = append(out.Closed, s.Name)
		}
		if change > 0 && (out.Change == 0 || change < out.Change) {
			out.Change = change
		}
	}
	slices.Sort(out.Closed)
	return out
}
