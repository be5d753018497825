package powerdns

import (
	"net/url"
	"strings"
	"time"

	"github.com/veerdns/veer/providers"
)

// Config is a provider of kind powerdns.
type Config struct {
	// URL is where the server's web service listens, without /api.
	URL string `yaml:"url"`
	// Server is the server's id in the API.
	Server string `yaml:"server"`
	// APIKeyFile and APIKeyEnv say where the API key is; exactly one is set.
	APIKeyFile string `yaml:"api_key_file"`
	APIKeyEnv  string `yaml:"api_key_env"`
	// Timeout bounds one request.
	Timeout time.Duration `yaml:"timeout"`
	// Queue is the longest that the API takes to answer, Propagation the
	// longest until every name server has a change: parts of the RTO.
	Queue       time.Duration `yaml:"queue"`
	Propagation time.Duration `yaml:"propagation"`
	Zones       []Zone        `yaml:"zones"`
}

// Zone is one zone of the server.
type Zone struct {
	Name string `yaml:"name"`
}

// The defaults of Config.
const (
	defaultServer      = "localhost"
	defaultTimeout     = 10 * time.Second
	defaultQueue       = 5 * time.Second
	defaultPropagation = 5 * time.Second
	longest            = 10 * time.Minute
)

// Defaults returns the Config with what was left out filled in.
func (c Config) Defaults() Config {
	if c.Server == "" {
		c.Server = defaultServer
	}
	for field, value := range map[*time.Duration]time.Duration{
		&c.Timeout: defaultTimeout, &c.Queue: defaultQueue, &c.Propagation: defaultPropagation,
	} {
		if *field == 0 {
			*field = value
		}
	}
	return c
}

// Check reports every value that cannot be used.
func (c Config) Check(bad func(field, format string, args ...any)) {
	c = c.Defaults()
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		bad("url", "is missing: expected the address of the server's web service, like http://127.0.0.1:8081")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		bad("url", "is not an address like http://127.0.0.1:8081")
	case u.User != nil:
		bad("url", "holds a user or password: the API key is given by api_key_file or api_key_env")
	}
	if strings.ContainsAny(c.Server, "/?#") {
		bad("server", "found %q: expected the server's id in the API, most often localhost", c.Server)
	}
	switch {
	case c.APIKeyFile == "" && c.APIKeyEnv == "":
		bad("api_key_file", "is missing: expected the file with the API key, or api_key_env with the name of a variable")
	case c.APIKeyFile != "" && c.APIKeyEnv != "":
		bad("api_key_env", "is given beside api_key_file: expected one of them")
	}
	for field, d := range map[string]time.Duration{"timeout": c.Timeout, "queue": c.Queue, "propagation": c.Propagation} {
		if d < time.Millisecond || d > longest {
			bad(field, "found %s: expected 1ms to %s", d, longest)
		}
	}
	if len(c.Zones) == 0 {
		bad("zones", "is empty: expected at least one zone")
	}
	seen := map[string]bool{}
	for _, name := range c.ZoneNames() {
		switch {
		case name == ".":
			bad("zones", "found a zone without a name")
		case seen[name]:
			bad("zones", "%s is listed twice", name)
		}
		seen[name] = true
	}
}

// ZoneNames returns the canonical names of the zones.
func (c Config) ZoneNames() []string {
	names := make([]string, 0, len(c.Zones))
	for _, z := range c.Zones {
		names = append(names, providers.CanonicalName(z.Name))
	}
	return names
}

// Caps tells what the server's records can express: plain sets, each with a
// TTL of RFC 2181, section 8. Requests cannot insist on records, only on locks.
func (c Config) Caps() providers.Caps {
	return providers.Caps{MinTTL: 1, MaxTTL: 1<<31 - 1, Plain: true}
}

// Worst returns the declared bounds of the API's answer and of propagation.
func (c Config) Worst() (queue, propagation time.Duration) {
	c = c.Defaults()
	return c.Queue, c.Propagation
}
