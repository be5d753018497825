package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	certBlock = "CERTIFICATE"
	// maxFile bounds a file, maxCerts the certificates in it: a bundle of all
	// public CAs is about 200 KiB and 150.
	maxFile  = 1 << 20
	maxCerts = 500
)

// ParseChain reads certificates in PEM: the first one is the holder's, those
// after it lead from it to its CA. Blocks of keys are passed over.
func ParseChain(text []byte) ([]*x509.Certificate, error) {
	return parse(text, func(block string) bool { return strings.HasSuffix(block, "PRIVATE KEY") || block == "EC PARAMETERS" })
}

// ParseCAs reads the certificates of CAs in PEM. The file holds nothing else,
// since it is given to everybody.
func ParseCAs(text []byte) ([]*x509.Certificate, error) {
	all, err := parse(text, func(string) bool { return false })
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if !c.IsCA {
			return nil, fmt.Errorf("%s is no CA: expected certificates of CAs only", Name(c.Subject))
		}
	}
	return all, nil
}

func parse(text []byte, pass func(block string) bool) ([]*x509.Certificate, error) {
	const expected = "expected certificates in PEM (-----BEGIN CERTIFICATE-----)"
	if len(text) > maxFile {
		return nil, fmt.Errorf("it has more than %d bytes: %s", maxFile, expected)
	}
	var out []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != certBlock {
			if pass(block.Type) {
				continue
			}
			return nil, fmt.Errorf("it holds a block %q: expected certificates only", clip(block.Type))
		}
		if len(out) == maxCerts {
			return nil, fmt.Errorf("it holds more than %d certificates: expected one, and those that lead to its CA", maxCerts)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read (%s): %s", len(out)+1, clip(err.Error()), expected)
		}
		out = append(out, c)
	}
	switch {
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return nil, fmt.Errorf("block %d is cut off or damaged: %s", len(out)+1, expected)
	case len(out) == 0:
		return nil, errors.New("it holds no certificate: " + expected)
	}
	return out, nil
}

// ParseKey reads a private key in PEM: PKCS #8, SEC 1 or PKCS #1.
func ParseKey(text []byte) (crypto.Signer, error) {
	const expected = "expected a private key in PEM (-----BEGIN PRIVATE KEY-----)"
	if len(text) > maxFile {
		return nil, fmt.Errorf("it has more than %d bytes: %s", maxFile, expected)
	}
	for {
		block, rest := pem.Decode(text)
		switch {
		case block == nil:
			return nil, errors.New("it holds no key that can be read: " + expected)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["Proc-Type"] != "" && strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, errors.New("the key is encrypted: expected one without a passphrase, in a file that only Veer's user can read")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return signer(block.Bytes)
		}
		text = rest
	}
}

// signer reads a key in any of its three forms. No error repeats any of it.
func signer(der []byte) (crypto.Signer, error) {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if key, err = x509.ParseECPrivateKey(der); err != nil {
			key, err = x509.ParsePKCS1PrivateKey(der)
		}
	}
	if err != nil {
		return nil, errors.New("the key cannot be read: expected PKCS #8, SEC 1 or PKCS #1")
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, which cannot sign: expected ECDSA, Ed25519 or RSA", key)
	}
	return s, nil
}

// fits reports whether a key is that of a certificate.
func fits(c *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// Name is a distinguished name in one line without anything that a terminal
// would take for an order.
func Name(n pkix.Name) string { return clip(n.String()) }

// clip makes a text from a certificate short and printable.
func clip(text string) string {
	const most = 200
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, text)
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// day is a time as people read it.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
