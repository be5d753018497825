package httpcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

// maxHead bounds the bytes of an answer's status line and headers.
const maxHead = 64 << 10

// link is one connection that speaks HTTP: plain HTTP/1.1 by itself, which
// costs a third of what net/http's client takes, TLS and HTTP/2 by that.
type link struct {
	conn   net.Conn
	plain  *plain
	client *http.ClientConn
	free   bool // of the context of the probe that made it
}

func (l *link) close() error {
	if l.client != nil {
		_ = l.client.Close() // It closes conn; HTTP/2 may do so later.
	}
	if err := l.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// answer is what came back, as far as it is judged.
type answer struct {
	status   int
	proto    string
	location string
	body     []byte
	cut      bool // the body went on beyond MaxBody
}

// exchange sends one request and reads its answer. With an error, doing says
// what was being done.
func (p *Prober) exchange(ctx context.Context, a *attempt.Attempt, r *request, authorization string) (got *answer, doing string, err error) {
	if l := p.take(r.place); l != nil {
		if l.plain != nil {
			dial.Rebind(ctx, l.conn) // net/http's client ends with ctx by itself
			l.free = false
		}
		got, started, doing, err := p.converse(ctx, a, l, r, authorization)
		if err == nil || started || ctx.Err() != nil {
			return got, doing, err
		}
		// The server closed the idle connection: it says nothing of a new one.
	}
	l, err := p.connect(ctx, a, r)
	if err != nil {
		return nil, "connecting", err
	}
	got, _, doing, err = p.converse(ctx, a, l, r, authorization)
	return got, doing, err
}

// connect makes a connection and its HTTP client.
func (p *Prober) connect(ctx context.Context, a *attempt.Attempt, r *request) (*link, error) {
	target := r.target
	target.Port = r.port
	conn, err := p.dialer.Dial(ctx, "tcp", target, r.port, &a.Evidence)
	if err != nil {
		return nil, err
	}
	if r.scheme == "http" && p.c.Version != "2" {
		return &link{conn: conn, plain: &plain{conn: conn}}, nil
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(p.c.Version != "2")
	protocols.SetUnencryptedHTTP2(p.c.Version == "2")
	if r.scheme == "https" {
		secure, err := dial.TLS(ctx, conn, p.tlsConfig(r), &a.Evidence)
		if err != nil {
			return nil, err
		}
		agreed := secure.ConnectionState().NegotiatedProtocol
		if p.c.Version == "2" && agreed != "h2" {
			_ = secure.Close() // The missing protocol is what counts.
			return nil, errors.New("the endpoint does not speak HTTP/2 (ALPN), which version: 2 asks for")
		}
		protocols = new(http.Protocols)
		protocols.SetHTTP1(agreed != "h2")
		protocols.SetHTTP2(agreed == "h2")
		conn = secure
	}
	speaks := conn
	if protocols.HTTP1() {
		speaks = newGate(conn)
	}
	given := func(context.Context, string, string) (net.Conn, error) { return speaks, nil }
	transport := &http.Transport{
		DialContext: given, DialTLSContext: given, Protocols: protocols,
		DisableCompression: true, MaxResponseHeaderBytes: maxHead,
	}
	client, err := transport.NewClientConn(ctx, r.scheme, net.JoinHostPort(r.target.Host, fmt.Sprint(r.port)))
	if err != nil {
		_ = speaks.Close() // The client's error is the one that counts.
		return nil, err
	}
	return &link{conn: conn, client: client}, nil
}

// tlsConfig verifies the name of r unless the config says not to. An address
// is verified, but never sent as SNI (RFC 6066 section 3).
func (p *Prober) tlsConfig(r *request) *tls.Config {
	config := &tls.Config{
		ServerName: r.server, RootCAs: p.roots, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: !p.c.TLS.verify(),
	}
	switch p.c.Version {
	case "1.1":
		config.NextProtos = []string{"http/1.1"}
	case "2":
		config.NextProtos = []string{"h2"}
	default:
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	return config
}

// converse sends r over l and reads the answer; it keeps or closes l.
// Started says whether a byte of the answer came.
func (p *Prober) converse(ctx context.Context, a *attempt.Attempt, l *link, r *request, authorization string) (got *answer, started bool, doing string, err error) {
	keep := false
	defer func() {
		clean := l.plain == nil || l.plain.done(p)
		if !keep || !clean || !p.put(r.place, l) {
			_ = l.close() // The answer is judged, however the connection ends.
		}
	}()
	resp, first, err := p.roundTrip(ctx, l, p.build(r, authorization))
	a.Evidence.FirstByte = first
	if err != nil {
		return nil, first > 0, "waiting for the answer", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(p.c.MaxBody)+1))
	if err != nil {
		return nil, true, fmt.Sprintf("reading the body of its %s (%s read)", statusText(resp.StatusCode), attempt.Bytes(len(body))), err
	}
	got = &answer{status: resp.StatusCode, proto: resp.Proto, location: resp.Header.Get("Location"), body: body}
	if len(body) > p.c.MaxBody {
		got.body, got.cut = body[:p.c.MaxBody], true
	}
	keep = p.c.KeepAlive && !got.cut && !resp.Close && isSafe(r.method)
	return got, true, "", nil
}

// roundTrip sends req, and returns the answer and when its first byte came,
// 0 if none did.
func (p *Prober) roundTrip(ctx context.Context, l *link, req *http.Request) (*http.Response, time.Duration, error) {
	start := time.Now()
	if l.plain != nil {
		resp, err := l.plain.roundTrip(p, req)
		if l.plain.first.IsZero() {
			return resp, 0, err
		}
		return resp, l.plain.first.Sub(start), err
	}
	first := atomic.Int64{}
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { first.CompareAndSwap(0, int64(time.Since(start))) }}
	resp, err := l.client.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	return resp, time.Duration(first.Load()), err
}

// gone reports whether a kept connection is of no more use.
func (l *link) gone() bool {
	if l.plain != nil {
		return dial.Stirred(l.conn)
	}
	return l.client.Err() != nil
}

// take returns a connection kept for where, or nil.
func (p *Prober) take(where place) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.idle[where]
	delete(p.idle, where)
	if l != nil && l.gone() {
		_ = l.close() // It is gone already.
		return nil
	}
	return l
}

// put keeps l for the next probe and reports whether it did.
func (p *Prober) put(where place, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.free = l.free || dial.Release(l.conn)
	if !l.free || p.idle[where] != nil || l.client != nil && l.client.Err() != nil {
		return false
	}
	p.idle[where] = l
	return true
}
