package daemon_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/cmd/veer/metrics"
)

const scrapeToken = "canary-00d1e7a6c5f24b"

// web is a client of a daemon's listener.
type web struct {
	t      *testing.T
	base   string
	client *http.Client
}

func (w web) get(path, token string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.base+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// until scrapes until all lines are there.
func (w web) until(lines ...string) string {
	w.t.Helper()
	late, again := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer again.Stop()
	for {
		_, text := w.get("/metrics", scrapeToken)
		missing := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.Contains(text, "\n"+line+"\n") })
		if len(missing) == 0 {
			return text
		}
		select {
		case <-again.C:
		case <-late:
			w.t.Fatalf("the metrics lack %q:\n%s", missing, regexp.MustCompile(`(?m)^(#|go_|process_|promhttp_).*\n`).ReplaceAllString(text, ""))
		}
	}
}

// logged is a log that several goroutines write.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// secureHTTP has daemons listen over TLS, for who has the token.
func (l *lab) secureHTTP() {
	l.t.Helper()
	if _, err := daemon.InitCA(l.dir, "lab", time.Now(), daemon.CALife, false); err != nil {
		l.t.Fatal(err)
	}
	if _, err := daemon.IssueCert(l.dir, "lab", "eu-west", []string{"127.0.0.1"}, time.Now(), daemon.CertLife, false); err != nil {
		l.t.Fatal(err)
	}
	l.write("token", scrapeToken+"\n")
	l.write("host.yaml", "http: {listen: \"127.0.0.1:0\", cert_file: eu-west.pem, key_file: eu-west.key, token_file: token}\n")
}

// TestScrapeOfADaemon: a real daemon, over TLS with a token, tells who leads,
// what is voted and answered, and that another vantage runs another config;
// and never the token.
func TestScrapeOfADaemon(t *testing.T) {
	l := newLab(t)
	l.secureHTTP()
	c := l.config("eu-west")
	if err := os.Remove(filepath.Join(l.dir, "host.yaml")); err != nil { // the others have none
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(l.dir, "ca.pem"))
	if err != nil || !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no CA", err)
	}
	log, address, done := &logged{}, make(chan string, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		done <- daemon.Run(ctx, daemon.Options{Config: c, Version: "1.2.3", Log: zerolog.New(log), Hooks: daemon.Hooks{
			HTTP: func(a string) { address <- a }, Serving: func(a []string) { l.server = a[0] },
		}})
	}()
	w := web{t, "", &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 10 * time.Second}}
	select {
	case a := <-address:
		w.base = "https://" + a
	case err := <-done:
		t.Fatal(err)
	}
	w.until("veer_leader 1", "veer_leader_known 1", "veer_etcd_reachable 1", `veer_votes{health="up",vantage="eu-west"} 3`,
		`veer_vantage_fresh{vantage="us-east"} 0`, `veer_config_mismatch{region="us-east"} 0`)
	l.start("ap-south", daemon.RoleProber)
	l.edit("hold: 1s", "hold: 2s")
	l.start("us-east", daemon.RoleProber)
	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	if _, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("example.org.", dns.TypeA), l.server); err != nil {
		t.Fatal(err)
	}
	text := w.until(`veer_config_mismatch{region="us-east"} 1`, `veer_config_mismatch{region="ap-south"} 0`, `veer_vantage_fresh{vantage="us-east"} 1`,
		`veer_endpoints{health="down"} 1`, `veer_endpoints{health="up"} 2`, `veer_votes{health="down",vantage="us-east"} 1`,
		`veer_dns_responses_total{provider="here",rcode="REFUSED"} 1`, `veer_dns_connections{provider="here",transport="tcp"} 0`, `veer_dns_turned_away_total{provider="here",reason="idle"} 0`, "veer_services_all_down 0")
	for _, line := range []string{
		`veer_build_info\{go_version="go[^"]+",version="1.2.3"\} 1`, `veer_term [1-9][0-9]*`, `veer_decisions_total [1-9][0-9]*`, `veer_probes_total [1-9][0-9.e+]*`,
		`veer_dns_rate_limited_total\{action="dropped",class="nxdomain",provider="here"\} 0`,
		`veer_dns_responses_total\{provider="here",rcode="NOERROR"\} [1-9][0-9]*`,
		`veer_dns_queries_total\{provider="here",rcode="NOERROR",transport="udp",zone="example.test"\} [1-9][0-9]*`,
		`veer_dns_answers_total\{answer="[a-z-]+",provider="here",service="[a-z]+.example.test"\} [1-9][0-9]*`, `veer_certificate_expiry_seconds\{file="host.http.cert_file"\} [0-9.e+]+`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(text) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	var known []string
	for _, m := range metrics.Table() {
		known = append(known, m.Name)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(known, m[1]) && !strings.HasPrefix(m[1], "go_") && !strings.HasPrefix(m[1], "process_") {
			t.Errorf("%s is not documented", m[1])
		}
	}

	said := text
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/": 404, "/debug/pprof/": 404} {
		if code, body := w.get(path, scrapeToken); code != want {
			t.Errorf("%s: status %d: %s", path, code, body)
		}
		for _, token := range []string{"", scrapeToken + "x", strings.ToUpper(scrapeToken)} {
			code, body := w.get(path, token)
			if code != http.StatusUnauthorized {
				t.Errorf("%s with another token: status %d: %s", path, code, body)
			}
			said += body
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if said += log.b.String(); strings.Contains(said, scrapeToken) {
		t.Error("the token was told")
	}
	if !strings.Contains(log.b.String(), "serving metrics and health") {
		t.Errorf("the log says nothing of the listener: %s", log.b.String())
	}
	for _, key := range []string{"host:", "http:"} { // the path of the token, never the token
		if yaml := string(c.YAML(true)); !strings.Contains(yaml, key) || strings.Contains(yaml, scrapeToken) {
			t.Errorf("config show tells %s", yaml)
		}
	}
	if other := l.config("us-east"); other.Host.HTTP != (config.HTTP{}) {
		t.Errorf("another host listens, too: %+v", other.Host.HTTP)
	}
}

// TestReadyByRole: an authority is ready without etcd, a prober is not.
func TestReadyByRole(t *testing.T) {
	l := newLab(t)
	l.members("us-east") // which does not run
	for role, want := range map[string]int{daemon.RoleAuthority: http.StatusOK, daemon.RoleProber: http.StatusServiceUnavailable} {
		l.write("host.yaml", "http: {listen: \"127.0.0.1:0\"}\n")
		address, done := make(chan string, 1), make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			done <- daemon.Run(ctx, daemon.Options{Config: l.configIn("eu-west", role), Roles: []string{role}, Log: zerolog.Nop(), Hooks: daemon.Hooks{HTTP: func(a string) { address <- a }}})
		}()
		w := web{t, "http://" + <-address, http.DefaultClient}
		if code, body := w.get("/healthz", ""); code != http.StatusOK {
			t.Errorf("%s is not healthy: %d %s", role, code, body)
		}
		if code, body := w.get("/readyz", ""); code != want {
			t.Errorf("%s: readyz is %d, want %d: %s", role, code, want, body)
		}
		if _, text := w.get("/metrics", ""); !strings.Contains(text, "\nveer_etcd_reachable 0\n") {
			t.Errorf("%s reaches an etcd that does not run", role)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}
