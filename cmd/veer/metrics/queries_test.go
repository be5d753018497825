package metrics

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// words are the values that a label can have, where the code bounds them: a
// matcher with another one never matches, and nobody would notice.
func words(metric, label string) []string {
	switch metric + " " + label {
	case "veer_votes health", "veer_endpoints health":
		return Healths()
	case "veer_provider_writes_total outcome":
		return []string{WriteOK, WriteFenced, WriteConflict, WriteError}
	case "veer_reload_total result":
		return []string{"changed", "unchanged", "invalid", "refused"}
	case "veer_zone_state state":
		return []string{"ok", "behind", "failing", "refused", "guarded", "read-only"}
	case "veer_alias_hosts state":
		return []string{AliasFresh, AliasStale, AliasUnknown}
	case "veer_dns_rate_limited_total action":
		return []string{"dropped", "slipped", "logged"}
	case "veer_dns_turned_away_total reason":
		return []string{"full", "client", "idle", "handshake", "proxy"}
	case "veer_dns_log_dropped_total log":
		return []string{"query_log", "dnstap"}
	case "veer_probe_late_seconds quantile":
		return []string{"0.5", "0.99", "1"}
	case "veer_dns_responses_total rcode":
		return []string{"NOERROR", "SERVFAIL", "NXDOMAIN", "REFUSED"}
	}
	return nil
}

// scraped are the labels that Prometheus adds.
func scraped() []string { return []string{"job", "instance"} }

// query is what a PromQL expression uses.
type query struct {
	metrics []string
	// labels are those of its metrics and of the scrape.
	labels []string
	// grouped are the labels of its by().
	grouped []string
}

var (
	selectors = regexp.MustCompile(`\b(veer_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?`)
	matchers  = regexp.MustCompile(`^([a-z_]+)(=~|!~|!=|=)"([^"]*)"$`)
	listed    = regexp.MustCompile(`\b(by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	named     = regexp.MustCompile(`\bveer[a-zA-Z0-9_]*`)
)

// readQuery finds what an expression uses, and what of it the table does not have.
// Whether it is PromQL otherwise is for promtool to say.
func readQuery(expr string) (query, error) {
	q := query{labels: scraped()}
	known := map[string]Metric{"up": {Name: "up"}}
	for _, m := range Table() {
		known[m.Name] = m
	}
	for _, s := range selectors.FindAllStringSubmatch(expr, -1) {
		m, ok := known[s[1]]
		if !ok {
			return q, fmt.Errorf("there is no metric %s", s[1])
		}
		q.metrics = append(q.metrics, m.Name)
		q.labels = append(q.labels, m.Labels...)
		if err := matched(m, s[2]); err != nil {
			return q, err
		}
	}
	if len(q.metrics) == 0 {
		return q, fmt.Errorf("no metric of Veer is in it")
	}
	plain := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, "")
	for _, name := range named.FindAllString(plain, -1) {
		if _, ok := known[name]; !ok {
			return q, fmt.Errorf("there is no metric %s", name)
		}
	}
	for _, l := range listed.FindAllStringSubmatch(plain, -1) {
		for _, label := range strings.FieldsFunc(l[2], func(r rune) bool { return r == ',' || r == ' ' }) {
			if !slices.Contains(q.labels, label) {
				return q, fmt.Errorf("%s(%s): none of its metrics has the label %s", l[1], l[2], label)
			}
			if l[1] == "by" {
				q.grouped = append(q.grouped, label)
			}
		}
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(plain, pair[:1]) != strings.Count(plain, pair[1:]) {
			return q, fmt.Errorf("its %s are not balanced", pair)
		}
	}
	return q, nil
}

// matched holds the matchers of a selector against the metric.
func matched(m Metric, text string) error {
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		f := matchers.FindStringSubmatch(part)
		if f == nil {
			return fmt.Errorf("%s: %s is no matcher", m.Name, part)
		}
		if !slices.Contains(m.Labels, f[1]) && !slices.Contains(scraped(), f[1]) {
			return fmt.Errorf("%s has no label %s", m.Name, f[1])
		}
		if known := words(m.Name, f[1]); known != nil {
			for _, word := range strings.Split(f[3], "|") {
				if !slices.Contains(known, word) {
					return fmt.Errorf("%s: %s is never %q, but one of %s", m.Name, f[1], word, strings.Join(known, ", "))
				}
			}
		}
	}
	return nil
}

// carries reports whether the result of an expression can have the label: of
// what stands left of and, unless and comparisons, one of its by(), or, where
// nothing is aggregated, one of its metrics.
func carries(expr, label string) bool {
	q, err := readQuery(leftmost(expr))
	if err != nil {
		return false
	}
	if len(q.grouped) > 0 || aggregated.MatchString(expr) {
		return slices.Contains(q.grouped, label)
	}
	return slices.Contains(q.labels, label)
}

var (
	aggregated = regexp.MustCompile(`^(max|min|sum|count|absent)\b`)
	operators  = regexp.MustCompile(`^\s(and|unless|>|<|==|>=|<=)\s`)
)

// leftmost is what stands left of the first operator outside of all brackets.
func leftmost(expr string) string {
	depth := 0
	for i, r := range expr {
		switch r {
		case '(', '{':
			depth++
		case ')', '}':
			depth--
		case ' ', '\n':
			if depth == 0 && operators.MatchString(expr[i:]) {
				return expr[:i]
			}
		}
	}
	return expr
}
