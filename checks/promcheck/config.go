package promcheck

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/veerdns/veer/checks/internal/dial"
	"github.com/veerdns/veer/checks/internal/secret"
)

// maxQuery bounds a query, in bytes.
const maxQuery = 8 << 10

// Config is what a Prometheus is asked and what its answer must be.
type Config struct {
	// URL is where Prometheus serves, without /api: http or https, with the
	// prefix of a proxy where there is one.
	URL string `yaml:"url"`
	// Query is an instant query in PromQL whose value is a scalar or a vector.
	// {{host}}, {{port}} and {{address}} (host:port, an IPv6 address in
	// brackets) stand for the endpoint's, escaped for the string they are in.
	Query string `yaml:"query"`
	// Method is POST or GET; "" is POST.
	Method string `yaml:"method,omitempty"`

	// Min and Max are the limits beyond which a value is down; nil is none.
	Min *float64 `yaml:"min,omitempty"`
	Max *float64 `yaml:"max,omitempty"`
	// DegradedMin and DegradedMax are the limits beyond which it is degraded.
	DegradedMin *float64 `yaml:"degraded_min,omitempty"`
	DegradedMax *float64 `yaml:"degraded_max,omitempty"`
	// Series says which of several series must be within the limits: all or
	// any; "" is all.
	Series string `yaml:"series,omitempty"`
	// NoData is what an empty vector means: unknown or down; "" is unknown.
	NoData string `yaml:"no_data,omitempty"`

	// Bearer and Basic authenticate the request; at most one may be set.
	Bearer secret.Bearer `yaml:"bearer,omitempty"`
	Basic  secret.Basic  `yaml:"basic,omitempty"`
	TLS    TLS           `yaml:"tls,omitempty"`
}

// TLS is how Prometheus is verified. TLS 1.2 is the lowest version spoken.
type TLS struct {
	// ServerName is sent as SNI and verified; "" is the URL's host.
	ServerName string `yaml:"server_name,omitempty"`
	// CAFile is a PEM file of the only authorities trusted; "" trusts the
	// system's.
	CAFile string `yaml:"ca_file,omitempty"`
	// Verify set to false accepts any certificate. nil is true.
	Verify *bool `yaml:"verify,omitempty"`
}

func (t TLS) verify() bool { return t.Verify == nil || *t.Verify }

type problem = func(field, format string, args ...any)

// Check reports every problem of the config by the field's key path. It reads
// no file and no environment variable; New does.
func (c Config) Check(bad func(field, format string, args ...any)) {
	base, err := c.base()
	if err != nil {
		bad("url", "%v", err)
	}
	if _, err := parseTemplate(c.Query); err != nil {
		bad("query", "%v", err)
	}
	if c.Method != "" && c.Method != "POST" && c.Method != "GET" {
		bad("method", "%q; expected POST or GET", c.Method)
	}
	if c.Series != "" && c.Series != "all" && c.Series != "any" {
		bad("series", "%q; expected all or any", c.Series)
	}
	if c.NoData != "" && c.NoData != "unknown" && c.NoData != "down" {
		bad("no_data", "%q; expected unknown or down", c.NoData)
	}
	c.checkLimits(bad)
	secret.CheckHTTP(c.Bearer, c.Basic, bad)
	if base != nil {
		c.checkTLS(base.Scheme, bad)
	}
}

func (c Config) checkLimits(bad problem) {
	if c.Min == nil && c.Max == nil && c.DegradedMin == nil && c.DegradedMax == nil {
		bad("min", "no limit, so every value would be up; expected min, max, degraded_min or degraded_max")
	}
	for _, order := range []struct {
		field     string
		low, high *float64
		other     string
	}{
		{"max", c.Min, c.Max, "min"}, {"degraded_min", c.Min, c.DegradedMin, "min"},
		{"degraded_max", c.DegradedMax, c.Max, "max"}, {"degraded_max", c.DegradedMin, c.DegradedMax, "degraded_min"},
	} {
		if order.low == nil || order.high == nil || *order.low <= *order.high {
			continue
		}
		if order.other == "max" { // the one that is too high is the field's
			bad(order.field, "%s; expected at most max, %s", number(*order.low), number(*order.high))
			continue
		}
		bad(order.field, "%s; expected at least %s, %s", number(*order.high), order.other, number(*order.low))
	}
}

func (c Config) checkTLS(scheme string, bad problem) {
	if scheme == "http" && c.TLS != (TLS{}) {
		bad("tls", "set for a URL of http, which has no TLS; use https")
	}
	if name := c.TLS.ServerName; name != "" {
		if host, err := dial.HostName(name); err != nil || host != name {
			bad("tls.server_name", "%q is not a host name without a port; expected the name alone", name)
		}
	}
	if !c.TLS.verify() && c.TLS.CAFile != "" {
		bad("tls.ca_file", "set while tls.verify is false, so it would never be used; remove one of them")
	}
}

// base reads the URL. Its errors do not repeat it: it may hold a password.
func (c Config) base() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("not the URL of a Prometheus; expected one such as http://prometheus.example.test:9090")
	case u.User != nil:
		return nil, errors.New("the URL holds a user or a password; expected them in basic, the password in a file or a variable")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("the URL holds a query or a fragment; expected the address of Prometheus alone, and the PromQL in query")
	case strings.Contains(u.Path, "/api/v1"):
		return nil, errors.New("the URL leads into the API; expected it without /api/v1, which the check adds")
	}
	if name, err := dial.HostName(u.Host); err != nil || name != u.Hostname() {
		return nil, errors.New("the URL's host is not a host name or address, with or without a port; expected one such as http://prometheus.example.test:9090")
	}
	return u, nil
}

// UsesPort reports whether the query holds the endpoint's port.
func (c Config) UsesPort() bool {
	t, err := parseTemplate(c.Query)
	return err == nil && t.usesPort()
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
