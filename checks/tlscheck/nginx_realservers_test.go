//go:build realservers

package tlscheck_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/certtest"
	"github.com/veerdns/veer/checks/tlscheck"
)

const nginxConfig = `
daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
  access_log %[1]s/access.log; ssl_protocols TLSv1.2 TLSv1.3;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  %[2]s
}
`

const nginxServer = `
  server {
    listen 127.0.0.1:%[1]d ssl http2; listen [::1]:%[1]d ssl http2;
    server_name %[2]s; ssl_certificate %[3]s; ssl_certificate_key %[4]s;
    return 204;
  }
`

// TestNginx checks nginx, with a server by name for each certificate.
func TestNginx(t *testing.T) {
	authority, stranger := certtest.New(t), certtest.New(t)
	target := checktest.Refused(t, "tcp", "127.0.0.1")
	folder, servers := t.TempDir(), new(strings.Builder)
	for _, s := range []struct {
		name      string
		authority *certtest.Authority
		until     time.Duration
	}{
		{"app.example.test", authority, 40 * time.Hour},
		{"long.example.test", authority, 40 * 24 * time.Hour},
		{"soon.example.test", authority, 30 * time.Hour},
		{"gone.example.test", authority, -30 * time.Hour},
		{"stranger.example.test", stranger, 24 * time.Hour},
	} {
		cert, key := certtest.Files(t, s.authority.SignUntil(t, time.Now().Add(s.until), s.name))
		fmt.Fprintf(servers, nginxServer, target.Port, s.name, cert, key)
	}
	file := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, folder, servers), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := checktest.Start(t, target, "nginx", "-p", folder, "-e", "stderr", "-c", file)

	for _, c := range []struct {
		config tlscheck.Config
		health checks.Health
		words  []string
	}{
		{tlscheck.Config{ServerName: "app.example.test", ALPN: []string{"h2"}}, checks.Up, []string{"agreed on TLS 1.3", `its certificate for "app.example.test" expires on`}},
		{tlscheck.Config{ServerName: "app.example.test", MinVersion: "1.3", WarnBefore: 24 * time.Hour}, checks.Up, []string{"agreed on TLS 1.3"}},
		{tlscheck.Config{ServerName: "long.example.test", WarnBefore: 72 * time.Hour}, checks.Degraded, []string{`its authority "authority" expires on`}},
		{tlscheck.Config{ServerName: "soon.example.test", WarnBefore: 36 * time.Hour}, checks.Degraded, []string{`for "soon.example.test" expires on`, "in 29h"}},
		{tlscheck.Config{ServerName: "gone.example.test"}, checks.Down, []string{`for "gone.example.test" expired on`, "30h ago"}},
		{tlscheck.Config{ServerName: "stranger.example.test"}, checks.Down, []string{"unknown authority"}},
		{tlscheck.Config{ServerName: "other.example.test"}, checks.Down, []string{"is valid for app.example.test, not other.example.test"}},
		{tlscheck.Config{ServerName: "app.example.test", ALPN: []string{"imap"}}, checks.Down, []string{"no application protocol"}},
	} {
		c.config.CAFile = authority.File
		for _, host := range []string{"127.0.0.1", "::1"} {
			at := checks.Target{Name: "web@" + host, Host: host, Port: target.Port}
			checktest.Expect(t, checktest.Probe(t, prober(t, c.config), at, time.Minute), c.health, c.words...)
		}
	}
	p := prober(t, tlscheck.Config{ServerName: "app.example.test", CAFile: authority.File})
	lost := make(chan error, 1)
	go func() { lost <- p.Watch(t.Context(), target) }()
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Up)
	nginx.Kill()
	if err := <-lost; err == nil {
		t.Error("the watch ended without an error, though nginx was killed")
	}
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Down, "connection refused")
	if asked, err := os.ReadFile(filepath.Join(folder, "access.log")); err != nil || len(asked) > 0 {
		t.Errorf("nginx logged requests, though none was sent: %q, %v", asked, err)
	}
}
