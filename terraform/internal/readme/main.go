// Command readme writes the tables in the README.md of each module and example
// below the folder that it is given: variables, outputs, resources and providers,
// from its .tf files. What stands above the marker is written by hand, and kept.
// With -check it only says whether something would change.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const marker = "<!-- The rest is written by make terraform-docs. -->"

func main() {
	check := flag.Bool("check", false, "write nothing; fail where something would change")
	flag.Parse()
	if err := run(flag.Arg(0), *check); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(top string, check bool) error {
	var folders []string
	for _, pattern := range []string{"modules/*/main.tf", "examples/*/main.tf"} {
		found, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			return err
		}
		folders = append(folders, found...)
	}
	if len(folders) == 0 {
		return fmt.Errorf("no module or example is below %q: give it the folder terraform/", top)
	}
	var errs []error
	for _, main := range folders {
		folder := filepath.Dir(main)
		file := filepath.Join(folder, "README.md")
		old, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: write what the folder is for, then the line %s", err, marker))
			continue
		}
		byHand, _, found := strings.Cut(string(old), marker)
		if !found {
			errs = append(errs, fmt.Errorf("%s has no line %s", file, marker))
			continue
		}
		tables, err := describe(folder)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", folder, err))
			continue
		}
		text := []byte(byHand + marker + "\n\n" + tables)
		switch {
		case bytes.Equal(text, old):
		case check:
			errs = append(errs, fmt.Errorf("%s does not tell what the .tf files say: run make terraform-docs", file))
		default:
			errs = append(errs, os.WriteFile(file, text, 0o644))
		}
	}
	return errors.Join(errs...)
}

// entry is one row of a table.
type entry struct {
	name, description, typ, def string
	required                    bool
}

type module struct {
	variables, outputs []entry
	resources, calls   []string
	terraform          string
	providers          []string
}

// describe makes the tables of a folder.
func describe(folder string) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.tf"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", errors.New("no .tf file is there")
	}
	var m module
	parser := hclparse.NewParser()
	for _, file := range files {
		f, diags := parser.ParseHCLFile(file)
		if diags.HasErrors() {
			return "", diags
		}
		if err := m.read(f); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
	}
	return m.tables(), nil
}

func (m *module) read(f *hcl.File) error {
	source := func(e hcl.Expression) string { return string(e.Range().SliceBytes(f.Bytes)) }
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		text := func(name string) string {
			a := b.Body.Attributes[name]
			if a == nil {
				return ""
			}
			v, diags := a.Expr.Value(nil)
			if diags.HasErrors() || v.IsNull() {
				return strings.Trim(source(a.Expr), `"`)
			}
			return v.AsString()
		}
		switch b.Type {
		case "variable", "output":
			e := entry{name: b.Labels[0], description: text("description")}
			if e.description == "" {
				return fmt.Errorf("%s %s has no description", b.Type, e.name)
			}
			if b.Type == "output" {
				m.outputs = append(m.outputs, e)
				continue
			}
			t, d := b.Body.Attributes["type"], b.Body.Attributes["default"]
			if t == nil {
				return fmt.Errorf("variable %s has no type", e.name)
			}
			e.typ, e.required = short(source(t.Expr)), d == nil
			if d != nil {
				e.def = short(source(d.Expr))
			}
			m.variables = append(m.variables, e)
		case "resource":
			m.resources = append(m.resources, b.Labels[0]+"."+b.Labels[1])
		case "data":
			m.resources = append(m.resources, "data."+b.Labels[0]+"."+b.Labels[1])
		case "module":
			m.calls = append(m.calls, b.Labels[0])
		case "terraform":
			m.terraform = text("required_version")
			for _, inner := range b.Body.Blocks {
				for name, a := range inner.Body.Attributes {
					m.providers = append(m.providers, provider(name, a, source))
				}
			}
		}
	}
	return nil
}

func provider(name string, a *hclsyntax.Attribute, source func(hcl.Expression) string) string {
	at := map[string]string{}
	if object, ok := a.Expr.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range object.Items {
			at[source(item.KeyExpr)] = strings.Trim(source(item.ValueExpr), `"`)
		}
	}
	return fmt.Sprintf("%s (%s, %s)", name, at["source"], at["version"])
}

// short is an expression in one line, or a hint where it would be long.
func short(expr string) string {
	var lines []string
	for line := range strings.Lines(expr) {
		lines = append(lines, strings.TrimSpace(line))
	}
	one := strings.Join(lines, " ")
	if len(one) > 100 || strings.HasPrefix(one, "<<") {
		return "see variables.tf"
	}
	return one
}

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ")
}

func code(s string) string {
	if s == "see variables.tf" {
		return s
	}
	return "`" + cell(s) + "`"
}

func (m *module) tables() string {
	byName := func(a, b entry) int { return cmp.Compare(a.name, b.name) }
	required := slices.DeleteFunc(slices.Clone(m.variables), func(e entry) bool { return !e.required })
	optional := slices.DeleteFunc(slices.Clone(m.variables), func(e entry) bool { return e.required })
	slices.SortFunc(required, byName)
	slices.SortFunc(optional, byName)
	slices.SortFunc(m.outputs, byName)
	slices.Sort(m.resources)
	slices.Sort(m.calls)
	slices.Sort(m.providers)

	var b strings.Builder
	if len(m.variables) > 0 {
		b.WriteString("## Variables\n\n| name | type | default | meaning |\n|---|---|---|---|\n")
		for _, e := range required {
			fmt.Fprintf(&b, "| `%s` | %s | required | %s |\n", e.name, code(e.typ), cell(e.description))
		}
		for _, e := range optional {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.name, code(e.typ), code(e.def), cell(e.description))
		}
		b.WriteString("\n")
	}
	if len(m.outputs) > 0 {
		b.WriteString("## Outputs\n\n| name | meaning |\n|---|---|\n")
		for _, e := range m.outputs {
			fmt.Fprintf(&b, "| `%s` | %s |\n", e.name, cell(e.description))
		}
		b.WriteString("\n")
	}
	b.WriteString("## What it is made of\n\n")
	fmt.Fprintf(&b, "- Terraform %s\n", m.terraform)
	list := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(&b, "- %s: %s\n", what, strings.Join(names, ", "))
		}
	}
	list("Providers", m.providers)
	list("Modules", quoted(m.calls))
	list("Resources", quoted(m.resources))
	return b.String()
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "`" + n + "`"
	}
	return out
}
