package metrics

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// docs/metrics.md is what the code says; -update writes it.
func TestDocumentationIsTheTable(t *testing.T) {
	const path = "../../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(is), Page()); diff != "" {
		t.Errorf("docs/metrics.md differs from the code (-page +code); write it with: go test ./cmd/veer/metrics -update\n%s", diff)
	}
}

// full has something of everything.
func full() Reading {
	return Reading{
		Leads: true, LeaderKnown: true, Etcd: true, Term: 7, CutOff: 3 * time.Second,
		Vantages:  []Vantage{{Name: "eu-west", Fresh: true, Votes: map[string]int{"up": 2, "down": 1}}, {Name: "us-east", Suspect: true, Mismatch: true}},
		Endpoints: map[string]int{"up": 2, "down": 1}, AllDown: 1,
		Zones:       []Zone{{Provider: "aws", Zone: "example.com", State: "behind", Lag: 90 * time.Second}},
		Prober:      &Prober{Probes: 12, P50: time.Millisecond, P99: 20 * time.Millisecond, Latest: time.Second},
		Responses:   map[string]map[string]uint64{"here": {"NOERROR": 5, "REFUSED": 1}},
		Limited:     map[string][]Limited{"here": {{"answer", "dropped", 4}, {"nxdomain", "slipped", 2}}},
		Connections: map[string]map[string]int{"here": {"tcp": 3, "tls": 1}}, TurnedAway: map[string]map[string]uint64{"here": {"full": 4, "idle": 0}},
		Queries: []Queries{{"here", "example.test", "udp", "NXDOMAIN", 3}},
		Answers: []Answers{{"here", "app.example.test", "eu-west", 4}},
		Dropped: []Dropped{{"here", "dnstap", 2}},
		Aliases: map[string]map[string]int{"here": {AliasFresh: 2, AliasStale: 1}},
		Expiry:  map[string]time.Duration{"host.tls.cert_file": -time.Hour},
		Waiting: map[string]int{"ops": 3}, Failing: map[string]time.Duration{"syslog": 90 * time.Second},
	}
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// TestScrape: every documented name is there, no other of Veer's is, and the
// values are those that were read and counted.
func TestScrape(t *testing.T) {
	m := New(Options{Version: "1.2.3", Read: func(context.Context) Reading { return full() }})
	m.Foresee("aws")
	m.Decided()
	m.Wrote("aws", WriteFenced)
	m.ForeseeReceiver("ops", "sent", "dropped")
	m.Notified("ops", "sent")
	m.ForeseeOutput("file")
	m.Exported("file")
	m.Gap("syslog")
	text := scrape(t, m)
	for _, line := range []string{
		`veer_leader 1`, `veer_term 7`, `veer_cut_off_seconds 3`, `veer_decisions_total 1`,
		`veer_config_mismatch{region="eu-west"} 0`, `veer_config_mismatch{region="us-east"} 1`,
		`veer_votes{health="down",vantage="eu-west"} 1`, `veer_votes{health="up",vantage="us-east"} 0`,
		`veer_endpoints{health="up"} 2`, `veer_endpoints{health="unknown"} 0`,
		`veer_provider_lag_seconds{provider="aws",zone="example.com"} 90`,
		`veer_provider_writes_total{outcome="fenced",provider="aws"} 1`, `veer_provider_writes_total{outcome="ok",provider="aws"} 0`,
		`veer_probe_late_seconds{quantile="0.99"} 0.02`, `veer_dns_responses_total{provider="here",rcode="REFUSED"} 1`,
		`veer_dns_rate_limited_total{action="slipped",class="nxdomain",provider="here"} 2`,
		`veer_dns_connections{provider="here",transport="tcp"} 3`, `veer_dns_turned_away_total{provider="here",reason="full"} 4`,
		`veer_dns_queries_total{provider="here",rcode="NXDOMAIN",transport="udp",zone="example.test"} 3`,
		`veer_dns_answers_total{answer="eu-west",provider="here",service="app.example.test"} 4`,
		`veer_dns_log_dropped_total{log="dnstap",provider="here"} 2`,
		`veer_certificate_expiry_seconds{file="host.tls.cert_file"} -3600`,
		`veer_notifications_total{outcome="sent",receiver="ops"} 1`, `veer_notifications_total{outcome="dropped",receiver="ops"} 0`, `veer_notifications_waiting{receiver="ops"} 3`,
		`veer_journal_exported_total{output="file"} 1`, `veer_journal_gaps_total{output="file"} 0`, `veer_journal_gaps_total{output="syslog"} 1`, `veer_journal_failing_seconds{output="syslog"} 90`,
		`veer_alias_hosts{provider="here",state="fresh"} 2`, `veer_alias_hosts{provider="here",state="unknown"} 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the scrape lacks %s", line)
		}
	}
	var found, want []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (veer_\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1]+" "+m[2])
	}
	for _, m := range Table() {
		want = append(want, m.Name+" "+m.Type)
	}
	slices.Sort(found)
	slices.Sort(want)
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("documented and served names differ (-documented +served):\n%s", diff)
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestNames holds names to Prometheus' manners, and two registries apart.
func TestNames(t *testing.T) {
	for _, m := range Table() {
		if !regexp.MustCompile(`^veer_[a-z0-9_]+$`).MatchString(m.Name) || strings.HasSuffix(m.Name, "_total") != (m.Type == Counter) {
			t.Errorf("%s is a %s", m.Name, m.Type)
		}
		if m.Series == "" || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s does not say what it is, or how many", m.Name)
		}
	}
	read := func(context.Context) Reading { return Reading{} }
	one, other := New(Options{Read: read}), New(Options{Read: read})
	one.Decided()
	if text := scrape(t, other); !strings.Contains(text, "\nveer_decisions_total 0\n") {
		t.Error("two daemons share a counter")
	}
}
