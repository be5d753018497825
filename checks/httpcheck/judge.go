package httpcheck

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// statusText is the code with the registry's words for it: the server's own
// could say anything.
func statusText(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// judge makes the result of the last answer, got after some redirects. Why
// says what is wrong with a redirect that was not followed.
func (p *Prober) judge(a *attempt.Attempt, got *answer, redirects int, why string) checks.Result {
	said := "answered " + statusText(got.status) + " after " + a.Elapsed()
	switch {
	case redirects == 1:
		said += " and 1 redirect"
	case redirects > 1:
		said += " and " + strconv.Itoa(redirects) + " redirects"
	}
	if why != "" {
		said += " (" + why + ")"
	}
	if !p.statuses.accept(got.status) {
		return a.End(checks.Down, "%s, expected %s", said, p.statuses)
	}
	if wrong := p.wrongBody(a, got); wrong != "" {
		if got.cut {
			wrong += " (only the first " + attempt.Bytes(p.c.MaxBody) + " were read)"
		}
		return a.End(checks.Down, "%s, but %s", said, wrong)
	}
	return a.End(checks.Up, "%s", said)
}

// wrongBody says what is wrong with the body, or "".
func (p *Prober) wrongBody(a *attempt.Attempt, got *answer) string {
	expected := p.c.Body
	if !bytes.Contains(got.body, []byte(expected.Contains)) {
		return "its body does not contain " + strconv.Quote(attempt.Clip(expected.Contains, 64)) + ": " + a.Quote(got.body, 64)
	}
	if expected.Matches != "" && !p.matches.Match(got.body) {
		return "its body does not match " + attempt.Clip(expected.Matches, 64) + ": " + a.Quote(got.body, 64)
	}
	if expected.JSON != nil {
		return wrongJSON(a, expected.JSON, got.body)
	}
	return ""
}

func wrongJSON(a *attempt.Attempt, expected *JSON, body []byte) string {
	if !gjson.ValidBytes(body) {
		return "its body is not JSON: " + a.Quote(body, 64)
	}
	value := gjson.GetBytes(body, expected.Path)
	switch {
	case !value.Exists():
		return "its JSON body has nothing at " + expected.Path + ": " + a.Quote(body, 64)
	case expected.Equals != nil && value.String() != *expected.Equals:
		return "its JSON body has " + a.Quote([]byte(value.String()), 64) + " at " + expected.Path +
			", expected " + strconv.Quote(attempt.Clip(*expected.Equals, 64))
	case expected.Equals == nil && value.Type == gjson.Null:
		return "its JSON body has null at " + expected.Path
	}
	return ""
}
