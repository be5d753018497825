package httpcheck_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/checks/internal/certtest"
)

func TestRedirects(t *testing.T) {
	authority, asked := certtest.New(t), []string(nil)
	var plainPort, securePort uint16
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, fmt.Sprintf("%s %s %s", r.Method, r.Host, r.URL.Path))
		to := map[string]string{
			"/one": "/ok", "/two": "/one", "/three": "two", "/loop": "/loop",
			"/host":     "http://app.example.test/ok",
			"/secure":   fmt.Sprintf("https://app.example.test:%d/ok", securePort),
			"/insecure": fmt.Sprintf("http://app.example.test:%d/ok", plainPort),
			"/address":  fmt.Sprintf("http://127.0.0.1:%d/ok", plainPort),
			"/away":     "http://away.example.test/ok", "/ftp": "ftp://app.example.test/ok",
			"/none": "", "/odd": "http://%zz/", "/user": "http://u:p@app.example.test/ok",
		}[r.URL.Path]
		if r.URL.Path == "/ok" {
			return
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
	})
	target := serve(t, "127.0.0.1", handler)
	secure := serve(t, "127.0.0.1", handler, authority.Sign(t, false, "app.example.test"))
	plainPort, securePort = target.Port, secure.Port
	for _, c := range []struct {
		path      string
		redirects int
		health    checks.Health
		words     string
		requests  int
	}{
		{"/one", 0, checks.Down, "answered 303 See Other", 1},
		{"/one", 1, checks.Up, "and 1 redirect", 2},
		{"/two", 1, checks.Down, "answered 303 See Other", 2},
		{"/three", 3, checks.Up, "and 3 redirects", 4},
		{"/loop", 5, checks.Down, "and 5 redirects, expected 200-299", 6},
		{"/host", 1, checks.Up, "200 OK", 2},
		{"/secure", 1, checks.Up, "200 OK", 2},
		{"/address", 1, checks.Up, "200 OK", 2},
		{"/away", 1, checks.Down, `(a redirect to host "away.example.test", which is not this endpoint)`, 1},
		{"/ftp", 1, checks.Down, `(a redirect to "ftp", which is not followed)`, 1},
		{"/none", 1, checks.Down, "without a Location", 1},
		{"/odd", 1, checks.Down, "not a URL", 1},
		{"/user", 1, checks.Down, "not a URL", 1},
	} {
		t.Run(strings.TrimPrefix(c.path, "/"), func(t *testing.T) {
			asked = nil
			config := httpcheck.Config{Path: c.path, Method: "PUT", Host: "app.example.test", Redirects: c.redirects}
			if c.redirects > 0 {
				config.TLS.CAFile = authority.File
			}
			checktest.Expect(t, checktest.Probe(t, prober(t, config), target, time.Minute), c.health, c.words)
			if len(asked) != c.requests || !strings.HasPrefix(asked[0], "PUT app.example.test ") {
				t.Errorf("%d requests, expected %d: %q", len(asked), c.requests, asked)
			}
			for _, later := range asked[1:] {
				if !strings.HasPrefix(later, "GET ") {
					t.Errorf("after 303: %s, expected GET (RFC 9110 section 15.4.4)", later)
				}
			}
		})
	}
	p := prober(t, httpcheck.Config{Scheme: "https", Path: "/insecure", Host: "app.example.test", Redirects: 1, TLS: httpcheck.TLS{CAFile: authority.File}})
	checktest.Expect(t, checktest.Probe(t, p, secure, time.Minute), checks.Down, `(a redirect to "http", which is not followed)`)
}
