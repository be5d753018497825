package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// The lives of what is made, where nothing else is asked for.
const (
	CALife   = 10 * year
	LeafLife = year

	year = 365 * 24 * time.Hour
	// maxLife keeps the dates within what every reader of certificates takes.
	maxLife = 50 * year
	minLife = time.Minute
	// backdate is how far before now a certificate begins to be valid: the
	// clocks of two machines differ.
	backdate = 5 * time.Minute
	// maxHosts bounds the names of a certificate.
	maxHosts = 100
)

// Pair is a certificate and its key, in PEM.
type Pair struct {
	Cert, Key []byte
	NotAfter  time.Time
}

// Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// NewAuthority makes a CA that carries the owner's name.
func NewAuthority(owner string, now time.Time, life time.Duration) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make a key: %w", err)
	}
	t, err := template(pkix.Name{CommonName: "Veer CA of " + owner, Organization: []string{owner}}, now, life)
	if err != nil {
		return Pair{}, err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return sign(t, t, key, key)
}

// ParseAuthority reads a CA that may sign: its certificate, of which the first
// one counts, and its key.
func ParseAuthority(cert, key []byte) (*Authority, error) {
	cas, err := ParseCAs(cert)
	if err != nil {
		return nil, err
	}
	signer, err := ParseKey(key)
	if err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	if !fits(cas[0], signer) {
		return nil, errors.New("the key is not that of the certificate: expected the pair that `veer certs init` made")
	}
	if u := cas[0].KeyUsage; u != 0 && u&x509.KeyUsageCertSign == 0 {
		return nil, fmt.Errorf("%s may not sign certificates: expected the key usage certSign", Name(cas[0].Subject))
	}
	return &Authority{cert: cas[0], key: signer}, nil
}

// NotAfter is when the CA expires.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// Request is what a certificate is asked for.
type Request struct {
	// Name is the region, or what else the holder is called; Owner whose it is.
	Name, Owner string
	// Hosts are the IP addresses and DNS names at which it listens. Without
	// any it is a client's certificate only.
	Hosts []string
	Life  time.Duration
}

// Issue makes a certificate. It never outlives its CA.
func (a *Authority) Issue(r Request, now time.Time) (Pair, error) {
	if now.After(a.cert.NotAfter) || now.Before(a.cert.NotBefore) {
		return Pair{}, fmt.Errorf("the CA is valid from %s to %s only, and it is %s: make a new one", day(a.cert.NotBefore), day(a.cert.NotAfter), day(now))
	}
	t, err := template(pkix.Name{CommonName: r.Name, Organization: []string{r.Owner}}, now, r.Life)
	if err != nil {
		return Pair{}, err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	t.BasicConstraintsValid = true
	if len(r.Hosts) > 0 {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if len(r.Hosts) > maxHosts {
		return Pair{}, fmt.Errorf("found %d addresses and names, expected at most %d", len(r.Hosts), maxHosts)
	}
	for _, h := range r.Hosts {
		if err := addHost(t, h); err != nil {
			return Pair{}, err
		}
	}
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	if t.NotBefore.Before(a.cert.NotBefore) {
		t.NotBefore = a.cert.NotBefore
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make a key: %w", err)
	}
	return sign(t, a.cert, key, a.key)
}

func template(subject pkix.Name, now time.Time, life time.Duration) (*x509.Certificate, error) {
	if life < minLife || life > maxLife {
		return nil, fmt.Errorf("found a life of %s, expected from %s to %d days", life, minLife, maxLife/(24*time.Hour))
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: subject,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life),
	}, nil
}

func addHost(t *x509.Certificate, host string) error {
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = append(t.IPAddresses, ip)
		return nil
	}
	if why := hostProblem(host); why != "" {
		return fmt.Errorf("%q: %s", host, why)
	}
	t.DNSNames = append(t.DNSNames, strings.ToLower(host))
	return nil
}

// hostProblem says why a text is no name to put into a certificate.
func hostProblem(host string) string {
	const expected = "expected an IP address or a DNS name, like 10.0.1.10 or etcd-1.example.test"
	if host == "" || len(host) > 253 {
		return expected
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(host, "*."), ".") {
		odd := strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != ""
		if label == "" || len(label) > 63 || odd || label[0] == '-' || label[len(label)-1] == '-' {
			return expected
		}
	}
	return ""
}

func sign(t, parent *x509.Certificate, key *ecdsa.PrivateKey, by crypto.Signer) (Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), by)
	if err != nil {
		return Pair{}, fmt.Errorf("sign the certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("write the key down: %w", err)
	}
	return Pair{
		Cert:     pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: der}),
		Key:      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		NotAfter: t.NotAfter,
	}, nil
}
