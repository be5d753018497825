package cloudflare

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/veerdns/veer/providers"
)

func good() Config {
	return Config{TokenFile: "token", Zones: []Zone{{Name: "Example.net"}, {Name: "example.org.", ID: strings.Repeat("0a", 16)}}}
}

func problems(c Config) []string {
	var out []string
	c.Check(func(field, format string, args ...any) { out = append(out, field+": "+fmt.Sprintf(format, args...)) })
	return out
}

func TestCheck(t *testing.T) {
	if p := problems(good()); len(p) > 0 {
		t.Fatalf("a good config has problems: %v", p)
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // how its only problem begins
	}{
		{"no token", func(c *Config) { c.TokenFile = "" }, "token_file: no API token"},
		{"two tokens", func(c *Config) { c.TokenEnv = "CF" }, "token_env: token_file and token_env are both set"},
		{"no zone", func(c *Config) { c.Zones = nil }, "zones: no zone"},
		{"zone without a name", func(c *Config) { c.Zones[0].Name = "" }, `zones[0].name: "": a name has at least one label`},
		{"zone with an escape", func(c *Config) { c.Zones[0].Name = `a\.b.net` }, `zones[0].name: "a\\.b.net": Cloudflare takes letters`},
		{"zone twice", func(c *Config) { c.Zones[0].Name = "EXAMPLE.org" }, `zones[1].name: zone "example.org." is listed twice`},
		{"id of a path", func(c *Config) { c.Zones[1].ID = "../../accounts/00000000000000000" }, `zones[1].id: "../../accounts/00000000000000000" is not a zone's id`},
		{"id twice", func(c *Config) { c.Zones[0].ID = c.Zones[1].ID }, `zones[1].id: id "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a" is listed twice`},
		{"unknown plan", func(c *Config) { c.Plan = "gold" }, `plan: "gold" is not a plan`},
		{"batch too small", func(c *Config) { c.Batch = 2 }, "batch: 2 is out of range"},
		{"TTL of 30 on free", func(c *Config) { c.MinTTL = 30 }, "min_ttl: 30 s is for the enterprise plan only"},
		{"TTL of 20", func(c *Config) { c.MinTTL, c.Plan = 20, "enterprise" }, "min_ttl: 20 is out of range; expected 30 to 86400 (default 60)"},
		{"requests", func(c *Config) { c.Requests = -1 }, "requests: -1 is out of range"},
		{"page size", func(c *Config) { c.PageSize = 6_000_000 }, "page_size: 6000000 is out of range"},
		{"base URL", func(c *Config) { c.BaseURL = "ftp://x" }, `base_url: its scheme is "ftp"`},
		{"token in the clear", func(c *Config) { c.BaseURL = "http://api.example.net" }, "base_url: it would send the token in the clear"},
		{"URL with a password", func(c *Config) { c.BaseURL = "https://a:b@api.example.net" }, "base_url: it has more than a host and a path"},
		{"timeout", func(c *Config) { c.Timeout = time.Millisecond }, "timeout: 1ms is out of range"},
		{"propagation", func(c *Config) { c.Propagation = 2 * time.Hour }, "propagation: 2h0m0s is out of range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := good()
			c.change(&config)
			if p := problems(config); len(p) != 1 || !strings.HasPrefix(p[0], c.want) {
				t.Errorf("problems %q, want one that begins %q", p, c.want)
			}
		})
	}
}

func TestConfigSays(t *testing.T) {
	c := good()
	if d := cmp.Diff([]string{"example.net.", "example.org."}, c.ZoneNames()); d != "" {
		t.Errorf("zones (-want +got):\n%s", d)
	}
	if d := cmp.Diff(providers.Caps{MinTTL: 60, MaxTTL: 86400, BatchRecords: 200, Plain: true}, c.Caps()); d != "" {
		t.Errorf("caps (-want +got):\n%s", d)
	}
	if queue, propagation := c.Worst(); queue != 10*time.Second || propagation != 30*time.Second {
		t.Errorf("worst %s and %s, want 10s and 30s", queue, propagation)
	}
	c.Plan, c.MinTTL, c.Propagation = "enterprise", 30, time.Minute
	if d := cmp.Diff(providers.Caps{MinTTL: 30, MaxTTL: 86400, BatchRecords: 3500, Plain: true}, c.Caps()); d != "" {
		t.Errorf("caps (-want +got):\n%s", d)
	}
	c.Batch = 500
	if got := c.Caps().BatchRecords; got != 500 {
		t.Errorf("batch %d, want 500", got)
	}
}
