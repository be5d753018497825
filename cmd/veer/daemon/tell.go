package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// apartWarnings say what this process does apart from the ledger.
func (d *daemon) apartWarnings(a *api.Apart, now time.Time) []string {
	if a == nil {
		return nil
	}
	var out []string
	if t := a.Takeover; t != nil {
		out = append(out, takeoverText(*t))
		for _, o := range inForceOrders(t.Orders, now) {
			out = append(out, fmt.Sprintf("takeover: %s of %s by %s%s: %s", o.Act, targetText(o.Target), o.By, leftText(o, now), o.Why))
		}
		for _, z := range t.Zones {
			if z.State != api.Taken || z.Error != "" {
				out = append(out, fmt.Sprintf("takeover: %s at %s: %s%s", short(z.Zone), z.Provider, z.State, colon(z.Error)))
			}
		}
	}
	if a.CutOff > 0 {
		out = append(out, d.cutText(a))
	}
	for _, o := range a.Orders {
		out = append(out, fmt.Sprintf("this server alone drains %s by %s%s: %s", targetText(o.Target), o.By, leftText(o, now), o.Why))
	}
	if len(a.Services) > 0 {
		out = append(out, "answered here otherwise than the ledger says: "+list(a.Services))
	}
	return out
}

// takeoverText says that a takeover lasts.
func takeoverText(t api.Takeover) string {
	taken := 0
	for _, z := range t.Zones {
		if z.State == api.Taken {
			taken++
		}
	}
	text := fmt.Sprintf("%s has taken over (%s): term %d holds %d of %d zones, and only its orders are written", t.By, t.Why, t.Term, taken, len(t.Zones))
	switch {
	case t.Over != "":
		text += "; it writes no more: " + t.Over + "; this host answers its orders until veer takeover --end here"
	case t.Ending:
		text += "; its end was begun: veer takeover --end finishes it"
	default:
		text += "; veer takeover --end ends it once a quorum answers"
	}
	return text
}

// cutText says that the process is cut off, and what that means for answers.
func (d *daemon) cutText(a *api.Apart) string {
	text := fmt.Sprintf("cut off from the cluster for %s: ", a.CutOff.Round(time.Second))
	switch {
	case len(d.servers) == 0:
		return text + "this process decides and writes nothing"
	case a.Narrows:
		return text + "isolation: local leaves out the endpoints that only this vantage sees down"
	case a.Isolation == config.IsolationLocal:
		return text + noVantage
	}
	return text + "answers stay as they are (isolation: hold)"
}

func leftText(o controller.Order, now time.Time) string {
	if o.Until.IsZero() {
		return ""
	}
	return fmt.Sprintf(" for %s more", o.Until.Round(0).Sub(now.Round(0)).Round(time.Second))
}

// whyApart explains what a service is answered here apart from the ledger.
func (d *daemon) whyApart(svc steering.Service, s api.Service) []steering.Reason {
	a := &d.apart
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []steering.Reason
	say := func(rule steering.Rule, format string, args ...any) {
		out = append(out, steering.Reason{Service: svc.Name, Rule: rule, Text: fmt.Sprintf(format, args...)})
	}
	now := time.Now()
	about := func(orders []controller.Order, what string) {
		for _, o := range inForceOrders(orders, now) {
			if concerns(o.Target, svc) {
				say(steering.RuleLocal, "%s: %s of %s by %s: %s", what, o.Act, targetText(o.Target), o.By, o.Why)
			}
		}
	}
	about(a.orders, "on this server alone")
	if a.taken != nil {
		about(a.taken.file.Orders, "by the takeover")
	}
	if a.seen != nil && len(s.Here) > 0 {
		say(steering.RuleLocal, "cut off for %s, isolation: local leaves out what only this vantage sees down", a.lonely.cut.Round(time.Second))
	}
	if len(s.Here) > 0 {
		var here, ledger []string
		for _, set := range s.Here {
			here = append(here, set.Data...)
		}
		for _, set := range s.Answer {
			ledger = append(ledger, set.Data...)
		}
		slices.Sort(here)
		slices.Sort(ledger)
		out = slices.Insert(out, 0, steering.Reason{Service: svc.Name, Rule: steering.RuleLocal,
			Text: fmt.Sprintf("this server answers %s, the ledger %s", strings.Join(here, ", "), strings.Join(ledger, ", "))})
	}
	return out
}
