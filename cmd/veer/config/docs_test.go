package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/regions/prober"
)

const referencePage = "../../../docs/configuration.md"

// keys lists every key below a type as the reference names it.
func keys(t reflect.Type, path string) []string {
	switch {
	case t == reflect.TypeFor[Monitor]():
		out := keys(reflect.TypeFor[prober.MonitorConfig](), path)
		for _, kind := range monitorKinds() {
			m := Monitor{MonitorConfig: prober.MonitorConfig{Kind: kind}}
			out = append(out, keys(reflect.TypeOf(m.choose()).Elem(), path)...)
		}
		return out
	case t == reflect.TypeFor[Providers]():
		out := []string{path + ".NAME.kind"}
		for _, kind := range providerKinds() {
			out = append(out, keys(reflect.TypeOf((&Provider{Kind: kind}).choose()).Elem(), path+".NAME")...)
		}
		return out
	case t == reflect.TypeFor[Receivers]():
		out := []string{path + ".NAME.kind"}
		for _, kind := range notify.Kinds() {
			out = append(out, keys(reflect.TypeOf((&Receiver{Kind: kind}).choose()).Elem(), path+".NAME")...)
		}
		return out
	case t == reflect.TypeFor[Reconcile]():
		return []string{path}
	case t.Kind() == reflect.Pointer:
		return keys(t.Elem(), path)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return keys(t.Elem(), path+"[]")
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		return keys(t.Elem(), path+".NAME")
	case t.Kind() == reflect.Struct:
		var out []string
		for _, f := range fields(t) {
			out = append(out, keys(f.typ, join(path, f.name))...)
		}
		return out
	}
	return []string{path}
}

// TestReference holds docs/configuration.md to the structs: every key has a
// row with a type, a default, a meaning and an example, and no row is of a key
// that does not exist.
func TestReference(t *testing.T) {
	doc := read(t, referencePage)
	want := keys(reflect.TypeFor[Config](), "")
	slices.Sort(want)
	want = slices.Compact(want)
	var rows []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z][^`]*)` \\|(.*)$").FindAllStringSubmatch(doc, -1) {
		rows = append(rows, row[1])
		cells := strings.Split(strings.TrimSuffix(strings.ReplaceAll(row[2], `\|`, ""), "|"), "|")
		if len(cells) != 4 || slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) == "" }) {
			t.Errorf("the row of %s has no type, default, meaning or example: %q", row[1], cells)
		}
	}
	for _, key := range want {
		if !slices.Contains(rows, key) {
			t.Errorf("docs/configuration.md does not have the key %s", key)
		}
	}
	for _, row := range rows {
		if !slices.Contains(want, row) && !slices.Contains([]string{"services[].damping", "panic", "velocity"}, row) {
			t.Errorf("docs/configuration.md has %s, which is no key", row)
		}
	}
	if !strings.Contains(doc, "```yaml\n"+read(t, "testdata/minimal.yaml")+"```") {
		t.Error("docs/configuration.md does not show testdata/minimal.yaml as it is")
	}
}
