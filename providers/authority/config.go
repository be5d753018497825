package authority

import (
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// Config is the authority's part of the config.
type Config struct {
	// Listen holds the addresses to serve on, over UDP and TCP: "0.0.0.0:53",
	// "[::1]:5300". The host is an IP address literal; port 0 takes a free one.
	Listen []string `yaml:"listen"`
	Zones  []Zone   `yaml:"zones"`
	// UDPSize bounds a UDP answer in bytes, whatever larger size a query
	// offers (RFC 9715, section 3.1). 0 is 1232.
	UDPSize int `yaml:"udp_size"`
	// TCPIdle is how long a connection may be silent before it is closed
	// (RFC 7766, section 6.2.3). 0 is 10 s.
	TCPIdle time.Duration `yaml:"tcp_idle"`
	// TCPConnections is how many connections are open at once, over TCP and TLS
	// together, and TCPConnectionsPerClient how many of one IPv4 address or IPv6
	// network of 56 bits. Beyond that the one that has been silent longest gives
	// way, or else the new one is refused. 0 is 1000, and 100.
	TCPConnections          int   `yaml:"tcp_connections"`
	TCPConnectionsPerClient int   `yaml:"tcp_connections_per_client"`
	TLS                     TLS   `yaml:"tls"`
	Proxy                   Proxy `yaml:"proxy"`
	// Freebind binds addresses that no interface has yet (Linux).
	Freebind bool `yaml:"freebind"`
	// Identity is told to who asks which server this is: NSID (RFC 5001), and
	// id.server and hostname.bind of class CHAOS (RFC 4892). Version is told as
	// version.bind and version.server. Empty: the question is refused.
	Identity string `yaml:"identity"`
	Version  string `yaml:"version"`
	// GeoFile is a MaxMind DB of countries or cities, by which clients are
	// located; it is read again when it changes. Empty: there is none.
	GeoFile string `yaml:"geo_file"`
	ECS     ECS    `yaml:"ecs"`
	Alias   Alias  `yaml:"alias"`
	// RateLimit says how much one client network gets of one answer.
	RateLimit RateLimit `yaml:"rate_limit"`
	Cookies   Cookies   `yaml:"cookies"`
	// Allow holds the networks whose queries are answered; all others are
	// refused. Empty: everybody's are.
	Allow []string `yaml:"allow"`
	// QueryLog and Dnstap tell of queries and their answers.
	QueryLog QueryLog `yaml:"query_log"`
	Dnstap   Dnstap   `yaml:"dnstap"`
	// Fast is how UDP is served: FastAuto, FastPortable or FastNone. "" is
	// FastAuto.
	Fast string `yaml:"fast"`
	// Sockets is how many UDP sockets share an address, each with a loop of
	// its own, where the system can share one out; 0: as many as this process
	// may use CPUs.
	Sockets int `yaml:"sockets"`
}

// Zone is one zone that the authority serves.
type Zone struct {
	Name string `yaml:"name"`
	// File is the zone's RFC 1035 master file. A relative path is relative
	// to the working folder; see Rebase.
	File string `yaml:"file"`
	// Allow takes the place of Config.Allow for this zone; empty: that holds.
	Allow []string `yaml:"allow"`
}

// The values of Config.Fast. All give the same answers.
const (
	// FastAuto takes many packets with one system call where the system has
	// that, and answers the usual queries from bytes that are packed ahead.
	FastAuto = "auto"
	// FastPortable takes one packet at a time, as any system can.
	FastPortable = "portable"
	// FastNone unpacks and packs each message, over UDP and TCP.
	FastNone = "none"
)

// Bounds of Config.
const (
	minUDPSize     = 512
	maxUDPSize     = 4096
	defaultUDPSize = 1232
	maxTCPIdle     = 10 * time.Minute
	defaultTCPIdle = 10 * time.Second
	defaultTCP     = 1000
	defaultTCPEach = 100
	maxTCP         = 65536
	maxTold        = 255
	maxSockets     = 256
)

// withDefaults fills zero values.
func (c Config) withDefaults() Config {
	if c.UDPSize == 0 {
		c.UDPSize = defaultUDPSize
	}
	if c.TCPIdle == 0 {
		c.TCPIdle = defaultTCPIdle
	}
	if c.TCPConnections == 0 {
		c.TCPConnections = defaultTCP
	}
	if c.TCPConnectionsPerClient == 0 {
		c.TCPConnectionsPerClient = defaultTCPEach
	}
	if c.Fast == "" {
		c.Fast = FastAuto
	}
	if len(c.Alias.Resolver) > 0 {
		c.Alias = c.Alias.withDefaults()
	}
	if c.Sockets == 0 {
		c.Sockets = min(runtime.GOMAXPROCS(0), maxSockets)
	}
	return c
}

// Rebase returns the config with relative zone files below dir, the folder of
// the file that names them.
func (c Config) Rebase(dir string) Config {
	zones := make([]Zone, len(c.Zones))
	for i, z := range c.Zones {
		if z.File != "" && !filepath.IsAbs(z.File) {
			z.File = filepath.Join(dir, z.File)
		}
		zones[i] = z
	}
	c.Zones = zones
	for _, file := range []*string{&c.TLS.CertFile, &c.TLS.KeyFile} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(dir, *file)
		}
	}
	if c.GeoFile != "" && !filepath.IsAbs(c.GeoFile) {
		c.GeoFile = filepath.Join(dir, c.GeoFile)
	}
	if f := c.Cookies.SecretFile; f != "" && !filepath.IsAbs(f) {
		c.Cookies.SecretFile = filepath.Join(dir, f)
	}
	if c.QueryLog.Path != "" && !filepath.IsAbs(c.QueryLog.Path) {
		c.QueryLog.Path = filepath.Join(dir, c.QueryLog.Path)
	}
	c.Dnstap = c.Dnstap.rebase(dir)
	return c
}

// Check reports every problem that shows without reading a file; field is the
// yaml key path, e.g. "zones[0].name". ReadZone finds those in the files.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if len(c.Listen) == 0 {
		bad("listen", "no address to serve on; expected at least one like \"0.0.0.0:53\"")
	}
	seen := make(map[string]bool)
	for i, l := range c.Listen {
		field := "listen[" + strconv.Itoa(i) + "]"
		checkListen(field, l, bad)
		if seen[l] && !endsInPortZero(l) {
			bad(field, "%q is listed twice; name each address once", l)
		}
		seen[l] = true
	}
	c.checkZones(bad)
	c.ECS.check(bad)
	c.RateLimit.check(bad)
	c.Cookies.check(bad)
	c.checkAllow(bad)
	c.QueryLog.check(bad)
	c.Dnstap.check(bad)
	c.Alias.check(c.Listen, bad)
	if c.UDPSize != 0 && (c.UDPSize < minUDPSize || c.UDPSize > maxUDPSize) {
		bad("udp_size", "%d is out of range; expected %d to %d bytes (default %d)", c.UDPSize, minUDPSize, maxUDPSize, defaultUDPSize)
	}
	if c.TCPIdle < 0 || c.TCPIdle > maxTCPIdle {
		bad("tcp_idle", "%s is out of range; expected at most %s (default %s)", c.TCPIdle, maxTCPIdle, defaultTCPIdle)
	}
	if c.TCPConnections < 0 || c.TCPConnections > maxTCP {
		bad("tcp_connections", "%d is out of range; expected 1 to %d (default %d)", c.TCPConnections, maxTCP, defaultTCP)
	}
	if c.TCPConnectionsPerClient < 0 || c.TCPConnectionsPerClient > maxTCP {
		bad("tcp_connections_per_client", "%d is out of range; expected 1 to %d (default %d)", c.TCPConnectionsPerClient, maxTCP, defaultTCPEach)
	}
	c.TLS.check(c.Listen, bad)
	c.Proxy.check(bad)
	if c.Freebind && !canFreebind {
		bad("freebind", "%s binds no address that no interface has; expected false, and addresses that this host has", runtime.GOOS)
	}
	switch c.Fast {
	case "", FastAuto, FastPortable, FastNone:
	default:
		bad("fast", "%q is unknown; expected %s, %s or %s (default %s)", c.Fast, FastAuto, FastPortable, FastNone, FastAuto)
	}
	if c.Sockets < 0 || c.Sockets > maxSockets {
		bad("sockets", "%d is out of range; expected 1 to %d (default: the CPUs that the process may use)", c.Sockets, maxSockets)
	}
	checkTold("identity", c.Identity, bad)
	checkTold("version", c.Version, bad)
}

// checkTold refuses what does not fit a string of a TXT record.
func checkTold(field, text string, bad func(field, format string, args ...any)) {
	if len(text) > maxTold {
		bad(field, "%d bytes; expected at most %d", len(text), maxTold)
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
		bad(field, "%q; expected printable ASCII characters only", text)
	}
}

func (c Config) checkZones(bad func(field, format string, args ...any)) {
	if len(c.Zones) == 0 {
		bad("zones", "no zone to serve; expected at least one like {name: example.test, file: example.test.zone}")
	}
	seen := make(map[string]bool)
	for i, z := range c.Zones {
		field := "zones[" + strconv.Itoa(i) + "]"
		if _, ok := dns.IsDomainName(z.Name); !ok || z.Name == "" {
			bad(field+".name", "%q is not a domain name; expected one like example.test", z.Name)
			continue
		}
		name := providers.CanonicalName(z.Name)
		if seen[name] {
			bad(field+".name", "zone %q is listed twice; name each zone once", z.Name)
		}
		seen[name] = true
		if z.File == "" {
			bad(field+".file", "zone %q has no file; expected the path of an RFC 1035 master file", z.Name)
		}
	}
}

func checkListen(field, text string, bad func(field, format string, args ...any)) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		bad(field, "%q is not an address; expected one like \"0.0.0.0:53\" or \"[::]:53\"", text)
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		bad(field, "%q: port %q is not a number from 0 to 65535", text, port)
	} else if strconv.FormatUint(n, 10) != port {
		bad(field, "%q: write the port as %d", text, n)
	}
	if _, err := netip.ParseAddr(host); err != nil {
		bad(field, "%q: %q is not an IP address; expected one like 127.0.0.1, 0.0.0.0 or [::1]", text, host)
	}
}

func endsInPortZero(listen string) bool {
	_, port, err := net.SplitHostPort(listen)
	return err == nil && port == "0"
}
