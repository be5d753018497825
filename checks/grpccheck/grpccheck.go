// Package grpccheck checks a gRPC server by its health service
// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md): one Check
// call on a connection of its own, plain or over TLS.
//
// SERVING is up; any other status, and any error of the server, is down. No
// proxy is used, nothing is redirected, and a call is not repeated, but for
// the one time that gRPC allows where the server says that it did not look at
// it (RFC 9113 section 8.7).
package grpccheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

// defaultPort is that of kind grpcs; plain gRPC has none.
const defaultPort = 443

// Prober is a checks.Prober and a checks.Watcher. It holds no connection
// between probes, and is safe for concurrent use.
type Prober struct {
	c      Config
	roots  *x509.CertPool
	dialer dial.Dialer
}

// New makes a prober of a config that Check finds nothing wrong with. It
// reads the config's files and environment variables once, to refuse those
// that cannot be used.
func New(c Config) (*Prober, error) {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("grpc check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	roots, err := dial.Roots(c.TLS.CAFile)
	if err != nil {
		return nil, fmt.Errorf("grpc check: tls.ca_file: %w", err)
	}
	if _, err := dial.Pair(c.TLS.CertFile, c.TLS.KeyFile); err != nil {
		return nil, fmt.Errorf("grpc check: tls.cert_file: %w", err)
	}
	if _, _, err := c.metadata(); err != nil {
		return nil, fmt.Errorf("grpc check: %w", err)
	}
	return &Prober{c: c, roots: roots}, nil
}

// Resolver turns host names into addresses; *net.Resolver is one.
type Resolver = dial.Resolver

// UseResolver makes the prober resolve host names by r rather than by the
// system. It must not be called while probes run.
func (p *Prober) UseResolver(r Resolver) { p.dialer.Resolver = r }

// Probe connects and calls Check. The latency is that of the whole probe.
func (p *Prober) Probe(ctx context.Context, t checks.Target) checks.Result {
	t = p.at(t)
	a := attempt.Begin(p.describe(t))
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	sent, secrets, err := p.c.metadata()
	if err != nil {
		return a.End(checks.Unknown, "could not be tried: %v", err)
	}
	a.Hide(secrets...)
	secure, err := p.tlsConfig(t)
	if err != nil {
		return a.End(checks.Unknown, "could not be tried: %v", err)
	}
	conn, err := p.dialer.Dial(ctx, "tcp", t, 0, &a.Evidence)
	if err != nil {
		return a.Fail(ctx, "", err)
	}
	if secure != nil {
		handshaken, err := dial.TLS(ctx, conn, secure, &a.Evidence)
		if err != nil {
			return a.Fail(ctx, "", err)
		}
		conn = handshaken
	}
	return p.ask(ctx, a, conn, t, sent)
}

// ask calls Check over conn, and closes conn.
func (p *Prober) ask(ctx context.Context, a *attempt.Attempt, conn net.Conn, t checks.Target, sent metadata.MD) checks.Result {
	l, err := newLink(conn, p.authority(t))
	if err != nil {
		return a.Fail(ctx, "preparing the call", err)
	}
	defer l.close()
	got, err := health.NewHealthClient(l.client).Check(metadata.NewOutgoingContext(ctx, sent), &health.HealthCheckRequest{Service: p.c.Service})
	a.Evidence.FirstByte = time.Duration(l.answered.first.Load())
	switch {
	case err == nil:
		return p.judge(a, got.GetStatus())
	case l.answered.whole.Load() && ctx.Err() == nil:
		return p.explain(a, err)
	}
	return a.Fail(ctx, "waiting for the answer", l.cause(err))
}

// at fills in the target's port.
func (p *Prober) at(t checks.Target) checks.Target {
	if t.Port == 0 && p.c.Secure {
		t.Port = defaultPort
	}
	return t
}

func (p *Prober) describe(t checks.Target) string {
	what := "gRPC health check of " + net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
	if p.c.Service != "" {
		what += ", service " + p.c.Service
	}
	return what
}

// authority is the :authority header.
func (p *Prober) authority(t checks.Target) string {
	if p.c.Authority != "" {
		return p.c.Authority
	}
	host, _, _ := strings.Cut(t.Host, "%") // A zone means nothing to the server.
	return net.JoinHostPort(host, strconv.Itoa(int(t.Port)))
}

// tlsConfig is nil for plain gRPC.
func (p *Prober) tlsConfig(t checks.Target) (*tls.Config, error) {
	if !p.c.Secure {
		return nil, nil
	}
	own, err := dial.Pair(p.c.TLS.CertFile, p.c.TLS.KeyFile)
	if err != nil {
		return nil, err
	}
	name := t.Host
	if p.c.Authority != "" {
		name, _ = dial.HostName(p.c.Authority) // Check has read it already.
	}
	if p.c.TLS.ServerName != "" {
		name = p.c.TLS.ServerName
	}
	return &tls.Config{
		ServerName: name, RootCAs: p.roots, MinVersion: tls.VersionTLS12, Certificates: own,
		NextProtos: []string{"h2"}, InsecureSkipVerify: !p.c.TLS.verify(),
	}, nil
}

// metadata returns what is sent with the call, and the secrets in it, which
// no text that leaves the check may hold.
func (c Config) metadata() (sent metadata.MD, secrets []string, err error) {
	sent = metadata.MD{}
	for key, value := range c.Metadata {
		text := value.Value
		if value.place().Set() {
			if text, err = value.place().Read(); err != nil {
				return nil, nil, fmt.Errorf("metadata.%s: %w", key, err)
			}
			secrets = append(secrets, text)
		}
		if strings.ContainsFunc(text, notPrintable) {
			return nil, nil, fmt.Errorf("metadata.%s: the value is not printable ASCII, which gRPC cannot carry", key)
		}
		sent.Set(key, text)
	}
	if c.Bearer.place().Set() {
		token, err := c.Bearer.place().Read()
		if err != nil {
			return nil, nil, fmt.Errorf("bearer: %w", err)
		}
		secrets = append(secrets, token)
		if strings.ContainsFunc(token, notPrintable) {
			return nil, nil, errors.New("bearer: the token is not printable ASCII, which gRPC cannot carry")
		}
		sent.Set("authorization", "Bearer "+token)
	}
	return sent, secrets, nil
}
