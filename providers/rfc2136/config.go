package rfc2136

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// Config is the part of the config that is about one server of dynamic updates.
type Config struct {
	// Servers are the addresses of the zones' primary, "10.0.0.53:53", tried in
	// order. All must hold the same zone at the same moment: addresses of one
	// server, a pair that shares its storage, or a secondary that forwards
	// updates (RFC 2136, section 6). Primaries that copy from each other later
	// cannot keep a stale write out.
	Servers []string `yaml:"servers"`
	// TSIG is the key that signs requests and proves replies (RFC 8945). Only
	// servers on this host may go without.
	TSIG  TSIG   `yaml:"tsig"`
	Zones []Zone `yaml:"zones"`
	// Read is how zones are read: ReadTransfer, the default, or ReadQueries.
	Read string `yaml:"read"`
	// Timeout bounds one exchange with one server. 0 is 2 s.
	Timeout time.Duration `yaml:"timeout"`
	// Propagation is the longest that secondaries take to have a change. 0 is
	// 10 s, which needs NOTIFY (RFC 1996).
	Propagation time.Duration `yaml:"propagation"`
	// Secondaries are the addresses of the servers that are asked whether they
	// have a change. None: those that the zone's NS records name.
	Secondaries []string `yaml:"secondaries"`
}

// TSIG is a key that both sides know. Its secret, in base64 as tsig-keygen
// writes it, stands in a file or an environment variable.
type TSIG struct {
	Name string `yaml:"name"`
	// Algorithm is hmac-sha256, hmac-sha384 or hmac-sha512. Empty is
	// hmac-sha256.
	Algorithm  string `yaml:"algorithm"`
	SecretFile string `yaml:"secret_file"`
	SecretEnv  string `yaml:"secret_env"`
}

// Zone is one zone that is written.
type Zone struct {
	Name string `yaml:"name"`
}

// How zones are read.
const (
	// ReadTransfer reads the whole zone by AXFR (RFC 5936).
	ReadTransfer = "axfr"
	// ReadQueries asks for the services' names and for nothing else, where the
	// primary gives no transfer.
	ReadQueries = "queries"
)

// Bounds and defaults of Config.
const (
	defaultTimeout     = 2 * time.Second
	minTimeout         = 100 * time.Millisecond
	maxTimeout         = time.Minute
	defaultPropagation = 10 * time.Second
	maxPropagation     = 24 * time.Hour
	maxServers         = 16
	defaultAlgorithm   = "hmac-sha256"
)

// MinTTL and MaxTTL bound the TTLs of answers, in seconds. A TTL of 0 is legal
// but not used: some resolvers do not take it (RFC 1035, section 3.2.1, and RFC
// 2181, section 8).
const (
	MinTTL = 1
	MaxTTL = 1<<31 - 1
)

func (c Config) withDefaults() Config {
	if c.Read == "" {
		c.Read = ReadTransfer
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Propagation == 0 {
		c.Propagation = defaultPropagation
	}
	if c.signs() && c.TSIG.Algorithm == "" {
		c.TSIG.Algorithm = defaultAlgorithm
	}
	return c
}

// signs reports whether there is a key.
func (c Config) signs() bool { return c.TSIG != TSIG{} }

// ZoneNames returns the zones' canonical names.
func (c Config) ZoneNames() []string {
	names := make([]string, len(c.Zones))
	for i, z := range c.Zones {
		names[i] = providers.CanonicalName(z.Name)
	}
	return names
}

// Caps returns what records can express here. A change is compared with what
// the zone has (RFC 2136, section 2.4.2), but for TTLs, which no prerequisite
// compares: one that others set is overwritten.
func (c Config) Caps() providers.Caps {
	return providers.Caps{MinTTL: MinTTL, MaxTTL: MaxTTL, Exact: true}
}

// Worst returns the longest that a write waits for servers that do not answer,
// Timeout for each of Servers, and Propagation.
func (c Config) Worst() (queue, propagation time.Duration) {
	c = c.withDefaults()
	return c.Timeout * time.Duration(max(len(c.Servers), 1)), c.Propagation
}

// Check reports every problem that shows without a network; field is the yaml
// key path, e.g. "zones[0].name".
func (c Config) Check(bad func(field, format string, args ...any)) {
	if len(c.Servers) == 0 {
		bad("servers", "no server; expected at least one like \"10.0.0.53:53\"")
	}
	c.checkServers("servers", c.Servers, bad)
	c.checkServers("secondaries", c.Secondaries, bad)
	c.checkTSIG(bad)
	c.checkZones(bad)
	if c.Read != "" && c.Read != ReadTransfer && c.Read != ReadQueries {
		bad("read", "%q is unknown; expected %s or %s (default %s)", c.Read, ReadTransfer, ReadQueries, ReadTransfer)
	}
	if c.Timeout != 0 && (c.Timeout < minTimeout || c.Timeout > maxTimeout) {
		bad("timeout", "%s is out of range; expected %s to %s (default %s)", c.Timeout, minTimeout, maxTimeout, defaultTimeout)
	}
	if c.Propagation < 0 || c.Propagation > maxPropagation {
		bad("propagation", "%s is out of range; expected at most %s (default %s)", c.Propagation, maxPropagation, defaultPropagation)
	}
}

func (c Config) checkServers(field string, servers []string, bad func(field, format string, args ...any)) {
	if len(servers) > maxServers {
		bad(field, "%d servers; expected at most %d", len(servers), maxServers)
	}
	seen := make(map[string]bool)
	for i, s := range servers {
		at := field + "[" + strconv.Itoa(i) + "]"
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			bad(at, "%q is not an address; expected one like \"10.0.0.53:53\" or \"[2001:db8::53]:53\"", s)
			continue
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			bad(at, "%q: port %q is not a number from 1 to 65535", s, port)
		}
		if _, ok := dns.IsDomainName(host); net.ParseIP(host) == nil && (!ok || host == "" || strings.ContainsAny(host, `:\ `)) {
			bad(at, "%q: %q is neither an IP address nor a host name", s, host)
		}
		if seen[s] {
			bad(at, "%q is listed twice; name each server once", s)
		}
		seen[s] = true
	}
}

func (c Config) checkTSIG(bad func(field, format string, args ...any)) {
	if !c.signs() {
		for i, s := range c.Servers {
			if !loopback(s) {
				bad("tsig", "servers[%d] %q is not this host, and without a key anybody can forge an update's reply; expected {name: veer., algorithm: hmac-sha256, secret_file: PATH}", i, s)
				return
			}
		}
		return
	}
	if _, ok := dns.IsDomainName(c.TSIG.Name); !ok || c.TSIG.Name == "" {
		bad("tsig.name", "%q is not a key's name; expected one like veer. as the server has it", c.TSIG.Name)
	}
	if _, ok := algorithms()[c.TSIG.Algorithm]; !ok && c.TSIG.Algorithm != "" {
		bad("tsig.algorithm", "%q is not taken; expected hmac-sha256, hmac-sha384 or hmac-sha512 (default %s)", c.TSIG.Algorithm, defaultAlgorithm)
	}
	if (c.TSIG.SecretFile == "") == (c.TSIG.SecretEnv == "") {
		bad("tsig", "expected exactly one of secret_file and secret_env")
	}
}

func (c Config) checkZones(bad func(field, format string, args ...any)) {
	if len(c.Zones) == 0 {
		bad("zones", "no zone to write; expected at least one like {name: example.org}")
	}
	seen := make(map[string]bool)
	for i, z := range c.Zones {
		field := "zones[" + strconv.Itoa(i) + "].name"
		if _, ok := dns.IsDomainName(z.Name); !ok || z.Name == "" {
			bad(field, "%q is not a domain name; expected one like example.org", z.Name)
			continue
		}
		name := providers.CanonicalName(z.Name)
		if seen[name] {
			bad(field, "zone %q is listed twice; name each zone once", z.Name)
		}
		seen[name] = true
	}
}

// loopback reports whether the server is an address of this host.
func loopback(server string) bool {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return true // it is no address: that is what is told
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}
