package config

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the schema and the meanings of keys anew")

const schemaPage = "../../../docs/veer.schema.json"

// TestSchemaIsWritten: meanings.txt is what docs/configuration.md says of each
// key, and docs/veer.schema.json is the schema; -update writes both.
func TestSchemaIsWritten(t *testing.T) {
	want := said(read(t, referencePage))
	if *update {
		meanings = want
		for name, text := range map[string]string{"meanings.txt": want, schemaPage: string(Schema())} {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(meanings, want); diff != "" {
		t.Errorf("docs/configuration.md has changed: write what it says with go test ./cmd/veer/config -update\n%s", diff)
	}
	if !bytes.Equal([]byte(read(t, schemaPage)), Schema()) {
		t.Error("docs/veer.schema.json is not the schema of the types: write it with go test ./cmd/veer/config -update")
	}
}

// said are the meanings of the keys in the reference, without marks.
func said(page string) string {
	marks := regexp.MustCompile("\\[([^]]*)\\]\\([^)]*\\)|[`*]")
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z][^`]*)` \\|(.*)\\|$").FindAllStringSubmatch(page, -1) {
		cells := strings.Split(strings.ReplaceAll(row[2], `\|`, "\x00"), "|")
		if len(cells) == 4 {
			meaning := marks.ReplaceAllString(strings.TrimSpace(cells[2]), "$1")
			usual := marks.ReplaceAllString(strings.TrimSpace(cells[1]), "$1")
			rows[row[1]] = strings.ReplaceAll(fmt.Sprintf("%s (default: %s)", meaning, usual), "\x00", "|")
		}
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&b, "%s\t%s\n", key, rows[key])
	}
	return b.String()
}

// compiled returns the schema, or a part of it such as #/$defs/host.
func compiled(t testing.TB) func(part string) *jsonschema.Schema {
	t.Helper()
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("veer.json", text); err != nil {
		t.Fatal(err)
	}
	return func(part string) *jsonschema.Schema {
		out, err := c.Compile("veer.json" + part)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// editors is a YAML text as an editor sees it.
func editors(text string) (any, error) {
	var out any
	err := yaml.Unmarshal([]byte(text), &out)
	return out, err
}

// TestSchemaTakesWhatLoadTakes: every corrected case of the table of broken
// configurations, and the examples of this package.
func TestSchemaTakesWhatLoadTakes(t *testing.T) {
	schema := compiled(t)
	whole, host := schema(""), schema("#/$defs/host")
	check := func(what, text string, s *jsonschema.Schema) {
		t.Helper()
		value, err := editors(text)
		if err == nil && value != nil {
			err = s.Validate(value)
		}
		if err != nil {
			t.Errorf("%s is valid, and the schema refuses it: %v", what, err)
		}
	}
	for _, name := range []string{"starter.yaml", "testdata/base.yaml", "testdata/full.yaml", "testdata/minimal.yaml"} {
		check(name, read(t, name), whole)
	}
	everyCase(t, func(t *testing.T, _ string, d *datadriven.TestData, c badCase) {
		switch {
		case c.host:
			check(d.Pos, c.fix, host)
		case c.line > 0:
			check(d.Pos, base(t, c.line, c.fix), whole)
		}
	})
}

// TestSchemaRefuses: every misspelt key, and of the other broken configurations
// those whose fault is in one value.
func TestSchemaRefuses(t *testing.T) {
	schema := compiled(t)
	whole, host := schema(""), schema("#/$defs/host")
	seen, missed := 0, map[string][]string{}
	everyCase(t, func(t *testing.T, category string, d *datadriven.TestData, c badCase) {
		s, text := whole, ""
		switch {
		case c.host:
			s, text = host, c.bad
		case c.line > 0:
			text = base(t, c.line, c.bad)
		default:
			return
		}
		value, err := editors(text)
		if err != nil || s.Validate(value) != nil {
			seen++
			return
		}
		missed[category] = append(missed[category], fmt.Sprintf("%s %q", d.Pos, c.bad))
	})
	for _, what := range missed["typo"] {
		t.Errorf("a misspelt key is valid by the schema: %s", what)
	}
	if seen < 90 {
		t.Errorf("the schema refuses only %d of the broken configurations", seen)
	}
}

func everyCase(t *testing.T, do func(*testing.T, string, *datadriven.TestData, badCase)) {
	t.Helper()
	datadriven.Walk(t, "testdata/bad", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			do(t, filepath.Base(path), d, parseCase(t, d))
			return d.Expected
		})
	})
}

// base is testdata/base.yaml with another text in a line's place.
func base(t *testing.T, line int, text string) string {
	lines := strings.Split(read(t, "testdata/base.yaml"), "\n")
	lines[line-1] = text
	return strings.Join(lines, "\n")
}

// TestExamplesFitTheSchema: every YAML file and every YAML text of the pages
// and test scripts that is a veer.yaml, a host.yaml or a part of one. Those that
// Terraform renders are looked at where it does.
func TestExamplesFitTheSchema(t *testing.T) {
	parts := partsOfSchema(t)
	seen := 0
	for what, text := range examples(t, "../../..") {
		fits, err := parts.fit(text)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if fits {
			seen++
		}
	}
	if seen < 30 {
		t.Errorf("the check proves nothing: it finds %d examples", seen)
	}
	for what, text := range map[string]string{
		"a typo":           "owner: a\nservices:\n  - {name: a.test, monitr: web, pools: []}\n",
		"a misplaced key":  "providers:\n  here: {kind: route53, listen: [\"127.0.0.1:53\"]}\n",
		"a wrong type":     "regions: eu-west\n",
		"a missing key":    "services:\n  - {name: a.test, monitor: web}\n",
		"an unknown word":  "services:\n  - {name: a.test, monitor: web, policy: fail-over, pools: []}\n",
		"an inline secret": "providers:\n  cf: {kind: cloudflare, token: abc, zones: []}\n",
		"a bad host.yaml":  "region: eu-west\ntls: {ca: ca.pem}\n",
		"no unit":          "monitors:\n  web: {kind: tcp, port: 1, interval: 5}\n",
	} {
		if fits, err := parts.fit(text); !fits || err == nil {
			t.Errorf("the check proves nothing: it takes %s", what)
		}
	}
}

// schemaParts are the schemas of the keys of veer.yaml, and of mappings that
// examples show alone.
type schemaParts []map[string]*jsonschema.Schema

func partsOfSchema(t *testing.T) schemaParts {
	var out schemaParts
	schema := compiled(t)
	for _, part := range []struct {
		typ   reflect.Type
		place string
	}{{reflect.TypeFor[Config](), "#"}, {reflect.TypeFor[Host](), "#/$defs/host"}, {reflect.TypeFor[Service](), "#/$defs/service"}} {
		keys := map[string]*jsonschema.Schema{}
		for _, f := range fields(part.typ) {
			keys[f.name] = schema(part.place + "/properties/" + f.name)
		}
		out = append(out, keys)
	}
	return out
}

// fit says whether a text is an example, or a part of one, and what of it the
// schema refuses. What has at least one key of veer.yaml's is one.
func (parts schemaParts) fit(text string) (bool, error) {
	value, err := editors(text)
	if err != nil {
		return false, fmt.Errorf("no YAML: %w", err)
	}
	top, ok := value.(map[string]any)
	if !ok || len(top) == 0 {
		return false, nil
	}
	for _, keys := range parts {
		known := 0
		for key := range top {
			if keys[key] != nil {
				known++
			}
		}
		if known*2 <= len(top) {
			continue
		}
		for key, value := range top {
			if keys[key] == nil {
				return true, fmt.Errorf("there is no key %s", key)
			}
			if err := keys[key].Validate(value); err != nil {
				return true, err
			}
		}
		return true, nil
	}
	return false, nil
}

var (
	yamlFence = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$")
	archived  = regexp.MustCompile(`(?ms)^-- ([^\n]*\.yaml) --\n(.*?)(^-- |\z)`)
)

// fillings are what stands in the place of a template's parts.
var fillings = []struct{ part, with string }{
	{`\{\{[^}]*(Port|Backend)[^}]*\}\}`, "8080"}, {`\{\{len [^}]*\}\}`, "1"}, {`\{\{\.Watch\}\}`, "true"},
	{`\{\{\.Zone\}\}`, "example.test"}, {`\{\{\.[A-Za-z]*\}\}`, "eu-west"}, {`\{\{[^}]*\}\}`, ""},
}

// examples are the YAML texts of the repository, by where they stand.
func examples(t *testing.T, root string) map[string]string {
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			if err == nil {
				err = filepath.SkipDir
			}
			return err
		}
		switch filepath.Ext(path) {
		case ".yaml": // or a template of one
			text := read(t, path)
			for _, f := range fillings {
				text = regexp.MustCompile(f.part).ReplaceAllString(text, f.with)
			}
			out[path] = text
		case ".md":
			for i, m := range yamlFence.FindAllStringSubmatch(read(t, path), -1) {
				out[fmt.Sprintf("%s, text %d", path, i+1)] = regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[2], "")
			}
		case ".txtar":
			for _, m := range archived.FindAllStringSubmatch(read(t, path), -1) {
				if !strings.HasPrefix(m[1], "broken") {
					out[path+" "+m[1]] = m[2]
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
