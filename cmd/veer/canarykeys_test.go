package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/veerdns/veer/cmd/veer/config"
)

// notSecret are keys of the config that name a file or a variable without a
// secret in it.
var notSecret = regexp.MustCompile(`(^|\.)(ca_file|cert_file|geo_file)$`)

// secretKeys are the keys of the config that name a secret, by its schema; those
// of one kind only with the kinds, as monitors.NAME.token_file [heartbeat].
func secretKeys(t *testing.T, text []byte) []string {
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var out []string
	var walk func(s map[string]any, path, kinds string)
	walk = func(s map[string]any, path, kinds string) {
		if ref, ok := s["$ref"].(string); ok {
			s = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		into := func(s any, path, kinds string) {
			if s, ok := s.(map[string]any); ok {
				walk(s, path, kinds)
			}
		}
		properties, _ := s["properties"].(map[string]any)
		for key, of := range properties {
			at := strings.TrimPrefix(path+"."+key, ".")
			if (strings.HasSuffix(key, "_file") || strings.HasSuffix(key, "_env")) && !notSecret.MatchString(at) {
				out = append(out, strings.TrimSpace(at+" "+kinds))
			}
			into(of, at, kinds)
		}
		into(s["additionalProperties"], path+".NAME", kinds)
		into(s["items"], path+"[]", kinds)
		for _, group := range []string{"anyOf", "allOf"} {
			list, _ := s[group].([]any)
			for _, of := range list {
				of, _ := of.(map[string]any)
				if of["if"] == nil {
					into(of, path, kinds)
					continue
				}
				kind := of["if"].(map[string]any)["properties"].(map[string]any)["kind"].(map[string]any)["enum"]
				into(of["then"], path, fmt.Sprint(kind))
			}
		}
	}
	walk(root, "", "")
	slices.Sort(out)
	return slices.Compact(out)
}

// namedIn are the keys of a config, as secretKeys has them, each with its kind.
func namedIn(t *testing.T, text string) map[string]bool {
	var root any
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	var walk func(v any, path, kind string)
	walk = func(v any, path, kind string) {
		switch v := v.(type) {
		case map[string]any:
			named := slices.Contains([]string{"providers", "monitors", "hooks", "notifications.receivers", "monitors.NAME.metadata"}, path)
			if own, ok := v["kind"].(string); ok {
				kind = own
			}
			for key, of := range v {
				if named {
					key = "NAME"
				}
				at := strings.TrimPrefix(path+"."+key, ".")
				out[at], out[at+" "+kind] = true, true
				walk(of, at, kind)
			}
		case []any:
			for _, of := range v {
				walk(of, path+"[]", kind)
			}
		}
	}
	walk(root, "", "")
	return out
}

// leftOut are the secrets that no config names.
func leftOut(keys []string, named map[string]bool) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		path, kinds, some := strings.Cut(key, " ")
		if !some {
			return named[path]
		}
		return slices.ContainsFunc(strings.Fields(strings.Trim(kinds, "[]")), func(kind string) bool { return named[path+" "+kind] })
	})
}

// TestNoSecretIsLeftOut: TestNoSecretComesOut has every secret that a config can
// name, each of them with a canary in it.
func TestNoSecretIsLeftOut(t *testing.T) {
	keys, named := secretKeys(t, config.Schema()), map[string]bool{}
	for _, text := range []string{canaryConfig, strings.ReplaceAll(canaryEtcd, "FORM", "file"), strings.ReplaceAll(canaryEtcd, "FORM", "env")} {
		text = strings.ReplaceAll(text, "<often>", "interval: 1s")
		for key := range namedIn(t, strings.ReplaceAll(gap.ReplaceAllString(text, "a"), "a"+"hooks:", "hooks:")) {
			named[key] = true
		}
	}
	for _, key := range leftOut(keys, named) {
		t.Errorf("%s: no canary goes there: add it to canaryConfig, or to notSecret if it names none", key)
	}
	if len(keys) < 40 {
		t.Errorf("the check proves nothing: it finds %d keys: %q", len(keys), keys)
	}
	for _, planted := range []string{"host.other_file", "monitors.NAME.other_env [http https]", "monitors.NAME.key_file [dns]"} {
		if len(leftOut([]string{planted}, named)) == 0 {
			t.Errorf("the check proves nothing: %s passes", planted)
		}
	}
}

// secretPlace is where a config names a secret: its key, the form and the place.
var secretPlace = regexp.MustCompile(`([a-z_]+)_(file|env): ([^ ,}]+)`)

// inline puts the secrets into the config itself, which is refused.
func (a *aviary) inline(text string) (out string, n int) {
	out = secretPlace.ReplaceAllStringFunc(text, func(place string) string {
		m := secretPlace.FindStringSubmatch(place)
		name := filepath.Base(m[3])
		if m[2] == "env" {
			name = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "CANARY_"), "_", "-"))
		}
		// A URL and a value may stand there, if the user says that they are none.
		if a.whole[name] == "" || m[1] == "value" || strings.HasPrefix(name, "webhook-url") || strings.Contains(a.whole[name], "\n") {
			return place
		}
		n++
		return m[1] + ": '" + a.whole[name] + "'"
	})
	return out, n
}
