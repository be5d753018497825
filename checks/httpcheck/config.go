package httpcheck

import (
	"maps"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/veerdns/veer/checks/internal/dial"
	"github.com/veerdns/veer/checks/internal/secret"
)

// DefaultMaxBody is how much of a body is read when max_body is not set.
const DefaultMaxBody = 64 << 10

// The highest values that Check accepts.
const (
	maxMaxBody   = 16 << 20
	maxRedirects = 10
	maxHeaders   = 64
	maxValue     = 8 << 10
)

// Config is what an HTTP check asks and what it expects.
type Config struct {
	// Scheme is "http" or "https"; the monitor's kind sets it.
	Scheme string `yaml:"-"`

	// Method is the request's method; "" is GET.
	Method string `yaml:"method,omitempty"`
	// Path is the path and query asked for; "" is /.
	Path string `yaml:"path,omitempty"`
	// Host is the Host header and, over TLS, the name sent as SNI and
	// verified, unless tls.server_name says otherwise. "" is the target's
	// host. It may hold a port, which goes into the Host header only.
	Host string `yaml:"host,omitempty"`
	// Headers are sent with each request. Secrets do not belong here:
	// Authorization, Proxy-Authorization and Cookie are refused.
	Headers map[string]string `yaml:"headers,omitempty"`
	// Bearer and Basic authenticate the request; at most one may be set.
	Bearer Secret `yaml:"bearer,omitempty"`
	Basic  Basic  `yaml:"basic,omitempty"`

	// Status lists the accepted status codes, each "204" or "200-299".
	// Empty is 200-299.
	Status []string `yaml:"status,omitempty"`
	// Body is what the body must hold; all conditions that are set must hold.
	Body Body `yaml:"body,omitempty"`
	// MaxBody is how many bytes of the body are read and searched; 0 is
	// DefaultMaxBody.
	MaxBody int `yaml:"max_body,omitempty"`

	// Redirects is how many redirects are followed; 0 follows none and
	// judges a 3xx by Status.
	Redirects int `yaml:"redirects,omitempty"`
	// Version is auto (by ALPN over TLS, else HTTP/1.1), 1.1 or 2. Over http,
	// 2 is HTTP/2 with prior knowledge (RFC 9113 section 3.3). "" is auto.
	Version string `yaml:"version,omitempty"`
	// KeepAlive reuses one connection per target from probe to probe. It is
	// off by default so that each probe also tests connecting.
	KeepAlive bool `yaml:"keep_alive,omitempty"`

	TLS TLS `yaml:"tls,omitempty"`
}

// TLS is how the server is verified. TLS 1.2 is the lowest version spoken.
type TLS struct {
	// ServerName is sent as SNI and verified; "" is Host, else the target's
	// host.
	ServerName string `yaml:"server_name,omitempty"`
	// CAFile is a PEM file of the only authorities trusted; "" trusts the
	// system's.
	CAFile string `yaml:"ca_file,omitempty"`
	// Verify set to false accepts any certificate. nil is true.
	Verify *bool `yaml:"verify,omitempty"`
}

// Secret is a bearer token that stands in a file or an environment variable.
type Secret = secret.Bearer

// Basic is HTTP's Basic authentication (RFC 7617).
type Basic = secret.Basic

// Body is what is expected of the first MaxBody bytes of a body.
type Body struct {
	// Contains is a substring, compared byte for byte.
	Contains string `yaml:"contains,omitempty"`
	// Matches is a regular expression in Go's syntax (RE2).
	Matches string `yaml:"matches,omitempty"`
	// JSON picks a value of a JSON body.
	JSON *JSON `yaml:"json,omitempty"`
}

// JSON picks one value of a JSON body by a path in gjson's syntax
// (https://github.com/tidwall/gjson/blob/master/SYNTAX.md), for example
// "status", "checks.0.state", "checks.#(name==\"db\").state" or "checks.#".
type JSON struct {
	Path string `yaml:"path"`
	// Equals is the value expected, as text: "true", "3", "pass". nil asks
	// only that the path exists and is not null.
	Equals *string `yaml:"equals,omitempty"`
}

// problem reports one problem of a config field.
type problem = func(field, format string, args ...any)

// Check reports every problem of the config by the field's key path. It reads
// no file and no environment variable; New does.
func (c Config) Check(bad func(field, format string, args ...any)) {
	c.checkRequest(bad)
	c.checkHeaders(bad)
	secret.CheckHTTP(c.Bearer, c.Basic, bad)
	c.checkExpected(bad)
	c.checkTLS(bad)
}

func (c Config) checkRequest(bad problem) {
	if c.Method != "" && strings.Trim(c.Method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		bad("method", "%q is not a method; expected capital letters such as GET, HEAD or POST", c.Method)
	}
	if c.Method == "CONNECT" {
		bad("method", "CONNECT asks for a tunnel, not for a resource; expected GET, HEAD or another method")
	}
	if c.Path != "" {
		if _, err := parsePath(c.Path); err != nil {
			bad("path", "%v", err)
		}
	}
	if c.Host != "" {
		if _, err := dial.HostName(c.Host); err != nil {
			bad("host", "%v", err)
		}
	}
	if !slices.Contains([]string{"", "auto", "1.1", "2"}, c.Version) {
		bad("version", "%q is not a version; expected auto, 1.1 or 2", c.Version)
	}
	if c.KeepAlive && !isSafe(c.Method) {
		bad("keep_alive", "a %s on a kept connection cannot be repeated when the server has closed it; use GET, HEAD or OPTIONS", c.Method)
	}
	if c.Redirects < 0 || c.Redirects > maxRedirects {
		bad("redirects", "%d is out of range; expected 0 to %d", c.Redirects, maxRedirects)
	}
	if c.MaxBody < 0 || c.MaxBody > maxMaxBody {
		bad("max_body", "%d bytes is out of range; expected 1 to %d, or 0 for %d", c.MaxBody, maxMaxBody, DefaultMaxBody)
	}
}

func (c Config) checkHeaders(bad problem) {
	if len(c.Headers) > maxHeaders {
		bad("headers", "%d headers; expected at most %d", len(c.Headers), maxHeaders)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		value, field := c.Headers[name], "headers."+name
		switch key := textproto.CanonicalMIMEHeaderKey(name); {
		case !isToken(name):
			bad(field, "%q is not a header name (RFC 9110 section 5.1)", name)
		case key == "Host":
			bad(field, "set `host` instead: it also names the server over TLS")
		case isSecretHeader(key):
			bad(field, "a secret does not belong into the config; use bearer.token_file, bearer.token_env or basic")
		case isConnectionHeader(key):
			bad(field, "the header belongs to the connection, which the check manages; remove it")
		case strings.ContainsFunc(value, isControl):
			bad(field, "%q is not a header value; expected no control characters (RFC 9110 section 5.5)", value)
		case len(value) > maxValue:
			bad(field, "the value has %d bytes; expected at most %d", len(value), maxValue)
		}
	}
}

func (c Config) checkExpected(bad problem) {
	for i, text := range c.Status {
		if _, err := parseStatus(text); err != nil {
			bad("status["+strconv.Itoa(i)+"]", "%v", err)
		}
	}
	if _, err := regexp.Compile(c.Body.Matches); err != nil {
		bad("body.matches", "%v; expected Go's regular expression syntax", err)
	}
	if c.Body.JSON != nil && c.Body.JSON.Path == "" {
		bad("body.json.path", "the path is empty; expected a path such as status or checks.0.state")
	}
	if c.Method == "HEAD" && c.Body.any() {
		bad("body", "an answer to HEAD has no body (RFC 9110 section 9.3.2); use GET")
	}
}

func (c Config) checkTLS(bad problem) {
	switch c.Scheme {
	case "http":
		if c.TLS != (TLS{}) && c.Redirects == 0 {
			bad("tls", "set for kind http, which has no TLS; use kind https")
		}
	case "https":
	default:
		bad("kind", "scheme %q; expected http or https", c.Scheme)
	}
	if name := c.TLS.ServerName; name != "" {
		if host, err := dial.HostName(name); err != nil || host != name {
			bad("tls.server_name", "%q is not a host name without a port", name)
		}
	}
	if !c.TLS.verify() && c.TLS.CAFile != "" {
		bad("tls.ca_file", "set while tls.verify is false, so it would never be used; remove one of them")
	}
}

func (t TLS) verify() bool { return t.Verify == nil || *t.Verify }

func (b Body) any() bool { return b.Contains != "" || b.Matches != "" || b.JSON != nil }
