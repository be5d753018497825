package route53_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/providers/route53"
)

func valid() route53.Config {
	return route53.Config{Zones: []route53.Zone{{Name: "example.com", ID: "Z0123456789"}}}
}

// TestConfigCheck: each mistake is told at its field, and nothing else is.
func TestConfigCheck(t *testing.T) {
	for _, test := range []struct {
		field, text string // "": no mistake
		damage      func(*route53.Config)
	}{
		{"", "", func(*route53.Config) {}},
		{"", "", func(c *route53.Config) {
			c.RoleARN, c.ExternalID, c.Profile, c.Region = "arn:aws:iam::123456789012:role/team/veer", "x", "prod", "us-gov-west-1"
			c.Endpoint, c.STSEndpoint = "http://127.0.0.1:1", "https://sts.example"
			c.Actions = map[string]route53.Bucket{"ChangeResourceRecordSets": {Rate: 0.5, Burst: 1}}
			c.Aliases = map[string]route53.Alias{"lb.example.": {ZoneID: "Z1", Types: []string{"A"}}}
			c.Zones = append(c.Zones, route53.Zone{Name: "internal.example", Private: true, VPC: "vpc-0123456789abcdef0"})
		}},
		{"zones", "is empty", func(c *route53.Config) { c.Zones = nil }},
		{"zones[0].name", "is missing", func(c *route53.Config) { c.Zones[0].Name = "" }},
		{"zones[1].name", "listed twice", func(c *route53.Config) { c.Zones = append(c.Zones, route53.Zone{Name: "Example.com."}) }},
		{"zones[0].id", "hosted zone id", func(c *route53.Config) { c.Zones[0].ID = "/hostedzone/Z1" }},
		{"zones[0].vpc", "public zone", func(c *route53.Config) { c.Zones[0].VPC = "vpc-01234567" }},
		{"zones[0].vpc", "VPC's id", func(c *route53.Config) { c.Zones[0].VPC, c.Zones[0].Private = "mine", true }},
		{"role_arn", "expected a role", func(c *route53.Config) { c.RoleARN = "veer" }},
		{"external_id", "without role_arn", func(c *route53.Config) { c.ExternalID = "x" }},
		{"web_identity_token_file", "without role_arn", func(c *route53.Config) { c.WebIdentityTokenFile = "x" }},
		{"external_id", "STS takes none", func(c *route53.Config) {
			c.WebIdentityTokenFile, c.RoleARN, c.ExternalID = "x", "arn:aws:iam::123456789012:role/veer", "x"
		}},
		{"profile", "only credential", func(c *route53.Config) {
			c.WebIdentityTokenFile, c.RoleARN, c.Profile = "x", "arn:aws:iam::123456789012:role/veer", "x"
		}},
		{"endpoint", "not an address", func(c *route53.Config) { c.Endpoint = "localhost:1" }},
		{"sts_endpoint", "user or password", func(c *route53.Config) { c.STSEndpoint = "https://a:b@sts.example" }},
		{"fips", "beside endpoint", func(c *route53.Config) { c.FIPS, c.Endpoint = true, "https://r53.example" }},
		{"region", "expected a region", func(c *route53.Config) { c.Region = "Frankfurt" }},
		{"timeout", "expected 1ms", func(c *route53.Config) { c.Timeout = -time.Second }},
		{"queue", "expected 1ms", func(c *route53.Config) { c.Queue = time.Hour }},
		{"propagation", "expected 1ms", func(c *route53.Config) { c.Propagation = 1 }},
		{"rate", "requests a second", func(c *route53.Config) { c.Rate = -1 }},
		{"burst", "expected 1", func(c *route53.Config) { c.Burst = -1 }},
		{"actions.ListZones", "no action", func(c *route53.Config) { c.Actions = map[string]route53.Bucket{"ListZones": {1, 1}} }},
		{"actions.GetChange.rate", "requests a second", func(c *route53.Config) { c.Actions = map[string]route53.Bucket{"GetChange": {0, 1}} }},
		{"aliases.lb", "not a host name", func(c *route53.Config) { c.Aliases = map[string]route53.Alias{"lb": {ZoneID: "Z1"}} }},
		{"aliases.lb.example.zone_id", "expected the hosted zone", func(c *route53.Config) { c.Aliases = map[string]route53.Alias{"lb.example": {}} }},
		{"aliases.lb.example.types", "each once", func(c *route53.Config) {
			c.Aliases = map[string]route53.Alias{"lb.example": {ZoneID: "Z1", Types: []string{"A", "A"}}}
		}},
		{"aliases.lb.example.types", "A, AAAA or both", func(c *route53.Config) {
			c.Aliases = map[string]route53.Alias{"lb.example": {ZoneID: "Z1", Types: []string{"MX"}}}
		}},
		{"aliases.lb.example.ttl", "seconds", func(c *route53.Config) {
			c.Aliases = map[string]route53.Alias{"lb.example": {ZoneID: "Z1", TTL: 1 << 31}}
		}},
	} {
		c := valid()
		test.damage(&c)
		var got []string
		c.Check(func(field, format string, args ...any) { got = append(got, field+": "+fmt.Sprintf(format, args...)) })
		switch {
		case test.field == "" && len(got) > 0, test.field != "" && len(got) != 1:
			t.Errorf("%s %q: got %q", test.field, test.text, got)
		case test.field != "" && (!strings.HasPrefix(got[0], test.field+": ") || !strings.Contains(got[0], test.text)):
			t.Errorf("got %q, want %q at %s", got[0], test.text, test.field)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	c := valid()
	c.Zones[0].Name = "Example.COM"
	if got := c.ZoneNames(); !slices.Equal(got, []string{"example.com."}) {
		t.Errorf("zone names %q", got)
	}
	if q, p := c.Worst(); q != 5*time.Second || p != time.Minute {
		t.Errorf("worst %s and %s", q, p)
	}
	caps := c.Caps()
	if !caps.Weights || !caps.Exact || caps.Alias || caps.MaxWeight != 255 || caps.BatchRecords != 1000 {
		t.Errorf("caps %+v", caps)
	}
	c.Aliases = map[string]route53.Alias{"LB.example": {ZoneID: "Z1"}, "cdn.example.": {ZoneID: "Z2", TTL: 300}}
	caps = c.Caps()
	if !caps.Alias || caps.Aliases["lb.example."] != 60 || caps.Aliases["cdn.example."] != 300 {
		t.Errorf("caps with aliases %+v", caps)
	}
	c.WebIdentityTokenFile = "token"
	if got := c.Rebase("/etc/veer").WebIdentityTokenFile; got != "/etc/veer/token" {
		t.Errorf("the token's file is %s", got)
	}
}
