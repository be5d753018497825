//go:build realservers

package daemon_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
	"github.com/veerdns/veer/cmd/veer/metrics"
	"github.com/veerdns/veer/regions/controller"
)

// prometheus is Debian's, with the rules of docs/alerts, which do not wait
// before they fire.
type prometheus struct {
	l    *lab
	dir  string
	base string
}

const prometheusConfig = `global: {scrape_interval: 2500ms, scrape_timeout: 2500ms, evaluation_interval: 500ms}
rule_files: [veer.rules.yml]
scrape_configs:
  - job_name: veer
    scheme: https
    tls_config: {ca_file: %s}
    authorization: {credentials_file: %s}
    file_sd_configs: [{files: [targets.json]}]
`

func startPrometheus(l *lab, rules string) *prometheus {
	t := l.t.(*testing.T)
	target := checktest.Refused(t, "tcp", "127.0.0.1")
	p := &prometheus{l, filepath.Join(l.dir, "prometheus"), fmt.Sprintf("http://127.0.0.1:%d", target.Port)}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l.write("prometheus/veer.rules.yml", rules)
	l.write("prometheus/prometheus.yml", fmt.Sprintf(prometheusConfig, filepath.Join(l.dir, "ca.pem"), filepath.Join(l.dir, "token")))
	p.scrapes(vantageNames...)
	checktest.Start(t, target, "prometheus", "--config.file="+filepath.Join(p.dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(p.dir, "data"),
		"--web.listen-address="+strings.TrimPrefix(p.base, "http://"), "--log.level=warn")
	return p
}

// scrapes tells Prometheus where the regions listen.
func (p *prometheus) scrapes(regions ...string) {
	p.l.mu.Lock()
	var targets []string
	for _, r := range regions {
		targets = append(targets, p.l.listens[r])
	}
	p.l.mu.Unlock()
	text, err := json.Marshal([]map[string][]string{{"targets": targets}})
	if err != nil {
		p.l.t.Fatal(err)
	}
	p.l.write("prometheus/next", string(text))
	if err := os.Rename(filepath.Join(p.dir, "next"), filepath.Join(p.dir, "targets.json")); err != nil {
		p.l.t.Fatal(err)
	}
}

// get asks the API; false: it is not ready yet.
func (p *prometheus) get(path string, into any) bool {
	p.l.t.Helper()
	resp, err := http.Get(p.base + path)
	if err != nil {
		p.l.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusServiceUnavailable {
		return false
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		p.l.t.Fatalf("%s: status %d, %v", path, resp.StatusCode, err)
	}
	return true
}

// series counts what a query gives.
func (p *prometheus) series(expr string) int {
	p.l.t.Helper()
	var out struct {
		Data struct{ Result []json.RawMessage }
	}
	p.get("/api/v1/query?"+url.Values{"query": {expr}}.Encode(), &out)
	return len(out.Data.Result)
}

// firing are the alerts that fire, each with the labels that say about what.
// How punctual probes are is the machine's matter.
func (p *prometheus) firing() []string {
	p.l.t.Helper()
	var out struct {
		Data struct {
			Alerts []struct {
				State               string
				Labels, Annotations map[string]string
			}
		}
	}
	p.get("/api/v1/alerts", &out)
	found := []string{}
	for _, a := range out.Data.Alerts {
		if a.State != "firing" || a.Labels["alertname"] == "VeerProbesLate" {
			continue
		}
		text := a.Labels["alertname"]
		for _, label := range []string{"vantage", "zone", "state"} {
			if v, ok := a.Labels[label]; ok {
				text += " " + v
			}
		}
		found = append(found, text)
		if s := a.Annotations["summary"]; s == "" || strings.Contains(s, "<") || strings.Contains(s, "{{") {
			p.l.t.Errorf("%s says %q", text, s)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// evaluated waits until all rules were evaluated on what is there now.
func (p *prometheus) evaluated() {
	p.l.t.Helper()
	now := time.Now()
	p.l.poll("all rules are evaluated", func() (bool, string) {
		var out struct {
			Data struct {
				Groups []struct{ LastEvaluation time.Time }
			}
		}
		p.get("/api/v1/rules", &out)
		for _, g := range out.Data.Groups {
			if !g.LastEvaluation.After(now) {
				return false, g.LastEvaluation.String()
			}
		}
		return len(out.Data.Groups) > 0, "no group"
	})
}

// fires waits until exactly these alerts fire, by rules that have seen what is
// there now.
func (p *prometheus) fires(what string, want ...string) {
	p.l.t.Helper()
	began := time.Now()
	p.evaluated()
	slices.Sort(want)
	p.l.poll(what, func() (bool, string) {
		is := p.firing()
		return slices.Equal(is, want), fmt.Sprintf("%q, want %q", is, want)
	})
	p.l.t.Logf("%s: after %s %q fire", what, time.Since(began).Round(100*time.Millisecond), want)
}

// answers waits until queries give data.
func (p *prometheus) answers(queries map[string]string) {
	p.l.t.Helper()
	p.l.poll("data", func() (bool, string) {
		var none []string
		for name, expr := range queries {
			if p.series(expr) == 0 {
				none = append(none, name+": "+expr)
			}
		}
		slices.Sort(none)
		return len(none) == 0, "none for " + strings.Join(none, "\n")
	})
}

// hurried are the rules of docs/alerts that fire at once, and for an answer
// that waits for a second.
func hurried(t *testing.T) string {
	text := document(t, "alerts/veer.rules.yml")
	out := regexp.MustCompile(`(?m)^( +for:) \d+[mh]$`).ReplaceAllString(text, "$1 0s")
	if strings.Count(text, "\n        for:") != strings.Count(out, " for: 0s") {
		t.Fatal("not every rule was hurried")
	}
	slow := "veer_provider_lag_seconds) > 120"
	if !strings.Contains(out, slow) {
		t.Fatalf("no rule has %s", slow)
	}
	return strings.ReplaceAll(out, slow, "veer_provider_lag_seconds) > 1")
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// panels are the queries of docs/dashboard.json by their panel's title.
func panels(t *testing.T) map[string]string {
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal([]byte(document(t, "dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	out, fill := map[string]string{}, strings.NewReplacer("$job", "veer", "$service", ".*", "$__rate_interval", "1m", "$__range", "1m")
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			out[p.Title+" "+q.RefID] = fill.Replace(q.Expr)
		}
	}
	if len(out) < 20 {
		t.Fatalf("the dashboard has only %d queries", len(out))
	}
	return out
}

// selectors are those of the rules that have matchers, but for what is only
// there when something is wrong.
func selectors(rules string) []string {
	return slices.DeleteFunc(regexp.MustCompile(`veer_[a-z_]+\{[^}]*\}`).FindAllString(rules, -1), func(s string) bool {
		return strings.Contains(s, "state=~\"failing") || strings.Contains(s, "SERVFAIL")
	})
}

// watchedLab has three vantages, two written providers, all that has metrics,
// and a listener over TLS with a token.
func watchedLab(t *testing.T) (*lab, *stores) {
	l, s := newWrittenLab(t)
	l.secureHTTP()
	l.edit(patient()...)
	l.write("key", hookKey)
	l.edit("owner: lab\n", "owner: lab\nnotifications: {receivers: {hook: {kind: webhook, url: \""+newHook(t).URL+"\", secret_file: key}}}\njournal: {file: {path: \"{region}.jsonl\"}}\n")
	l.edit("file: example.test.zone}]}", `file: example.test.zone}], query_log: {sample: 1, path: queries.log}, alias: {resolver: ["127.0.0.1:1"]}}`)
	l.edit("services:\n", "hooks:\n  pager: {kind: alertmanager, act: drain, token_file: token, rules: [{match: {alertname: InstanceDown}, service: app.example.test, address_label: instance}]}\nservices:\n")
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.start("ap-south", daemon.RoleProber)
	l.well()
	return l, s
}

// well waits until all vantages vote up, and the zones have it.
func (l *lab) well() {
	l.t.Helper()
	l.status("eu-west", func(st api.Status) bool {
		return !slices.ContainsFunc(st.Voters, func(v api.Vantage) bool { return v.Votes != 3 || v.Down != 0 || v.Suspect }) &&
			len(st.Zones) == 3 && !slices.ContainsFunc(st.Zones, func(z controller.ZoneState) bool { return z.State != controller.ZoneOK })
	})
}

// TestPrometheusThroughAFailover: Debian's Prometheus scrapes three real
// daemons with the rules of docs/alerts. Every query of the dashboard and every
// metric of a rule has data; a failover wakes nobody; what must fire fires,
// alone, and ends.
func TestPrometheusThroughAFailover(t *testing.T) {
	t.Parallel() // it waits more than it works
	l, s := watchedLab(t)
	p := startPrometheus(l, hurried(t))
	p.l.poll("three scrapes", func() (bool, string) { n := p.series(`up == 1`); return n == 3, fmt.Sprint(n) })
	l.answers("127.0.0.11")
	p.fires("all is well")
	const notUp = "Votes that are not up A" // nobody votes otherwise yet
	all := panels(t)
	p.tellsAll(all, notUp)

	l.down("127.0.0.11")
	l.answers("127.0.0.12")
	p.answers(map[string]string{notUp: all[notUp], "traffic moved": `veer_dns_answers_total{service="app.example.test", answer="us-east"} > 0`})
	p.fires("a failover wakes nobody")

	s.lost.Store(true)
	l.up("127.0.0.11")
	l.answers("127.0.0.11")
	p.fires("a provider is lost", "VeerZoneBehind example.test", "VeerZoneHeld example.test failing")
	s.lost.Store(false)
	p.fires("the provider is back")

	for host := range l.backends {
		l.down(host)
	}
	p.fires("all are down", "VeerAllDown")
	for host := range l.backends {
		l.up(host)
	}
	p.fires("all are up")
	l.well()
	good := l.read("veer.yaml")
	l.write("veer.yaml", good+"bad: true\n")
	l.reloads("eu-west", api.ReloadInvalid)
	p.fires("a reload was refused", "VeerReloadRefused")
	l.write("veer.yaml", good)
	l.reloads("eu-west", api.ReloadUnchanged)
	p.fires("the file is mended")
	p.loses()
}

// tellsAll waits until every query of the dashboard but one, every metric and
// every selector of the rules has data.
func (p *prometheus) tellsAll(panels map[string]string, but string) {
	t := p.l.t.(*testing.T)
	t.Helper()
	want := maps.Clone(panels)
	delete(want, but)
	for _, m := range metrics.Table() {
		want[m.Name] = m.Name
	}
	for _, s := range selectors(document(t, "alerts/veer.rules.yml")) {
		want[s] = s
	}
	p.answers(want)
	if n := p.series(panels[but]); n != 0 {
		t.Errorf("%s: %d series, want none", but, n)
	}
	if n := p.series("veer_no_such_metric"); n != 0 {
		t.Errorf("%d series of what does not exist", n)
	}
}

// loses ends one region after another.
func (p *prometheus) loses() {
	l := p.l
	l.t.Helper()
	l.halt("us-east")
	p.fires("a vantage ended", "VeerProcessDown", "VeerVantageSilent us-east")
	l.halt("ap-south")
	p.fires("two vantages ended", "VeerProcessDown", "VeerVantageSilent ap-south", "VeerVantageSilent us-east", "VeerVerdictUnknown")
	l.edit("hold: 1s", "hold: 2s")
	l.start("us-east", daemon.RoleProber)
	l.start("ap-south", daemon.RoleProber)
	l.well()
	p.scrapes(vantageNames...)
	p.fires("both are back, with another config", "VeerConfigMismatch")

	l.halt("eu-west")
	p.fires("etcd is lost", "VeerNoQuorum", "VeerProcessDown")
	l.halt("us-east")
	l.halt("ap-south")
	p.fires("all ended", "VeerProcessDown", "VeerTellsNothing")
}
