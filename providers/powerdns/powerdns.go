// Package powerdns writes to a PowerDNS Authoritative Server by its HTTP API
// (https://doc.powerdns.com/authoritative/http-api/zone.html).
//
// The API takes many RRsets in one PATCH, all or none, but knows no
// precondition. What it does know is that a CNAME cannot stand beside another
// type: replacing the TXT of a name that has a CNAME is refused, and the other
// way round, and the whole request with it. So the type of a name is a bit
// that a request can insist on, and a row of such names below each fence holds
// a counter that every write insists on and raises (see lock).
//
// That holds where the server runs two requests one after the other. With the
// backends gsqlite3 and lmdb it does, for they have one writer at a time; with
// gmysql, gpgsql and others two requests can both read before either writes,
// so those are not written. The API cannot write names with bytes other than
// letters, digits and "-_*/", so such names are refused.
package powerdns

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers/internal/fenced"
)

// Options are what New needs besides the Config.
type Options struct {
	// Owner is this Veer's name in every zone.
	Owner string
	Log   zerolog.Logger
	// Transport carries the requests; nil is net/http's default.
	Transport http.RoundTripper
}

// Provider writes to one server. It is safe for concurrent use.
type Provider struct{ *fenced.Provider }

// New makes a provider. It reads the API key and sends nothing.
func New(c Config, o Options) (*Provider, error) {
	c = c.Defaults()
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	api := &api{
		c: c, key: key,
		base: strings.TrimSuffix(c.URL, "/") + "/api/v1/servers/" + c.Server,
		http: &http.Client{Transport: cmp.Or[http.RoundTripper](o.Transport, http.DefaultTransport), Timeout: c.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	return &Provider{fenced.New(api, fenced.Options{Owner: o.Owner, Zones: c.ZoneNames(), Log: o.Log})}, nil
}

// key reads the API key. No error holds it.
func (c Config) key() (string, error) {
	if c.APIKeyEnv != "" {
		if key := strings.TrimSpace(os.Getenv(c.APIKeyEnv)); key != "" {
			return key, nil
		}
		return "", fmt.Errorf("the API key of PowerDNS: the variable %s is empty", c.APIKeyEnv)
	}
	b, err := os.ReadFile(c.APIKeyFile)
	if err != nil {
		return "", fmt.Errorf("reading the API key of PowerDNS: %w", err)
	}
	if key := strings.TrimSpace(string(b)); key != "" && !strings.ContainsAny(key, "\r\n") {
		return key, nil
	}
	return "", fmt.Errorf("the API key of PowerDNS: %s holds no single line of text", c.APIKeyFile)
}
