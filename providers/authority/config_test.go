package authority

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigCheck(t *testing.T) {
	good := exampleConfig()
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // the start of each problem, one a line
	}{
		{"good", func(*Config) {}, ""},
		{"several", func(c *Config) { c.Listen = []string{"0.0.0.0:53", "[::]:53", "127.0.0.1:0", "127.0.0.1:0"} }, ""},
		{"no listen", func(c *Config) { c.Listen = nil }, "listen: no address"},
		{"no port", func(c *Config) { c.Listen = []string{"127.0.0.1"} }, `listen[0]: "127.0.0.1" is not an address`},
		{"a name", func(c *Config) { c.Listen = []string{"localhost:53"} }, `listen[0]: "localhost:53": "localhost" is not an IP address`},
		{"a port too high", func(c *Config) { c.Listen = []string{"127.0.0.1:65536"} }, `listen[0]: "127.0.0.1:65536": port "65536" is not`},
		{"a port with zeros", func(c *Config) { c.Listen = []string{"127.0.0.1:053"} }, `listen[0]: "127.0.0.1:053": write the port as 53`},
		{"twice", func(c *Config) { c.Listen = []string{"127.0.0.1:53", "127.0.0.1:53"} }, `listen[1]: "127.0.0.1:53" is listed twice`},
		{"no zones", func(c *Config) { c.Zones = nil }, "zones: no zone"},
		{"zone twice", func(c *Config) { c.Zones = append(c.Zones, Zone{Name: "Example.TEST.", File: "x"}) }, `zones[1].name: zone "Example.TEST." is listed twice`},
		{"no name", func(c *Config) { c.Zones = []Zone{{Name: "", File: "x"}} }, `zones[0].name: "" is not a domain name`},
		{"bad name", func(c *Config) { c.Zones = []Zone{{Name: "a..b", File: "x"}} }, `zones[0].name: "a..b" is not a domain name`},
		{"no file", func(c *Config) { c.Zones = []Zone{{Name: "a.b", File: ""}} }, `zones[0].file: zone "a.b" has no file`},
		{"sizes", func(c *Config) { c.UDPSize, c.TCPIdle, c.TCPConnections = 511, -1, -1 }, "udp_size: 511\ntcp_idle: -1ns\ntcp_connections: -1"},
		{"told", func(c *Config) { c.Identity, c.Version = "ns1 (eu-west)", strings.Repeat("v", 255) }, ""},
		{"told too much", func(c *Config) { c.Identity, c.Version = "a\nb", strings.Repeat("v", 256) }, "identity: \"a\\nb\"; expected printable\nversion: 256 bytes; expected at most 255"},
		{"every way", func(c *Config) { c.Fast, c.Sockets = FastPortable, 256 }, ""},
		{"an unknown way", func(c *Config) { c.Fast, c.Sockets = "on", 257 }, "fast: \"on\" is unknown\nsockets: 257 is out of range"},
		{"less than no sockets", func(c *Config) { c.Sockets = -1 }, "sockets: -1"},
		{"large sizes", func(c *Config) { c.UDPSize, c.TCPIdle, c.TCPConnections = 4097, time.Hour, 1<<20 }, "udp_size: 4097\ntcp_idle: 1h\ntcp_connections: 1048576"},
		{"connections", func(c *Config) { c.TCPConnectionsPerClient = -1 }, "tcp_connections_per_client: -1"},
		{"over TLS", func(c *Config) {
			c.TLS = TLS{Listen: []string{"127.0.0.1:0", "127.0.0.1:0", "[::]:853"}, CertFile: "c", KeyFile: "k"}
		}, ""},
		{"over TLS without files", func(c *Config) { c.TLS.Listen = []string{"0.0.0.0:853"} }, "tls.cert_file: no file\ntls.key_file: no file"},
		{"over TLS without an address", func(c *Config) { c.TLS.KeyFile = "k" }, "tls.listen: no address"},
		{"over TLS on a port that is taken", func(c *Config) {
			c.Listen = []string{"0.0.0.0:53"}
			c.TLS = TLS{Listen: []string{"0.0.0.0:53", "853"}, CertFile: "c", KeyFile: "k"}
		}, `tls.listen[0]: "0.0.0.0:53" is listed twice` + "\n" + `tls.listen[1]: "853" is not an address`},
		{"proxies", func(c *Config) { c.Proxy.Trust = []string{"192.0.2.80", "proxy"} }, `proxy.trust[1]: "proxy" is not a network`},
		{"trust", func(c *Config) { c.ECS = ECS{Trust: []string{"192.0.2.53", "::/0"}, MaxPrefixV4: 32, MaxPrefixV6: 128} }, ""},
		{"no network", func(c *Config) { c.ECS.Trust = []string{"resolver"} }, `ecs.trust[0]: "resolver" is not a network`},
		{"mapped", func(c *Config) { c.ECS.Trust = []string{"::ffff:192.0.2.1"} }, `ecs.trust[0]: "::ffff:192.0.2.1" is not a network`},
		{"bits behind", func(c *Config) { c.ECS.Trust = []string{"192.0.2.1/24"} }, `ecs.trust[0]: "192.0.2.1/24" has bits behind its length; expected 192.0.2.0/24`},
		{"no trust", func(c *Config) { c.ECS.MaxPrefixV6 = 48 }, "ecs.trust: no resolver is trusted"},
		{"allow", func(c *Config) {
			c.Allow, c.Zones = []string{"192.0.2.0/24", "::1"}, []Zone{{Name: "a.b", File: "x", Allow: []string{"0.0.0.0/0"}}}
		}, ""},
		{"allow nobody", func(c *Config) {
			c.Allow, c.Zones = []string{}, []Zone{{Name: "a.b", File: "x", Allow: []string{}}}
		}, "allow: no network\nzones[0].allow: no network"},
		{"allow no network", func(c *Config) {
			c.Allow, c.Zones = []string{"::1", "192.0.2.1/24"}, []Zone{{Name: "a.b", File: "x", Allow: []string{"office"}}}
		}, "allow[1]: \"192.0.2.1/24\" has bits behind its length\nzones[0].allow[0]: \"office\" is not a network"},
		{"observed", func(c *Config) {
			c.QueryLog, c.Dnstap = QueryLog{Sample: 1, Path: "log", PrefixV4: 24, PrefixV6: 128}, Dnstap{Address: "[::1]:6000", Sample: 10}
		}, ""},
		{"observed badly", func(c *Config) {
			c.QueryLog, c.Dnstap = QueryLog{Sample: -1, PrefixV4: 33, PrefixV6: -1}, Dnstap{Socket: strings.Repeat("x", 108), Sample: -1}
		}, "query_log.sample: -1\nquery_log.prefix_v4: 33\nquery_log.prefix_v6: -1\ndnstap.sample: -1\ndnstap.socket: the path has 108 bytes"},
		{"observed nowhere", func(c *Config) { c.QueryLog.Path, c.Dnstap.Sample = "log", 2 }, "query_log.sample: it is missing\ndnstap.socket: neither"},
		{"observed twice", func(c *Config) { c.Dnstap = Dnstap{Socket: "s", Address: "localhost:1"} }, "dnstap.address: socket and address\ndnstap.address: \"localhost:1\" is not an address"},
		{"prefixes", func(c *Config) { c.ECS = ECS{Trust: []string{"::/0"}, MaxPrefixV4: 33, MaxPrefixV6: -1} }, "ecs.max_prefix_v4: 33\necs.max_prefix_v6: -1"},
	} {
		config := good
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

func TestNewTellsEveryProblem(t *testing.T) {
	c := Config{Listen: []string{"nowhere"}, Zones: []Zone{{Name: "example.test", File: "testdata/absent.zone"}}}
	_, err := New(c, Options{})
	for _, want := range []string{"listen[0]", "absent.zone", "data folder"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name %s", err, want)
		}
	}
}

func TestRebase(t *testing.T) {
	c := Config{Zones: []Zone{{Name: "a", File: "a.zone"}, {Name: "b", File: "/srv/b.zone"}, {Name: "c", File: ""}}}
	got := c.Rebase("/etc/veer").Zones
	if want := []Zone{{Name: "a", File: "/etc/veer/a.zone"}, {Name: "b", File: "/srv/b.zone"}, {Name: "c", File: ""}}; !cmp.Equal(got, want) {
		t.Errorf("rebased to %v, want %v", got, want)
	}
	if c.Zones[0].File != "a.zone" {
		t.Error("the config itself was changed")
	}
}
