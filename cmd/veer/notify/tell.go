package notify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// tell makes the messages of a story that has news.
func (d *Desk) tell(st *Story, now time.Time) []Message {
	switch {
	case st.Once:
		return []Message{d.tellOnce(st, now)}
	case st.Event == Moved:
		return d.tellMoved(st, now)
	}
	return d.tellOther(st, now)
}

// tellOnce is about something without an end: what several did in the same way
// within the time is one message.
func (d *Desk) tellOnce(st *Story, now time.Time) Message {
	m := d.message(st, Once, now)
	names := st.names(func(*Part) bool { return true })
	m.Summary = st.Text
	if st.All > 1 {
		m.Summary = fmt.Sprintf("%s, and %d more", st.Text, st.All-1)
	}
	m.Summary = cut(m.Summary, maxSummary)
	switch st.Event {
	case Refused, Failback:
		m.list(names, st.More)
		m.Region = regionOf(st)
	default:
		if len(names) > 1 {
			for _, n := range names[:min(len(names), maxListed)] {
				m.Details = append(m.Details, cut(n, maxSummary))
			}
		}
	}
	return m
}

func regionOf(st *Story) string {
	if st.Event == Moved || st.Event == Failback {
		return st.About
	}
	return ""
}

// tellMoved tells of traffic that left a region: that it did, that more did,
// that it returns, that it left again, that all is back.
func (d *Desk) tellMoved(st *Story, now time.Time) []Message {
	var out []Message
	is := func(keep func(*Part) bool) []string { return st.names(keep) }
	fresh, again := is(func(p *Part) bool { return !p.Told }), is(func(p *Part) bool { return p.Out && p.Again })
	var parts []*Part
	for _, n := range fresh {
		parts = append(parts, st.Parts[n])
	}
	all := is(func(*Part) bool { return true })
	switch {
	case st.Told == 0:
		m := d.message(st, Begin, now)
		m.Region = st.About
		m.list(all, st.More)
		m.Summary = fmt.Sprintf("%s: %s moved away (%s)", st.About, plural(st.All, "service"), whereTo(parts))
		if st.All == 1 {
			m.Summary = fmt.Sprintf("%s: %s moved away to %s", st.About, strings.TrimSuffix(all[0], "."), parts[0].To)
		}
		m.measure(st)
		out = append(out, m)
	case len(fresh) > 0:
		m := d.message(st, Update, now)
		m.Region = st.About
		m.list(fresh, 0)
		m.Summary = fmt.Sprintf("%s: %s more moved away (%s), %d in all", st.About, plural(len(fresh), "service"), whereTo(parts), st.All)
		m.measure(st)
		out = append(out, m)
	}
	left := is(func(p *Part) bool { return p.Out })
	waits := is(func(p *Part) bool { return p.Out && p.Waits })
	for _, p := range st.Parts {
		p.Told, p.Again = true, false
	}
	switch {
	case len(left) == 0:
		m := d.message(st, End, now)
		m.Region = st.About
		m.list(all, st.More)
		m.measure(st)
		m.Summary = fmt.Sprintf("%s: over, all %s are back", st.About, plural(st.All, "service"))
		if st.All == 1 {
			m.Summary = fmt.Sprintf("%s: over, %s is back", st.About, strings.TrimSuffix(all[0], "."))
		}
		if m.Times.Lasted > 0 {
			m.Summary += " after " + short(m.Times.Lasted)
		}
		out = append(out, m)
	case len(again) > 0 && st.Returning:
		st.Returning = false
		out = append(out, d.failback(st, now, again, fmt.Sprintf("%s: failback aborted, %s moved away again", st.About, plural(len(again), "service"))))
	case len(left) < len(all) && !st.Returning:
		st.Returning = true
		out = append(out, d.failback(st, now, is(func(p *Part) bool { return !p.Out }), fmt.Sprintf("%s: failback began, %d of %s are back", st.About, len(all)-len(left), plural(st.All, "service"))))
	case len(waits) > 0 && !st.Waiting:
		st.Waiting = true
		m := d.failback(st, now, waits, fmt.Sprintf("%s: up again, %s for veer failback %s", st.About, map[bool]string{true: "1 service waits", false: fmt.Sprintf("%d services wait", len(waits))}[len(waits) == 1], st.About))
		out = append(out, m)
	}
	return out
}

// failback is a message of the event failback in the story of a region.
func (d *Desk) failback(st *Story, now time.Time, names []string, text string) Message {
	m := d.message(st, Once, now)
	m.Event, m.Severity, m.Region, m.Summary = Failback, Info, st.About, text
	m.list(names, 0)
	return m
}

// tellOther tells of a beginning, of more, or of the end.
func (d *Desk) tellOther(st *Story, now time.Time) []Message {
	var out []Message
	fresh := st.names(func(p *Part) bool { return !p.Told })
	for _, p := range st.Parts {
		p.Told = true
	}
	if len(fresh) > 0 {
		phase := Update
		if st.Told == 0 {
			phase = Begin
		}
		out = append(out, d.describe(d.message(st, phase, now), st, fresh))
	}
	if st.out() == 0 {
		m := d.describe(d.message(st, End, now), st, st.names(func(*Part) bool { return true }))
		m.measure(st)
		out = append(out, m)
	}
	return out
}

// describe puts into words what an event that is not Moved is about.
func (d *Desk) describe(m Message, st *Story, names []string) Message {
	over := m.Phase == End
	switch st.Event {
	case AllDown:
		m.list(names, map[bool]int{true: st.More}[over])
		m.Summary = fmt.Sprintf("%s: no pool is up", plural(m.Count, "service"))
		if len(names) == 1 {
			m.Summary = strings.TrimSuffix(names[0], ".") + ": no pool is up"
		}
		if over {
			m.Summary = fmt.Sprintf("%s: a pool is up again", plural(st.All, "service"))
		} else if st.Text != "" {
			m.Details = []string{cut(st.Text, maxSummary)}
		}
	case Panic:
		m.Summary = "panic: " + cut(st.Text, maxSummary) + "; answers stay as they are"
		if over {
			m.Summary = "the panic is over; what is down counts as down"
		}
	case Zone:
		m.Summary = cut(st.About+" "+st.Text, maxSummary)
		if over {
			m.Summary = st.About + " is as the ledger says again"
		}
	default:
		m.Summary = cut(st.Text, maxSummary)
		if over {
			m.Summary = "over: " + m.Summary
		}
	}
	return m
}

// message begins a message of a story.
func (d *Desk) message(st *Story, p Phase, now time.Time) Message {
	st.Told++
	key := string(st.Event)
	if st.About != "" {
		key += "/" + st.About
	}
	if st.Event != Zone { // a zone's is the same each time, so that it is one incident
		key += "/" + st.ID
	}
	return Message{
		ID: fmt.Sprintf("%s-%d", st.ID, st.Told), Event: st.Event, Phase: p, Key: key, Severity: severity(st.Event, p),
		Owner: d.o.Owner, Time: now.UTC(), By: st.By, Why: st.Why,
	}
}

func severity(e Event, p Phase) string {
	if p == End {
		return Info
	}
	switch e {
	case AllDown:
		return Critical
	case Moved, Panic, Zone:
		return Failing
	case Refused, Takeover, Certificate:
		return Warning
	}
	return Info
}

// list names services in a message.
func (m *Message) list(names []string, more int) {
	m.Count = len(names) + more
	for _, n := range names[:min(len(names), maxListed)] {
		m.Services = append(m.Services, strings.TrimSuffix(n, "."))
	}
}

// measure takes over what was measured of the story.
func (m *Message) measure(st *Story) {
	t := Times{Began: st.Began, Moved: st.Moved}
	for _, name := range slices.Sorted(maps.Keys(st.Parts)) {
		p := st.Parts[name]
		if p.Limit > 0 && p.Recovery > p.Limit {
			t.Late++
		}
		if p.Recovery > t.Recovery {
			t.Recovery, t.Limit, t.Slowest = p.Recovery, p.Limit, strings.TrimSuffix(name, ".")
		}
	}
	if m.Phase == End {
		t.Back = st.Back
		if !st.Began.IsZero() {
			t.Lasted = max(st.Back.Sub(st.Began), 0)
		}
	}
	m.Times = &t
}

// plural is "1 service" or "30 services".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// whereTo counts where parts went, most first.
func whereTo(parts []*Part) string {
	count := map[string]int{}
	for _, p := range parts {
		if p.To != "" {
			count[p.To]++
		}
	}
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Or(count[b]-count[a], strings.Compare(a, b)) })
	var out []string
	for _, n := range names[:min(len(names), 5)] {
		out = append(out, fmt.Sprintf("%s %d", n, count[n]))
	}
	return strings.Join(out, ", ")
}
