package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/dns"
	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
	"github.com/veerdns/veer/providers/internal/redact"
)

const (
	// maxReply bounds a reply in bytes: a page of records, of 1 KiB each at most
	// as they are in practice.
	maxReply = 64 << 20
	// readTries is how often what only reads is asked.
	readTries = 3
	// patience is how long a read waits between tries at most.
	patience = 10 * time.Second
)

var errTooLarge = fmt.Errorf("a reply of more than %d bytes: lower page_size", maxReply)

// Permissions, as the page of API tokens names them
// (https://developers.cloudflare.com/fundamentals/api/reference/permissions/).
const (
	scopeRead  = `"Zone.DNS Read" for the zone`
	scopeEdit  = `"Zone.DNS Edit" for the zone`
	scopeZones = `"Zone.Zone Read" (or give the zone's id in the config)`
)

// client sends requests: held to the limit, with the token, bounded in time
// and size, and never a write twice.
type client struct {
	base    string
	http    *http.Client
	records *dns.RecordService
	token   *token
	limit   *limiter
	timeout time.Duration
	log     zerolog.Logger
}

func newClient(c Config, o Options) *client {
	cl := &client{
		base: strings.TrimSuffix(c.BaseURL, "/"), token: &token{file: c.TokenFile, env: c.TokenEnv},
		limit: newLimiter(c.Requests), timeout: c.Timeout, log: o.Log,
	}
	cl.http = &http.Client{
		Transport: o.Transport,
		// The token goes to the address of the config and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	cl.records = dns.NewRecordService(option.WithBaseURL(cl.base), option.WithHTTPClient(cl.http), option.WithMaxRetries(0))
	return cl
}

// with makes the SDK send its requests through send.
func (c *client) with(scope string) option.RequestOption {
	return option.WithMiddleware(func(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		return c.send(req, scope, next)
	})
}

// send carries one request. Any reply that does not say success is an *apiError.
func (c *client) send(req *http.Request, scope string, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	secret, err := c.token.get()
	if err != nil {
		return nil, unsent(err)
	}
	reply, err := c.once(req, secret, scope, next)
	var e *apiError
	if !errors.As(err, &e) || e.Status != http.StatusUnauthorized && e.Status != http.StatusForbidden {
		return reply, err
	}
	// The file may have another token by now. What was refused was not done.
	if secret, ok := c.token.renew(secret); ok {
		c.log.Info().Msg("the API refused the token; its file has another one now, which is used")
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		return c.once(req, secret, scope, next)
	}
	return reply, err
}

func (c *client) once(req *http.Request, secret, scope string, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	if err := c.limit.take(req.Context()); err != nil {
		return nil, unsent(err)
	}
	ctx, cancel := context.WithTimeout(req.Context(), c.timeout)
	defer cancel()
	req = req.Clone(ctx)
	req.Header.Set("Authorization", "Bearer "+secret)
	res, err := next(req)
	if err != nil {
		return nil, redact.Error(err, secret) // the SDK and net/http quote what they cannot read
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, fmt.Errorf("reading the reply: %w", err)
	}
	if len(body) > maxReply {
		return nil, errTooLarge
	}
	var says struct {
		Success bool `json:"success"`
	}
	jsonErr := json.Unmarshal(body, &says)
	if res.StatusCode < 200 || res.StatusCode > 299 || jsonErr == nil && !says.Success {
		e := newError(res.StatusCode, res.Header, body, scope, secret)
		if e.kind() == busy {
			c.limit.pause(e.After)
			c.log.Debug().Dur("wait_ms", e.After).Msg("the API is asked too often: nothing is sent before the time that it names")
		}
		return nil, e
	}
	if jsonErr != nil {
		return nil, fmt.Errorf("the API's reply is not JSON: %.120q", begun(body, secret))
	}
	res.Header.Set("Content-Type", "application/json")
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// read asks until there is an answer, within bounds.
func (c *client) read(ctx context.Context, ask func() error) error {
	wait := 200 * time.Millisecond
	for try := 1; ; try++ {
		err := ask()
		var e *apiError
		var busyErr *providers.BusyError
		var before sentNothing
		switch {
		case err == nil || ctx.Err() != nil || errors.As(err, &busyErr):
			return err
		case errors.As(err, &e) && e.kind() == busy:
			if try == readTries || e.After > patience {
				return &providers.BusyError{After: e.After, Err: err}
			}
		case errors.As(err, &e) && e.kind() == nothing:
			return fmt.Errorf("%w: %w", fenced.ErrUnread, err)
		case errors.As(err, &e) && e.kind() != unknown, errors.As(err, &before), errors.Is(err, errTooLarge), try == readTries:
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		wait *= 4
	}
}

// page is one page of records.
type page struct {
	Result []json.RawMessage `json:"result"`
	Info   struct {
		Page       int64 `json:"page"`
		TotalCount int64 `json:"total_count"`
	} `json:"result_info"`
}

// list reads one page of the records that the filter lets through.
func (c *client) list(ctx context.Context, filter dns.RecordListParams) (page, error) {
	var got page
	err := c.read(ctx, func() error {
		got = page{}
		_, err := c.records.List(ctx, filter, c.with(scopeRead), option.WithResponseBodyInto(&got))
		return err
	})
	return got, err
}

// made is what a batch has done.
type made struct {
	Result struct {
		Posts []json.RawMessage `json:"posts"`
	} `json:"result"`
}

// batch sends a batch, once.
func (c *client) batch(ctx context.Context, zoneID string, b batch) (made, error) {
	body, err := json.Marshal(b)
	if err != nil {
		return made{}, unsent(err)
	}
	var params dns.RecordBatchParams
	params.ZoneID.Value, params.ZoneID.Present = zoneID, true
	var got made
	_, err = c.records.Batch(ctx, params, c.with(scopeEdit), option.WithRequestBody("application/json", body), option.WithResponseBodyInto(&got))
	return got, err
}

// get reads what is not about records.
func (c *client) get(ctx context.Context, path string, query url.Values, scope string, into any) error {
	return c.read(ctx, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), nil)
		if err != nil {
			return unsent(err)
		}
		req.Header.Set("Accept", "application/json")
		res, err := c.send(req, scope, c.http.Do)
		if err != nil {
			return err
		}
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			return fmt.Errorf("the API's reply: %w", err)
		}
		return nil
	})
}
