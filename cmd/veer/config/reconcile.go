package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Reconcile is when answers are read back and mended: an interval, or a cron
// line of five fields in UTC unless it begins with CRON_TZ=Area/City.
type Reconcile struct {
	Every time.Duration
	Cron  string
}

const defaultReconcile = time.Minute

func (r *Reconcile) setDefaults() { *r = Reconcile{Every: defaultReconcile} }

// Schedule says when the next run is due.
func (r Reconcile) Schedule() cron.Schedule {
	if r.Cron == "" {
		return cron.Every(r.Every)
	}
	s, err := parseCron(r.Cron)
	if err != nil {
		return cron.Every(defaultReconcile) // Load has refused it
	}
	return s
}

func (r *Reconcile) fromNode(d decoder, n *node, path string) {
	const expected = `an interval such as 1m, or a cron line such as "*/5 * * * *"`
	if n.shape != scalar || n.form() != formText {
		d.mismatch(n, path, expected, "")
		return
	}
	if every, err := time.ParseDuration(n.text); err == nil {
		if every < time.Second || every > 24*time.Hour || every%time.Second != 0 {
			d.bad(n, path, Error{Problem: "found " + quote(n.text), Expected: "an interval of whole seconds from 1s to 24h"})
			return
		}
		*r = Reconcile{Every: every}
		return
	}
	if _, err := parseCron(n.text); err != nil {
		d.bad(n, path, Error{Problem: fmt.Sprintf("found %s: %v", quote(n.text), err), Expected: expected})
		return
	}
	*r = Reconcile{Cron: n.text}
}

func (r Reconcile) toNode(e encoder) *node {
	switch {
	case r.Cron != "":
		return textNode(r.Cron)
	case r.Every == 0 || !e.defaults && r.Every == defaultReconcile:
		return nil
	}
	return &node{text: showDuration(r.Every)}
}

// parseCron reads a cron line and refuses one that never comes due.
func parseCron(text string) (cron.Schedule, error) {
	line := text
	if zone, rest, ok := strings.Cut(strings.TrimPrefix(text, "CRON_"), " "); strings.HasPrefix(zone, "TZ=") {
		if !ok || len(strings.Fields(rest)) != 5 {
			return nil, fmt.Errorf("a time zone must be followed by five fields")
		}
	} else {
		if len(strings.Fields(text)) != 5 {
			return nil, fmt.Errorf("neither a duration nor a cron line of five fields")
		}
		line = "CRON_TZ=UTC " + text
	}
	s, err := cron.ParseStandard(line)
	if err != nil {
		return nil, fmt.Errorf("not a cron line: %w", err)
	}
	if s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("it never comes due")
	}
	return s, nil
}
