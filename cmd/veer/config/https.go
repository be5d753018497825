package config

import (
	"fmt"
	"slices"

	"github.com/veerdns/veer/providers/authority"
)

// HTTPS is what a service's HTTPS record says beside its addresses (RFC 9460).
type HTTPS struct {
	// ALPN holds protocols, the preferred first.
	ALPN []string `yaml:"alpn"`
	Port int      `yaml:"port"`
}

// maxALPN is how many protocols a record names at most.
const maxALPN = 16

func (l *loader) https(s *Service, path string) {
	if s.HTTPS == nil {
		return
	}
	path += ".https"
	if l.require(path, "alpn", "the protocols that the endpoints speak, like [h2, http/1.1]") && l.clean(path+".alpn") {
		if n := len(s.HTTPS.ALPN); n < 1 || n > maxALPN {
			l.bad(path+".alpn", fmt.Sprintf("found %d protocols", n), fmt.Sprintf("1 to %d", maxALPN), "")
		}
		for i, id := range s.HTTPS.ALPN {
			at := fmt.Sprintf("%s.alpn[%d]", path, i)
			switch {
			case !isALPN(id):
				l.bad(at, "found "+quote(id), "the name of a protocol, such as h3, h2 or http/1.1: 1 to 255 visible ASCII characters but comma, quote and backslash", "")
			case slices.Contains(s.HTTPS.ALPN[:i], id):
				l.bad(at, quote(id)+" is listed twice", "each protocol once", "")
			}
		}
	}
	if p := s.HTTPS.Port; p < 0 || p > 65535 {
		l.bad(path+".port", fmt.Sprintf("found %d", p), "1 to 65535, or no key for 443", "")
	}
	for _, pool := range s.Pools {
		for _, e := range pool.Endpoints {
			if _, typ, _ := s.address(e); typ == "CNAME" {
				l.bad(path, "the service has the host name "+quote(e)+", and a CNAME has no records beside it (RFC 1034, section 3.6.2)", "IP addresses, or type: ALIAS, or no https", "")
				return
			}
		}
	}
	for _, name := range s.Providers {
		if p, ok := l.c.Providers.find(name); ok && p.Authority == nil {
			l.bad(path, "HTTPS records are served by a provider of kind authority, and "+name+" is not one", "only providers of kind authority, or no https", "")
			return
		}
	}
}

func isALPN(id string) bool {
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == ',' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(id) >= 1 && len(id) <= 255
}

// HTTPS is what the services' HTTPS records say, of those that have one.
func (c *Config) HTTPS() map[string]authority.HTTPS {
	out := map[string]authority.HTTPS{}
	for _, s := range c.Services {
		if s.HTTPS != nil {
			out[s.Name] = authority.HTTPS{ALPN: s.HTTPS.ALPN, Port: uint16(s.HTTPS.Port)} // #nosec G115 -- https has checked it
		}
	}
	return out
}
