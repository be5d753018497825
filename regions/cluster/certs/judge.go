package certs

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Use is what a certificate is judged for.
type Use struct {
	// CAs are whom the others trust; nil: that is not known.
	CAs []*x509.Certificate
	// Hosts are the addresses and names at which its holder listens, all of
	// which it must cover. Without any it is used by a client only.
	Hosts []string
	// Key is the holder's; nil: that is not known.
	Key crypto.Signer
	// Soon is how long before its end a certificate expires soon.
	Soon time.Duration
}

// Judgement is what is wrong with a certificate.
type Judgement struct {
	// Problems are why it is refused, or will not serve.
	Problems []string
	// Soon tells of an end that is near; empty: none is.
	Soon string
}

// Judge says what is wrong with a chain for a use.
func Judge(chain []*x509.Certificate, use Use, now time.Time) Judgement {
	j := Judgement{}
	leaf := chain[0]
	j.term("it", leaf, use.Soon, now)
	for _, c := range chain[1:] {
		j.term("the certificate of "+Name(c.Subject)+" that leads to its CA", c, use.Soon, now)
	}
	if leaf.IsCA {
		j.add("it is the certificate of a CA: expected one that a CA has issued to this region")
	}
	if use.Key != nil && !fits(leaf, use.Key) {
		j.add("the key is not that of this certificate: both files must be replaced together")
	}
	j.usages(chain, use, now)
	if missing := uncovered(leaf, use.Hosts); len(missing) > 0 {
		j.add("it does not cover %s, where this member listens (it covers %s): issue it again", strings.Join(missing, ", "), or(strings.Join(Hosts(leaf), ", "), "nothing"))
	}
	return j
}

// JudgeCAs says what is wrong with the CAs of a file.
func JudgeCAs(cas []*x509.Certificate, soon time.Duration, now time.Time) Judgement {
	j := Judgement{}
	for _, c := range cas {
		j.term("the CA "+Name(c.Subject), c, soon, now)
	}
	if len(cas) > 1 { // of a bundle one may have come to its end
		for _, c := range cas {
			if !now.After(c.NotAfter) && !now.Before(c.NotBefore) {
				if len(j.Problems) > 0 && j.Soon == "" {
					j.Soon = j.Problems[0] + "; it can be taken out of the file"
				}
				j.Problems = nil
			}
		}
	}
	return j
}

func (j *Judgement) add(format string, args ...any) {
	j.Problems = append(j.Problems, fmt.Sprintf(format, args...))
}

// term judges when a certificate is valid.
func (j *Judgement) term(what string, c *x509.Certificate, soon time.Duration, now time.Time) {
	switch left := c.NotAfter.Sub(now); {
	case left < 0:
		j.add("%s expired on %s", what, day(c.NotAfter))
	case now.Before(c.NotBefore):
		j.add("%s is not valid before %s", what, day(c.NotBefore))
	case left <= soon && j.Soon == "":
		j.Soon = fmt.Sprintf("%s expires on %s, in %s", what, day(c.NotAfter), Left(left))
	}
}

// usages judges whether the chain leads to a CA, and what it may be used for.
func (j *Judgement) usages(chain []*x509.Certificate, use Use, now time.Time) {
	leaf := chain[0]
	if use.CAs == nil {
		if !allows(leaf, x509.ExtKeyUsageClientAuth) {
			j.add("it may not be used by a client: expected the extended key usage clientAuth")
		}
		return
	}
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: within(leaf, now)}
	for _, c := range use.CAs {
		o.Roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	o.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	if _, err := leaf.Verify(o); err != nil {
		j.add("%s", distrust(leaf, err))
		return
	}
	for _, u := range []struct {
		usage     x509.ExtKeyUsage
		name, who string
		wanted    bool
	}{
		{x509.ExtKeyUsageClientAuth, "clientAuth", "client", true},
		{x509.ExtKeyUsageServerAuth, "serverAuth", "server, which a member is", len(use.Hosts) > 0},
	} {
		o.KeyUsages = []x509.ExtKeyUsage{u.usage}
		if _, err := leaf.Verify(o); err != nil && u.wanted {
			j.add("it may not be used by a %s: expected the extended key usage %s", u.who, u.name)
		}
	}
}

// within is the moment in a certificate's term that is nearest to now, so that
// its end is not taken for a stranger's signature.
func within(c *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.After(c.NotAfter):
		return c.NotAfter
	case now.Before(c.NotBefore):
		return c.NotBefore
	}
	return now
}

// distrust says why a chain does not lead to a CA.
func distrust(leaf *x509.Certificate, err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return "its CA, or a certificate that leads to it, is expired or not valid yet"
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Sprintf("it is signed by %s, which is not the CA of host.tls.ca_file (or a certificate that leads to it is missing in its file)", Name(leaf.Issuer))
	}
	return "the CA of host.tls.ca_file does not vouch for it: " + clip(err.Error())
}

func allows(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range c.ExtKeyUsage {
		if u == usage || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// uncovered are the hosts that a certificate does not hold for.
func uncovered(c *x509.Certificate, hosts []string) []string {
	var out []string
	for _, h := range hosts {
		if c.VerifyHostname(bracketed(h)) != nil {
			out = append(out, h)
		}
	}
	return out
}

// bracketed is a host as x509 wants it: an IP address is never taken for a
// name.
func bracketed(host string) string {
	if ip := net.ParseIP(host); ip != nil {
		return "[" + ip.String() + "]"
	}
	return host
}

// Hosts are the addresses and names that a certificate covers.
func Hosts(c *x509.Certificate) []string {
	out := []string{}
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	for _, n := range c.DNSNames {
		out = append(out, clip(n))
	}
	return out
}

// Usages names what a certificate may be used for.
func Usages(c *x509.Certificate) []string {
	out := []string{}
	if c.IsCA {
		out = append(out, "CA")
	}
	if c.IsCA && len(c.ExtKeyUsage) == 0 {
		return out
	}
	if allows(c, x509.ExtKeyUsageServerAuth) {
		out = append(out, "server")
	}
	if allows(c, x509.ExtKeyUsageClientAuth) {
		out = append(out, "client")
	}
	return out
}

// Left is a time that is left, as people count it.
func Left(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d minutes", d/time.Minute)
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
