// Package promcheck judges an endpoint by what a Prometheus knows of it: the
// value of one instant query, held against limits.
//
// The health is that of the worst series (or, with series: any, of the best):
// down beyond min and max, degraded beyond degraded_min and degraded_max, up
// otherwise, and unknown for NaN, which is neither. A vector without a series
// is unknown, or down where no_data says so and the answer had no warnings: a
// warning may mean that a part of the data is missing.
//
// Whatever keeps Prometheus from answering (it is not reached, refuses the
// login or the query, times out, sends what cannot be read) leaves the
// endpoint unknown: it is the trouble of the one who was asked, not of the one
// who was asked about.
//
// Prometheus gives the newest sample of a series that is at most its look-back
// delta old (5 minutes, where not set), unless the series was marked stale; the
// answer does not tell that age
// (https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness).
// Where it matters, the query itself must ask: time() - timestamp(x).
package promcheck

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
	"github.com/veerdns/veer/checks/internal/secret"
)

// The bounds of an answer, in bytes and in informational ones before it.
const (
	maxHead    = 64 << 10
	maxBody    = 1 << 20
	maxInterim = 8
)

// Prober is a checks.Prober, safe for concurrent use. It holds no connection
// between probes.
type Prober struct {
	c        Config
	base     *url.URL
	template template
	roots    *x509.CertPool
	dialer   dial.Dialer
}

// New makes a prober of a config that Check finds nothing wrong with. It
// reads the config's files and environment variables once, to refuse those
// that cannot be read.
func New(c Config) (*Prober, error) {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("prom check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	p := &Prober{c: c}
	var err error
	if p.base, err = c.base(); err != nil {
		return nil, fmt.Errorf("prom check: url: %w", err)
	}
	if p.template, err = parseTemplate(c.Query); err != nil {
		return nil, fmt.Errorf("prom check: query: %w", err)
	}
	if p.roots, err = dial.Roots(c.TLS.CAFile); err != nil {
		return nil, fmt.Errorf("prom check: tls.ca_file: %w", err)
	}
	if _, _, err = secret.Authorization(c.Bearer, c.Basic); err != nil {
		return nil, fmt.Errorf("prom check: %w", err)
	}
	return p, nil
}

// Resolver turns host names into addresses; *net.Resolver is one.
type Resolver = dial.Resolver

// UseResolver makes the prober resolve Prometheus' host name by r rather than
// by the system. It must not be called while probes run.
func (p *Prober) UseResolver(r Resolver) { p.dialer.Resolver = r }

// Probe asks Prometheus about the target. The latency is that of the whole
// probe; the evidence is that of Prometheus.
func (p *Prober) Probe(ctx context.Context, t checks.Target) checks.Result {
	query := p.template.fill(t)
	a := attempt.Begin("Prometheus at " + p.base.Host + ", asked " + attempt.Clip(query, 160) + ",")
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	if t.Port == 0 && p.template.usesPort() {
		return a.End(checks.Unknown, "could not be asked: the query holds the endpoint's port, and the target has none")
	}
	authorization, secrets, err := secret.Authorization(p.c.Bearer, p.c.Basic)
	if err != nil {
		return a.End(checks.Unknown, "could not be asked: %v", err)
	}
	a.Hide(secrets...)
	req, err := p.request(ctx, query, authorization)
	if err != nil {
		return a.End(checks.Unknown, "could not be asked: %v", err)
	}
	status, body, doing, err := p.exchange(ctx, a, req)
	if err != nil {
		r := a.Fail(ctx, doing, err)
		if r.Health == checks.Down {
			r.Health = checks.Unknown
			r.Reason = attempt.Clip(r.Reason, 530) + "; this says nothing of the endpoint"
		}
		return r
	}
	return p.judge(a, status, body)
}

// request makes the request of an instant query
// (https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries).
// The time-out is passed on, so that a query that nobody waits for any more
// does not go on.
func (p *Prober) request(ctx context.Context, query, authorization string) (*http.Request, error) {
	form := url.Values{"query": {query}}
	if deadline, ok := ctx.Deadline(); ok {
		form.Set("timeout", strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10)+"ms")
	}
	u, body := *p.base, ""
	u.Path = strings.TrimSuffix(u.Path, "/") + "/api/v1/query"
	if p.c.Method == http.MethodGet {
		u.RawQuery = form.Encode()
	} else {
		body = form.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, p.c.Method, u.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Close = true
	req.Header.Set("User-Agent", "veer")
	req.Header.Set("Accept", "application/json")
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return req, nil
}

// exchange sends the request over a connection of its own. With an error,
// doing says what was being done.
func (p *Prober) exchange(ctx context.Context, a *attempt.Attempt, req *http.Request) (status int, body []byte, doing string, err error) {
	conn, err := p.connect(ctx, a)
	if err != nil {
		return 0, nil, "connecting", err
	}
	defer conn.Close()
	start := time.Now()
	if err := req.Write(conn); err != nil {
		return 0, nil, "sending the query", err
	}
	in := bufio.NewReader(io.LimitReader(conn, maxHead+2*maxBody)) // twice, for the framing of chunks
	if _, err := in.Peek(1); err == nil {
		a.Evidence.FirstByte = time.Since(start)
	}
	resp, err := response(in, req)
	if err != nil {
		return 0, nil, "waiting for the answer", err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("it goes on beyond %s; make the query give less", attempt.Bytes(maxBody))
	}
	return resp.StatusCode, body, "reading the answer", err
}

// response reads the final answer, after any informational ones (RFC 9110
// section 15.2).
func response(in *bufio.Reader, req *http.Request) (*http.Response, error) {
	for range maxInterim {
		resp, err := http.ReadResponse(in, req)
		if err != nil || resp.StatusCode >= 200 {
			return resp, err
		}
	}
	return nil, fmt.Errorf("%d informational answers came, and none that is final", maxInterim)
}

func (p *Prober) connect(ctx context.Context, a *attempt.Attempt) (net.Conn, error) {
	port := uint16(80)
	if p.base.Scheme == "https" {
		port = 443
	}
	if text := p.base.Port(); text != "" {
		given, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%w: port %s", dial.ErrConfig, text)
		}
		port = uint16(given)
	}
	host := p.base.Hostname()
	conn, err := p.dialer.Dial(ctx, "tcp", checks.Target{Name: "prometheus", Host: host, Port: port}, port, &a.Evidence)
	if err != nil || p.base.Scheme == "http" {
		return conn, err
	}
	if p.c.TLS.ServerName != "" {
		host = p.c.TLS.ServerName
	}
	return dial.TLS(ctx, conn, &tls.Config{
		ServerName: host, RootCAs: p.roots, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: !p.c.TLS.verify(), NextProtos: []string{"http/1.1"},
	}, &a.Evidence)
}
