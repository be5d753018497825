//go:build realservers

package httpcheck_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/checks/internal/certtest"
)

const nginxConfig = `
daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen 127.0.0.1:%[2]d; return 301 https://$host:%[3]d$request_uri; }
  server {
    listen 127.0.0.1:%[3]d ssl http2; listen [::1]:%[3]d ssl http2;
    ssl_certificate %[4]s; ssl_certificate_key %[5]s;
    location = /healthz { default_type application/json; return 200 '{"status":"pass"}'; }
    location = /down { return 503; }
  }
}
`

// TestNginx checks nginx over TLS with HTTP/1.1 and HTTP/2.
func TestNginx(t *testing.T) {
	authority := certtest.New(t)
	cert, key := certtest.Files(t, authority.Sign(t, false, "app.example.test"))
	folder := t.TempDir()
	plainTarget, target := checktest.Refused(t, "tcp", "127.0.0.1"), checktest.Refused(t, "tcp", "::1")
	file := filepath.Join(folder, "nginx.conf")
	content := fmt.Sprintf(nginxConfig, folder, plainTarget.Port, target.Port, cert, key)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := checktest.Start(t, target, "nginx", "-p", folder, "-e", "stderr", "-c", file)

	config := httpcheck.Config{
		Scheme: "https", Path: "/healthz", Host: "app.example.test", TLS: httpcheck.TLS{CAFile: authority.File},
		Body: httpcheck.Body{JSON: &httpcheck.JSON{Path: "status", Equals: text("pass")}},
	}
	for version, detail := range map[string]string{"1.1": "HTTP/1.1 200 OK", "2": "HTTP/2.0 200 OK", "auto": "HTTP/2.0 200 OK"} {
		for _, keep := range []bool{false, true} {
			config.Version, config.KeepAlive = version, keep
			p := prober(t, config)
			for range 3 {
				r := checktest.Probe(t, p, target, time.Minute)
				checktest.Expect(t, r, checks.Up, "answered 200 OK after")
				if r.Evidence.Detail != detail {
					t.Errorf("version %s: %q, expected %q", version, r.Evidence.Detail, detail)
				}
			}
		}
	}
	config.Version, config.KeepAlive = "auto", false
	down := config
	down.Path = "/down"
	checktest.Expect(t, checktest.Probe(t, prober(t, down), target, time.Minute), checks.Down, "answered 503 Service Unavailable")
	redirected := config
	redirected.Scheme, redirected.Redirects = "http", 1
	checktest.Expect(t, checktest.Probe(t, prober(t, redirected), plainTarget, time.Minute), checks.Up, "and 1 redirect")

	p := prober(t, config)
	if err := syscall.Kill(nginx.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	checktest.Expect(t, checktest.Probe(t, p, target, 300*time.Millisecond), checks.Down, "timed out", "in the TLS handshake")
	if err := syscall.Kill(nginx.Pid(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Up)

	lost := make(chan error, 1)
	go func() { lost <- p.Watch(t.Context(), target) }()
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Up)
	nginx.Kill()
	if err := <-lost; err == nil {
		t.Error("the watch ended without an error, though nginx was killed")
	}
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Down, "connection refused")
}
