package tlscheck_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/certtest"
	"github.com/veerdns/veer/checks/tlscheck"
)

func prober(t *testing.T, c tlscheck.Config) *tlscheck.Prober {
	t.Helper()
	p, err := tlscheck.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serve starts a server that shakes hands and reads until the client goes;
// what it read is sent to got.
func serve(t *testing.T, host string, config *tls.Config, got chan<- string) checks.Target {
	t.Helper()
	listener, err := tls.Listen("tcp", net.JoinHostPort(host, "0"), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				said, err := io.ReadAll(conn)
				if got != nil {
					text := string(said)
					if err != nil {
						text += err.Error()
					}
					got <- text
				}
				_ = conn.Close()
			}()
		}
	}()
	return checktest.Target(listener.Addr())
}

func with(certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: certificates}
}

func TestContract(t *testing.T) {
	authority := certtest.New(t)
	certificate := authority.Sign(t, false, "endpoint.test", "127.0.0.1", "::1")
	checktest.Run(t, checktest.Kit{
		Network: "tcp",
		New:     func(t *testing.T) checks.Prober { return prober(t, tlscheck.Config{CAFile: authority.File}) },
		Serve: func(t *testing.T, host string) checks.Target {
			return serve(t, host, with(certificate), nil)
		},
		Drip:  "\x16\x03\x03\x40\x00", // A handshake record of 16 KiB (RFC 8446 section 5.1).
		Flood: "\x16\x03\x03\x40\x00",
	})
}

func TestProbe(t *testing.T) {
	authority, stranger, no := certtest.New(t), certtest.New(t), false
	app := authority.Sign(t, false, "app.example.test", "127.0.0.1")
	in := func(d time.Duration) tls.Certificate { return authority.SignUntil(t, time.Now().Add(d), "127.0.0.1") }
	when := func(c tls.Certificate) string {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.NotAfter.UTC().Format("2006-01-02 15:04 UTC")
	}
	soon, gone := in(30*time.Hour), in(-72*time.Hour)
	for _, c := range []struct {
		name   string
		server *tls.Config
		config tlscheck.Config
		health checks.Health
		words  []string
	}{
		{"by address", with(app), tlscheck.Config{}, checks.Up, []string{"agreed on TLS 1.3", `its certificate for "app.example.test" expires on ` + when(app)}},
		{"by name", with(app), tlscheck.Config{ServerName: "app.example.test"}, checks.Up, []string{"(server name app.example.test)"}},
		{"another name", with(app), tlscheck.Config{ServerName: "other.example.test"}, checks.Down, []string{"is valid for app.example.test, not other.example.test"}},
		{"another authority", with(stranger.Sign(t, false, "127.0.0.1")), tlscheck.Config{}, checks.Down, []string{"unknown authority"}},
		{"anyone", with(stranger.Sign(t, false, "192.0.2.1")), tlscheck.Config{Verify: &no}, checks.Up, []string{"agreed"}},
		{"expired", with(gone), tlscheck.Config{}, checks.Down, []string{`its certificate for "127.0.0.1" expired on ` + when(gone), "3 days ago"}},
		{"anyone, expired", with(gone), tlscheck.Config{Verify: &no}, checks.Down, []string{"expired on " + when(gone)}},
		{"soon", with(soon), tlscheck.Config{WarnBefore: 336 * time.Hour}, checks.Degraded, []string{"expires on " + when(soon), "in 29h; expected more than 14 days"}},
		{"soon, unasked", with(soon), tlscheck.Config{}, checks.Up, []string{"in 29h"}},
		{"anyone, soon", with(soon), tlscheck.Config{Verify: &no, WarnBefore: 31 * time.Hour}, checks.Degraded, []string{"in 29h"}},
		{"not so soon", with(soon), tlscheck.Config{WarnBefore: 29 * time.Hour}, checks.Up, []string{"in 29h"}},
		{"the authority ends first", with(in(96 * time.Hour)), tlscheck.Config{WarnBefore: 72 * time.Hour}, checks.Degraded, []string{`the certificate of its authority "authority" expires on`, "in 47h"}},
		{"too old a version", &tls.Config{Certificates: []tls.Certificate{app}, MaxVersion: tls.VersionTLS12}, tlscheck.Config{MinVersion: "1.3"}, checks.Down, []string{"protocol version"}},
		{"the old version", &tls.Config{Certificates: []tls.Certificate{app}, MaxVersion: tls.VersionTLS12}, tlscheck.Config{}, checks.Up, []string{"agreed on TLS 1.2"}},
		{"a very old version", &tls.Config{Certificates: []tls.Certificate{app}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, tlscheck.Config{MinVersion: "1.0"}, checks.Up, []string{"agreed on TLS 1.0"}},
		{"a protocol", &tls.Config{Certificates: []tls.Certificate{app}, NextProtos: []string{"h2"}}, tlscheck.Config{ALPN: []string{"imap", "h2"}}, checks.Up, []string{"agreed"}},
		{"no protocol", with(app), tlscheck.Config{ALPN: []string{"h2", "imap"}}, checks.Down, []string{"on no application protocol (ALPN), expected h2 or imap"}},
		{"another protocol", &tls.Config{Certificates: []tls.Certificate{app}, NextProtos: []string{"h2"}}, tlscheck.Config{ALPN: []string{"imap"}}, checks.Down, []string{"no application protocol"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := make(chan string, 1)
			if c.config.Verify == nil {
				c.config.CAFile = authority.File
			}
			r := checktest.Probe(t, prober(t, c.config), serve(t, "127.0.0.1", c.server, got), time.Minute)
			checktest.Expect(t, r, c.health, c.words...)
			if r.Evidence.TLS <= 0 || r.Evidence.Connect <= 0 {
				t.Errorf("no time of the phases: %+v", r.Evidence)
			}
			if said := <-got; c.health != checks.Down && said != "" {
				t.Errorf("the server got %q after the handshake", said)
			}
		})
	}
}

// TestClientCertificate requires that a refusal is seen, in TLS 1.3 too, where
// it comes after the client's handshake.
func TestClientCertificate(t *testing.T) {
	authority, stranger := certtest.New(t), certtest.New(t)
	pem, err := os.ReadFile(authority.File)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	certificate := authority.Sign(t, false, "127.0.0.1")
	for _, c := range []struct {
		name    string
		client  *certtest.Authority
		demand  tls.ClientAuthType
		tickets bool
		health  checks.Health
		words   string
	}{
		{"good", authority, tls.RequireAndVerifyClientCert, true, checks.Up, "agreed"},
		{"good, no ticket", authority, tls.RequireAndVerifyClientCert, false, checks.Up, "agreed"},
		{"unknown", stranger, tls.RequireAndVerifyClientCert, true, checks.Down, "unknown certificate authority"},
		{"none", nil, tls.RequireAndVerifyClientCert, true, checks.Down, "remote error"},
		{"none, and none needed", nil, tls.VerifyClientCertIfGiven, true, checks.Up, "agreed"},
		{"not asked for", stranger, tls.NoClientCert, true, checks.Up, "agreed"},
	} {
		for _, highest := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(c.name+"/"+tls.VersionName(highest), func(t *testing.T) {
				target := serve(t, "127.0.0.1", &tls.Config{
					Certificates: []tls.Certificate{certificate}, ClientAuth: c.demand, ClientCAs: trusted,
					MaxVersion: highest, SessionTicketsDisabled: !c.tickets,
				}, nil)
				config := tlscheck.Config{CAFile: authority.File}
				if c.client != nil {
					config.CertFile, config.KeyFile = certtest.Files(t, c.client.Sign(t, false, "prober"))
				}
				checktest.Expect(t, checktest.Probe(t, prober(t, config), target, time.Minute), c.health, c.words)
			})
		}
	}
}

// TestClientCertificateGone requires that a certificate that cannot be read
// says nothing of the endpoint.
func TestClientCertificateGone(t *testing.T) {
	authority := certtest.New(t)
	config := tlscheck.Config{CAFile: authority.File}
	config.CertFile, config.KeyFile = certtest.Files(t, authority.Sign(t, false, "prober"))
	p := prober(t, config)
	if err := os.Remove(config.KeyFile); err != nil {
		t.Fatal(err)
	}
	target := serve(t, "127.0.0.1", with(authority.Sign(t, false, "127.0.0.1")), nil)
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Unknown, "could not be tried", "no such file")
	if err := p.Watch(t.Context(), target); err == nil {
		t.Error("the watcher found its certificate")
	}
}

// TestWatch requires that a watcher shakes hands, says nothing, and returns
// when the server goes.
func TestWatch(t *testing.T) {
	authority := certtest.New(t)
	config := with(authority.Sign(t, false, "127.0.0.1"))
	s := checktest.ServeTCP(t, func(_ context.Context, conn net.Conn) {
		secure := tls.Server(conn, config)
		if err := secure.HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
		_ = secure.Close()
	})
	if err := prober(t, tlscheck.Config{CAFile: authority.File}).Watch(t.Context(), s.Target); err == nil {
		t.Error("no error, though the server closed the connection")
	}
}
