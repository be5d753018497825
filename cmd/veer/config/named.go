package config

import (
	"reflect"
	"strings"
)

// named reads a mapping of names to what, each of which has the keys of its
// kind. Add takes one of a name, and returns where its kind goes and what then
// makes the Config of that kind, nil for an unknown one; both are used before the
// next.
func (d decoder) named(n *node, path, what string, kinds []string, add func(name string) (kind *string, choose func() any)) {
	if n.shape != mapping {
		d.mismatch(n, path, "names of "+what+", each with its keys below it", "")
		return
	}
	for _, p := range n.pairs {
		kind, choose := add(p.key.text)
		d.kinded(p, join(path, p.key.text), kinds, kind, choose)
	}
}

// kinded reads one of those.
func (d decoder) kinded(at pair, path string, kinds []string, kind *string, choose func() any) {
	n := at.value
	if n.shape != mapping {
		d.mismatch(n, path, "keys and values below it, such as kind: "+kinds[0], "")
		return
	}
	word := n.get("kind")
	if word == nil {
		d.bad(at.key, path, Error{Problem: "the key kind is missing", Expected: "one of " + strings.Join(kinds, ", ")})
		d.secretsBelow(n, path)
		return
	}
	d.value(word, join(path, "kind"), addressable(kind))
	own := choose()
	if own == nil {
		d.unknownWord(word, join(path, "kind"), kinds)
		d.secretsBelow(n, path)
		return
	}
	d.structs(n, path, addressable(&struct {
		Kind string `yaml:"kind"`
	}{}), reflect.ValueOf(own).Elem())
}

// kinded writes one of those. Own is its Config, or nil.
func (e encoder) kinded(kind string, own any) *node {
	out := &node{shape: mapping}
	out.add("kind", textNode(kind))
	if own != nil {
		out.pairs = append(out.pairs, e.value(reflect.ValueOf(own)).pairs...)
	}
	return out
}

// secretsBelow reports inline secrets under keys that are not read further.
func (d decoder) secretsBelow(n *node, path string) {
	for _, p := range n.pairs {
		if at := join(path, p.key.text); inlineSecret(p.key.text) {
			d.inlineSecret(p.key, at, []string{p.key.text + "_file"})
		} else {
			d.secretsBelow(p.value, at)
		}
	}
	for _, item := range n.items {
		d.secretsBelow(item, path)
	}
}
