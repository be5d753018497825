package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// Take notes what a decision of the journal did. Now is this process's clock,
// by which messages wait; what happened when is the entry's.
func (d *Desk) Take(e steering.Entry, now time.Time) {
	at, err := time.Parse(time.RFC3339Nano, e.Time)
	if err != nil {
		at = now
	}
	was := make(map[string]steering.ServiceState, len(e.Input.Prev.Services))
	for _, s := range e.Input.Prev.Services {
		was[s.Name] = s
	}
	why := make(map[string][]steering.Reason, len(e.Decision.Next.Services))
	for _, r := range e.Decision.Why {
		why[r.Service] = append(why[r.Service], r)
	}
	moves := make(map[string]steering.Move, len(e.Moves))
	for _, m := range e.Moves {
		moves[m.Service] = m
	}
	is := make(map[string]bool, len(e.Decision.Next.Services))
	for _, s := range e.Decision.Next.Services {
		is[s.Name] = true
		d.left(was[s.Name], s, why[s.Name], moves[s.Name], at, now)
		d.see(s, at, now)
		d.refusals(s.Name, why[s.Name], at, now)
	}
	for name := range was { // of what is steered no more nothing is to be waited for
		if !is[name] {
			d.gone(name, at, now)
		}
	}
	d.panics(e, at, now)
}

// See notes how services stand in the ledger, where decisions between may not
// have been read.
func (d *Desk) See(s steering.State, now time.Time) {
	for _, svc := range s.Services {
		d.see(svc, now, now)
	}
}

// left notes the regions that a service's traffic left because it is down there,
// and that no pool of it is up.
func (d *Desk) left(was, is steering.ServiceState, why []steering.Reason, m steering.Move, at, now time.Time) {
	if is.AllDown && !was.AllDown {
		st := d.open(AllDown, "", at.Add(-m.Seen), now)
		st.part(is.Name)
		for _, r := range why {
			if r.Rule == steering.RuleAllDown && st.Text == "" {
				st.Text = strings.TrimSuffix(is.Name, ".") + ": " + r.Text
			}
		}
	}
	fell := slices.ContainsFunc(why, func(r steering.Reason) bool { return r.Rule == steering.RuleDepart || r.Rule == steering.RuleAllDown })
	if !fell || len(was.Serving) == 0 || len(is.Serving) == 0 {
		return
	}
	for _, region := range was.Serving {
		if slices.Contains(is.Serving, region) {
			continue
		}
		st := d.open(Moved, string(region), at.Add(-m.Seen), now)
		if first := at.Add(-m.Seen); first.Before(st.Began) {
			st.Began = first
		}
		st.Moved = at
		if p := st.part(is.Name); p != nil {
			p.To, p.Recovery, p.Limit = joined(is.Serving), m.Recovery, m.Limit
		}
	}
}

func joined(names []regions.Name) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return strings.Join(out, "+")
}

// see notes what of the open stories is over for a service, or waits.
func (d *Desk) see(s steering.ServiceState, at, now time.Time) {
	for _, st := range slices.Clone(d.s.Stories) {
		switch {
		case st.Once:
		case st.Event == AllDown && !s.AllDown:
			st.back(s.Name, at, now, d.o.Group)
		case st.Event == Moved:
			region := regions.Name(st.About)
			listed := slices.ContainsFunc(s.Pools, func(p steering.PoolState) bool { return p.Region == region })
			if slices.Contains(s.Serving, region) || !listed {
				st.back(s.Name, at, now, d.o.Group)
			}
		}
	}
}

// gone ends every story of a service.
func (d *Desk) gone(name string, at, now time.Time) {
	for _, st := range d.s.Stories {
		if !st.Once && (st.Event == Moved || st.Event == AllDown) {
			st.back(name, at, now, d.o.Group)
		}
	}
	for _, r := range refusing {
		delete(d.s.Said, name+"|"+string(r))
	}
}

// refusing are the rules that hold a move back.
var refusing = []steering.Rule{steering.RuleCapacity, steering.RuleDrainRefused, steering.RuleUnconfirmed, steering.RuleManual}

// refusals notes what is newly held back of a service. What the decision before
// held back already was told then.
func (d *Desk) refusals(service string, why []steering.Reason, at, now time.Time) {
	for _, rule := range refusing {
		key := service + "|" + string(rule)
		i := slices.IndexFunc(why, func(r steering.Reason) bool { return r.Rule == rule })
		if i < 0 {
			delete(d.s.Said, key)
			continue
		}
		if rule == steering.RuleManual {
			d.waits(service, why, now)
			continue
		}
		if d.s.Said[key] || len(d.s.Said) >= maxSaid {
			continue
		}
		d.s.Said[key] = true
		text := fmt.Sprintf("refused (%s): %s: %s", rule, strings.TrimSuffix(service, "."), why[i].Text)
		d.once(Refused, string(rule), service, text, at, now)
	}
}

// waits notes that what a service left is up, and waits for veer failback.
func (d *Desk) waits(service string, why []steering.Reason, now time.Time) {
	for _, r := range why {
		if r.Rule != steering.RuleManual {
			continue
		}
		st := d.find(Moved, string(r.Region))
		if st == nil {
			continue
		}
		if p := st.Parts[service]; p != nil && p.Out && !p.Waits {
			p.Waits = true
			if !st.Waiting {
				st.news(now.Add(d.o.Group))
			}
		}
	}
}

// once notes something without an end. Of one kind and subject, what comes
// within the time is one message, in the words of the first.
func (d *Desk) once(e Event, about, part, text string, at, now time.Time) *Story {
	st := d.open(e, about, at, now)
	st.Once = true
	if st.Text == "" {
		st.Text = text
	}
	st.part(part)
	return st
}

// panics notes that a shard's endpoints are held in a panic, or no more.
func (d *Desk) panics(e steering.Entry, at, now time.Time) {
	shard := fmt.Sprintf("shard %d", e.Shard)
	if p := e.Decision.Next.Panic; len(p.Held) > 0 && p.Left > 0 {
		st := d.find(Panic, "")
		if st == nil {
			st = d.open(Panic, "", at, now)
			st.Text = p.Why
		}
		if one := st.part(shard); one != nil && st.Told > 0 {
			one.Told = true // one message says that there is a panic
		}
		return
	}
	if st := d.find(Panic, ""); st != nil {
		st.back(shard, at, now, d.o.Group)
	}
}

// Act is what an operator did, or a process noted, beside the decisions.
type Act struct {
	Time time.Time
	// Act is the note's word, Event what it is.
	Act, By, Why string
	// Order says what the order is, as "drain of eu-west for 2h0m0s"; "": it is
	// about none.
	Order string
}

// Acts of notes that processes write for the desk.
const (
	ActCertificate = "certificate ends"
	ActFenced      = "zone written by another"
)

// Note notes an act of the journal.
func (d *Desk) Note(a Act, now time.Time) {
	at := a.Time
	if at.IsZero() {
		at = now
	}
	by := cut(a.By, 100)
	event, about, text := Operator, by+"|"+a.Act, fmt.Sprintf("%s: by %s", a.Act, by)
	switch {
	case a.Act == ActCertificate:
		event, about, text = Certificate, by, by+": "+a.Why
	case a.Act == ActFenced:
		event, about, text = Zone, "fenced", by+": "+a.Why
	case a.Act == "ordered" && a.Order != "":
		event, text = Override, fmt.Sprintf("%s ordered: %s", by, a.Order)
	case a.Act == "ended" && a.Order != "":
		event, text = Override, fmt.Sprintf("%s ended: %s", by, a.Order)
	case a.Act == "expired" && a.Order != "":
		event, text = Override, "ran out: "+a.Order
	case strings.HasPrefix(a.Act, "takeover "):
		event = Takeover
	}
	st := d.once(event, about, text, text, at, now)
	if event != Certificate && event != Zone && st.Why == "" {
		st.By, st.Why = by, cut(a.Why, 600)
	}
}

// Leads notes that another process leads.
func (d *Desk) Leads(name string, term regions.Term, now time.Time) {
	d.once(Leader, "", name, fmt.Sprintf("%s leads, term %d", name, term), now, now)
}

// ZoneFact is how a zone of a provider stands with the leader.
type ZoneFact struct {
	Zone, State, Why string
	// OK: it holds what the ledger says. Held: nothing but somebody's act changes
	// that; else a next try may.
	OK, Held bool
	Since    time.Duration
}

// zoneSeen is how a zone stands, and since when this desk saw it so.
type zoneSeen struct {
	ok, held bool
	since    time.Time
}

// What a zone's troubles must last before they are told, and its health before
// it counts: a new leader has not tried yet.
const (
	zonePatience = 2 * time.Minute
	zoneTrust    = time.Minute
)

// Zones notes how the zones stand.
func (d *Desk) Zones(facts []ZoneFact, now time.Time) {
	for _, f := range facts {
		seen, known := d.zones[f.Zone]
		if !known || seen.ok != f.OK || seen.held != f.Held {
			seen = zoneSeen{f.OK, f.Held, now}
			d.zones[f.Zone] = seen
		}
		lasts := now.Sub(seen.since)
		st := d.find(Zone, f.Zone)
		switch {
		case f.OK && st != nil && lasts >= zoneTrust:
			st.back(f.Zone, now, now, d.o.Group)
		case f.OK || st != nil:
		case f.Held || max(lasts, f.Since) >= zonePatience:
			d.openZone(f, now.Add(-max(lasts, min(f.Since, 24*time.Hour))), now)
		}
	}
}

// passPatience is how many passes in a row a zone fails before it is told.
const passPatience = 2

// PassedZones notes how the zones stand at the end of a scheduler's pass. What a
// pass wrote is written, so that its end needs no trust.
func (d *Desk) PassedZones(facts []ZoneFact, now time.Time) {
	for _, f := range facts {
		st := d.find(Zone, f.Zone)
		if f.OK {
			delete(d.s.Failed, f.Zone)
			if st != nil {
				st.back(f.Zone, now, now, d.o.Group)
			}
			continue
		}
		times := d.s.Failed[f.Zone] + 1
		if times > 1 || len(d.s.Failed) < maxFailed {
			d.s.Failed[f.Zone] = min(times, passPatience)
		}
		if st == nil && (f.Held || times >= passPatience) {
			d.openZone(f, now, now)
		}
	}
}

func (d *Desk) openZone(f ZoneFact, began, now time.Time) {
	st := d.open(Zone, f.Zone, began, now)
	st.Text = "is " + f.State + ": " + f.Why
	st.part(f.Zone)
}
