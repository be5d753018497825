package promcheck_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/certtest"
	"github.com/veerdns/veer/checks/promcheck"
)

func prober(t *testing.T, c promcheck.Config) *promcheck.Prober {
	t.Helper()
	p, err := promcheck.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func limit(f float64) *float64 { return &f }

var endpoint = checks.Target{Name: "app@192.0.2.1", Host: "192.0.2.1", Port: 9100}

// serve starts an HTTP server on host.
func serve(t *testing.T, host string, handler http.Handler) checks.Target {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	s.Start()
	t.Cleanup(s.Close)
	return checktest.Target(listener.Addr())
}

func at(t checks.Target) string {
	return "http://" + net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
}

func says(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func scalar(value string) string {
	return `{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"` + value + `"]}}`
}

func vector(values ...string) string {
	var items []string
	for i, v := range values {
		items = append(items, fmt.Sprintf(`{"metric":{"__name__":"m","i":"%d"},"value":[1,"%s"]}`, i, v))
	}
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(items, ",") + `]}}`
}

// there asks a Prometheus at the target itself, so that the contract of every
// check can be asked of it.
type there struct {
	t       *testing.T
	resolve promcheck.Resolver
}

func (p *there) UseResolver(r promcheck.Resolver) { p.resolve = r }

func (p *there) Probe(ctx context.Context, target checks.Target) checks.Result {
	asks, err := promcheck.New(promcheck.Config{URL: at(target), Query: "1", Min: limit(1)})
	if err != nil {
		p.t.Error(err)
	}
	asks.UseResolver(p.resolve)
	return asks.Probe(ctx, target)
}

func TestContract(t *testing.T) {
	checktest.Run(t, checktest.Kit{
		Network: "tcp", Indirect: true,
		Drip: "HTTP/1.1 200 OK\r\nX: ", Flood: "HTTP/1.1 200 OK\r\n\r\n",
		New:   func(t *testing.T) checks.Prober { return &there{t: t} },
		Serve: func(t *testing.T, host string) checks.Target { return serve(t, host, says(200, scalar("1"))) },
	})
}

func TestJudged(t *testing.T) {
	between := promcheck.Config{Min: limit(1), Max: limit(9), DegradedMin: limit(3), DegradedMax: limit(7)}
	with := func(change func(*promcheck.Config)) promcheck.Config {
		c := between
		change(&c)
		return c
	}
	anyOf := with(func(c *promcheck.Config) { c.Series = "any" })
	down := with(func(c *promcheck.Config) { c.NoData = "down" })
	warned := strings.Replace(vector(), `"data"`, `"warnings":["store \u001b[2J lost","b"],"data"`, 1)
	for _, c := range []struct {
		name   string
		config promcheck.Config
		status int
		body   string
		health checks.Health
		words  string
	}{
		{"within", between, 200, scalar("5"), checks.Up, "gave 5 for the scalar after"},
		{"at the limit", between, 200, scalar("3"), checks.Up, "expected at least 3 and at most 7"},
		{"low", between, 200, scalar("2.5"), checks.Degraded, "gave 2.5 for the scalar"},
		{"high", between, 200, scalar("8"), checks.Degraded, "expected at least 3 and at most 7"},
		{"too low", between, 200, scalar("0.5"), checks.Down, "expected at least 1 and at most 9"},
		{"too high", between, 200, scalar("+Inf"), checks.Down, "gave +Inf"},
		{"NaN", between, 200, scalar("NaN"), checks.Unknown, "expected a number, at least 3"},
		{"min alone", promcheck.Config{Min: limit(0)}, 200, scalar("-0.1"), checks.Down, "expected at least 0"},
		{"degraded alone", promcheck.Config{DegradedMax: limit(1)}, 200, scalar("2"), checks.Degraded, "expected at most 1"},
		{"a vector", between, 200, vector("5"), checks.Up, `gave 5 for m{i="0"}`},
		{"all of three", between, 200, vector("5", "8", "0"), checks.Down, `gave 0 for m{i="2"} and 2 more series, of all 1 up, 1 degraded, 1 down, 0 unknown`},
		{"any of three", anyOf, 200, vector("0", "5", "NaN"), checks.Up, `gave 5 for m{i="1"} and 2 more series`},
		{"any, undecided", anyOf, 200, vector("0", "NaN"), checks.Unknown, "1 down, 1 unknown"},
		{"all, decided", between, 200, vector("0", "NaN"), checks.Down, "expected at least 1 and at most 9 in all of them"},
		{"all, undecided", between, 200, vector("5", "NaN"), checks.Unknown, "1 up, 0 degraded, 0 down, 1 unknown"},
		{"no data", between, 200, vector(), checks.Unknown, "gave no data after"},
		{"no data is down", down, 200, vector(), checks.Down, "gave no data after"},
		{"warnings", down, 200, warned, checks.Unknown, `gave no data after`},
		{"warnings shown", down, 200, warned, checks.Unknown, `2 warnings, the first: "store  [2J lost"`},
		{"a matrix", between, 200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`, checks.Unknown, "gives a matrix, which is no value"},
		{"a histogram", between, 200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}`, checks.Unknown, "histogram_quantile"},
		{"bad data", between, 400, `{"status":"error","errorType":"bad_data","error":"1:1: parse error"}`, checks.Unknown, "refused after"},
		{"timeout", between, 503, `{"status":"error","errorType":"timeout","error":"query timed out"}`, checks.Unknown, "with timeout: query timed out"},
		{"another page", between, 200, "<html>", checks.Unknown, "not the JSON of Prometheus' API"},
		{"refused login", between, 401, "", checks.Unknown, "answered 401 Unauthorized after"},
		{"no API", between, 404, "404 page not found", checks.Unknown, "there is no API below this URL"},
		{"method", between, 405, "", checks.Unknown, "set method to the other of POST and GET"},
		{"redirect", between, 302, "", checks.Unknown, "a redirect, which is not followed"},
		{"too long", between, 200, strings.Repeat(" ", 1<<20) + scalar("5"), checks.Unknown, "goes on beyond 1024 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.URL, c.config.Query = at(serve(t, "127.0.0.1", says(c.status, c.body))), "m"
			checktest.Expect(t, checktest.Probe(t, prober(t, c.config), endpoint, time.Minute), c.health, c.words)
		})
	}
}

// TestRequest looks at what Prometheus is sent.
func TestRequest(t *testing.T) {
	t.Setenv("PROM_PASSWORD", "s3cr3t-word")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cr3t-word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked string
	var form url.Values
	target := serve(t, "127.0.0.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		asked, form = r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"), r.Form
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"status":"error","errorType":"bad","error":"` + r.Header.Get("Authorization") + `"}`))
	}))
	base := promcheck.Config{URL: at(target) + "/prefix/", Query: `up{instance=~"{{address}}"}`, Min: limit(1)}
	for want, change := range map[string]func(*promcheck.Config){
		"POST /prefix/api/v1/query ":                               func(*promcheck.Config) {},
		"GET /prefix/api/v1/query ":                                func(c *promcheck.Config) { c.Method = "GET" },
		"POST /prefix/api/v1/query Bearer s3cr3t-word":             func(c *promcheck.Config) { c.Bearer.File = token },
		"POST /prefix/api/v1/query Basic dmVlcjpzM2NyM3Qtd29yZA==": func(c *promcheck.Config) { c.Basic.User, c.Basic.PasswordEnv = "veer", "PROM_PASSWORD" },
	} {
		c := base
		change(&c)
		r := checktest.Probe(t, prober(t, c), endpoint, time.Minute)
		checktest.Expect(t, r, checks.Unknown, "refused after")
		if asked != want || form.Get("query") != `up{instance=~"192\\.0\\.2\\.1:9100"}` || !strings.HasSuffix(form.Get("timeout"), "ms") {
			t.Errorf("asked %q with %q, expected %q", asked, form, want)
		}
		if text := r.Reason + r.Evidence.Detail; strings.Contains(text, "s3cr3t") || strings.Contains(text, "dmVlcj") {
			t.Errorf("a secret is in %q", text)
		}
	}
	r := checktest.Probe(t, prober(t, base), checks.Target{Name: "x", Host: "192.0.2.1"}, time.Minute)
	checktest.Expect(t, r, checks.Unknown, "the target has none")
	gone := base
	gone.Bearer.File = token
	p := prober(t, gone)
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	checktest.Expect(t, checktest.Probe(t, p, endpoint, time.Minute), checks.Unknown, "reading the secret")
}

func TestTLS(t *testing.T) {
	authority, no := certtest.New(t), false
	s := httptest.NewUnstartedServer(says(200, scalar("1")))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Sign(t, false, "prometheus.example.test")}}
	s.StartTLS()
	t.Cleanup(s.Close)
	for _, c := range []struct {
		tls    promcheck.TLS
		health checks.Health
		words  string
	}{
		{promcheck.TLS{CAFile: authority.File, ServerName: "prometheus.example.test"}, checks.Up, ""},
		{promcheck.TLS{CAFile: authority.File}, checks.Unknown, "in the TLS handshake: x509"},
		{promcheck.TLS{ServerName: "prometheus.example.test"}, checks.Unknown, "says nothing of the endpoint"},
		{promcheck.TLS{Verify: &no}, checks.Up, ""},
	} {
		r := checktest.Probe(t, prober(t, promcheck.Config{URL: s.URL, Query: "1", Min: limit(1), TLS: c.tls}), endpoint, time.Minute)
		checktest.Expect(t, r, c.health, c.words)
	}
}

// TestInterim requires that informational answers are passed over, and that
// they end.
func TestInterim(t *testing.T) {
	for n, health := range map[int]checks.Health{2: checks.Up, 9: checks.Unknown} {
		s := checktest.ServeTCP(t, func(_ context.Context, conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			body := scalar("1")
			_, _ = fmt.Fprintf(conn, "%sHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", n), len(body), body)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = conn.Read(make([]byte, 4096))
		})
		p := prober(t, promcheck.Config{URL: at(s.Target), Query: "1", Min: limit(1)})
		checktest.Expect(t, checktest.Probe(t, p, endpoint, time.Minute), health)
	}
}

func TestUnreadable(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	c := promcheck.Config{URL: "https://192.0.2.1", Query: "1", Min: limit(1)}
	for words, change := range map[string]func(*promcheck.Config){
		"tls.ca_file":        func(c *promcheck.Config) { c.TLS.CAFile = missing },
		"reading the secret": func(c *promcheck.Config) { c.Bearer.File = missing },
		"url":                func(c *promcheck.Config) { c.URL = "ftp://a" },
	} {
		broken := c
		change(&broken)
		if _, err := promcheck.New(broken); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, expected %q", err, words)
		}
	}
}
