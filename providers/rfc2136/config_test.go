package rfc2136

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func goodConfig() Config {
	return Config{
		Servers: []string{"192.0.2.53:53", "[2001:db8::53]:53"},
		TSIG:    TSIG{Name: "veer.", Algorithm: "hmac-sha256", SecretFile: "/run/secrets/tsig"},
		Zones:   []Zone{{"Example.org"}, {"example.net."}},
	}
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // the start of each problem, one a line
	}{
		{"good", func(*Config) {}, ""},
		{"a host name", func(c *Config) { c.Servers = []string{"ns1.example.org:53"} }, ""},
		{"from the environment", func(c *Config) { c.TSIG = TSIG{Name: "veer", SecretEnv: "TSIG"} }, ""},
		{"no key on this host", func(c *Config) {
			c.TSIG, c.Servers = TSIG{}, []string{"127.0.0.1:5353", "[::1]:53", "localhost:53"}
		}, ""},
		{"no servers", func(c *Config) { c.Servers = nil }, "servers: no server"},
		{"no port", func(c *Config) { c.Servers = []string{"192.0.2.53"} }, `servers[0]: "192.0.2.53" is not an address`},
		{"port 0", func(c *Config) { c.Servers = []string{"192.0.2.53:0"} }, `servers[0]: "192.0.2.53:0": port "0" is not`},
		{"no host", func(c *Config) { c.Servers = []string{":53"} }, `servers[0]: ":53": "" is neither`},
		{"server twice", func(c *Config) { c.Servers = []string{"192.0.2.53:53", "192.0.2.53:53"} }, `servers[1]: "192.0.2.53:53" is listed twice`},
		{"too many", func(c *Config) {
			for i := range maxServers + 1 {
				c.Secondaries = append(c.Secondaries, fmt.Sprintf("192.0.2.%d:53", i))
			}
		}, "secondaries: 17 servers"},
		{"bad secondary", func(c *Config) { c.Secondaries = []string{"x"} }, `secondaries[0]: "x" is not an address`},
		{"no key elsewhere", func(c *Config) { c.TSIG = TSIG{} }, `tsig: servers[0] "192.0.2.53:53" is not this host`},
		{"no key name", func(c *Config) { c.TSIG.Name = "" }, `tsig.name: "" is not a key's name`},
		{"old algorithm", func(c *Config) { c.TSIG.Algorithm = "hmac-md5" }, `tsig.algorithm: "hmac-md5" is not taken`},
		{"no secret", func(c *Config) { c.TSIG.SecretFile = "" }, "tsig: expected exactly one"},
		{"two secrets", func(c *Config) { c.TSIG.SecretEnv = "X" }, "tsig: expected exactly one"},
		{"no zones", func(c *Config) { c.Zones = nil }, "zones: no zone"},
		{"zone twice", func(c *Config) { c.Zones = append(c.Zones, Zone{"EXAMPLE.org."}) }, `zones[2].name: zone "EXAMPLE.org." is listed twice`},
		{"bad zone", func(c *Config) { c.Zones = []Zone{{"a..b"}} }, `zones[0].name: "a..b" is not a domain name`},
		{"read", func(c *Config) { c.Read = "ixfr" }, `read: "ixfr" is unknown`},
		{"times", func(c *Config) { c.Timeout, c.Propagation = time.Millisecond, -1 }, "timeout: 1ms is out\npropagation: -1ns is out"},
		{"long times", func(c *Config) { c.Timeout, c.Propagation = time.Hour, 25*time.Hour }, "timeout: 1h0m0s is out\npropagation: 25h0m0s is out"},
	} {
		config := goodConfig()
		c.change(&config)
		var got []string
		config.Check(func(field, format string, args ...any) { got = append(got, field+": "+fmt.Sprintf(format, args...)) })
		var want []string
		if c.want != "" {
			want = strings.Split(c.want, "\n")
		}
		for i := range min(len(got), len(want)) {
			if strings.HasPrefix(got[i], want[i]) {
				got[i] = want[i]
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: problems differ (-want +got):\n%s", c.name, d)
		}
	}
}

func TestConfigTells(t *testing.T) {
	c := goodConfig()
	if got, want := c.ZoneNames(), []string{"example.org.", "example.net."}; !slices.Equal(got, want) {
		t.Errorf("zones %q, want %q", got, want)
	}
	if queue, propagation := c.Worst(); queue != 4*time.Second || propagation != 10*time.Second {
		t.Errorf("worst case %s and %s; want 2 s for each of two servers, and 10 s", queue, propagation)
	}
	c.Timeout, c.Propagation = 5*time.Second, time.Minute
	if queue, propagation := c.Worst(); queue != 10*time.Second || propagation != time.Minute {
		t.Errorf("worst case %s and %s; want what the config says", queue, propagation)
	}
	if caps := c.Caps(); caps.Weights || !caps.Exact || caps.MinTTL != 1 || caps.MaxTTL != 1<<31-1 {
		t.Errorf("caps %+v", caps)
	}
}
