package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	errorsPage   = "docs/errors.md"
	remediesFile = "testdata/remedies.txt"
)

// TestErrorsPage: docs/errors.md has every error that Load and the commands
// give, as the code has it, and each says what belongs there or what to do;
// -update writes it. What an error does not say itself, testdata/remedies.txt
// does.
func TestErrorsPage(t *testing.T) {
	found := findErrors(t, repository)
	for area, least := range map[string]int{areaCommands: 40, areaDaemon: 40, "cmd/veer/config/check_service.go": 5, "providers/authority": 20} {
		if n := len(found[area]); n < least {
			t.Errorf("the check proves nothing: in %s it finds only %d errors", area, n)
		}
	}
	text, problems := errorsText(found, readRemedies(t))
	for _, p := range problems {
		t.Error(p)
	}
	path := filepath.Join(repository, errorsPage)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(is) != text {
		t.Error("docs/errors.md is not what the code says; write it with: go test ./cmd/veer -run TestErrorsPage -update")
	}
	// The check sees what it must.
	found[areaCommands] = append(found[areaCommands], fault{says: "planted", code: "1"})
	found["cmd/veer/config/planted.go"] = []fault{{says: "planted"}}
	if _, more := errorsText(found, readRemedies(t)); len(more) != len(problems)+3 {
		t.Errorf("the check proves nothing: of three planted faults it finds %q", more)
	}
}

// Errors are seen in each form that the code gives them.
func TestErrorsAreFound(t *testing.T) {
	const code = `package p
func f() {
	l.bad(path, fmt.Sprintf("found %d names of %s", n, x), "at most "+limit, "")
	l.bad(path, "found "+quote(x), "a label", "did you mean it?")
	d.bad(n, path, Error{Problem: "the key kind is missing", Expected: "one of " + list})
	b.refuse(n, "found an alias (*)", "the value itself")
	bad("port", "found %d, expected 1 to 65535", n)
	l.bad(path+".a["+i+"].name", "found "+strconv.Itoa(n), "more", "")
	return usagef("--limit %d: expected 1 to 10000", n)
	return refused("look at veer status; --over replaces it", "%v", err)
	return &api.Problem{Code: http.StatusNotFound, What: fmt.Sprintf("no service is named %s", x), Hint: hint}
	return &exitError{code: exitRefused, err: fmt.Errorf("%s exists already", x), hint: "Add --force."}
	return fmt.Errorf("read %s: %w", x, err)
	return errors.New("nothing was changed")
}`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", code, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []fault{
		{says: "found N names of …", todo: "expected at most …"},
		{says: `found "…"`, todo: "expected a label; did you mean it?"},
		{says: "the key kind is missing", todo: "expected one of …"},
		{says: "found an alias (*)", todo: "expected the value itself"},
		{key: "port", says: "found N", todo: "expected 1 to 65535"},
		{key: "a[…].name", says: "found …", todo: "expected more"},
		{says: "--limit N: expected 1 to 10000", code: "2", todo: "Add --help to see how the command is used."},
		{says: "…", code: "3", todo: "look at veer status; --over replaces it"},
		{says: "no service is named …", code: "2", todo: "…"},
		{says: "… exists already", code: "3", todo: "Add --force."},
		{says: "nothing was changed", code: cause},
	}
	if got := faultsOf(file); !slices.Equal(got, want) {
		t.Errorf("found:\n%q\nwant:\n%q", got, want)
	}
}

// fault is one error as the code has it, with … and N in the place of what is
// known only when it happens.
type fault struct {
	key        string // of the config, as far as the code has it
	says, todo string
	code       string // what the command ends with; empty: 2, as every invalid config
}

const (
	areaCommands = "cmd/veer"
	areaDaemon   = "cmd/veer/daemon"

	// cause is the code of an error that is returned as it is.
	cause = "cause"
)

// findErrors are the errors of the code by where they are from: a file of the
// config's, or another package.
func findErrors(t *testing.T, root string) map[string][]fault {
	t.Helper()
	out := map[string][]fault{}
	for _, folder := range []string{"cmd/veer", "checks", "providers", "regions"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			at, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			area := filepath.ToSlash(at)
			if filepath.Dir(area) != "cmd/veer/config" {
				area = filepath.Dir(area)
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			faults := faultsOf(file)
			if strings.HasSuffix(area, "test") {
				return nil // servers of tests
			}
			for _, f := range faults {
				switch {
				case f.says == "…":
					continue // the text of another
				case f.code == cause && area == areaCommands:
					if f.code = "1, 2"; strings.Contains(f.says, "expected ") || strings.Contains(f.says, "; ") {
						cut := cutExpected(f.says)
						f.says, f.todo = cut[0], cut[1]
					}
				case f.code == cause && kindOf(area) == 1:
					f.code, f.todo = "", "the error says what belongs there"
				case f.code != "" && (f.code == cause || area != areaCommands && area != areaDaemon):
					continue // it stands behind the colon of another
				case strings.HasPrefix(filepath.Base(path), "zonecheck"):
					f.todo = "correct the record in the zone file"
				}
				out[area] = append(out[area], f)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// faultsOf are the errors that a file makes.
func faultsOf(file *ast.File) []fault {
	var out []fault
	add := func(code, says string, todo ...string) {
		todo = slices.DeleteFunc(todo, func(s string) bool { return s == "" || s == "expected " })
		if says != "" {
			out = append(out, fault{says: says, todo: strings.Join(todo, "; "), code: code})
		}
	}
	keyed := func(path string) {
		if path = strings.Trim(path, "….[]"); path != "" && len(out) > 0 && !strings.Contains(path, " ") {
			out[len(out)-1].key = path
		}
	}
	seen := map[ast.Node]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil || seen[n] {
			return false
		}
		switch n := n.(type) {
		case *ast.CompositeLit:
			keys := keysOf(n)
			switch name := identifier(n.Type); {
			case name == "Error" && keys["Problem"] != nil:
				add("", words(keys["Problem"]), "expected "+words(keys["Expected"]), words(keys["Hint"]))
			case name == "api.Problem" && keys["What"] != nil:
				add(exitOfProblem(keys), words(keys["What"]), words(keys["Hint"]))
			case name == "exitError" && keys["err"] != nil:
				if says := words(keys["err"]); says != "…" {
					add(exitNumber(identifier(keys["code"])), says, words(keys["hint"]))
				}
				seen[keys["err"]] = true
			}
		case *ast.CallExpr:
			arg := func(i int) string {
				if i >= len(n.Args) {
					return ""
				}
				return words(n.Args[i])
			}
			name := identifier(n.Fun)
			short := name[strings.LastIndex(name, ".")+1:]
			switch {
			case short == "bad" && name != "bad" && len(n.Args) == 4:
				add("", arg(1), "expected "+arg(2), arg(3))
				keyed(arg(0))
			case name == "bad" || name == "refuse" && len(n.Args) >= 2 && isText(n.Args[1]) && isText(n.Args[0]) && file.Name.Name == "main":
				if name == "refuse" {
					add("3", arg(1), arg(0))
					break
				}
				add("", cutExpected(arg(1))[0], cutExpected(arg(1))[1:]...)
				keyed(arg(0))
			case short == "refuse" && len(n.Args) == 3:
				add("", arg(1), "expected "+arg(2))
			case short == "mismatch" && len(n.Args) == 4:
				add("", "found a value of another kind", "expected "+arg(2), arg(3))
			case name == "usagef":
				add("2", arg(0), "Add --help to see how the command is used.")
			case name == "refused":
				add("3", arg(1), arg(0))
			case name == "fmt.Errorf" || name == "errors.New":
				if text := arg(0); !strings.Contains(literal(n.Args[0]), "%w") {
					add(cause, text)
				}
			}
		}
		return true
	})
	return out
}

// cutExpected parts a message of a check as the config does.
func cutExpected(text string) []string {
	for _, cut := range []string{"; expected ", ", expected ", ": expected "} {
		if problem, expected, ok := strings.Cut(text, cut); ok {
			return []string{problem, "expected " + expected}
		}
	}
	if problem, todo, ok := strings.Cut(text, "; "); ok {
		return []string{problem, todo}
	}
	return []string{text, "the key is explained in the reference"}
}

func keysOf(c *ast.CompositeLit) map[string]ast.Expr {
	out := map[string]ast.Expr{}
	for _, e := range c.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			out[identifier(kv.Key)] = kv.Value
		}
	}
	return out
}

func identifier(e ast.Node) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return identifier(e.X) + "." + e.Sel.Name
	}
	return "…"
}

// codeOf is what a command ends with for a daemon's problem: see exitOf.
func exitOfProblem(keys map[string]ast.Expr) string {
	switch status := identifier(keys["Code"]); {
	case keys["Refused"] != nil || status == "http.StatusConflict":
		return "3"
	case status == "http.StatusBadRequest" || status == "http.StatusNotFound":
		return "2"
	}
	return "1"
}

func exitNumber(name string) string {
	n, known := map[string]int{"exitFailed": exitFailed, "exitUsage": exitUsage, "exitRefused": exitRefused, "exitDegraded": exitDegraded}[name]
	if !known {
		return "…"
	}
	return strconv.Itoa(n)
}

func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if text, err := strconv.Unquote(lit.Value); err == nil {
			return text
		}
	}
	return ""
}

func isText(e ast.Expr) bool { return literal(e) != "" || words(e) != "…" }

var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

func filled(format string) string {
	return strings.ReplaceAll(verb.ReplaceAllStringFunc(format, func(v string) string {
		switch v[len(v)-1] {
		case 'd':
			return "N"
		case 'q':
			return `"…"`
		}
		return "…"
	}), "%%", "%")
}

// words is a text that the code makes, … and N in the place of what is not
// known before.
func words(e ast.Expr) string {
	switch e := e.(type) {
	case nil:
		return ""
	case *ast.BasicLit:
		return filled(literal(e))
	case *ast.ParenExpr:
		return words(e.X)
	case *ast.BinaryExpr:
		return strings.ReplaceAll(words(e.X)+words(e.Y), "……", "…")
	case *ast.CallExpr:
		switch name := identifier(e.Fun); {
		case name == "quote" || name == "strconv.Quote":
			return `"…"`
		case slices.Contains([]string{"fmt.Sprintf", "fmt.Errorf", "errors.New", "fmt.Sprint"}, name) && len(e.Args) > 0:
			return words(e.Args[0])
		}
	}
	return "…"
}

func readRemedies(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(remediesFile)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		says, todo, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " => ")
		if !ok {
			t.Fatalf("%s: %q has no \" => \"", remediesFile, line)
		}
		out[says] = todo
	}
	return out
}

// titles are the chapters of the page, by where their errors are from.
func titles() map[string]string {
	return map[string]string{
		"tree.go": "The file as YAML", "decode.go": "Keys and values", "load.go": "Files and the environment", "check.go": "Owner, regions, monitors, host",
		"check_overlaid.go": "Names that hide each other", "check_pool.go": "Pools and endpoints", "check_service.go": "Services", "check_written.go": "Zones that others serve",
		"alias.go": "Host names", "composite.go": "Monitors of several", "cookies.go": "Cookies", "geo.go": "Locations", "heartbeat.go": "Heartbeats", "hook.go": "Hooks", "http.go": "The HTTP listener", "https.go": "HTTPS records",
		"isolation.go": "Isolation", "latency.go": "Latency", "limits.go": "Panic and velocity", "monitor.go": "Kinds of monitors", "notifications.go": "Notifications", "policy.go": "Policies", "named.go": "Providers and receivers",
		"reconcile.go": "Reconcile", "reference.go": "References", "scalar.go": "Values", "service.go": "Damping", "source.go": "Secrets", "user.go": "The user", "window.go": "Windows",
		"zonefile.go": "Zone files", "names.go": "Names and addresses", "outside.go": "Files that a config names", "budget.go": "The recovery time", "certs.go": "Certificates", "dot.go": "DNS over TLS", "loss.go": "The loss of a region", "warn.go": "Warnings",

		"cmd/veer/journalout": "The journal's outputs", "cmd/veer/notify": "Receivers of notifications",
		"checks/callcheck": "Monitors of kind heartbeat", "checks/compositecheck": "Monitors of kind composite", "checks/dnscheck": "Monitors of kind dns", "checks/execcheck": "Monitors of kind exec",
		"checks/grpccheck": "Monitors of kind grpc and grpcs", "checks/httpcheck": "Monitors of kind http and https", "checks/icmpcheck": "Monitors of kind icmp",
		"checks/promcheck": "Monitors of kind prom", "checks/sqlcheck": "Monitors of kind sql", "checks/tcpcheck": "Monitors of kind tcp", "checks/tlscheck": "Monitors of kind tls",
		"checks/internal/secret": "Secrets of monitors", "regions/prober": "Monitors of every kind", "regions/cluster": "The cluster",
		"providers/authority": "Providers of kind authority, and their zone files", "providers/cloudflare": "Providers of kind cloudflare", "providers/powerdns": "Providers of kind powerdns",
		"providers/rfc2136": "Providers of kind rfc2136", "providers/route53": "Providers of kind route53",
	}
}

// errorsText is the page, and what is missing for it.
func errorsText(found map[string][]fault, remedies map[string]string) (text string, problems []string) {
	used := map[string]bool{}
	row := func(area string, f fault) string {
		todo := f.todo
		if todo == "" || todo == "…" {
			if todo = remedies[f.says]; todo == "" {
				problems = append(problems, fmt.Sprintf("%s: %q does not say what to do: give it a hint, or add what it means and what to do to cmd/veer/%s", area, f.says, remediesFile))
			}
			used[f.says] = true
		}
		first := f.code
		if first == "" && f.key != "" {
			first = "`" + f.key + "`"
		}
		return fmt.Sprintf("| %s | %s | %s |\n", first, cell(f.says), cell(todo))
	}
	table := func(b *strings.Builder, area string, faults []fault) {
		rows := map[string]bool{}
		for _, f := range faults {
			rows[row(area, f)] = true
		}
		for _, r := range slices.Sorted(maps.Keys(rows)) {
			b.WriteString(r)
		}
	}
	var b strings.Builder
	b.WriteString(errorsIntro)
	b.WriteString("\n## What commands say\n\n| exit | what it says | what it means, or what to do |\n|---|---|---|\n")
	table(&b, areaCommands, append(slices.Clone(found[areaCommands]), found[areaDaemon]...))
	b.WriteString("\n## What is wrong with a config\n\nEvery one ends a command with exit code 2, and a daemon that runs keeps the config that it has.\n")
	for _, area := range slices.SortedFunc(maps.Keys(found), func(a, b string) int { return cmp.Or(cmp.Compare(kindOf(a), kindOf(b)), cmp.Compare(a, b)) }) {
		name := area
		switch kindOf(area) {
		case 0:
			continue
		case 1:
			name = filepath.Base(area)
		}
		title := titles()[name]
		if title == "" {
			problems = append(problems, area+": its errors have no title: give it one in titles")
		}
		fmt.Fprintf(&b, "\n### %s\n\n| key | what it says | what belongs there, or what to do |\n|---|---|---|\n", title)
		table(&b, area, found[area])
	}
	for _, says := range slices.Sorted(maps.Keys(remedies)) {
		if !used[says] {
			problems = append(problems, fmt.Sprintf("cmd/veer/%s has %q, which no error says without saying what to do", remediesFile, says))
		}
	}
	return b.String(), problems
}

func kindOf(area string) int {
	switch {
	case area == areaCommands || area == areaDaemon:
		return 0
	case strings.HasPrefix(area, "cmd/veer/config/"):
		return 1
	}
	return 2
}

func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "*", `\*`, "_", `\_`).Replace(text)
}

const errorsIntro = "# Errors\n\n" +
	"Every error that a config and the commands can give, written from the code by `go test ./cmd/veer -run TestErrorsPage -update`; CI holds it to the code. " +
	"`…` stands for a name or a value, `N` for a number. What follows a colon in an error that is not here is its cause, in the words of the system or of the server that was asked.\n\n" +
	"- A command ends with **1** when it failed, **2** when its command line or the config is wrong (an error below with both can be either), **3** when Veer could but will not, **4** when `veer status` finds something degraded. With `-o json` the error is `{\"error\", \"hint\", \"refused\"}` on standard error.\n" +
	"- An error of a config has the file, the line, the column and the key, then what was found, what was expected and what to do. With `-o json`: [configuration](configuration.md#rules-of-the-file).\n" +
	"- What zones' states mean: [written zones](written-zones.md#when-something-is-wrong). What providers' errors mean: [Route 53](providers/route53.md), [Cloudflare](providers/cloudflare.md), [RFC 2136](providers/rfc2136.md), [PowerDNS](providers/powerdns.md). Why an answer is what it is, by the names of the rules: [how a decision is made](how-a-decision-is-made.md). What alerts mean: [runbook](runbook.md).\n"
