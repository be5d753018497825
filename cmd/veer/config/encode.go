package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/veerdns/veer/regions/cluster"
)

// toNode is a type that writes itself; nil leaves its key out.
type toNode interface{ toNode(e encoder) *node }

// encoder turns values into nodes, the reverse of decoder.
type encoder struct {
	// defaults writes keys also where they have their default.
	defaults bool
	// vantages is how many there are; the default of min_voters follows.
	vantages int
}

// config writes the whole; the cluster's defaults depend on its own keys.
func (e encoder) config(c *Config) *node {
	out := e.structs(reflect.ValueOf(*c))
	i := slices.IndexFunc(out.pairs, func(p pair) bool { return p.key.text == "cluster" })
	if i < 0 {
		return out
	}
	absent := cluster.Config{RTT: c.Cluster.RTT}.Defaults()
	absent.RTT = 0
	out.pairs[i].value = e.against(reflect.ValueOf(c.Cluster), reflect.ValueOf(absent))
	if len(out.pairs[i].value.pairs) == 0 {
		out.pairs = slices.Delete(out.pairs, i, i+1)
	}
	return out
}

func textNode(text string) *node { return &node{text: text, quoted: !plain(text)} }

// plain reports whether a text needs no quotes anywhere in YAML.
func plain(text string) bool {
	if text == "" || strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") != "" {
		return false
	}
	return (&node{text: text}).form() == formText && text[0] != '-' && text[0] != '.'
}

// value returns v as a node.
func (e encoder) value(v reflect.Value) *node {
	if own, ok := v.Interface().(toNode); ok {
		return own.toNode(e)
	}
	if isDuration(v.Type()) {
		return &node{text: showDuration(time.Duration(v.Int()))}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return e.value(v.Elem())
	case reflect.Struct:
		return e.structs(v)
	case reflect.Map:
		out := &node{shape: mapping}
		keys := map[string]reflect.Value{}
		for _, k := range v.MapKeys() {
			keys[k.String()] = v.MapIndex(k)
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			out.add(k, e.value(keys[k]))
		}
		return out
	case reflect.Slice:
		out := &node{shape: sequence}
		for i := range v.Len() {
			out.items = append(out.items, e.value(v.Index(i)))
		}
		return out
	case reflect.String:
		return textNode(v.String())
	case reflect.Float64:
		return &node{text: strconv.FormatFloat(v.Float(), 'f', -1, 64)}
	}
	return &node{text: fmt.Sprint(v.Interface())}
}

// structs writes the fields of v, as against the values that absent keys have.
func (e encoder) structs(v reflect.Value) *node {
	fresh := reflect.New(v.Type())
	applyDefaults(fresh)
	return e.against(v, fresh.Elem())
}

// against writes the fields of v. One that has the value which its absence
// means is left out, unless its default is worth showing.
func (e encoder) against(v, absent reflect.Value) *node {
	out := &node{shape: mapping}
	for _, f := range fields(v.Type()) {
		is, was := v.FieldByIndex(f.index), absent.FieldByIndex(f.index)
		same := reflect.DeepEqual(is.Interface(), was.Interface())
		if same && (is.IsZero() || !e.defaults) || empty(is) && empty(was) {
			continue
		}
		out.add(f.name, e.value(is))
	}
	return out
}

func empty(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

// drop removes keys.
func (n *node) drop(keys ...string) {
	n.pairs = slices.DeleteFunc(n.pairs, func(p pair) bool { return slices.Contains(keys, p.key.text) })
}

func (n *node) add(key string, value *node) {
	if value == nil || value.shape == mapping && len(value.pairs) == 0 {
		return
	}
	n.pairs = append(n.pairs, pair{textNode(key), value})
}

// showDuration writes a duration without the zero parts of Go's own form.
func showDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// write prints a mapping's keys, one a line, lists of scalars in one line.
func (n *node) write(b *strings.Builder, indent string) {
	for _, p := range n.pairs {
		b.WriteString(indent + p.key.inline() + ":")
		p.value.writeValue(b, indent)
	}
}

func (n *node) writeValue(b *strings.Builder, indent string) {
	switch {
	case n.shape == mapping && len(n.pairs) > 0:
		b.WriteString("\n")
		n.write(b, indent+"  ")
	case n.shape == sequence && slices.ContainsFunc(n.items, func(i *node) bool { return i.shape != scalar }):
		b.WriteString("\n")
		for _, item := range n.items {
			var inner strings.Builder
			item.write(&inner, indent+"    ")
			b.WriteString(indent + "  - " + strings.TrimPrefix(inner.String(), indent+"    "))
		}
	default:
		b.WriteString(" " + n.inline() + "\n")
	}
}

func (n *node) inline() string {
	switch n.shape {
	case mapping:
		return "{}"
	case sequence:
		parts := make([]string, len(n.items))
		for i, item := range n.items {
			parts[i] = item.inline()
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if n.quoted {
		return strconv.Quote(n.text)
	}
	return n.text
}
