package tlscheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
)

// date is how reasons write the time of a certificate.
const date = "2006-01-02 15:04 UTC"

// fail makes the result of a handshake that did not end well. What crypto/x509
// says of a date names no certificate, so that is worded here.
func (p *Prober) fail(ctx context.Context, a *attempt.Attempt, err error) checks.Result {
	var refused *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &refused) || len(refused.UnverifiedCertificates) == 0 {
		return a.Fail(ctx, "", err)
	}
	leaf := refused.UnverifiedCertificates[0]
	a.Evidence.Detail = p.detail(leaf, "")
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil {
		if problem := dated(invalid.Cert, leaf, time.Now()); problem != "" {
			return a.End(checks.Down, "failed after %s: %s", a.Elapsed(), problem)
		}
	}
	return a.Fail(ctx, "", err)
}

// judge makes the result of a handshake that succeeded.
func (p *Prober) judge(a *attempt.Attempt, state tls.ConnectionState, now time.Time) checks.Result {
	if len(state.PeerCertificates) == 0 {
		return a.End(checks.Down, "agreed without a certificate after %s", a.Elapsed())
	}
	leaf := state.PeerCertificates[0]
	spoken := tls.VersionName(state.Version)
	a.Evidence.Detail = p.detail(leaf, spoken+" "+state.NegotiatedProtocol)
	if problem := dated(leaf, leaf, now); problem != "" {
		return a.End(checks.Down, "failed after %s: %s", a.Elapsed(), problem)
	}
	if len(p.c.ALPN) > 0 && state.NegotiatedProtocol == "" {
		return a.End(checks.Down, "agreed on %s after %s, but on no application protocol (ALPN), expected %s",
			spoken, a.Elapsed(), strings.Join(p.c.ALPN, " or "))
	}
	first := soonest(leaf, state.VerifiedChains)
	ends := fmt.Sprintf("%s expires on %s, in %s", named(first, leaf), first.NotAfter.UTC().Format(date), words(first.NotAfter.Sub(now)))
	if p.c.WarnBefore > 0 && first.NotAfter.Sub(now) <= p.c.WarnBefore {
		return a.End(checks.Degraded, "agreed on %s after %s, but %s; expected more than %s", spoken, a.Elapsed(), ends, words(p.c.WarnBefore))
	}
	return a.End(checks.Up, "agreed on %s after %s; %s", spoken, a.Elapsed(), ends)
}

// detail is the evidence: what was agreed, and the certificate.
func (p *Prober) detail(leaf *x509.Certificate, agreed string) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s until %s", agreed, subject(leaf), leaf.NotAfter.UTC().Format(date)))
}

// soonest is the certificate that ends first in the chain that lasts longest;
// the leaf where nothing was verified. A server's chain may hold certificates
// that the verified one does not need, and these do not count.
func soonest(leaf *x509.Certificate, chains [][]*x509.Certificate) *x509.Certificate {
	var best *x509.Certificate
	for _, chain := range chains {
		if len(chain) == 0 {
			continue
		}
		first := chain[0]
		for _, c := range chain {
			if c.NotAfter.Before(first.NotAfter) {
				first = c
			}
		}
		if best == nil || first.NotAfter.After(best.NotAfter) {
			best = first
		}
	}
	if best == nil {
		return leaf
	}
	return best
}

// dated says what is wrong with the dates of a certificate, or "".
func dated(c, leaf *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return fmt.Sprintf("%s expired on %s, %s ago", named(c, leaf), c.NotAfter.UTC().Format(date), words(now.Sub(c.NotAfter)))
	case now.Before(c.NotBefore):
		return fmt.Sprintf("%s is not valid before %s, in %s", named(c, leaf), c.NotBefore.UTC().Format(date), words(c.NotBefore.Sub(now)))
	}
	return ""
}

// named is how a reason calls a certificate.
func named(c, leaf *x509.Certificate) string {
	if c.Equal(leaf) {
		return "its certificate for " + subject(c)
	}
	return "the certificate of its authority " + subject(c)
}

// subject is whom a certificate names: what it is verified for, else its
// common name.
func subject(c *x509.Certificate) string {
	name := c.Subject.CommonName
	switch {
	case len(c.DNSNames) > 0:
		name = c.DNSNames[0]
	case len(c.IPAddresses) > 0:
		name = c.IPAddresses[0].String()
	}
	return strconv.Quote(attempt.Clip(name, 64))
}

// words writes a time of hours or days.
func words(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return strconv.Itoa(int(d/(24*time.Hour))) + " days"
	case d >= time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return d.Round(time.Second).String()
}
