package powerdns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
	"github.com/veerdns/veer/providers/internal/redact"
)

// The API's JSON (https://doc.powerdns.com/authoritative/http-api/zone.html).
type (
	patch struct {
		RRsets []rrset `json:"rrsets"`
	}
	rrset struct {
		Name       string   `json:"name"`
		Type       string   `json:"type"`
		TTL        uint32   `json:"ttl,omitempty"`
		ChangeType string   `json:"changetype,omitempty"`
		Records    []record `json:"records"`
	}
	record struct {
		Content  string `json:"content"`
		Disabled bool   `json:"disabled"`
	}
)

// maxReply bounds what is read of a reply: a zone of some 500,000 records.
const maxReply = 64 << 20

// maxQuiet bounds for how long a reply can have the zones left alone.
const maxQuiet = time.Hour

// errServer is what the server said, in bounded words.
type errServer struct {
	status int
	text   string
}

func (e *errServer) Error() string {
	return fmt.Sprintf("PowerDNS answered %d: %s", e.status, e.text)
}

func (a *api) get(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	b, err := a.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return explain(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("PowerDNS's reply to GET %s is not what the API documents: %w", path, err)
	}
	return nil
}

// patch sends the sets once. net/http sends a PATCH again by itself only when
// the connection took none of it.
func (a *api) patch(ctx context.Context, path string, p patch) error {
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("%w: writing the request: %w", fenced.ErrNothing, err)
	}
	_, err = a.do(ctx, http.MethodPatch, path, b)
	var said *errServer
	var busy *providers.BusyError
	if !errors.As(err, &said) || errors.As(err, &busy) || said.status >= http.StatusInternalServerError {
		return err // done, not done, or not known
	}
	if said.status == http.StatusUnprocessableEntity && strings.Contains(said.text, "Conflicts with pre-existing RRset") {
		return fmt.Errorf("%w: %w", fenced.ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", fenced.ErrNothing, explain(err))
}

func (a *api) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making the request %s %s: %w", method, path, err)
	}
	req.Header.Set("X-API-Key", a.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking PowerDNS: %w", redact.Error(err, a.key)) // net/http quotes what it cannot read
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, fmt.Errorf("reading PowerDNS's reply to %s %s: %w", method, path, err)
	}
	if len(b) > maxReply {
		return nil, fmt.Errorf("PowerDNS's reply to %s %s is larger than %d bytes", method, path, maxReply)
	}
	switch said := (&errServer{resp.StatusCode, errorText(b, a.key)}); {
	case resp.StatusCode == http.StatusTooManyRequests:
		// PowerDNS has no such limit; a gateway before it may (RFC 6585, section 4).
		seconds, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
		return nil, &providers.BusyError{After: min(time.Duration(seconds)*time.Second, maxQuiet), Err: said}
	case resp.StatusCode/100 != 2:
		return nil, said
	}
	return b, nil
}

// errorText is what a reply that is no success says, bounded, on one line, and
// without the key, which whoever answers may repeat.
func errorText(b []byte, key string) string {
	var said struct {
		Error string `json:"error"`
	}
	text := string(b[:min(len(b), 4<<10)])
	if json.Unmarshal(b, &said) == nil && said.Error != "" {
		text = said.Error
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(checks.Redact(text, key), "?")), " ")
	const longest = 300
	return text[:min(len(text), longest)]
}

// explain adds what to do about an answer that is no success.
func explain(err error) error {
	var said *errServer
	if !errors.As(err, &said) {
		return err
	}
	hint := ""
	switch said.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = "; is the API key that of the server's api-key, and is this host in webserver-allow-from?"
	case http.StatusNotFound:
		hint = "; does the zone exist there, is `server` the server's id, and is the API on (api=yes)?"
	case http.StatusRequestEntityTooLarge:
		hint = "; raise the server's webserver-max-bodysize"
	}
	return fmt.Errorf("%w%s", err, hint)
}
