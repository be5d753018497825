package httpcheck_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/checks/internal/certtest"
)

func TestVerification(t *testing.T) {
	authority, no := certtest.New(t), false
	trusted := httpcheck.TLS{CAFile: authority.File}
	for _, c := range []struct {
		name        string
		certificate tls.Certificate
		config      httpcheck.Config
		health      checks.Health
		words       string
		sni         string
	}{
		{"by address", authority.Sign(t, false, "127.0.0.1"), httpcheck.Config{TLS: trusted}, checks.Up, "", ""},
		{"by host", authority.Sign(t, false, "app.example.test"), httpcheck.Config{Host: "app.example.test:8443", TLS: trusted}, checks.Up, "", "app.example.test"},
		{"by server_name", authority.Sign(t, false, "inner.example.test"),
			httpcheck.Config{Host: "app.example.test", TLS: httpcheck.TLS{CAFile: authority.File, ServerName: "inner.example.test"}}, checks.Up, "", "inner.example.test"},
		{"another name", authority.Sign(t, false, "other.example.test"), httpcheck.Config{Host: "app.example.test", TLS: trusted}, checks.Down,
			"in the TLS handshake: x509: certificate is valid for other.example.test, not app.example.test", "app.example.test"},
		{"another address", authority.Sign(t, false, "192.0.2.1"), httpcheck.Config{TLS: trusted}, checks.Down, "x509: certificate is valid for 192.0.2.1, not 127.0.0.1", ""},
		{"expired", authority.Sign(t, true, "127.0.0.1"), httpcheck.Config{TLS: trusted}, checks.Down, "certificate has expired", ""},
		{"by the system's authorities", authority.Sign(t, false, "127.0.0.1"), httpcheck.Config{}, checks.Down, "unknown authority", ""},
		{"not verified", authority.Sign(t, true, "other.example.test"), httpcheck.Config{TLS: httpcheck.TLS{Verify: &no}}, checks.Up, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sni string
			target := serve(t, "127.0.0.1", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sni = r.TLS.ServerName }), c.certificate)
			c.config.Scheme = "https"
			r := checktest.Probe(t, prober(t, c.config), target, time.Minute)
			checktest.Expect(t, r, c.health, c.words)
			if r.Evidence.TLS <= 0 {
				t.Errorf("no time of the handshake: %+v", r.Evidence)
			}
			if r.Health == checks.Up && sni != c.sni {
				t.Errorf("the server was asked for %q, expected %q", sni, c.sni)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	authority := certtest.New(t)
	certificate := authority.Sign(t, false, "127.0.0.1")
	both := serve(t, "127.0.0.1", plain(200, ""), certificate)
	for version, detail := range map[string]string{"": "HTTP/2.0 200 OK", "auto": "HTTP/2.0 200 OK", "2": "HTTP/2.0 200 OK", "1.1": "HTTP/1.1 200 OK"} {
		p := prober(t, httpcheck.Config{Scheme: "https", Version: version, TLS: httpcheck.TLS{CAFile: authority.File}})
		r := checktest.Probe(t, p, both, time.Minute)
		checktest.Expect(t, r, checks.Up)
		if r.Evidence.Detail != detail {
			t.Errorf("version %q: %q, expected %q", version, r.Evidence.Detail, detail)
		}
	}
}

func TestNoHTTP2(t *testing.T) {
	authority := certtest.New(t)
	certificate := authority.Sign(t, false, "127.0.0.1")
	for name, protocols := range map[string][]string{"alert": {"http/1.1"}, "no ALPN": nil} {
		t.Run(name, func(t *testing.T) {
			listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: protocols})
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
					_ = conn.(*tls.Conn).HandshakeContext(t.Context()) // The prober judges.
					_ = conn.Close()
				}
			}()
			p := prober(t, httpcheck.Config{Scheme: "https", Version: "2", TLS: httpcheck.TLS{CAFile: authority.File}})
			r := checktest.Probe(t, p, checktest.Target(listener.Addr()), time.Minute)
			words := "does not speak HTTP/2"
			if name == "alert" {
				words = "no application protocol"
			}
			checktest.Expect(t, r, checks.Down, words)
		})
	}
}

func TestPlainServer(t *testing.T) {
	target := serve(t, "127.0.0.1", plain(200, ""))
	r := checktest.Probe(t, prober(t, httpcheck.Config{Scheme: "https"}), target, time.Minute)
	checktest.Expect(t, r, checks.Down, "does not look like a TLS handshake")
}

func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	store := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store("first-secret\n")
	t.Setenv("PROBE_PASSWORD", "s3cr3t-word")
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		w.Header().Set("Location", "gopher"+password+"://"+r.Header.Get("Authorization"))
		w.WriteHeader(302)
		_, _ = w.Write([]byte(r.Header.Get("Authorization") + " " + user + " " + password))
	})
	target := serve(t, "127.0.0.1", echo)
	for _, c := range []struct {
		config httpcheck.Config
		shown  string
	}{
		{httpcheck.Config{Bearer: httpcheck.Secret{File: file}}, "Bearer [secret]"},
		{httpcheck.Config{Basic: httpcheck.Basic{User: "probe", PasswordEnv: "PROBE_PASSWORD"}}, "Basic [secret] probe [secret]"},
	} {
		c.config.Status = []string{"302"}
		c.config.Redirects = 1
		c.config.Body.Contains = "never"
		p := prober(t, c.config)
		checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Down, c.shown)
	}

	p := prober(t, httpcheck.Config{Bearer: httpcheck.Secret{File: file}, Status: []string{"302"}, Body: httpcheck.Body{Contains: "second-secret"}})
	store("second-secret")
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Up)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Unknown, "reading the secret")
}
