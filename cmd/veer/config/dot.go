package config

import (
	"fmt"
	"time"

	"github.com/veerdns/veer/regions/cluster/certs"
)

// dotWarnings are what is wrong with the certificates of DNS over TLS, or soon
// will be. None of it keeps an authority from serving what needs no certificate.
func (c *Config) dotWarnings(now time.Time) []string {
	var out []string
	for _, p := range c.Providers {
		if p.Authority == nil || len(p.Authority.TLS.Listen) == 0 {
			continue
		}
		key := "providers." + p.Name + ".tls.cert_file"
		leaf, err := p.Authority.TLS.Leaf()
		if err != nil {
			out = append(out, key+": "+oneLine(err.Error()))
			continue
		}
		end := leaf.NotAfter.UTC().Format(time.DateOnly)
		switch left := leaf.NotAfter.Sub(now); {
		case left <= 0:
			out = append(out, fmt.Sprintf("%s %s: it expired on %s", key, p.Authority.TLS.CertFile, end))
		case now.Before(leaf.NotBefore):
			out = append(out, fmt.Sprintf("%s %s: it is not valid before %s", key, p.Authority.TLS.CertFile, leaf.NotBefore.UTC().Format(time.DateOnly)))
		case left <= ExpiresSoon:
			out = append(out, fmt.Sprintf("%s %s: it expires on %s, in %s", key, p.Authority.TLS.CertFile, end, certs.Left(left)))
		}
	}
	return out
}
