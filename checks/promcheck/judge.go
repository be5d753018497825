package promcheck

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// judge makes the result of an answer.
func (p *Prober) judge(a *attempt.Attempt, status int, body []byte) checks.Result {
	a.Evidence.Detail = strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
	got, err := parseReply(body)
	var said *apiError
	switch {
	case errors.As(err, &said):
		return a.End(checks.Unknown, "refused after %s with %s: %s", a.Elapsed(), a.Show(said.kind, 40), a.Show(said.text, 240))
	case status != http.StatusOK:
		return a.End(checks.Unknown, "answered %s after %s%s; this says nothing of the endpoint", a.Evidence.Detail, a.Elapsed(), hint(status))
	case err != nil:
		return a.End(checks.Unknown, "could not be understood after %s: %v", a.Elapsed(), err)
	}
	warned := ""
	if len(got.warnings) > 0 {
		warned = fmt.Sprintf("; %d warnings, the first: %s", len(got.warnings), a.Quote([]byte(got.warnings[0]), 120))
	}
	if len(got.samples) == 0 {
		health := checks.Unknown
		if p.c.NoData == "down" && len(got.warnings) == 0 {
			health = checks.Down
		}
		return a.End(health, "gave no data after %s%s", a.Elapsed(), warned)
	}
	return p.compare(a, got.samples, warned)
}

// hint says what a status that comes from before the API most likely means.
func hint(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ": it refuses the login; look at bearer and basic"
	case status == http.StatusNotFound:
		return ": there is no API below this URL"
	case status == http.StatusMethodNotAllowed:
		return ": it does not take the method; set method to the other of POST and GET"
	case status >= 300 && status < 400:
		return ": a redirect, which is not followed; set url to where it leads"
	}
	return ""
}

// compare holds every sample against the limits.
func (p *Prober) compare(a *attempt.Attempt, samples []sample, warned string) checks.Result {
	healths := make([]checks.Health, len(samples))
	count := map[checks.Health]int{}
	for i, s := range samples {
		healths[i] = p.health(s.value)
		count[healths[i]]++
	}
	need := len(samples)
	if p.c.Series == "any" {
		need = 1
	}
	health := checks.Combine(need, healths)
	shown := samples[0]
	for i, h := range healths {
		if h == health {
			shown = samples[i]
			break
		}
	}
	name := a.Show(shown.name(), 120)
	a.Evidence.Detail = name + " " + number(shown.value)
	said := fmt.Sprintf("gave %s for %s", number(shown.value), name)
	if len(samples) > 1 {
		said += fmt.Sprintf(" and %d more series, of all %d up, %d degraded, %d down, %d unknown",
			len(samples)-1, count[checks.Up], count[checks.Degraded], count[checks.Down], count[checks.Unknown])
	}
	return a.End(health, "%s after %s, expected %s%s", said, a.Elapsed(), p.expected(health, len(samples)), warned)
}

// health is where a value lies.
func (p *Prober) health(value float64) checks.Health {
	switch {
	case math.IsNaN(value):
		return checks.Unknown
	case p.c.Min != nil && value < *p.c.Min || p.c.Max != nil && value > *p.c.Max:
		return checks.Down
	case p.c.DegradedMin != nil && value < *p.c.DegradedMin || p.c.DegradedMax != nil && value > *p.c.DegradedMax:
		return checks.Degraded
	}
	return checks.Up
}

// expected says which limits a better value would have kept.
func (p *Prober) expected(health checks.Health, series int) string {
	low, high := p.c.Min, p.c.Max
	if health != checks.Down || low == nil && high == nil {
		if p.c.DegradedMin != nil {
			low = p.c.DegradedMin
		}
		if p.c.DegradedMax != nil {
			high = p.c.DegradedMax
		}
	}
	var limits []string
	if low != nil {
		limits = append(limits, "at least "+number(*low))
	}
	if high != nil {
		limits = append(limits, "at most "+number(*high))
	}
	text := strings.Join(limits, " and ")
	switch {
	case health == checks.Unknown:
		text = "a number, " + text
	case series > 1 && p.c.Series == "any":
		text += " in any of them"
	case series > 1:
		text += " in all of them"
	}
	return text
}
