package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// Sender brings one message to one place. It is safe for concurrent use.
type Sender interface {
	// Send tries once. Its error is a *Failure.
	Send(ctx context.Context, m Message) error
}

// Failure is why a message was not taken. It holds no secret, no URL and
// nothing that a remote said but its code.
type Failure struct {
	// Final: another try would end alike.
	Final bool
	// After is how long the remote wants to be left alone; 0: it did not say.
	After time.Duration
	Text  string
}

func (f *Failure) Error() string { return f.Text }

func failure(final bool, format string, args ...any) *Failure {
	return &Failure{Final: final, Text: fmt.Sprintf(format, args...)}
}

// Bounds of what a remote answers.
const (
	maxReply = 4 << 10
	maxAfter = 15 * time.Minute
)

// poster sends bodies by HTTP.
type poster struct {
	c Common
}

// client makes an HTTP client for one try: messages are few, and a CA or a
// certificate that was replaced counts at once.
func (p poster) client() (*http.Client, error) {
	conf, err := tlsConfig(p.c.CAFile)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, DisableKeepAlives: true, ForceAttemptHTTP2: true},
		// Where a message leads is the operator's to say.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func tlsConfig(caFile string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return conf, nil
	}
	text, err := os.ReadFile(caFile) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file %s: expected certificates in PEM", caFile)
	}
	return conf, nil
}

// post sends a body and returns the status and the beginning of the reply,
// which nobody but the caller may see.
func (p poster) post(ctx context.Context, to string, body []byte, header map[string]string) (*http.Response, string, error) {
	if err := checkURL(to); err != nil {
		return nil, "", failure(false, "the URL: %v", err) // the file may be put right meanwhile
	}
	client, err := p.client()
	if err != nil {
		return nil, "", failure(false, "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.c.timeout())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, "", failure(false, "the URL cannot be asked")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "veer")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", failure(false, "%s", withoutURL(err))
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, "", failure(false, "reading the reply: %s", withoutURL(err))
	}
	return resp, string(reply), nil
}

func (c Common) timeout() time.Duration {
	if c.Timeout == 0 {
		return defaultTimeout
	}
	return c.Timeout
}

// withoutURL is what happened without what was asked for: of an error of
// net/http only what is below the URL, and of that only what is known to say
// nothing of it.
func withoutURL(err error) string {
	var of *url.Error
	for errors.As(err, &of) {
		err = of.Err
	}
	var (
		op       *net.OpError
		name     *net.DNSError
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		invalid  x509.CertificateInvalidError
		verified *tls.CertificateVerificationError
		alert    tls.AlertError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "it was broken off"
	case errors.As(err, &name):
		return "the host's name is not found"
	case errors.As(err, &unknown):
		return "the server's certificate is signed by nobody that is known: ca_file names others"
	case errors.As(err, &host):
		return "the server's certificate is for another host"
	case errors.As(err, &invalid), errors.As(err, &verified):
		return "the server's certificate is not valid"
	case errors.As(err, &alert):
		return "the server broke the TLS handshake off"
	case errors.As(err, &op):
		return op.Op + ": " + reasonOf(op.Err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before an answer"
	}
	return "the request failed"
}

// reasonOf is the error of the system, as "connection refused".
func reasonOf(err error) string {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err.Error()
	}
	return "the connection failed"
}

// status is the Failure of an HTTP status that is no success.
func status(resp *http.Response, final bool, what string) *Failure {
	f := failure(final, "status %d%s", resp.StatusCode, what)
	if s := resp.Header.Get("Retry-After"); s != "" { // RFC 9110, section 10.2.3
		if n, err := strconv.Atoi(s); err == nil && n > 0 {
			f.After = min(time.Duration(min(n, 1<<20))*time.Second, maxAfter)
		} else if at, err := http.ParseTime(s); err == nil {
			f.After = min(max(time.Until(at), 0), maxAfter)
		}
	}
	return f
}
