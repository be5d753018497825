package httpcheck

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestBadConfig(t *testing.T) {
	no := false
	for i, c := range []struct {
		field  string
		config Config
	}{
		{"method", Config{Method: "get"}},
		{"method", Config{Method: "CONNECT"}},
		{"path", Config{Path: "healthz"}},
		{"path", Config{Path: "/a b"}},
		{"path", Config{Path: "/a#b"}},
		{"path", Config{Path: "/%zz"}},
		{"host", Config{Host: "http://app"}},
		{"host", Config{Host: "app:99999"}},
		{"headers.Host", Config{Headers: map[string]string{"Host": "a"}}},
		{"headers.authorization", Config{Headers: map[string]string{"authorization": "Bearer x"}}},
		{"headers.Connection", Config{Headers: map[string]string{"Connection": "close"}}},
		{"headers.a b", Config{Headers: map[string]string{"a b": "x"}}},
		{"headers.A", Config{Headers: map[string]string{"A": "x\r\nB: y"}}},
		{"bearer", Config{Bearer: Secret{File: "a", Env: "B"}}},
		{"basic", Config{Basic: Basic{User: "u"}}},
		{"basic", Config{Basic: Basic{User: "u", PasswordEnv: "A", PasswordFile: "b"}}},
		{"basic", Config{Bearer: Secret{File: "a"}, Basic: Basic{User: "u", PasswordEnv: "A"}}},
		{"basic.user", Config{Basic: Basic{PasswordEnv: "A"}}},
		{"basic.user", Config{Basic: Basic{User: "a:b", PasswordEnv: "A"}}},
		{"status[1]", Config{Status: []string{"200", "2xx"}}},
		{"status[0]", Config{Status: []string{"299-200"}}},
		{"status[0]", Config{Status: []string{"600"}}},
		{"body.matches", Config{Body: Body{Matches: "("}}},
		{"body.json.path", Config{Body: Body{JSON: &JSON{}}}},
		{"body", Config{Method: "HEAD", Body: Body{Contains: "x"}}},
		{"max_body", Config{MaxBody: -1}},
		{"redirects", Config{Redirects: 11}},
		{"version", Config{Version: "3"}},
		{"keep_alive", Config{Method: "POST", KeepAlive: true}},
		{"tls", Config{TLS: TLS{ServerName: "a.test"}}},
		{"tls.server_name", Config{Scheme: "https", TLS: TLS{ServerName: "a.test:443"}}},
		{"tls.ca_file", Config{Scheme: "https", TLS: TLS{CAFile: "ca.pem", Verify: &no}}},
		{"kind", Config{Scheme: "ftp"}},
	} {
		if c.config.Scheme == "" {
			c.config.Scheme = "http"
		}
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
	missing, empty := filepath.Join(t.TempDir(), "missing"), filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{
		{Scheme: "https", TLS: TLS{CAFile: missing}},
		{Scheme: "https", TLS: TLS{CAFile: empty}},
		{Scheme: "http", Bearer: Secret{File: missing}},
		{Scheme: "http", Bearer: Secret{File: empty}},
		{Scheme: "http", Bearer: Secret{Env: "VEER_TEST_NOT_SET"}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

// TestYAML reads a config with every key.
func TestYAML(t *testing.T) {
	const text = `
method: GET
path: /healthz
host: app.example.test
headers: {X-Probe: veer}
bearer: {token_file: /run/secrets/token}
basic: {user: probe, password_file: /run/secrets/password}
status: ["200-299", "304"]
body: {contains: ready, matches: "^ready", json: {path: status, equals: "true"}}
max_body: 1024
redirects: 2
version: auto
keep_alive: true
tls: {server_name: a.test, ca_file: ca.pem, verify: false}
`
	var c Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if c.TLS.verify() || c.Status[1] != "304" || *c.Body.JSON.Equals != "true" || c.Headers["X-Probe"] != "veer" || c.MaxBody != 1024 {
		t.Errorf("%+v", c)
	}
}

func FuzzStatus(f *testing.F) {
	for _, seed := range []string{
		"200", "204", "200-299", "100-599", "299-200", "600", "099", "0200", "2xx", "", "-", "200-", "-200", "200-2000", "+20", "200 - 299", " 200", "2e2", "٢٠٠", "200-200", "200--299",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseStatus(text)
		if err != nil {
			return
		}
		again, err := parseStatus(got.String())
		if err != nil || again != got || got.low < 100 || got.high > 599 || got.low > got.high {
			t.Fatalf("%q is %+v, and its text reads as %+v, %v", text, got, again, err)
		}
	})
}

// FuzzPath requires that a path that is accepted arrives at a server as it is.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/", "/healthz", "/a?b=c", "//a", "/a//b", "/../a", "/%20", "/%2F", "/%zz", "/a#b", "/a b", "a", "", "/?", "/??", "/ä", "/a;b", "/:a", "/a\\b", "/[", "/%", "/a?%zz", "/\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parsePath(text)
		if err != nil {
			return
		}
		u.Scheme, u.Host = "http", "192.0.2.1"
		request, err := http.NewRequest(http.MethodGet, u.String(), nil)
		if err != nil {
			t.Fatalf("%q cannot be asked for: %v", text, err)
		}
		target := request.URL.RequestURI()
		defer func() {
			if p := recover(); p != nil {
				t.Fatalf("%q is sent as %q, which a server refuses: %v", text, target, p)
			}
		}()
		seen := httptest.NewRequest(http.MethodGet, target, nil)
		if seen.URL.Path != "" && seen.URL.Host == "" && seen.URL.Path != u.Path {
			t.Fatalf("%q is sent as %s, and read as path %s", text, strconv.Quote(target), seen.URL.Path)
		}
	})
}
