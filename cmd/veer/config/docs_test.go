package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/veerdns/veer/checks/compositecheck"
	"github.com/veerdns/veer/checks/dnscheck"
	"github.com/veerdns/veer/checks/execcheck"
	"github.com/veerdns/veer/checks/grpccheck"
	"github.com/veerdns/veer/checks/httpcheck"
	"github.com/veerdns/veer/checks/icmpcheck"
	"github.com/veerdns/veer/checks/promcheck"
	"github.com/veerdns/veer/checks/sqlcheck"
	"github.com/veerdns/veer/checks/tcpcheck"
	"github.com/veerdns/veer/checks/tlscheck"
	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/providers/authority"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/powerdns"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/regions/prober"
)

const referencePage = "../../../docs/configuration.md"

// keys lists every key below a type as the reference names it.
func keys(t reflect.Type, path string) []string {
	switch {
	case t == reflect.TypeFor[Monitor]():
		var out []string
		for _, part := range []reflect.Type{
			reflect.TypeFor[prober.MonitorConfig](), reflect.TypeFor[httpcheck.Config](), reflect.TypeFor[tcpcheck.Config](),
			reflect.TypeFor[dnscheck.Config](), reflect.TypeFor[execcheck.Config](), reflect.TypeFor[tlscheck.Config](), reflect.TypeFor[grpccheck.Config](), reflect.TypeFor[icmpcheck.Config](),
			reflect.TypeFor[sqlcheck.Config](), reflect.TypeFor[promcheck.Config](), reflect.TypeFor[compositecheck.Config](),
		} {
			out = append(out, keys(part, path)...)
		}
		return out
	case t == reflect.TypeFor[Providers]():
		out := []string{path + ".NAME.kind"}
		for _, part := range []reflect.Type{
			reflect.TypeFor[authority.Config](), reflect.TypeFor[route53.Config](), reflect.TypeFor[cloudflare.Config](),
			reflect.TypeFor[rfc2136.Config](), reflect.TypeFor[powerdns.Config](),
		} {
			out = append(out, keys(part, path+".NAME")...)
		}
		return out
	case t == reflect.TypeFor[Receivers]():
		out := []string{path + ".NAME.kind"}
		for _, part := range []reflect.Type{
			reflect.TypeFor[notify.WebhookConfig](), reflect.TypeFor[notify.SlackConfig](), reflect.TypeFor[notify.PagerDutyConfig](), reflect.TypeFor[notify.EmailConfig](),
		} {
			out = append(out, keys(part, path+".NAME")...)
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
