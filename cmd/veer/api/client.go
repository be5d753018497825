package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"

	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// Bounds of what either side reads.
const (
	// MaxRequest bounds a request's body.
	MaxRequest = 64 << 10
	// MaxPlan bounds a saved plan, and a request that carries one.
	MaxPlan = 8 << 20
	// MaxReply bounds a reply's body.
	MaxReply = 64 << 20
)

// SocketName is the socket's file name in data_dir.
const SocketName = "veer.sock"

// Client speaks to the daemon over its socket. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client of the daemon on the socket. It connects with each
// request, not before.
func NewClient(socket string) *Client {
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, socket)
		},
		DisableKeepAlives: true,
	}}}
}

// Error makes a Problem an error.
func (p *Problem) Error() string {
	if p.Hint == "" {
		return p.What
	}
	return p.What + "; " + p.Hint
}

// ErrNoDaemon means that no daemon answers on the socket.
var ErrNoDaemon = errors.New("no veer daemon answers")

// Status returns the state of everything as the daemon sees it.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var out Status
	return out, c.do(ctx, http.MethodGet, "/v1/status", nil, nil, &out)
}

// Explain returns why the service is answered as it is now, or was at a time
// in the journal (RFC 3339; empty is now).
func (c *Client) Explain(ctx context.Context, name, at string) (Explain, error) {
	return c.ExplainFor(ctx, name, at, "")
}

// ExplainFor is Explain with what the client with an IP address is answered;
// an empty one asks for nobody.
func (c *Client) ExplainFor(ctx context.Context, name, at, client string) (Explain, error) {
	q := url.Values{}
	if at != "" {
		q.Set("at", at)
	}
	if client != "" {
		q.Set("client", client)
	}
	var out Explain
	return out, c.do(ctx, http.MethodGet, "/v1/explain/"+url.PathEscape(name), q, nil, &out)
}

// Journal returns the newest limit entries (0: the daemon's default), oldest
// first, of one service or, with an empty name, of all; with moved only those
// that moved an answer.
func (c *Client) Journal(ctx context.Context, name string, limit int, moved bool) ([]steering.Entry, error) {
	v := url.Values{}
	if moved {
		v.Set("moved", "true")
	}
	if name != "" {
		v.Set("name", name)
	}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	var out []steering.Entry
	return out, c.do(ctx, http.MethodGet, "/v1/journal", v, nil, &out)
}

// Notes returns the newest limit notes (0: the daemon's default) on orders,
// oldest first.
func (c *Client) Notes(ctx context.Context, limit int) ([]Note, error) {
	v := url.Values{}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	var out []Note
	return out, c.do(ctx, http.MethodGet, "/v1/notes", v, nil, &out)
}

// Orders returns the overrides in the ledger.
func (c *Client) Orders(ctx context.Context) ([]controller.Order, error) {
	var out []controller.Order
	return out, c.do(ctx, http.MethodGet, "/v1/orders", nil, nil, &out)
}

// Order gives an override, or with dryRun only says what it would move.
func (c *Client) Order(ctx context.Context, r OrderRequest, dryRun bool) (OrderResult, error) {
	return c.order(ctx, http.MethodPost, r, dryRun)
}

// EndOrder ends the overrides of the request's act and target, or with dryRun
// only says what that would move.
func (c *Client) EndOrder(ctx context.Context, r OrderRequest, dryRun bool) (OrderResult, error) {
	return c.order(ctx, http.MethodDelete, r, dryRun)
}

func (c *Client) order(ctx context.Context, method string, r OrderRequest, dryRun bool) (OrderResult, error) {
	q := url.Values{}
	if dryRun {
		q.Set("dry_run", "true")
	}
	var out OrderResult
	return out, c.do(ctx, method, "/v1/orders", q, r, &out)
}

// do sends one request. A reply that is not a success becomes a *Problem.
func (c *Client) do(ctx context.Context, method, path string, q url.Values, body, into any) error {
	target := "http://veer" + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("writing the request %s %s: %w", method, path, err)
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, sent)
	if err != nil {
		return fmt.Errorf("making the request %s %s: %w", method, path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreached(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxReply+1))
	if err != nil {
		return fmt.Errorf("reading the daemon's reply to %s %s: %w", method, path, err)
	}
	if len(b) > MaxReply {
		return fmt.Errorf("the daemon's reply to %s %s is larger than %d bytes", method, path, MaxReply)
	}
	if resp.StatusCode/100 != 2 {
		p := &Problem{Code: resp.StatusCode}
		if err := json.Unmarshal(b, p); err != nil || p.What == "" {
			p.What = fmt.Sprintf("the daemon answered %s %s with status %d", method, path, resp.StatusCode)
		}
		return p
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("reading the daemon's reply to %s %s: %w (are the daemon and this command the same version?)", method, path, err)
	}
	return nil
}

// unreached says in words why the socket could not be reached.
func (c *Client) unreached(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("asking the daemon on %s: %w", c.socket, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: user %d may not open %s: %w", ErrNoDaemon, os.Getuid(), c.socket, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w on %s: is `veer run` running on this host, with the same data_dir? (%w)", ErrNoDaemon, c.socket, err)
	}
	return fmt.Errorf("%w on %s: %w", ErrNoDaemon, c.socket, err)
}
