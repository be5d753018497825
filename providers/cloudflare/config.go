package cloudflare

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/veerdns/veer/providers"
)

// Config is the part of the config that is about one Cloudflare API token.
type Config struct {
	// TokenFile and TokenEnv are where the API token stands; one of them. The
	// token needs the permission "Zone - DNS - Edit" for the zones, and
	// "Zone - Zone - Read" where a zone has no ID below
	// (https://developers.cloudflare.com/fundamentals/api/reference/permissions/).
	// A file is read again when the API refuses what was read.
	TokenFile string `yaml:"token_file"`
	TokenEnv  string `yaml:"token_env"`
	Zones     []Zone `yaml:"zones"`
	// Plan is the zones' plan: free, pro, business or enterprise; it decides how
	// many records one batch may change. Empty is free, whose limit all keep.
	Plan string `yaml:"plan"`
	// Batch is how many records one batch may change, where the plan's number
	// is not the right one. 0 is the plan's.
	Batch int `yaml:"batch"`
	// MinTTL is the least TTL in seconds: 60, or 30 in a zone of the enterprise
	// plan. 0 is 60.
	MinTTL uint32 `yaml:"min_ttl"`
	// Requests is how many requests are made in five minutes, of all zones
	// together. Cloudflare counts all that a user does, in the dashboard too:
	// leave some to others. 0 is 1200, which is Cloudflare's limit.
	Requests int `yaml:"requests"`
	// PageSize is how many records are listed in one request. 0 is 5000.
	PageSize int `yaml:"page_size"`
	// BaseURL is the API's address. Empty is
	// https://api.cloudflare.com/client/v4.
	BaseURL string `yaml:"base_url"`
	// Timeout bounds one request. 0 is 30 s.
	Timeout time.Duration `yaml:"timeout"`
	// Queue is the longest that the API takes to accept a write. 0 is 10 s.
	Queue time.Duration `yaml:"queue"`
	// Propagation is the longest that Cloudflare's name servers take to have a
	// change. 0 is 30 s.
	Propagation time.Duration `yaml:"propagation"`
}

// Zone is one zone that is written.
type Zone struct {
	Name string `yaml:"name"`
	// ID is what Cloudflare calls the zone, 32 hexadecimal digits, shown on its
	// overview page. Empty: it is looked up by name.
	ID string `yaml:"id"`
}

// Bounds and defaults of Config.
const (
	// defaultPlan is the one whose limit no other undercuts.
	defaultPlan = "free"
	// maxBatch is more than any plan is documented to take.
	maxBatch = 100_000
	// minBatch carries a fence and a small set: one deleted, one made.
	minBatch = 10

	// TTLs in seconds: https://developers.cloudflare.com/dns/manage-dns-records/reference/ttl/
	defaultMinTTL    = 60
	enterpriseMinTTL = 30
	maxTTL           = 86400

	// https://developers.cloudflare.com/fundamentals/api/reference/limits/
	defaultRequests = 1200
	maxRequests     = 1_000_000
	minRequests     = 20

	defaultPageSize = 5000
	minPageSize     = 5
	// https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/list/
	maxPageSize = 5_000_000

	defaultBaseURL     = "https://api.cloudflare.com/client/v4"
	defaultTimeout     = 30 * time.Second
	minTimeout         = 100 * time.Millisecond
	maxTimeout         = 5 * time.Minute
	defaultQueue       = 10 * time.Second
	defaultPropagation = 30 * time.Second
	maxWorst           = time.Hour
)

// planBatch returns how many records a batch may change on a plan
// (https://developers.cloudflare.com/dns/manage-dns-records/how-to/batch-record-changes/).
func planBatch(plan string) (int, bool) {
	switch plan {
	case "free":
		return 200, true
	case "pro", "business", "enterprise":
		return 3500, true
	}
	return 0, false
}

func (c Config) withDefaults() Config {
	or(&c.Plan, defaultPlan)
	batch, _ := planBatch(c.Plan)
	or(&c.Batch, batch)
	or(&c.MinTTL, defaultMinTTL)
	or(&c.Requests, defaultRequests)
	or(&c.PageSize, defaultPageSize)
	or(&c.BaseURL, defaultBaseURL)
	or(&c.Timeout, defaultTimeout)
	or(&c.Queue, defaultQueue)
	or(&c.Propagation, defaultPropagation)
	return c
}

// or sets what is not set.
func or[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// ZoneNames returns the zones' canonical names.
func (c Config) ZoneNames() []string {
	names := make([]string, len(c.Zones))
	for i, z := range c.Zones {
		names[i] = providers.CanonicalName(z.Name)
	}
	return names
}

// Caps returns what records can express here. A batch compares nothing but
// records' ids, so that what others did to an owned set is overwritten.
func (c Config) Caps() providers.Caps {
	c = c.withDefaults()
	return providers.Caps{MinTTL: c.MinTTL, MaxTTL: maxTTL, BatchRecords: c.Batch, Plain: true}
}

// Worst returns Queue and Propagation.
func (c Config) Worst() (queue, propagation time.Duration) {
	c = c.withDefaults()
	return c.Queue, c.Propagation
}

// Check reports every problem that shows without asking the API; field is the
// yaml key path, e.g. "zones[0].name".
func (c Config) Check(bad func(field, format string, args ...any)) {
	switch {
	case c.TokenFile == "" && c.TokenEnv == "":
		bad("token_file", "no API token; expected token_file or token_env")
	case c.TokenFile != "" && c.TokenEnv != "":
		bad("token_env", "token_file and token_env are both set; expected one of them")
	}
	c.checkZones(bad)
	c.checkLimits(bad)
	if c.BaseURL != "" {
		if why := checkURL(c.BaseURL); why != "" {
			bad("base_url", "%s; expected one like %s", why, defaultBaseURL)
		}
	}
	between(bad, "timeout", c.Timeout, minTimeout, maxTimeout, defaultTimeout)
	between(bad, "queue", c.Queue, 0, maxWorst, defaultQueue)
	between(bad, "propagation", c.Propagation, 0, maxWorst, defaultPropagation)
}

func (c Config) checkLimits(bad func(field, format string, args ...any)) {
	if _, ok := planBatch(c.Plan); c.Plan != "" && !ok {
		bad("plan", "%q is not a plan; expected free, pro, business or enterprise", c.Plan)
	}
	between(bad, "batch", c.Batch, minBatch, maxBatch, 0)
	between(bad, "min_ttl", c.MinTTL, enterpriseMinTTL, maxTTL, defaultMinTTL)
	if c.MinTTL >= enterpriseMinTTL && c.MinTTL < defaultMinTTL && c.Plan != "enterprise" {
		bad("min_ttl", "%d s is for the enterprise plan only; expected %d or more, or plan: enterprise", c.MinTTL, defaultMinTTL)
	}
	between(bad, "requests", c.Requests, minRequests, maxRequests, defaultRequests)
	between(bad, "page_size", c.PageSize, minPageSize, maxPageSize, defaultPageSize)
}

// between reports a value that is set and out of range.
func between[T int | uint32 | time.Duration](bad func(field, format string, args ...any), field string, value, low, high, byDefault T) {
	if value == 0 || value >= low && value <= high {
		return
	}
	if byDefault == 0 {
		bad(field, "%v is out of range; expected %v to %v", value, low, high)
		return
	}
	bad(field, "%v is out of range; expected %v to %v (default %v)", value, low, high, byDefault)
}

func (c Config) checkZones(bad func(field, format string, args ...any)) {
	if len(c.Zones) == 0 {
		bad("zones", "no zone; expected at least one like {name: example.net}")
	}
	names, ids := map[string]bool{}, map[string]bool{}
	for i, z := range c.Zones {
		field := fmt.Sprintf("zones[%d]", i)
		name := providers.CanonicalName(z.Name)
		if why := checkHost(name); why != "" {
			bad(field+".name", "%q: %s; expected a zone's name like example.net", z.Name, why)
		} else if names[name] {
			bad(field+".name", "zone %q is listed twice; name each zone once", z.Name)
		}
		names[name] = true
		switch {
		case z.ID == "":
			continue
		case !isID(z.ID):
			bad(field+".id", "%q is not a zone's id; expected 32 hexadecimal digits in lower case, as its overview page shows", z.ID)
		case ids[z.ID]:
			bad(field+".id", "id %q is listed twice; each zone has its own", z.ID)
		}
		ids[z.ID] = true
	}
}

// isID reports whether the text is an identifier of the API, which is safe as
// a part of a path.
func isID(text string) bool {
	if len(text) != 32 {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// checkURL says why a base URL cannot be one. A token goes over plain HTTP to
// this host only.
func checkURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "it is not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Sprintf("its scheme is %q", u.Scheme)
	case u.Host == "":
		return "it has no host"
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "it has more than a host and a path"
	case u.Scheme == "http" && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" && u.Hostname() != "localhost":
		return "it would send the token in the clear"
	}
	return ""
}
