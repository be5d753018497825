package tlscheck

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/certtest"
)

func TestBadConfig(t *testing.T) {
	no := false
	for i, c := range []struct {
		field  string
		config Config
	}{
		{"server_name", Config{ServerName: "app.example.test:443"}},
		{"server_name", Config{ServerName: "a b"}},
		{"ca_file", Config{CAFile: "ca.pem", Verify: &no}},
		{"min_version", Config{MinVersion: "1.4"}},
		{"min_version", Config{MinVersion: "TLS1.2"}},
		{"alpn", Config{ALPN: slices.Repeat([]string{"h2"}, 17)}},
		{"alpn[1]", Config{ALPN: []string{"h2", ""}}},
		{"alpn[0]", Config{ALPN: []string{strings.Repeat("x", 256)}}},
		{"warn_before", Config{WarnBefore: -time.Second}},
		{"warn_before", Config{WarnBefore: 87601 * time.Hour}},
		{"cert_file", Config{CertFile: "cert.pem"}},
		{"cert_file", Config{KeyFile: "key.pem"}},
	} {
		var fields []string
		c.config.Check(func(field, format string, args ...any) {
			fields = append(fields, field)
			if text := fmt.Sprintf(format, args...); strings.Contains(text, "%!") {
				t.Errorf("%d: %s", i, text)
			}
		})
		if len(fields) != 1 || fields[0] != c.field {
			t.Errorf("%d: problems at %q, expected one at %s", i, fields, c.field)
		}
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.field+": ") {
			t.Errorf("%d: New says %v, expected an error naming %s", i, err, c.field)
		}
	}
}

func TestUnreadableFiles(t *testing.T) {
	authority := certtest.New(t)
	cert, _ := certtest.Files(t, authority.Sign(t, false, "a"))
	_, key := certtest.Files(t, authority.Sign(t, false, "b"))
	missing := filepath.Join(t.TempDir(), "missing")
	content, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{
		{CAFile: missing}, {CAFile: key}, {CertFile: cert, KeyFile: missing}, {CertFile: missing, KeyFile: key}, {CertFile: cert, KeyFile: key},
	} {
		_, err := New(c)
		if err == nil {
			t.Errorf("%+v: no error", c)
			continue
		}
		if strings.Contains(err.Error(), strings.Split(string(content), "\n")[1]) {
			t.Errorf("the error holds the key: %v", err)
		}
	}
}

// FuzzCertificate has a server send any certificate, and requires of the
// result what every result must hold.
func FuzzCertificate(f *testing.F) {
	authority := certtest.New(f)
	f.Add(authority.Sign(f, false, "app.example.test", "192.0.2.1").Certificate[0], int64(0), "h2")
	f.Add(authority.Sign(f, true, "\x1b[2J").Certificate[0], int64(-1), "")
	f.Add(authority.SignUntil(f, time.Unix(1<<37, 0)).Certificate[0], int64(1<<40), "\n")
	f.Fuzz(func(t *testing.T, der []byte, seconds int64, protocol string) {
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		now := time.Unix(seconds, 0)
		p, a := &Prober{c: Config{WarnBefore: time.Hour}}, attempt.Begin("TLS handshake with 192.0.2.1:443")
		state := tls.ConnectionState{Version: tls.VersionTLS13, NegotiatedProtocol: protocol, PeerCertificates: []*x509.Certificate{leaf}}
		checktest.Valid(t, p.judge(a, state, now))
	})
}
