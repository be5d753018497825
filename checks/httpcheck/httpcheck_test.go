package httpcheck_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/checks/internal/certtest"
)

func prober(t *testing.T, c httpcheck.Config) *httpcheck.Prober {
	t.Helper()
	if c.Scheme == "" {
		c.Scheme = "http"
	}
	p, err := httpcheck.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// serve starts a server on host; with certificates, over TLS.
func serve(t *testing.T, host string, handler http.Handler, certificates ...tls.Certificate) checks.Target {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	_ = s.Listener.Close() // httptest opened one of its own.
	s.Listener = listener
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // Refused handshakes are expected.
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	if len(certificates) > 0 {
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{Certificates: certificates}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return checktest.Target(listener.Addr())
}

func plain(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func TestContract(t *testing.T) {
	flood := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
	ready := plain(200, "ready")
	t.Run("http", func(t *testing.T) {
		checktest.Run(t, checktest.Kit{
			Network: "tcp", Flood: flood, Drip: flood,
			New: func(t *testing.T) checks.Prober {
				return prober(t, httpcheck.Config{Body: httpcheck.Body{Contains: "ready"}})
			},
			Serve: func(t *testing.T, host string) checks.Target { return serve(t, host, ready) },
		})
	})
	t.Run("dripping head", func(t *testing.T) {
		s := checktest.Drip(t, "tcp", "HTTP/1.1 200 OK\r\nA: ")
		checktest.Expect(t, checktest.Probe(t, prober(t, httpcheck.Config{}), s.Target, 100*time.Millisecond), checks.Down, "timed out")
		s.AwaitGone(t)
	})
	t.Run("endless head", func(t *testing.T) {
		s := checktest.Flood(t, "tcp", "HTTP/1.1 200 OK\r\nA: ")
		checktest.Expect(t, checktest.Probe(t, prober(t, httpcheck.Config{}), s.Target, time.Minute), checks.Down, "waiting for the answer")
		s.AwaitGone(t)
	})
	t.Run("keep_alive", func(t *testing.T) {
		checktest.Run(t, checktest.Kit{
			Network: "tcp", Flood: flood, Drip: flood,
			New:   func(t *testing.T) checks.Prober { return prober(t, httpcheck.Config{KeepAlive: true}) },
			Serve: func(t *testing.T, host string) checks.Target { return serve(t, host, ready) },
		})
	})
	authority := certtest.New(t)
	certificate := authority.Sign(t, false, "127.0.0.1", "::1", "endpoint.test")
	for _, version := range []string{"auto", "1.1", "2"} {
		t.Run("https "+version, func(t *testing.T) {
			checktest.Run(t, checktest.Kit{
				Network: "tcp",
				Drip:    "\x16\x03\x03\x40\x00", // the head of a TLS record of 16 KiB
				New: func(t *testing.T) checks.Prober {
					return prober(t, httpcheck.Config{Scheme: "https", Version: version, TLS: httpcheck.TLS{CAFile: authority.File}})
				},
				Serve: func(t *testing.T, host string) checks.Target { return serve(t, host, ready, certificate) },
			})
		})
	}
	t.Run("http 2", func(t *testing.T) {
		checktest.Run(t, checktest.Kit{
			Network: "tcp",
			Drip:    "\x00\x3f\xfc\x04\x00\x00\x00\x00\x00", // the head of a SETTINGS frame
			New:     func(t *testing.T) checks.Prober { return prober(t, httpcheck.Config{Version: "2"}) },
			Serve:   func(t *testing.T, host string) checks.Target { return serve(t, host, ready) },
		})
	})
}

func text(s string) *string { return &s }

func TestJudgement(t *testing.T) {
	const body = `{"status":"pass","depth":3,"checks":[{"name":"db","ok":true}],"none":null}`
	for _, c := range []struct {
		name   string
		config httpcheck.Config
		status int
		body   string
		health checks.Health
		words  string
	}{
		{"ok", httpcheck.Config{}, 200, "", checks.Up, "answered 200 OK after"},
		{"server error", httpcheck.Config{}, 503, "", checks.Down, "answered 503 Service Unavailable after"},
		{"server error", httpcheck.Config{}, 503, "", checks.Down, ", expected 200-299"},
		{"a code of its own", httpcheck.Config{Status: []string{"204", "500-503"}}, 503, "", checks.Up, "503"},
		{"not in the list", httpcheck.Config{Status: []string{"204", "500-503"}}, 200, "", checks.Down, "expected 204 or 500-503"},
		{"redirect off", httpcheck.Config{}, 302, "", checks.Down, "answered 302 Found"},
		{"redirect accepted", httpcheck.Config{Status: []string{"300-399"}}, 302, "", checks.Up, "answered 302 Found"},
		{"code without words", httpcheck.Config{}, 599, "", checks.Down, "answered 599 after"},
		{"HEAD", httpcheck.Config{Method: "HEAD"}, 200, body, checks.Up, "HEAD http://"},
		{"contains", httpcheck.Config{Body: httpcheck.Body{Contains: `"pass"`}}, 200, body, checks.Up, "200 OK"},
		{"contains not", httpcheck.Config{Body: httpcheck.Body{Contains: "ready"}}, 200, "starting\n\x1b[31m", checks.Down, `does not contain "ready": "starting`},
		{"matches", httpcheck.Config{Body: httpcheck.Body{Matches: `"depth":\d`}}, 200, body, checks.Up, "200 OK"},
		{"matches not", httpcheck.Config{Body: httpcheck.Body{Matches: "^ok$"}}, 200, "nok", checks.Down, `does not match ^ok$: "nok"`},
		{"json", httpcheck.Config{Body: httpcheck.Body{JSON: &httpcheck.JSON{Path: "status", Equals: text("pass")}}}, 200, body, checks.Up, ""},
		{"json number", httpcheck.Config{Body: httpcheck.Body{JSON: &httpcheck.JSON{Path: "depth", Equals: text("3")}}}, 200, body, checks.Up, ""},
		{"json query", httpcheck.Config{Body: httpcheck.Body{JSON: &httpcheck.JSON{Path: `checks.#(name=="db").ok`, Equals: text("true")}}}, 200, body, checks.Up, ""},
		{"json other", httpcheck.Config{Body: httpcheck.Body{JSON: &httpcheck.JSON{Path: "status", Equals: text("fail")}}}, 200, body, checks.Down, `has "pass" at status, expected "fail"`},
		{"json missing", httpcheck.Config{Body: httpcheck.Body{JSON: &httpcheck.JSON{Path: "no.such"}}}, 200, body, checks.Down, "nothing at no.such"},
		{"json null", httpcheck.Config{Body: httpcheck.Body{JSON: &httpcheck.JSON{Path: "none"}}}, 200, body, checks.Down, "null at none"},
		{"not json", httpcheck.Config{Body: httpcheck.Body{JSON: &httpcheck.JSON{Path: "a"}}}, 200, "{a}", checks.Down, "is not JSON"},
		{"beyond max_body", httpcheck.Config{MaxBody: 10, Body: httpcheck.Body{Contains: "end"}}, 200, "0123456789end", checks.Down, "(only the first 10 bytes were read)"},
		{"within max_body", httpcheck.Config{MaxBody: 13, Body: httpcheck.Body{Contains: "end"}}, 200, "0123456789end", checks.Up, ""},
	} {
		for _, version := range []string{"1.1", "2"} {
			t.Run(c.name+"/"+version, func(t *testing.T) {
				c.config.Version = version
				r := checktest.Probe(t, prober(t, c.config), serve(t, "127.0.0.1", plain(c.status, c.body)), time.Minute)
				checktest.Expect(t, r, c.health, c.words)
				if r.Evidence.FirstByte <= 0 || !strings.HasPrefix(r.Evidence.Detail, "HTTP/"+version[:1]) {
					t.Errorf("evidence %+v", r.Evidence)
				}
			})
		}
	}
}

func TestRequest(t *testing.T) {
	var seen http.Request
	var remotes []string
	target := serve(t, "127.0.0.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = *r
		remotes = append(remotes, r.RemoteAddr)
		_, _ = fmt.Fprint(w, "ok")
	}))
	p := prober(t, httpcheck.Config{
		Method: "POST", Path: "//health%20z?full=1", Host: "app.example.test",
		Headers: map[string]string{"x-probe": "veer", "User-Agent": "probe/1"},
	})
	for range 2 {
		r := checktest.Probe(t, p, target, time.Minute)
		checktest.Expect(t, r, checks.Up, fmt.Sprintf("POST http://127.0.0.1:%d//health%%20z?full=1 (Host app.example.test) answered", target.Port))
	}
	if seen.Method != "POST" || seen.RequestURI != "//health%20z?full=1" || seen.Host != "app.example.test" ||
		seen.Header.Get("X-Probe") != "veer" || seen.UserAgent() != "probe/1" {
		t.Errorf("the server saw %s %s, host %s, %v", seen.Method, seen.RequestURI, seen.Host, seen.Header)
	}
	if len(remotes) != 2 || remotes[0] == remotes[1] {
		t.Errorf("two probes came from %q, expected a connection each", remotes)
	}
}

func TestKeepAlive(t *testing.T) {
	for _, version := range []string{"1.1", "2"} {
		t.Run(version, func(t *testing.T) {
			var remotes []string
			end := make(chan struct{}, 1)
			target := serve(t, "127.0.0.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				remotes = append(remotes, r.RemoteAddr)
				select {
				case <-end:
					w.Header().Set("Connection", "close")
				default:
				}
			}))
			p := prober(t, httpcheck.Config{KeepAlive: true, Version: version})
			for i := range 4 {
				if i == 2 {
					end <- struct{}{}
				}
				checktest.Expect(t, checktest.Probe(t, p, target, time.Minute), checks.Up)
			}
			if remotes[0] != remotes[1] || remotes[1] != remotes[2] || remotes[2] == remotes[3] {
				t.Errorf("probes came from %q, expected the third to be the last of its connection", remotes)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
