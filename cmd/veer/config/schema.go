package config

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/veerdns/veer/cmd/veer/notify"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/prober"
)

// meanings says what each key means: its path, a tab, and its row of
// docs/configuration.md.
//
//go:embed meanings.txt
var meanings string

// Schema is the JSON Schema (draft 2020-12) of veer.yaml, made from the types
// that Load fills, for editors. It refuses unknown and misplaced keys, values of
// another type and unknown words. It refuses nothing that Load takes, and Load
// refuses more: what needs several keys, files or the host to be seen.
// #/$defs/host is the schema of host.yaml.
func Schema() []byte {
	g := schemas{meanings: map[string]string{}, defs: schema{}}
	for line := range strings.Lines(meanings) {
		path, meaning, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		g.meanings[path] = meaning
	}
	root := g.of(reflect.TypeFor[Config](), "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "veer.yaml"
	root["description"] = "The configuration of Veer. veer validate finds what a schema cannot."
	root["$defs"] = g.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("write the schema, which is maps, lists and texts: %v", err))
	}
	return append(out, '\n')
}

// schema is one, as JSON has it.
type schema map[string]any

// schemas makes schemas of types, the reverse of what decoder reads.
type schemas struct {
	meanings map[string]string // of a key, by its path in the reference
	defs     schema
}

// The patterns of texts that have a form of their own.
const (
	labelPattern    = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
	durationPattern = `^\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`
	percentPattern  = "^(0|[1-9][0-9]?|100)%$"
	clockPattern    = "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"
	looseKeys       = "^(need|equals|expect|version|min_version)$"
)

func anyText() schema           { return schema{"type": "string"} }
func words(list ...string) any  { return schema{"enum": list} }
func matching(p string) schema  { return schema{"type": "string", "pattern": p} }
func either(list ...any) schema { return schema{"anyOf": list} }

// of is the schema of a value at a path of the reference.
func (g schemas) of(t reflect.Type, path string) schema {
	out := g.shape(t, path)
	if meaning := g.meanings[path]; meaning != "" {
		out["description"] = meaning
	}
	return out
}

// shape is the schema of a type, without what it means.
func (g schemas) shape(t reflect.Type, path string) schema {
	switch t {
	case reflect.TypeFor[Monitor]():
		return g.monitors(path)
	case reflect.TypeFor[Providers]():
		return g.providers(path)
	case reflect.TypeFor[Receivers]():
		own := func(kind string) any { return (&Receiver{Kind: kind}).choose() }
		return schema{"type": "object", "additionalProperties": g.kinds("receiver", path+".NAME", notify.Kinds(), own)}
	case reflect.TypeFor[Host](), reflect.TypeFor[Service]():
		return g.named(t, path)
	case reflect.TypeFor[regions.Name]():
		return matching(labelPattern)
	case reflect.TypeFor[Reconcile]():
		return anyText()
	case reflect.TypeFor[Percent]():
		return matching(percentPattern)
	case reflect.TypeFor[Clock]():
		return matching(clockPattern)
	case reflect.TypeFor[Days]():
		day := "(" + strings.Join(dayNames(), "|") + ")"
		one := matching("^" + day + "(-" + day + ")?$")
		return either(one, schema{"type": "array", "minItems": 1, "items": one})
	case reflect.TypeFor[Isolation]():
		return either(words(wordsOf("isolation.mode")...), g.object(t, path))
	case reflect.TypeFor[Panic](), reflect.TypeFor[Velocity](), reflect.TypeFor[Damping]():
		return either(words("off"), g.object(t, path))
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[fromNode]()) {
		panic(fmt.Sprintf("%s reads itself, and has no schema here", t))
	}
	return g.plain(t, path)
}

// plain is the schema of a type that the decoder reads by its kind.
func (g schemas) plain(t reflect.Type, path string) schema {
	if isDuration(t) {
		return either(matching(durationPattern), schema{"const": 0}, schema{"const": "0"})
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.shape(t.Elem(), path)
	case reflect.Struct:
		return g.object(t, path)
	case reflect.Map:
		out := schema{"type": "object", "additionalProperties": g.of(t.Elem(), path+".NAME")}
		if t.Elem().Kind() == reflect.String {
			out["patternProperties"] = schema{looseKeys: looseText()}
		}
		return out
	case reflect.Slice:
		return schema{"type": "array", "items": g.of(t.Elem(), path+"[]")}
	case reflect.String:
		return g.text(path)
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Float64:
		return schema{"type": "number"}
	}
	return integer(t)
}

func looseText() schema { return schema{"type": []string{"string", "number", "boolean"}} }

func (g schemas) text(path string) schema {
	if loose(strings.ReplaceAll(path, "[]", "[0]")) {
		return looseText()
	}
	if list := wordsOf(path); list != nil {
		return schema{"enum": list}
	}
	return anyText()
}

func integer(t reflect.Type) schema {
	out := schema{"type": "integer"}
	unsigned := t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uintptr
	if unsigned {
		out["minimum"] = 0
	}
	if unsigned && t.Bits() <= 32 {
		out["maximum"] = uint64(math.MaxUint64) >> (64 - t.Bits())
	}
	return out
}

// object is the schema of structs that share one mapping.
func (g schemas) object(t reflect.Type, path string, others ...reflect.Type) schema {
	properties := schema{}
	for _, part := range append([]reflect.Type{t}, others...) {
		for _, f := range fields(part) {
			if _, first := properties[f.name]; !first {
				properties[f.name] = g.of(f.typ, join(path, f.name))
			}
		}
	}
	out := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if needed := neededKeys(path); needed != nil {
		out["required"] = needed
	}
	return out
}

// neededKeys are the keys without which Load refuses a mapping.
func neededKeys(path string) []string {
	switch path {
	case "":
		return []string{"owner", "regions", "providers", "monitors", "services"}
	case "services[]":
		return []string{"name", "monitor", "pools"}
	case "services[].pools[]":
		return []string{"region", "endpoints"}
	case "services[].locations[]":
		return []string{"name"}
	case "services[].failback.window":
		return []string{"from", "to"}
	case "services[].https":
		return []string{"alpn"}
	}
	return nil
}

// named puts the schema of a type among the definitions.
func (g schemas) named(t reflect.Type, path string) schema {
	name := strings.ToLower(t.Name())
	g.defs[name] = g.object(t, path)
	return schema{"$ref": "#/$defs/" + name}
}

// kinds is the schema of a mapping whose keys depend on its kind.
func (g schemas) kinds(name, path string, kinds []string, own func(kind string) any, common ...reflect.Type) schema {
	byType := map[reflect.Type][]string{}
	for _, kind := range kinds {
		t := reflect.TypeOf(own(kind)).Elem()
		byType[t] = append(byType[t], kind)
	}
	var cases []any
	for _, kind := range kinds {
		t := reflect.TypeOf(own(kind)).Elem()
		same := byType[t]
		if same[0] != kind {
			continue
		}
		object := g.object(t, path, common...)
		object["properties"].(schema)["kind"] = words(same...)
		cases = append(cases, schema{
			"if":   schema{"properties": schema{"kind": words(same...)}, "required": []string{"kind"}},
			"then": object,
		})
	}
	g.defs[name] = schema{
		"type": "object", "required": []string{"kind"},
		"properties": schema{"kind": schema{"enum": kinds, "description": g.meanings[path+".kind"]}},
		"allOf":      cases,
	}
	return schema{"$ref": "#/$defs/" + name}
}

func (g schemas) monitors(path string) schema {
	own := func(kind string) any {
		var m Monitor
		m.Kind = kind
		return m.choose()
	}
	return g.kinds("monitor", path, monitorKinds(), own, reflect.TypeFor[prober.MonitorConfig]())
}

func (g schemas) providers(path string) schema {
	own := func(kind string) any { return (&Provider{Kind: kind}).choose() }
	return schema{
		"type": "object", "minProperties": 1,
		"propertyNames":        matching(labelPattern),
		"additionalProperties": g.kinds("provider", path+".NAME", providerKinds(), own),
	}
}
