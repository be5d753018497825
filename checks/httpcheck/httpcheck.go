// Package httpcheck checks an endpoint by one HTTP request, over HTTP/1.1 or
// HTTP/2, plain or over TLS, and judges the status, and where asked the body.
//
// The request goes to the target's address whatever the Host header says. A
// redirect is followed only where it stays at the endpoint (the target's host
// or the configured one) and does not leave TLS, since another host's answer
// says nothing of this endpoint; any other redirect is judged by its status.
// No proxy is used and no cookie is kept.
package httpcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"sync"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
	"github.com/veerdns/veer/checks/internal/secret"
)

// Prober is a checks.Prober and a checks.Watcher, safe for concurrent use.
type Prober struct {
	c        Config
	path     *url.URL
	statuses statuses
	matches  *regexp.Regexp
	roots    *x509.CertPool
	dialer   dial.Dialer
	buffers  buffers

	mu   sync.Mutex
	idle map[place]*link // kept for the next probe; only with KeepAlive
}

// New makes a prober of a config that Check finds nothing wrong with. It
// reads the config's files and environment variables once, to refuse those
// that cannot be read.
func New(c Config) (*Prober, error) {
	c.fill()
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(c.Scheme+" check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p := &Prober{c: c, idle: make(map[place]*link)}
	var err error
	if p.path, err = parsePath(c.Path); err != nil {
		return nil, fmt.Errorf("%s check: path: %w", c.Scheme, err)
	}
	if p.statuses, err = parseStatuses(c.Status); err != nil {
		return nil, fmt.Errorf("%s check: status: %w", c.Scheme, err)
	}
	if p.matches, err = regexp.Compile(c.Body.Matches); err != nil {
		return nil, fmt.Errorf("%s check: body.matches: %w", c.Scheme, err)
	}
	if p.roots, err = dial.Roots(c.TLS.CAFile); err != nil {
		return nil, fmt.Errorf("%s check: tls.ca_file: %w", c.Scheme, err)
	}
	if _, _, err = secret.Authorization(c.Bearer, c.Basic); err != nil {
		return nil, fmt.Errorf("%s check: %w", c.Scheme, err)
	}
	return p, nil
}

func (c *Config) fill() {
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
}

// Close closes the connections kept for later probes.
func (p *Prober) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for where, l := range p.idle {
		errs = append(errs, l.close())
		delete(p.idle, where)
	}
	return errors.Join(errs...)
}

// Resolver turns host names into addresses; *net.Resolver is one.
type Resolver = dial.Resolver

// UseResolver makes the prober resolve host names by r rather than by the
// system. It must not be called while probes run.
func (p *Prober) UseResolver(r Resolver) { p.dialer.Resolver = r }

// Probe sends the request, and the ones that redirects ask for. The latency
// is that of the whole probe, the body included.
func (p *Prober) Probe(ctx context.Context, t checks.Target) checks.Result {
	next := p.first(t)
	a := attempt.Begin(next.describe(p.c))
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	authorization, secrets, err := secret.Authorization(p.c.Bearer, p.c.Basic)
	if err != nil {
		return a.End(checks.Unknown, "could not be tried: %v", err)
	}
	a.Hide(secrets...)
	for hop := 0; ; hop++ {
		got, doing, err := p.exchange(ctx, a, next, authorization)
		if err != nil {
			return a.Fail(ctx, doing, err)
		}
		a.Evidence.Detail = got.proto + " " + statusText(got.status)
		following, why := p.redirect(next, got)
		if following == nil || hop == p.c.Redirects {
			return p.judge(a, got, hop, why)
		}
		next = following
	}
}

// Watch implements checks.Watcher. It sends no request: an idle connection is
// enough to learn that the server's end is gone. A server that closes idle
// connections makes it return as well.
func (p *Prober) Watch(ctx context.Context, t checks.Target) error {
	first := p.first(t)
	var secure *tls.Config
	if first.scheme == "https" {
		secure = p.tlsConfig(first)
		secure.NextProtos = []string{"http/1.1"} // HTTP/2 would have to be spoken at once.
	}
	return p.dialer.Watch(ctx, t, first.port, secure)
}
