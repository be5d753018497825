package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const dashboardFile = "../../../docs/dashboard.json"

type source struct{ Type, UID string }

// target is one query of a panel.
type target struct {
	RefID        string
	Datasource   source
	Expr         string
	LegendFormat string
}

type panel struct {
	ID          int
	Type, Title string
	Description string
	Datasource  source
	GridPos     struct{ H, W, X, Y int }
	Targets     []target
}

// dashboard is of docs/dashboard.json what the tests look at.
type dashboard struct {
	SchemaVersion int
	Title         string
	Templating    struct {
		List []struct {
			Name, Type, Definition string
			Datasource             source
		}
	}
	Annotations struct {
		List []struct {
			Datasource source
			Expr       string
		}
	}
	Panels []panel
}

func readDashboard(t *testing.T) (string, dashboard) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return string(text), d
}

// plainQuery puts what Grafana would in the place of its variables.
func plainQuery(expr string) string {
	return strings.NewReplacer("$job", "veer", "$service", ".*", "$__rate_interval", "5m", "$__range", "3h").Replace(expr)
}

// queries are all expressions of the dashboard, by where they stand.
func (d dashboard) queries(t *testing.T) map[string]string {
	out := map[string]string{}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			out[p.Title+" "+q.RefID] = plainQuery(q.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		out["annotation "+a.Expr] = plainQuery(a.Expr)
	}
	for name, expr := range out {
		if strings.Contains(expr, "$") {
			t.Errorf("%s: a variable is left in %s", name, expr)
		}
	}
	return out
}

// TestDashboard: every query asks for what the table has, every metric of the
// table is shown, every legend says what its query's result has.
func TestDashboard(t *testing.T) {
	_, d := readDashboard(t)
	shown := map[string]bool{}
	for name, expr := range d.queries(t) {
		q, err := readQuery(expr)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, m := range q.metrics {
			shown[m] = true
		}
	}
	for _, m := range Table() {
		if !shown[m.Name] {
			t.Errorf("no panel shows %s", m.Name)
		}
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			for _, l := range regexp.MustCompile(`\{\{([a-z_]+)\}\}`).FindAllStringSubmatch(q.LegendFormat, -1) {
				if !carries(plainQuery(q.Expr), l[1]) {
					t.Errorf("%s: the legend says %s, which the result has not", p.Title, l[1])
				}
			}
		}
	}
}

// TestDashboardLayout: panels do not lie on one another, each says what it is
// for, and nothing but the chosen Prometheus is asked.
func TestDashboardLayout(t *testing.T) {
	text, d := readDashboard(t)
	if d.Title != "Veer" || d.SchemaVersion < 42 {
		t.Errorf("title %q, schema %d", d.Title, d.SchemaVersion)
	}
	if strings.Contains(text, "://") {
		t.Error("it leads elsewhere")
	}
	own := source{"prometheus", "${datasource}"}
	ids, taken := map[int]string{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if other, twice := ids[p.ID]; twice {
			t.Errorf("%s and %s have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, twice := taken[at]; twice || at[0] >= 24 {
					t.Fatalf("%s lies on %q, or beyond the edge, at %v", p.Title, other, at)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource != own || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("%s: a panel has the chosen data source, a description and a query", p.Title)
		}
		for _, q := range p.Targets {
			if q.Datasource != own {
				t.Errorf("%s asks %+v", p.Title, q.Datasource)
			}
		}
	}
}

// TestDashboardVariables: those that queries use are there, and are made of
// labels that there are.
func TestDashboardVariables(t *testing.T) {
	text, d := readDashboard(t)
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		if inner, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			selector, label, _ := strings.Cut(strings.TrimSuffix(inner, ")"), ", ")
			if q, err := readQuery(plainQuery(selector)); err != nil || !slices.Contains(q.labels, label) {
				t.Errorf("the variable %s: %s: %v", v.Name, v.Definition, err)
			}
		}
	}
	for _, v := range regexp.MustCompile(`\$\{?([a-z]+)\b`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(names, v[1]) {
			t.Errorf("there is no variable %s", v[1])
		}
	}
}
