package dial

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Roots reads the PEM file of the only authorities trusted; "" is nil, which
// stands for the system's.
func Roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate; expected PEM blocks of type CERTIFICATE", file)
	}
	return roots, nil
}

// Pair reads a certificate with its chain, and its key, from PEM files; no
// names are no certificate. The key is never in the error.
func Pair(certFile, keyFile string) ([]tls.Certificate, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate of %s with the key of %s: %w", certFile, keyFile, err)
	}
	return []tls.Certificate{pair}, nil
}
