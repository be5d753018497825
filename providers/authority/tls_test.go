package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
)

// writePair writes a certificate of ns.example.test with its key into a folder,
// and returns what a client trusts it by.
func writePair(t testing.TB, folder string, serial int64, ends time.Time) *x509.CertPool {
	t.Helper()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(100), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(100 * 24 * time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "ns"}, DNSNames: []string{"ns.example.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: ends, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	var keys [2]*ecdsa.PrivateKey
	var texts [2][]byte
	for i, c := range []*x509.Certificate{ca, leaf} {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, &keys[i].PublicKey, keys[0])
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	secret, err := x509.MarshalPKCS8PrivateKey(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{"ca.pem": texts[0], "cert.pem": texts[1], "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(folder, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(texts[0])
	return pool
}

// secureConfig serves DNS over TLS on loopback, too.
func secureConfig(t testing.TB) (Config, *x509.CertPool) {
	t.Helper()
	folder := t.TempDir()
	pool := writePair(t, folder, 1, time.Now().Add(90*24*time.Hour))
	c := exampleConfig()
	c.TLS = TLS{Listen: []string{"127.0.0.1:0"}, CertFile: filepath.Join(folder, "cert.pem"), KeyFile: filepath.Join(folder, "key.pem")}
	return c, pool
}

func dot(pool *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: pool, ServerName: "ns.example.test", NextProtos: []string{"dot"}}
}

func dialTLS(t testing.TB, s *Server, c *tls.Config) (*tls.Conn, error) {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", s.Addrs()[2].String(), c)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// TestDNSOverTLS: sessions of TLS 1.2 and later, with the protocol dot or
// without one, that are resumed; and the same answers as over TCP (RFC 7858,
// RFC 8310, section 9).
func TestDNSOverTLS(t *testing.T) {
	for _, way := range ways {
		c, pool := secureConfig(t)
		c.Fast = way
		s := startServer(t, c, Options{})
		if a := s.Addrs()[2]; a.Network() != "tcp-tls" {
			t.Errorf("the network is %q", a.Network())
		}
		cache := tls.NewLRUClientSessionCache(4)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for i := range 2 {
				config := dot(pool)
				config.MaxVersion, config.ClientSessionCache = version, cache
				config.ServerName = map[uint16]string{tls.VersionTLS12: "ns.example.test", tls.VersionTLS13: "127.0.0.1"}[version]
				conn, err := dialTLS(t, s, config)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"www.example.test.", "big.example.test.", "nowhere.example.test.", "x.sub.example.test."} {
					m := question4(name, dns.TypeTXT).SetEdns0(1232, true)
					over, err := askOver(conn, m)
					if err != nil {
						t.Fatal(err)
					}
					plain := dns.Client{Net: "tcp", Timeout: 20 * time.Second}
					if want, _, err := plain.Exchange(m, s.Addrs()[1].String()); err != nil || over.String() != want.String() {
						t.Errorf("over TLS\n%v\nover TCP\n%v, %v", over, want, err)
					}
				}
				state := conn.ConnectionState()
				if state.Version != version || state.NegotiatedProtocol != "dot" || state.DidResume != (i == 1) {
					t.Errorf("session %d of version %x: version %x, protocol %q, resumed %v", i, version, state.Version, state.NegotiatedProtocol, state.DidResume)
				}
			}
		}
		for name, change := range map[string]func(*tls.Config){
			"another protocol":  func(c *tls.Config) { c.NextProtos = []string{"h2"} },
			"too old a version": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		} {
			config := dot(pool)
			change(config)
			if conn, err := dialTLS(t, s, config); err == nil {
				t.Errorf("%s: a session of version %x was made", name, conn.ConnectionState().Version)
			}
		}
		config := dot(pool)
		config.NextProtos = nil
		if conn, err := dialTLS(t, s, config); err != nil {
			t.Errorf("no protocol: %v", err)
		} else if !served(t, conn) {
			t.Error("no protocol: not served")
		}
		turnedAway(t, s, "handshake", 2)
	}
}

// TestSilenceEndsTheSession: after the idle time a session ends as one does, by
// an alert, so that the client can tell it from one that was cut (RFC 5246, section
// 7.2.1).
func TestSilenceEndsTheSession(t *testing.T) {
	c, pool := secureConfig(t)
	c.TCPIdle = 300 * time.Millisecond
	config := dot(pool)
	config.MaxVersion = tls.VersionTLS12 // it shows the kind of a record
	conn, err := dialTLS(t, startServer(t, c, Options{}), config)
	if err != nil {
		t.Fatal(err)
	}
	raw := conn.NetConn()
	if err := raw.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const alert = 21
	if got, err := io.ReadAll(raw); err != nil || len(got) == 0 || got[0] != alert {
		t.Errorf("read %x, %v; want an alert, and the end", got, err)
	}
}

// TestHandshakeIsBounded: who makes no session in time is closed; the limits
// of connections hold over TLS.
func TestHandshakeIsBounded(t *testing.T) {
	c, pool := secureConfig(t)
	s := newServer(t, c, Options{})
	s.beginWithin = 100 * time.Millisecond
	runServer(t, s)
	for _, bytes := range []string{"", "\x16\x03\x01\x02\x00\x01", "\x00\x11GET / HTTP/1.0\r\n"} {
		conn := dialFrom(t, "127.0.0.2", s.Addrs()[2].String())
		if _, err := io.WriteString(conn, bytes); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q the connection stays open", bytes)
		}
	}
	turnedAway(t, s, "handshake", 3)
	c.TCPConnectionsPerClient = 1
	s = newServer(t, c, Options{})
	s.seats.patience = time.Hour
	runServer(t, s)
	one, err := dialTLS(t, s, dot(pool))
	if err != nil || !served(t, one) {
		t.Fatalf("not served: %v", err)
	}
	if _, err := dialTLS(t, s, dot(pool)); err == nil {
		t.Error("a client has more sessions than its limit")
	}
	if _, tls := s.Connections(); tls != 1 {
		t.Errorf("%d sessions are open, want 1", tls)
	}
}

// TestCertificateIsReloaded: a new one is shown to new sessions, while the
// others go on; a bad one is refused with an error, and the former one stays.
func TestCertificateIsReloaded(t *testing.T) {
	c, pool := secureConfig(t)
	folder := filepath.Dir(c.TLS.CertFile)
	var log bytes.Buffer
	s := newServer(t, c, Options{Log: zerolog.New(zerolog.SyncWriter(&log))})
	s.certificate.every = time.Hour // the test looks
	runServer(t, s)
	shown := func(p *x509.CertPool) (int64, error) {
		conn, err := dialTLS(t, s, dot(p))
		if err != nil {
			return 0, err
		}
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	first, err := dialTLS(t, s, dot(pool))
	if err != nil || !served(t, first) {
		t.Fatal(err)
	}
	now := time.Now()
	look := func() { // as watch does, after a change
		now = now.Add(certificateCheck)
		for _, file := range []string{c.TLS.CertFile, c.TLS.KeyFile} {
			if err := os.Chtimes(file, now, now); err != nil && !os.IsNotExist(err) { // a disk's clock is coarse
				t.Fatal(err)
			}
		}
		for range 3 {
			s.certificate.look(now)
		}
	}
	next := writePair(t, folder, 2, now.Add(90*24*time.Hour))
	look()
	if serial, err := shown(next); err != nil || serial != 2 {
		t.Errorf("shown %d, %v; want 2", serial, err)
	}
	for name, spoil := range map[string]func(){
		"no certificate": func() { write(t, c.TLS.CertFile, "not a certificate") },
		"another's key":  func() { write(t, c.TLS.CertFile, pemOf(t, writeElsewhere(t))) },
		"it is gone":     func() { os.Remove(c.TLS.KeyFile) },
		"it has ended":   func() { writePair(t, folder, 9, time.Now().Add(-time.Hour)) },
	} {
		log.Reset()
		spoil()
		look()
		if serial, err := shown(next); err != nil || serial != 2 {
			t.Errorf("%s: shown %d, %v; want 2", name, serial, err)
		}
		if got := strings.Count(log.String(), "the new certificate of DNS over TLS is refused; the former one stays in use"); got != 1 {
			t.Errorf("%s: the log says %d times that it is refused:\n%s", name, got, log.String())
		}
		pool3 := writePair(t, folder, 2, time.Now().Add(90*24*time.Hour))
		look()
		if serial, err := shown(pool3); err != nil || serial != 2 {
			t.Errorf("after %s a good one: shown %d, %v", name, serial, err)
		}
		next = pool3
	}
	if !served(t, first) {
		t.Error("the first session was lost")
	}
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeElsewhere(t testing.TB) string {
	folder := t.TempDir()
	writePair(t, folder, 5, time.Now().Add(90*24*time.Hour))
	return filepath.Join(folder, "cert.pem")
}

func pemOf(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestBadCertificateAtTheStart ends nothing but DNS over TLS.
func TestBadCertificateAtTheStart(t *testing.T) {
	c, _ := secureConfig(t)
	var log bytes.Buffer
	write(t, c.TLS.KeyFile, "no key")
	s := startServer(t, c, Options{Log: zerolog.New(zerolog.SyncWriter(&log))})
	if !strings.Contains(log.String(), "no client is served over TLS") {
		t.Errorf("the log says %q", log.String())
	}
	if r := exchange(t, s.Addrs()[1], "www.example.test.", dns.TypeA); len(r.Answer) != 2 {
		t.Errorf("over TCP: %v", r)
	}
	if _, err := dialTLS(t, s, &tls.Config{InsecureSkipVerify: true}); err == nil {
		t.Error("a session without a certificate")
	}
	if _, err := c.TLS.Leaf(); err == nil || !strings.Contains(err.Error(), "key.pem") {
		t.Errorf("Leaf: %v", err)
	}
}

// TestPadding: over TLS, the answer to a padded query is padded to a multiple of
// 468 bytes, else as it is (RFC 7830, section 4; RFC 8467, section 4.1).
func TestPadding(t *testing.T) {
	for _, way := range ways {
		c, pool := secureConfig(t)
		c.Fast, c.Identity = way, "ns1"
		s := startServer(t, c, Options{})
		secure, err := dialTLS(t, s, dot(pool))
		if err != nil {
			t.Fatal(err)
		}
		plain := dialFrom(t, "127.0.0.1", s.Addrs()[1].String())
		for _, name := range []string{"www.example.test.", "wWw.example.test.", "nowhere.example.test.", "x.sub.example.test.", "big.example.test.", "elsewhere.example."} {
			for version := range uint8(2) {
				for how := range 4 {
					padded, more := how&1 == 1, how&2 == 2
					for _, conn := range []net.Conn{secure, plain} {
						m := question4(name, dns.TypeTXT).SetEdns0(1232, true)
						m.IsEdns0().SetVersion(version)
						if more { // of the general path
							m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE})
						}
						if padded {
							m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 77)})
						}
						if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
							t.Fatal(err)
						}
						if _, err := conn.Write(inStream(t, m)); err != nil {
							t.Fatal(err)
						}
						packet, err := readStream(conn)
						if err != nil {
							t.Fatal(err)
						}
						checkPadding(t, packet, padded && conn == net.Conn(secure))
					}
				}
			}
		}
	}
}

// checkPadding wants an answer with padding, or without.
func checkPadding(t *testing.T, packet []byte, want bool) {
	t.Helper()
	var r dns.Msg
	if err := r.Unpack(packet); err != nil {
		t.Fatal(err)
	}
	var padding *dns.EDNS0_PADDING
	for _, o := range r.IsEdns0().Option {
		if p, ok := o.(*dns.EDNS0_PADDING); ok {
			padding = p
		}
	}
	switch {
	case (padding != nil) != want:
		t.Errorf("%v\npadded %v, want %v", &r, padding != nil, want)
	case want && (len(packet)%468 != 0 || len(padding.Padding) >= 468 || bytes.Count(padding.Padding, []byte{0}) != len(padding.Padding)):
		t.Errorf("%v\n%d bytes, of which %d are padding, want a multiple of %d, and the least", &r, len(packet), len(padding.Padding), 468)
	}
}
