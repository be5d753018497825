//go:build realservers

package metrics

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// promtool runs Debian's promtool in a folder.
func promtool(t *testing.T, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// folder has the rules and their tests.
func folder(t *testing.T, rules, tests string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"veer.rules.yml": rules, "veer.test.yml": tests} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readTests(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(rulesFile), "veer.test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// only returns the rules of some alerts and what the tests ask of these: all
// rules and all tests take promtool ten seconds of CPU.
func only(t *testing.T, alerts []string, rules, tests string) (string, string) {
	t.Helper()
	keep := func(list any, name string) []any {
		return slices.DeleteFunc(list.([]any), func(is any) bool {
			return !slices.Contains(alerts, is.(map[string]any)[name].(string))
		})
	}
	part := func(text, list, within, name string) string {
		var file map[string]any
		if err := yaml.Unmarshal([]byte(text), &file); err != nil {
			t.Fatal(err)
		}
		file[list] = slices.DeleteFunc(file[list].([]any), func(is any) bool {
			kept := keep(is.(map[string]any)[within], name)
			is.(map[string]any)[within] = kept
			return len(kept) == 0
		})
		out, err := yaml.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	return part(rules, "groups", "rules", "alert"), part(tests, "tests", "alert_rule_test", "alertname")
}

// TestPromtool: the rules are valid, and each fires when it must and not when
// it must not.
func TestPromtool(t *testing.T) {
	rules, _ := readRules(t)
	dir := folder(t, rules, readTests(t))
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", "veer.rules.yml"}, {"test", "rules", "veer.test.yml"}} {
		if out, err := promtool(t, dir, args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestWrongRulesAreCaught shows that the rules' tests can fail: each of these
// plausible mistakes makes those of its alert fail, which pass without it.
func TestWrongRulesAreCaught(t *testing.T) {
	text, rules := readRules(t)
	const reach = " and on (job, instance) veer_etcd_reachable == 1"
	for name, change := range map[string][2]string{
		"what a cut-off process remembers pages":     {"veer_services_all_down" + reach, "veer_services_all_down"},
		"a process that heard no votes pages":        {"min by (job) (veer_endpoints", "max by (job) (veer_endpoints"},
		"no quorum makes every vantage a ticket":     {"(veer_vantage_fresh) == 0 and on (job) max by (job) (veer_etcd_reachable) == 1", "(veer_vantage_fresh) == 0"},
		"one that hears nothing calls all silent":    {"max by (job, vantage) (veer_vantage_fresh)", "min by (job, vantage) (veer_vantage_fresh)"},
		"one that knows no leader pages":             {"max by (job) (veer_leader_known) == 0", "min by (job) (veer_leader_known) == 0"},
		"a change of leader is two leaders":          {"sum by (job) (veer_leader) > 1\n        for: 2m", "sum by (job) (veer_leader) > 1\n        for: 0s"},
		"two owners are two leaders":                 {"sum by (job) (veer_leader)", "sum(veer_leader)"},
		"a change of the config is a ticket at once": {"for: 30m\n        labels: {severity: ticket}\n        annotations:\n          summary: The regions", "for: 5m\n        labels: {severity: ticket}\n        annotations:\n          summary: The regions"},
		"a suspect vantage is told of twice":         {"\n          unless on (job, vantage) max by (job, vantage) (veer_vantage_suspect) == 1\n        for: 15m\n        labels: {severity: ticket}\n        annotations:\n          summary: Vantage {{ $labels.vantage }} calls", "\n        for: 15m\n        labels: {severity: ticket}\n        annotations:\n          summary: Vantage {{ $labels.vantage }} calls"},
		"an expired certificate is forgotten":        {"veer_certificate_expiry_seconds < 3 * 86400\n        for: 15m", "veer_certificate_expiry_seconds < 3 * 86400 and veer_certificate_expiry_seconds > 0\n        for: 15m"},
		"clients that make room are turned away":     {`reason!="idle"`, `reason!=""`},
		"log_only is a limit":                        {`action=~"dropped|slipped"`, `action=~"dropped|slipped|logged"`},
		"any limit is a flood":                       {"/ sum by (job, instance, provider) (rate(veer_dns_responses_total[5m])) > 0.2", "/ sum by (job, instance, provider) (rate(veer_dns_responses_total[5m])) > 0"},
		"a job that is missing is well":              {`absent(up{job=~"veer.*"} == 1)`, `count(up{job=~"veer.*"} == 1) == 0`},
		"a zone that is behind for a while is held":  {`failing|refused|guarded|read-only`, `behind|failing|refused|guarded|read-only`},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(text, change[0]) {
				t.Fatalf("no rule has %s", change[0])
			}
			wrong := strings.ReplaceAll(text, change[0], change[1])
			var changed []string
			for i, r := range parseRules(t, wrong) {
				if r.Expr != rules[i].Expr || r.For != rules[i].For {
					changed = append(changed, r.Alert)
				}
			}
			right, tests := only(t, changed, text, readTests(t))
			if out, err := promtool(t, folder(t, right, tests), "test", "rules", "veer.test.yml"); err != nil || !strings.Contains(out, "SUCCESS") {
				t.Fatalf("the tests of %q fail by themselves: %v\n%s", changed, err, out)
			}
			wrong, _ = only(t, changed, wrong, readTests(t))
			dir := folder(t, wrong, tests)
			if out, err := promtool(t, dir, "check", "rules", "veer.rules.yml"); err != nil {
				t.Fatalf("it is no rule any more: %v\n%s", err, out)
			}
			if out, err := promtool(t, dir, "test", "rules", "veer.test.yml"); err == nil || !strings.Contains(out, "FAILED") {
				t.Errorf("no test of %q minds: %v\n%s", changed, err, out)
			}
		})
	}
}

// TestDashboardIsPromQL: Prometheus' own parser takes every query.
func TestDashboardIsPromQL(t *testing.T) {
	_, d := readDashboard(t)
	queries := d.queries(t)
	check := func(queries map[string]string) (string, error) {
		var b strings.Builder
		b.WriteString("groups:\n  - name: dashboard\n    rules:\n")
		for i, name := range slices.Sorted(maps.Keys(queries)) {
			fmt.Fprintf(&b, "      - {record: 'panel:%d', expr: '%s'}\n", i, strings.ReplaceAll(queries[name], "'", "''"))
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "dashboard.yml"), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return promtool(t, dir, "check", "rules", "dashboard.yml")
	}
	if out, err := check(queries); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	queries["planted"] = "sum by (job) (rate(veer_term))"
	if out, err := check(queries); err == nil {
		t.Errorf("promtool takes a rate of an instant: %s", out)
	}
}
