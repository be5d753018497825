package metrics

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

const (
	rulesFile = "../../../docs/alerts/veer.rules.yml"
	runbook   = "../../../docs/runbook.md"
	runbookAt = "https://github.com/veerdns/veer/blob/main/docs/runbook.md#"
)

// quiet are the metrics that no alert looks at, and why.
func quiet() map[string]string {
	return map[string]string{
		"veer_build_info":             "two versions at once are what an upgrade is",
		"veer_decisions_total":        "many decisions are no fault; what they lead to is seen elsewhere",
		"veer_dns_queries_total":      "how many queries come is the world's choice",
		"veer_dns_answers_total":      "where traffic goes is the answer to health, which has alerts",
		"veer_journal_exported_total": "how much is decided is no fault; that it is not written out has an alert",
		"veer_dns_connections":        "what is too many is turned away, which has an alert",
		"veer_reload_total":           "whether the last one was refused has an alert; how often is the operator's choice",

		"veer_config_load_timestamp_seconds": "a config may be old and good",
		"veer_calls_total":                   "strangers who are refused are no fault, and calls that fail leave endpoints unknown, which has an alert",
	}
}

// rule is one of docs/alerts/veer.rules.yml.
type rule struct {
	Alert, Expr, For string
	Labels           map[string]string
	Annotations      map[string]string
}

func readRules(t *testing.T) (string, []rule) {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), parseRules(t, string(text))
}

func parseRules(t *testing.T, text string) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	var out []rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) == 0 {
		t.Fatal("there are no rules")
	}
	return out
}

// TestAlerts: every alert asks for what the table has, says what its result
// can say, is explained, and leads to the runbook; every metric has an alert
// or a reason for none.
func TestAlerts(t *testing.T) {
	text, rules := readRules(t)
	used, seen := map[string]bool{}, map[string]bool{}
	for _, r := range rules {
		if !strings.HasPrefix(r.Alert, "Veer") || seen[r.Alert] {
			t.Errorf("%s: an alert begins with Veer, and there is one of a name", r.Alert)
		}
		seen[r.Alert] = true
		q, err := readQuery(r.Expr)
		if err != nil {
			t.Errorf("%s: %v", r.Alert, err)
			continue
		}
		for _, m := range q.metrics {
			used[m] = true
		}
		summary := r.Annotations["summary"]
		for _, l := range regexp.MustCompile(`\$labels\.([a-z_]+)`).FindAllStringSubmatch(summary, -1) {
			if !carries(r.Expr, l[1]) {
				t.Errorf("%s says %s, which its result has not", r.Alert, l[1])
			}
		}
		if !strings.HasSuffix(summary, ".") || r.Annotations["runbook_url"] != runbookAt+strings.ToLower(r.Alert) || len(r.Annotations) != 2 {
			t.Errorf("%s has the annotations %q", r.Alert, r.Annotations)
		}
		if s := r.Labels["severity"]; s != "page" && s != "ticket" || len(r.Labels) != 1 {
			t.Errorf("%s has the labels %q", r.Alert, r.Labels)
		}
		if !regexp.MustCompile(`\n +# [^\n]+\n +- alert: ` + r.Alert + `\n`).MatchString(text) {
			t.Errorf("no comment explains %s", r.Alert)
		}
	}
	var without []string
	for _, m := range Table() {
		if !used[m.Name] {
			without = append(without, m.Name)
		}
	}
	slices.Sort(without)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(quiet())), without); diff != "" {
		t.Errorf("metrics without an alert (-with a reason +found):\n%s", diff)
	}
}

// TestRunbookHasEveryAlert: a section for each alert, each with what it means,
// what Veer does, what to look at, what to do and what not; and no other.
func TestRunbookHasEveryAlert(t *testing.T) {
	page, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	_, rules := readRules(t)
	var want, have []string
	for _, r := range rules {
		want = append(want, r.Alert)
	}
	for _, section := range strings.Split("\n"+string(page), "\n### ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		body, _, _ = strings.Cut(body, "\n## ")
		if strings.HasPrefix(title, "Veer") {
			have = append(have, title)
		}
		for _, part := range []string{"**Means.**", "**Veer.**", "**Look.**", "**Do.**", "**Don't.**"} {
			if strings.Count(body, part) != 1 {
				t.Errorf("the section %q of the runbook has %s %d times", title, part, strings.Count(body, part))
			}
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("alerts and sections of the runbook differ (-alerts +sections):\n%s", diff)
	}
}

// TestWrongQueriesAreFound shows that the check can fail.
func TestWrongQueriesAreFound(t *testing.T) {
	for expr, want := range map[string]string{
		`veer_leaders == 0`:                                     "no metric veer_leaders",
		`max by (job) (veer_leader{} and veerleader)`:           "no metric veerleader",
		`veer_leader{vantage="a"} == 1`:                         "no label vantage",
		`max by (job, vantage) (veer_leader) == 1`:              "the label vantage",
		`veer_term and on (zone) veer_leader`:                   "the label zone",
		`veer_zone_state{state=~"failing|readonly"} == 1`:       `never "readonly"`,
		`rate(veer_dns_turned_away_total{reason!="idles"}[5m])`: `never "idles"`,
		`veer_votes{health="up",} > (1`:                         "not balanced",
		`veer_votes{health='up'} > 1`:                           "no matcher",
		`vector(1)`:                                             "no metric",
	} {
		if _, err := readQuery(expr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", expr, err, want)
		}
	}
	for _, c := range []struct {
		expr, labels, not string
	}{
		{`sum by (job, zone) (rate(veer_dns_queries_total{transport="udp"}[5m]))`, "job zone", "transport instance"},
		{`veer_cut_off_seconds > 9 and on (job) max by (job) (veer_leader) == 1`, "job instance", "vantage"},
		{`max(veer_votes{health="up"} > 1)`, "", "vantage job"},
	} {
		for _, l := range strings.Fields(c.labels) {
			if !carries(c.expr, l) {
				t.Errorf("%s lacks %s", c.expr, l)
			}
		}
		for _, l := range strings.Fields(c.not) {
			if carries(c.expr, l) {
				t.Errorf("%s has %s", c.expr, l)
			}
		}
	}
}
