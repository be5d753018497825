package authority

import (
	"net/netip"
	"strconv"
	"time"
)

// Alias says how the hosts of ALIAS answers are looked up.
type Alias struct {
	// Resolver holds the recursive resolvers to ask, each "IP:port", in order:
	// a later one when those before fail. Empty: ALIAS answers are refused.
	Resolver []string `yaml:"resolver"`
	// Timeout is how long one resolver has for one question. 0 is 2 s.
	Timeout time.Duration `yaml:"timeout"`
	// MinTTL and MaxTTL bound how long what a resolver said is used before it is
	// asked again, whatever TTL it gave. 0 is 5 s, and 5 min.
	MinTTL time.Duration `yaml:"min_ttl"`
	MaxTTL time.Duration `yaml:"max_ttl"`
	// StaleTTL is the TTL of addresses that should have been renewed and could
	// not be (RFC 8767, section 4). 0 is 30 s.
	StaleTTL time.Duration `yaml:"stale_ttl"`
}

// Defaults and bounds of Alias.
const (
	maxResolvers       = 8
	defaultAskTimeout  = 2 * time.Second
	minAskTimeout      = 50 * time.Millisecond
	maxAskTimeout      = 30 * time.Second
	defaultMinAliasTTL = 5 * time.Second
	defaultMaxAliasTTL = 5 * time.Minute
	defaultStaleTTL    = 30 * time.Second
	mostAliasTTL       = 24 * time.Hour
)

func (a Alias) withDefaults() Alias {
	def := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	def(&a.Timeout, defaultAskTimeout)
	def(&a.MaxTTL, max(defaultMaxAliasTTL, a.MinTTL))
	def(&a.MinTTL, min(defaultMinAliasTTL, a.MaxTTL))
	def(&a.StaleTTL, defaultStaleTTL)
	return a
}

func (a Alias) check(listen []string, bad func(field, format string, args ...any)) {
	if len(a.Resolver) == 0 && (a.Timeout != 0 || a.MinTTL != 0 || a.MaxTTL != 0 || a.StaleTTL != 0) {
		bad("alias.resolver", "no resolver is given, so that the other keys have no meaning; expected at least one like \"192.0.2.53:53\"")
	}
	if len(a.Resolver) > maxResolvers {
		bad("alias.resolver", "%d resolvers; expected at most %d", len(a.Resolver), maxResolvers)
	}
	seen := make(map[netip.AddrPort]bool)
	for i, text := range a.Resolver {
		field := "alias.resolver[" + strconv.Itoa(i) + "]"
		at, err := netip.ParseAddrPort(text)
		switch {
		case err != nil || at.Port() == 0:
			bad(field, "%q is not an address with a port; expected one like \"192.0.2.53:53\" or \"[2001:db8::53]:53\"", text)
			continue
		case at.Addr().IsUnspecified() || at.Addr().IsMulticast():
			bad(field, "%q is not the address of one host; expected one like \"192.0.2.53:53\"", text)
		case seen[at]:
			bad(field, "%q is listed twice; name each resolver once", text)
		}
		seen[at] = true
		for _, l := range listen {
			if itself(at, l, nil) {
				bad(field, "%q is this server itself (it listens on %q), which resolves nothing; expected a recursive resolver", text, l)
			}
		}
	}
	within := func(field string, d, low, high time.Duration) {
		if d != 0 && (d < low || d > high) {
			bad("alias."+field, "%s is out of range; expected %s to %s", d, low, high)
		}
	}
	within("timeout", a.Timeout, minAskTimeout, maxAskTimeout)
	for field, d := range map[string]time.Duration{"min_ttl": a.MinTTL, "max_ttl": a.MaxTTL, "stale_ttl": a.StaleTTL} {
		within(field, d, time.Second, mostAliasTTL)
		if d%time.Second != 0 {
			bad("alias."+field, "%s is no number of whole seconds; expected one, as a TTL is", d)
		}
	}
	if a.MaxTTL != 0 && a.MinTTL > a.MaxTTL {
		bad("alias.min_ttl", "%s is more than max_ttl, %s; expected at most that", a.MinTTL, a.MaxTTL)
	}
}

// itself reports whether who connects to server from this host meets what
// listens there. own are the addresses of this host, as far as they are known:
// loopback always is.
func itself(server netip.AddrPort, listen string, own []netip.Addr) bool {
	at, err := netip.ParseAddrPort(listen)
	if err != nil || at.Port() != server.Port() {
		return false
	}
	to, l := server.Addr().Unmap(), at.Addr().Unmap()
	if to == l {
		return true
	}
	if !l.IsUnspecified() || l.Is4() && !to.Is4() {
		return false
	}
	for _, a := range own {
		if a.Unmap().WithZone("") == to {
			return true
		}
	}
	return to.IsLoopback()
}
