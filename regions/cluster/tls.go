package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"google.golang.org/grpc/credentials"
)

// tlsInfo is what etcd's listeners and its connections to other members use.
// etcd reads the certificate and its key at every handshake, and the CA once.
//
// That a member's certificate covers the address from which it connects is not
// asked for: behind a NAT, or with several addresses, it does not. Whoever
// connects must show a certificate of the CA, and covers what it listens on.
func tlsInfo(t TLS) transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: t.CertFile, KeyFile: t.KeyFile,
		TrustedCAFile: t.CAFile, ClientCertAuth: t.CAFile != "",
		SkipClientSANVerify: true,
	}
}

// checkMemberTLS refuses an https member that could not tell who connects.
func checkMemberTLS(name string, m Member, t TLS) error {
	if !strings.HasPrefix(m.Peer, "https:") && !strings.HasPrefix(m.Client, "https:") {
		return nil
	}
	if t.CAFile == "" || t.CertFile == "" || t.KeyFile == "" {
		return fmt.Errorf("start the embedded etcd: member %s listens with https, and host.tls does not name ca_file, cert_file and key_file: `veer certs issue %s` makes them", name, name)
	}
	if _, err := clientTLS(t); err != nil { // etcd's own error names no file
		return fmt.Errorf("start the embedded etcd: %w", err)
	}
	return nil
}

// clientTLS reads the files for one handshake of a client.
func clientTLS(t TLS) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA of etcd (host.tls.ca_file): %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("read the CA of etcd (host.tls.ca_file): " + t.CAFile + " holds no PEM certificate")
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificate for etcd (host.tls.cert_file %s, key_file %s): %w", t.CertFile, t.KeyFile, err)
		}
		// Shown whatever CAs the server names, so that it is the server that
		// says why it is refused.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return cfg, nil
}

// reloading are the credentials of a client that reads its files, the CA
// among them, at every handshake.
type reloading struct {
	files   TLS
	trouble *trouble
}

var _ credentials.TransportCredentials = reloading{}

// ClientHandshake implements credentials.TransportCredentials.
func (r reloading) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cfg, err := clientTLS(r.files)
	if err != nil {
		r.trouble.set(err)
		return nil, nil, err
	}
	secure, info, err := credentials.NewTLS(cfg).ClientHandshake(ctx, authority, conn)
	if err != nil {
		if ctx.Err() == nil {
			r.trouble.set(err)
		}
		return nil, nil, err
	}
	return &told{Conn: secure, trouble: r.trouble}, info, nil
}

// ServerHandshake implements credentials.TransportCredentials.
func (reloading) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("the credentials of a client serve nobody")
}

// Info implements credentials.TransportCredentials.
func (reloading) Info() credentials.ProtocolInfo { return credentials.NewTLS(nil).Info() }

// Clone implements credentials.TransportCredentials.
func (r reloading) Clone() credentials.TransportCredentials { return r }

// OverrideServerName implements credentials.TransportCredentials.
func (reloading) OverrideServerName(string) error {
	return errors.New("the name that a server must prove is that of its endpoint")
}
