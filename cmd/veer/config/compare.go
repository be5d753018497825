package config

import (
	"reflect"
	"slices"
	"strings"
)

// What a Difference does to the thing that it is about.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Difference is one thing in which two configs differ.
type Difference struct {
	// What is the thing: "service app.example.test", "monitor web", "provider cf",
	// or the key of another part of the file.
	What string `json:"what"`
	// Change is Added, Removed or Changed.
	Change string `json:"change"`
	// Key is what changed of it, Was and Is its values as the file has them; a
	// secret has none. All are empty where the whole came or went.
	Key string `json:"key,omitempty"`
	Was string `json:"was,omitempty"`
	Is  string `json:"is,omitempty"`
}

// String is the difference in one line.
func (d Difference) String() string {
	at := d.What + ": "
	if d.Key != "" {
		at += d.Key + ": "
	}
	if d.Was == "" && d.Is == "" {
		return at + d.Change
	}
	word := func(text string) string {
		if text == "" {
			return "none"
		}
		return text
	}
	return at + word(d.Was) + " -> " + word(d.Is)
}

// Compare lists in what two configs differ, in the order of the file. It holds
// the paths of secrets, never a secret.
func Compare(was, is *Config) []Difference {
	c := comparison{}
	a, b := tree(was), tree(is)
	for _, key := range keysOf(a, b) {
		x, y := a.get(key), b.get(key)
		switch key {
		case "services":
			c.named("service", "services", itemsOf(x), itemsOf(y))
		case "monitors":
			c.named("monitor", key, pairsOf(x), pairsOf(y))
		case "providers":
			c.named("provider", key, pairsOf(x), pairsOf(y))
		default:
			c.what = key
			c.values("", x, y)
		}
	}
	return c.out
}

// Fixed lists in what two configs differ that a process cannot take over while
// it runs: who and where it is, its cluster, what it listens on and how it
// serves there, and where it writes the journal out.
func Fixed(was, is *Config) []Difference {
	var out []Difference
	for _, d := range Compare(was, is) {
		if slices.Contains([]string{"owner", "cluster", "hooks", "host", "journal", "schedule"}, d.What) {
			out = append(out, d)
		}
	}
	out = append(out, calling(was, is)...)
	before := map[string]Provider{}
	for _, p := range was.Providers {
		if p.Authority != nil {
			before[p.Name] = p
		}
	}
	for _, p := range is.Providers {
		old, there := before[p.Name]
		if p.Authority == nil {
			continue // one that was an authority is left in before
		}
		delete(before, p.Name)
		if !there {
			out = append(out, Difference{What: "provider " + p.Name, Change: Added, Key: "kind", Is: "authority"})
			continue
		}
		for _, key := range p.Authority.Fixed(*old.Authority) {
			out = append(out, Difference{What: "provider " + p.Name, Change: Changed, Key: key})
		}
	}
	for _, p := range was.Providers {
		if _, gone := before[p.Name]; gone {
			out = append(out, Difference{What: "provider " + p.Name, Change: Removed, Key: "kind", Was: "authority"})
		}
	}
	return out
}

// calling lists in what differs who calls in, and of what: endpoints with a
// heartbeat, and those that hooks vote on.
func calling(was, is *Config) []Difference {
	var out []Difference
	a, b := was.Heartbeats(), is.Heartbeats()
	for _, id := range sortedKeys(a) {
		if m, ok := b[id]; !ok {
			out = append(out, Difference{What: "heartbeat of " + id, Change: Removed})
		} else if !reflect.DeepEqual(m, a[id]) {
			out = append(out, Difference{What: "heartbeat of " + id, Change: Changed})
		}
		delete(b, id)
	}
	for _, id := range sortedKeys(b) {
		out = append(out, Difference{What: "heartbeat of " + id, Change: Added})
	}
	for _, name := range was.HookVantages() {
		if _, ok := is.Hooks[name]; ok && !reflect.DeepEqual(was.HookEndpoints(name), is.HookEndpoints(name)) {
			out = append(out, Difference{What: "hook " + name, Change: Changed, Key: "the endpoints that it votes on"})
		}
	}
	return out
}

// Files are the files that the config names for secrets, keys and certificates,
// by key, as in providers.cf.token_file.
func (c *Config) Files() map[string]string {
	out := map[string]string{}
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		switch {
		case n == nil:
		case n.shape == mapping:
			for _, p := range n.pairs {
				walk(join(path, p.key.text), p.value)
			}
		case n.shape == sequence:
			for _, item := range n.items {
				walk(path+"["+identity(item)+"]", item)
			}
		case strings.HasSuffix(path, "_file") && !strings.HasSuffix(path, ".geo_file") && n.text != "":
			out[path] = n.text
		}
	}
	walk("", tree(c))
	return out
}

// tree is the effective config, with every default.
func tree(c *Config) *node {
	e := encoder{defaults: true, vantages: len(c.Vantages)}
	return e.config(c)
}

// comparison collects differences.
type comparison struct {
	what string
	out  []Difference
}

func (c *comparison) add(key, was, is string) {
	d := Difference{What: c.what, Change: Changed, Key: key, Was: was, Is: is}
	switch {
	case was == "":
		d.Change = Added
	case is == "":
		d.Change = Removed
	}
	c.out = append(c.out, d)
}

// entry is a part of the file that has a name.
type entry struct {
	name  string
	value *node
}

func pairsOf(n *node) (out []entry) {
	if n == nil {
		return nil
	}
	for _, p := range n.pairs {
		out = append(out, entry{p.key.text, p.value})
	}
	return out
}

func itemsOf(n *node) (out []entry) {
	if n == nil {
		return nil
	}
	for _, item := range n.items {
		out = append(out, entry{identity(item), item})
	}
	return out
}

// identity is what tells an item of a list from others; empty: nothing does.
func identity(n *node) string {
	for _, key := range []string{"name", "region"} {
		if id := n.get(key); id != nil {
			return strings.TrimSuffix(id.text, ".")
		}
	}
	return ""
}

// named compares things by their names.
func (c *comparison) named(kind, key string, was, is []entry) {
	find := func(in []entry, name string) *node {
		if i := slices.IndexFunc(in, func(e entry) bool { return e.name == name }); i >= 0 {
			return in[i].value
		}
		return nil
	}
	before := len(c.out)
	for _, e := range was {
		c.what = kind + " " + e.name
		if now := find(is, e.name); now != nil {
			c.values("", e.value, now)
		} else {
			c.out = append(c.out, Difference{What: c.what, Change: Removed})
		}
	}
	for _, e := range is {
		if find(was, e.name) == nil {
			c.out = append(c.out, Difference{What: kind + " " + e.name, Change: Added})
		}
	}
	if order := namesIn(is); len(c.out) == before && namesIn(was) != order {
		c.what = key
		c.add("order", namesIn(was), order)
	}
}

func namesIn(entries []entry) string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.name
	}
	return strings.Join(names, ", ")
}

// values compares what stands at a key; nil: nothing.
func (c *comparison) values(path string, was, is *node) {
	shapeOf := func(n *node, s shape) bool { return n == nil || n.shape == s }
	switch {
	case was == nil && is == nil:
	case shapeOf(was, mapping) && shapeOf(is, mapping):
		for _, key := range keysOf(was, is) {
			c.values(join(path, key), was.get(key), is.get(key))
		}
	case identified(was) && identified(is), was == nil && identified(is), is == nil && identified(was):
		c.items(path, itemsOf(was), itemsOf(is))
	default:
		if a, b := compact(was), compact(is); a != b {
			c.add(path, a, b)
		}
	}
}

// items compares the items of a list that have names, and their order, which
// may mean something.
func (c *comparison) items(path string, was, is []entry) {
	for _, e := range was {
		i := slices.IndexFunc(is, func(o entry) bool { return o.name == e.name })
		if i < 0 {
			c.add(path+"["+e.name+"]", compact(e.value), "")
			continue
		}
		c.values(path+"["+e.name+"]", e.value, is[i].value)
	}
	var stayed []entry
	for _, e := range is {
		if slices.ContainsFunc(was, func(o entry) bool { return o.name == e.name }) {
			stayed = append(stayed, e)
			continue
		}
		c.add(path+"["+e.name+"]", "", compact(e.value))
	}
	left := slices.DeleteFunc(slices.Clone(was), func(e entry) bool {
		return !slices.ContainsFunc(is, func(o entry) bool { return o.name == e.name })
	})
	if namesIn(left) != namesIn(stayed) {
		c.add(join(path, "order"), namesIn(left), namesIn(stayed))
	}
}

// identified reports whether every item of a list has a name of its own.
func identified(n *node) bool {
	if n == nil || n.shape != sequence || len(n.items) == 0 {
		return false
	}
	seen := map[string]bool{}
	for _, item := range n.items {
		id := identity(item)
		if item.shape != mapping || id == "" || seen[id] {
			return false
		}
		seen[id] = true
	}
	return true
}

// maxShown bounds a value in a Difference, in characters.
const maxShown = 200

// compact is a value in one line; empty for none.
func compact(n *node) string {
	if n == nil {
		return ""
	}
	var b strings.Builder
	n.flow(&b)
	text := []rune(strings.Map(visible, b.String()))
	if len(text) > maxShown {
		text = append(text[:maxShown], '…')
	}
	return string(text)
}

// flow writes a value in one line.
func (n *node) flow(b *strings.Builder) {
	switch n.shape {
	case mapping:
		b.WriteString("{")
		for i, p := range n.pairs {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(p.key.inline() + ": ")
			p.value.flow(b)
		}
		b.WriteString("}")
	case sequence:
		b.WriteString("[")
		for i, item := range n.items {
			if i > 0 {
				b.WriteString(", ")
			}
			item.flow(b)
		}
		b.WriteString("]")
	default:
		b.WriteString(n.inline())
	}
}

// keysOf are the keys of both, in the order of the first.
func keysOf(a, b *node) []string {
	var out []string
	for _, n := range []*node{a, b} {
		if n == nil {
			continue
		}
		for _, p := range n.pairs {
			if !slices.Contains(out, p.key.text) {
				out = append(out, p.key.text)
			}
		}
	}
	return out
}
