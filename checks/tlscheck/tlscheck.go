// Package tlscheck checks that an endpoint completes a TLS handshake with a
// certificate that is trusted, and warns before the certificate expires.
//
// A server that cannot be verified, or whose certificate has expired, is
// down; one whose certificate ends soon is degraded. Nothing is sent after
// the handshake but the alert that closes the connection (RFC 8446 section
// 6.1). A client's certificate counts as accepted unless the server refuses
// it in TLS: what a server says of it in its own protocol is not looked at.
package tlscheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

const defaultPort = 443

// Prober is a checks.Prober and a checks.Watcher. It holds no connection
// between probes, and is safe for concurrent use.
type Prober struct {
	c      Config
	roots  *x509.CertPool
	dialer dial.Dialer
}

// New makes a prober of a config that Check finds nothing wrong with. It
// reads the config's files once, to refuse those that cannot be used.
func New(c Config) (*Prober, error) {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("tls check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	roots, err := dial.Roots(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("tls check: ca_file: %w", err)
	}
	if _, err := dial.Pair(c.CertFile, c.KeyFile); err != nil {
		return nil, fmt.Errorf("tls check: cert_file: %w", err)
	}
	return &Prober{c: c, roots: roots}, nil
}

// Resolver turns host names into addresses; *net.Resolver is one.
type Resolver = dial.Resolver

// UseResolver makes the prober resolve host names by r rather than by the
// system. It must not be called while probes run.
func (p *Prober) UseResolver(r Resolver) { p.dialer.Resolver = r }

// Probe connects and shakes hands. The latency is that of the whole probe.
func (p *Prober) Probe(ctx context.Context, t checks.Target) checks.Result {
	if t.Port == 0 {
		t.Port = defaultPort
	}
	what := "TLS handshake with " + net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
	if p.c.ServerName != "" {
		what += " (server name " + p.c.ServerName + ")"
	}
	a := attempt.Begin(what)
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	own, err := dial.Pair(p.c.CertFile, p.c.KeyFile)
	if err != nil {
		return a.End(checks.Unknown, "could not be tried: %v", err)
	}
	conn, err := p.dialer.Dial(ctx, "tcp", t, defaultPort, &a.Evidence)
	if err != nil {
		return a.Fail(ctx, "", err)
	}
	consent := &consent{own: own}
	secure, err := dial.TLS(ctx, conn, consent.hook(p.config(t)), &a.Evidence)
	if err != nil {
		return p.fail(ctx, a, err)
	}
	defer secure.Close()
	if err := consent.await(ctx, secure, a.Evidence.TLS); err != nil {
		return a.Fail(ctx, "waiting for the endpoint to accept the client's certificate", err)
	}
	return p.judge(a, secure.ConnectionState(), time.Now())
}

func (p *Prober) config(t checks.Target) *tls.Config {
	lowest, _ := version(p.c.MinVersion) // Check has read it already.
	config := &tls.Config{
		ServerName: t.Host, RootCAs: p.roots, MinVersion: lowest, NextProtos: p.c.ALPN,
		InsecureSkipVerify: !p.c.verify(),
	}
	if p.c.ServerName != "" {
		config.ServerName = p.c.ServerName
	}
	return config
}

// Watch implements checks.Watcher: it holds a connection open after the
// handshake. A server that closes idle connections makes it return as well.
func (p *Prober) Watch(ctx context.Context, t checks.Target) error {
	own, err := dial.Pair(p.c.CertFile, p.c.KeyFile)
	if err != nil {
		return fmt.Errorf("watching %s: %w", t.Name, err)
	}
	config := p.config(t)
	config.Certificates = own
	return p.dialer.Watch(ctx, t, defaultPort, config)
}
