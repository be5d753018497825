package cloudflare

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// apiError is a reply that says that what was asked was not done. Cloudflare
// documents its form (https://developers.cloudflare.com/api/), and few of the
// codes: what is known of them is in the table below.
type apiError struct {
	Status int
	Codes  []int
	// Text is what the API says, and what to do about it.
	Text string
	// After is how long the API wants to be left alone, of a 429.
	After time.Duration
}

func (e *apiError) Error() string { return e.Text }

// Kinds of what a code means for a write.
type kind int

const (
	// nothing was written, and the same request would fare no better.
	nothing kind = iota
	// refused: the zone is not as it was read.
	refused
	// busy: later.
	busy
	// unknown: it may have been done.
	unknown
)

// codes are what the API's error codes mean. No page lists them all; these are
// as Cloudflare's own tools and their users report them.
var codes = map[int]struct {
	kind kind
	help string
}{
	81044: {refused, "the record is gone: somebody else has changed the zone, and it is read again"},
	81053: {refused, "an A, AAAA or CNAME record stands at the name: a CNAME stands alone (https://developers.cloudflare.com/dns/manage-dns-records/troubleshooting/records-with-same-name/)"},
	81054: {refused, "a CNAME stands at the name, and a CNAME stands alone: remove it, or steer the service by a CNAME"},
	81055: {refused, "a record that excludes this one stands at the name: remove it"},
	81056: {refused, "a record that excludes this one stands at the name: remove it"},
	81057: {refused, "the record exists already: somebody else has made it, and the zone is read again"},
	81058: {refused, "an identical record exists already: somebody else has made it, and the zone is read again"},

	971:   {busy, "too many requests: other users of the same account count too; lower `requests`, or reconcile less often"},
	10429: {busy, "too many requests: other users of the same account count too; lower `requests`, or reconcile less often"},

	1004:  {nothing, "Cloudflare does not take the record as it is; the codes beside this one tell what is wrong"},
	9000:  {nothing, "Cloudflare does not take the name"},
	9005:  {nothing, "the content of an A record is not an IPv4 address"},
	9021:  {nothing, "Cloudflare does not take the TTL: 60 to 86400 s, from 30 s in a zone of the enterprise plan (min_ttl)"},
	9300:  {nothing, "the zone's plan allows fewer tags than the records of the set have: remove tags"},
	81045: {nothing, "the zone has as many records as its plan allows: every steered name needs one TXT beside its records; remove records or take a larger plan"},

	1000:  {nothing, "the token is not valid: make one at https://dash.cloudflare.com/profile/api-tokens with the permission Zone.DNS Edit"},
	6003:  {nothing, "the token is not of the form of an API token: a global API key does not do; make one at https://dash.cloudflare.com/profile/api-tokens"},
	6111:  {nothing, "the token is not of the form of an API token; look for a line break or quotes in its file"},
	9109:  {nothing, "the token may not do this, has ended, or is not allowed from this address: it needs the permission Zone.DNS Edit for the zone, and Zone.Zone Read where the zone has no id in the config"},
	10000: {nothing, "the token is wrong, has ended, or lacks the permission: it needs Zone.DNS Edit for the zone, and Zone.Zone Read where the zone has no id in the config"},
	7000:  {nothing, "the API does not know the address: look at base_url"},
	7003:  {nothing, "the API does not know the zone's id: look at the zone's overview page, and whether the token covers the zone"},
}

// reply is what every answer of the API has in common.
type reply struct {
	Success bool      `json:"success"`
	Errors  []problem `json:"errors"`
}

type problem struct {
	Code    int       `json:"code"`
	Message string    `json:"message"`
	Chain   []problem `json:"error_chain"`
}

// maxProblems bounds how many of a reply's errors are told.
const maxProblems = 4

// begun is the beginning of a body that is nothing of the API's, without the
// secret.
func begun(body []byte, secret string) string {
	return checks.Redact(string(body[:min(len(body), 4<<10)]), secret)
}

// newError makes an error of a reply that does not say success, without the
// secret, which whoever answers may repeat. scope is the permission that the
// request needs.
func newError(status int, header http.Header, body []byte, scope, secret string) *apiError {
	e := &apiError{Status: status}
	var r reply
	parts := []string{}
	if err := json.Unmarshal(body, &r); err != nil || len(r.Errors) == 0 {
		parts = append(parts, fmt.Sprintf("the reply is no error of the API's: %.120q", begun(body, secret)))
	}
	var walk func(problems []problem, depth int)
	walk = func(problems []problem, depth int) {
		for _, p := range problems {
			if len(e.Codes) == maxProblems {
				return
			}
			e.Codes = append(e.Codes, p.Code)
			text := fmt.Sprintf("%d %.200q", p.Code, checks.Redact(p.Message, secret))
			if known, ok := codes[p.Code]; ok {
				text += ": " + known.help
			}
			parts = append(parts, text)
			if depth < 2 {
				walk(p.Chain, depth+1)
			}
		}
	}
	walk(r.Errors, 0)
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		parts = append(parts, "this request needs the token's permission "+scope)
	}
	if e.kind() == busy {
		e.After = retryAfter(header.Get("Retry-After"))
	}
	e.Text = fmt.Sprintf("the API replied %d: %s", status, strings.Join(parts, "; "))
	return e
}

// kind says what the error means for a write.
func (e *apiError) kind() kind {
	if e.Status == http.StatusTooManyRequests {
		return busy
	}
	for _, code := range e.Codes {
		if known, ok := codes[code]; ok && known.kind != nothing {
			return known.kind
		}
	}
	switch {
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		return unknown
	}
	return nothing
}

const (
	// quiet is the pause after a 429 that does not say how long.
	quiet = time.Minute
	// maxQuiet bounds what a reply can ask for.
	maxQuiet = time.Hour
)

// retryAfter reads the header (RFC 9110, section 10.2.3): seconds, rounded up
// (https://developers.cloudflare.com/fundamentals/api/reference/limits/), or a
// date.
func retryAfter(text string) time.Duration {
	after := quiet
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= int(maxQuiet/time.Second) {
		after = time.Duration(n) * time.Second
	} else if err == nil && n > 0 {
		after = maxQuiet
	} else if t, err := http.ParseTime(text); err == nil {
		after = time.Until(t)
	}
	return min(max(after, time.Second), maxQuiet)
}

// sentNothing marks an error from before a request left.
type sentNothing struct{ err error }

func (e sentNothing) Error() string { return e.err.Error() }
func (e sentNothing) Unwrap() error { return e.err }

func unsent(err error) error { return sentNothing{err} }

// classify turns an error of a write into fenced's.
func classify(err error) error {
	var busyErr *providers.BusyError
	var e *apiError
	var before sentNothing
	switch {
	case err == nil, errors.Is(err, fenced.ErrRefused), errors.As(err, &busyErr):
		return err
	case errors.As(err, &e) && e.kind() == busy:
		return &providers.BusyError{After: e.After, Err: err}
	case errors.As(err, &before):
		return fmt.Errorf("%w: %w", fenced.ErrNothing, err)
	case !errors.As(err, &e):
		return err
	}
	switch e.kind() {
	case refused:
		return fmt.Errorf("%w: %w", fenced.ErrRefused, err)
	case nothing:
		return fmt.Errorf("%w: %w", fenced.ErrNothing, err)
	}
	return err
}
