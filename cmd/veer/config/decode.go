package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder fills values from nodes. What does not fit is reported with its
// place, and left as it was, so that one pass finds every problem.
type decoder struct {
	src *source
	env func(string) (string, bool) // where secrets may stand
}

// fromNode is a type that reads itself.
type fromNode interface {
	fromNode(d decoder, n *node, path string)
}

// withDefaults is a type whose absent keys are not zero.
type withDefaults interface{ setDefaults() }

// field is one key of a struct.
type field struct {
	name  string
	index []int
	typ   reflect.Type
}

// fields lists the keys of a struct in order, those of embedded structs among
// them. A field tagged "-" is no key.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous || options == "inline":
			for _, inner := range fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
		default:
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			out = append(out, field{name, []int{i}, f.Type})
		}
	}
	return out
}

func isDuration(t reflect.Type) bool { return t == reflect.TypeFor[time.Duration]() }

// bad reports a problem at a node.
func (d decoder) bad(n *node, path string, e Error) {
	e.Path = path
	d.src.bad(n.line, n.column, e)
}

// mismatch reports a value of the wrong kind. A value that may be a secret is
// not repeated.
func (d decoder) mismatch(n *node, path, expected, hint string) {
	found := n.describe()
	if secretWord(path) && n.shape == scalar && n.form() != formNothing {
		found = "a value"
	}
	d.bad(n, path, Error{Problem: "found " + found, Expected: expected, Hint: hint})
}

// value fills v from n.
func (d decoder) value(n *node, path string, v reflect.Value) {
	if own, ok := v.Addr().Interface().(fromNode); ok {
		own.fromNode(d, n, path)
		return
	}
	if isDuration(v.Type()) {
		d.duration(n, path, v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		applyDefaults(p)
		d.value(n, path, p.Elem())
		v.Set(p)
	case reflect.Struct:
		d.structs(n, path, v)
	case reflect.Map:
		d.mapping(n, path, v)
	case reflect.Slice:
		d.list(n, path, v)
	case reflect.String:
		d.text(n, path, v)
	case reflect.Bool:
		d.boolean(n, path, v)
	case reflect.Float64:
		d.decimal(n, path, v)
	default:
		d.number(n, path, v)
	}
}

func applyDefaults(p reflect.Value) {
	if w, ok := p.Interface().(withDefaults); ok {
		w.setDefaults()
	}
}

// structs fills several structs that share one mapping: a key belongs to the
// first that has it, and is unknown when none has.
func (d decoder) structs(n *node, path string, targets ...reflect.Value) {
	known := map[string]reflect.Value{}
	for _, target := range slices.Backward(targets) {
		for _, f := range fields(target.Type()) {
			known[f.name] = target.FieldByIndex(f.index)
		}
	}
	names := slices.Sorted(maps.Keys(known))
	if n.shape != mapping {
		d.mismatch(n, path, "keys: "+strings.Join(names, ", "), "")
		return
	}
	for _, p := range n.pairs {
		at := join(path, p.key.text)
		v, ok := known[p.key.text]
		switch {
		case !ok:
			d.unknownKey(p, at, names)
		case p.value.shape == scalar && p.value.form() == formNothing:
			d.bad(p.key, at, Error{Problem: "found no value", Expected: expectation(v.Type()), Hint: "give one, or remove the key"})
		default:
			d.value(p.value, at, v)
		}
	}
}

func (d decoder) unknownKey(p pair, path string, names []string) {
	if inlineSecret(p.key.text) {
		d.inlineSecret(p.key, path, names)
		return
	}
	d.bad(p.key, path, Error{
		Problem:  "unknown key " + quote(p.key.text),
		Expected: "one of " + strings.Join(names, ", "),
		Hint:     didYouMean(p.key.text, names),
	})
}

func (d decoder) inlineSecret(key *node, path string, names []string) {
	hint := "secrets do not stand in this file: remove it"
	if slices.Contains(names, key.text+"_file") {
		hint = fmt.Sprintf("give %s_file: PATH or %s_env: NAME instead", key.text, key.text)
	}
	d.bad(key, path, Error{
		Problem:  quote(key.text) + " would hold a secret",
		Expected: "a secret in a file or an environment variable, never in the configuration itself",
		Hint:     hint,
	})
}

// inlineSecret reports whether a key's value would be a secret.
func inlineSecret(key string) bool {
	return slices.Contains([]string{"token", "password", "passwd", "passphrase", "secret", "api_key", "apikey", "private_key", "key"}, strings.ToLower(key))
}

// secretPath matches a path whose last key speaks of a secret, loosePath one
// whose text often looks like a number or a boolean.
var (
	secretPath = regexp.MustCompile(`(?i)(token|password|passwd|passphrase|secret|api[-_]?key|private_?key|authorization|cookie|bearer|basic)(\[[0-9]+\])?$`)
	loosePath  = regexp.MustCompile(`(^|\.)(need|status\[[0-9]+\]|equals|expect|version|min_version)$`)
)

// secretWord reports whether the last key of a path speaks of a secret.
func secretWord(path string) bool {
	return secretPath.MatchString(strings.TrimSuffix(path, ".value"))
}

func (d decoder) mapping(n *node, path string, v reflect.Value) {
	if n.shape != mapping {
		d.mismatch(n, path, expectation(v.Type()), "")
		return
	}
	out := reflect.MakeMap(v.Type())
	for _, p := range n.pairs {
		item := reflect.New(v.Type().Elem())
		applyDefaults(item)
		d.value(p.value, join(path, p.key.text), item.Elem())
		out.SetMapIndex(reflect.ValueOf(p.key.text).Convert(v.Type().Key()), item.Elem())
	}
	v.Set(out)
}

func (d decoder) list(n *node, path string, v reflect.Value) {
	if n.shape != sequence {
		d.mismatch(n, path, expectation(v.Type()), listHint(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(n.items))
	for i, item := range n.items {
		p := reflect.New(v.Type().Elem())
		applyDefaults(p)
		d.value(item, path+"["+strconv.Itoa(i)+"]", p.Elem())
		out = reflect.Append(out, p.Elem())
	}
	v.Set(out)
}

func listHint(n *node) string {
	if n.shape == scalar && n.form() == formText && !strings.ContainsAny(n.text, " ,[]{}:#\"'\n") {
		return "write [" + short(n.text) + "]"
	}
	return ""
}

// loose reports whether a key's text often looks like a number or a boolean.
func loose(path string) bool {
	return loosePath.MatchString(path)
}

func (d decoder) text(n *node, path string, v reflect.Value) {
	switch {
	case n.shape == scalar && n.form() == formText:
		v.SetString(d.outside(n, path))
	case n.shape == scalar && loose(path) && (n.form() == formInt || n.form() == formBool || n.form() == formNumber):
		v.SetString(n.text)
	case n.shape == scalar && n.text == "off" && strings.HasSuffix(path, ".tls.mode"):
		v.SetString(n.text) // one of its words
	case n.shape == scalar && n.form() != formNothing:
		d.mismatch(n, path, "a text", "put it in quotes if it is one")
	default:
		d.mismatch(n, path, "a text", "")
	}
}

func (d decoder) boolean(n *node, path string, v reflect.Value) {
	if n.form() != formBool || n.shape != scalar {
		d.mismatch(n, path, "true or false", "")
		return
	}
	v.SetBool(n.text == "true")
}

func (d decoder) duration(n *node, path string, v reflect.Value) {
	const expected = "a duration with a unit, such as 500ms, 5s, 10m or 1h30m"
	got, err := time.ParseDuration(n.text)
	switch {
	case n.shape == scalar && n.form() == formInt && n.text != "0":
		d.mismatch(n, path, expected, fmt.Sprintf("a number has no unit: did you mean %ss?", short(n.text)))
	case n.shape != scalar || n.form() != formText && n.text != "0" || err != nil:
		d.mismatch(n, path, expected, "")
	case got < 0:
		d.bad(n, path, Error{Problem: "found " + quote(n.text), Expected: "a duration that is not negative"})
	default:
		v.SetInt(int64(got))
	}
}

func (d decoder) number(n *node, path string, v reflect.Value) {
	low, high := bounds(v.Type())
	expected := "a whole number"
	if n.shape != scalar || n.form() != formInt {
		hint := ""
		if n.shape == scalar && n.quoted {
			hint = "write it without quotes"
		}
		if n.form() == formNumber {
			hint = "write it in plain decimal digits"
		}
		d.mismatch(n, path, expected, hint)
		return
	}
	signed, errSigned := strconv.ParseInt(n.text, 10, 64)
	unsigned, errUnsigned := strconv.ParseUint(n.text, 10, 64)
	switch {
	case v.CanInt() && errSigned == nil && !v.OverflowInt(signed):
		v.SetInt(signed)
	case v.CanUint() && errUnsigned == nil && !v.OverflowUint(unsigned):
		v.SetUint(unsigned)
	default:
		d.mismatch(n, path, fmt.Sprintf("a whole number from %s to %s", low, high), "")
	}
}

// plainDecimal matches a number with or without a fraction.
var plainDecimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

func (d decoder) decimal(n *node, path string, v reflect.Value) {
	got, err := strconv.ParseFloat(n.text, 64)
	if n.shape != scalar || n.quoted || !plainDecimal.MatchString(n.text) || err != nil {
		hint := ""
		if n.shape == scalar && n.quoted {
			hint = "write it without quotes"
		}
		d.mismatch(n, path, "a number in plain decimal digits, such as 3 or 0.95", hint)
		return
	}
	v.SetFloat(got)
}

// bounds are the least and the largest value of an integer type.
func bounds(t reflect.Type) (low, high string) {
	bits := t.Bits()
	if t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uintptr {
		return "0", strconv.FormatUint(^uint64(0)>>(64-bits), 10)
	}
	return strconv.FormatInt(-1<<(bits-1), 10), strconv.FormatInt(1<<(bits-1)-1, 10)
}

// expectation says in words what a type takes.
func expectation(t reflect.Type) string {
	switch {
	case isDuration(t):
		return "a duration such as 5s"
	case t.Kind() == reflect.Slice:
		return "a list, like [a, b]"
	case t.Kind() == reflect.Map || t.Kind() == reflect.Struct:
		return "keys and values below it"
	case t.Kind() == reflect.Pointer:
		return expectation(t.Elem())
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
