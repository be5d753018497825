package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

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

// exitOfProblem is what a command ends with for a daemon's problem: see exitOf.
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
