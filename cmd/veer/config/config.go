// Package config reads veer.yaml, and host.yaml beside it, into one Config.
//
// The file is a strict part of YAML 1.2: no anchors, aliases, merge keys or
// tags, no unknown or repeated key, no value of another type than its key
// takes. Each package owns its part: the fields of a monitor, of an authority
// and of the cluster are those of their packages' Config. Load reports every
// problem at once, each with file, line, column and the source line, and never
// repeats what may be a secret.
//
// A Config does not change after Load; its methods are safe for concurrent
// use.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/powerdns"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/cluster"
)

// Config is everything that veer.yaml says, with every default filled in,
// names and addresses in canonical form and paths absolute.
type Config struct {
	// Owner names this Veer in every zone and in etcd.
	Owner   string         `yaml:"owner"`
	Cluster cluster.Config `yaml:"cluster"`
	// Regions are where endpoints are; Vantages are the voters.
	Regions  []regions.Name `yaml:"regions"`
	Vantages []regions.Name `yaml:"vantages"`
	// References are URLs that a vantage probes to doubt itself.
	References []string           `yaml:"references"`
	Providers  Providers          `yaml:"providers"`
	Monitors   map[string]Monitor `yaml:"monitors"`
	Services   []Service          `yaml:"services"`
	// Panic and Velocity bound how much moves at once, over all services.
	Panic     Panic     `yaml:"panic"`
	Velocity  Velocity  `yaml:"velocity"`
	Reconcile Reconcile `yaml:"reconcile"`
	// Schedule is the time from one pass of `veer once` to the next; 0: there
	// are daemons.
	Schedule time.Duration `yaml:"schedule"`
	// Isolation is what an authority answers that is cut off.
	Isolation Isolation `yaml:"isolation"`
	// Notifications say who is told of what happens, Journal where the journal
	// is written to.
	Notifications Notifications `yaml:"notifications"`
	Journal       Journal       `yaml:"journal"`
	Host          Host          `yaml:"host"`

	dir    string         // of the file
	shared cluster.Config // cluster as the file has it, the environment aside
}

func (c *Config) setDefaults() {
	c.Reconcile.setDefaults()
	c.Isolation.setDefaults()
	c.Panic.setDefaults()
	c.Velocity.setDefaults()
	c.Notifications.setDefaults()
}

// Host is what differs from host to host.
type Host struct {
	// Region is the region, or the vantage, that this host is in.
	Region regions.Name `yaml:"region"`
	// DataDir holds etcd's data, snapshots and sockets.
	DataDir string `yaml:"data_dir"`
	TLS     TLS    `yaml:"tls"`
	HTTP    HTTP   `yaml:"http"`
	// User is whom a daemon that is started as root goes on as; "": it stays.
	User string `yaml:"user"`
}

// TLS names the PEM files by which members of the cluster know each other.
type TLS struct {
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Providers are in the file's order.
type Providers []Provider

// Provider is one place where answers go. The Config of its kind is set, and no
// other.
type Provider struct {
	Name       string
	Kind       string
	Authority  *authority.Config
	Route53    *route53.Config
	Cloudflare *cloudflare.Config
	RFC2136    *rfc2136.Config
	PowerDNS   *powerdns.Config
}

// Written is what is known of a provider whose zones others serve, before it is
// asked anything.
type Written interface {
	Check(bad func(field, format string, args ...any))
	ZoneNames() []string
	Caps() providers.Caps
	// Worst are the declared bounds of the wait for its API and of the time
	// until all name servers have a change.
	Worst() (queue, propagation time.Duration)
}

// Written returns the Config of a provider that is written to, or nil for the
// authority.
func (p Provider) Written() Written {
	switch {
	case p.Route53 != nil:
		return *p.Route53
	case p.Cloudflare != nil:
		return *p.Cloudflare
	case p.RFC2136 != nil:
		return *p.RFC2136
	case p.PowerDNS != nil:
		return *p.PowerDNS
	}
	return nil
}

// Caps is what the provider's records can express.
func (p Provider) Caps() providers.Caps {
	if w := p.Written(); w != nil {
		return w.Caps()
	}
	return authority.Caps()
}

// Zones returns the canonical names of the provider's zones.
func (p Provider) Zones() []string {
	if w := p.Written(); w != nil {
		return w.ZoneNames()
	}
	if p.Authority == nil {
		return nil
	}
	names := make([]string, 0, len(p.Authority.Zones))
	for _, z := range p.Authority.Zones {
		names = append(names, z.Name)
	}
	return names
}

// Zone returns the longest of the provider's zones that holds name, or "".
func (p Provider) Zone(name string) string {
	best := ""
	for _, z := range p.Zones() {
		if inZone(name, z) && len(z) > len(best) {
			best = z
		}
	}
	return best
}

// Hash identifies the shared part of the configuration: two regions that run
// the same veer.yaml have the same hash, whatever their hosts say and wherever
// the file lies.
func (c *Config) Hash() string {
	shared := *c
	shared.Host, shared.Cluster = Host{}, c.shared
	text := shared.YAML(true)
	if c.dir != "" && c.dir != string(filepath.Separator) {
		text = []byte(strings.ReplaceAll(string(text), c.dir+string(filepath.Separator), ""))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// YAML returns the effective configuration, the settings of the environment
// included, in a form that Load reads back to an equal Config. With defaults
// it names every key that has a value; without, only those that differ from
// their default. It holds the paths of secrets, never a secret.
func (c *Config) YAML(defaults bool) []byte {
	e := encoder{defaults: defaults, vantages: len(c.Vantages)}
	shown := *c
	if !defaults && slices.Equal(c.Regions, c.Vantages) {
		shown.Vantages = nil
	}
	var b strings.Builder
	e.config(&shown).write(&b, "")
	return []byte(b.String())
}

// Limits of a configuration.
const (
	maxRegions   = 64
	maxServices  = 10_000
	maxPools     = 32
	maxEndpoints = 256
	maxTTL       = 24 * time.Hour
	maxTime      = 30 * 24 * time.Hour
)
