package cluster

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// Versions of Veer run beside each other while one is rolled out. What an older
// one reads, changes and writes back keeps the fields that only the newer one
// knows, at every depth: those of an element of a list go with the element of
// the same name.

// repack packs v with the fields of was, which it was made from, that this
// version does not know.
func repack(was []byte, v value) ([]byte, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	plain, err := inflate(was)
	if err != nil {
		return nil, err
	}
	now, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	before, err := generic(plain)
	if err != nil {
		return nil, err
	}
	after, err := generic(now)
	if err != nil {
		return nil, err
	}
	if now, err = json.Marshal(graft(before, after, reflect.TypeOf(v))); err != nil {
		return nil, err
	}
	return squeeze(now)
}

// unknown returns raw if it has fields that this version does not know.
func unknown[V value](raw []byte) []byte {
	plain, err := inflate(raw)
	if err != nil {
		return nil
	}
	var v V
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.DisallowUnknownFields()
	if dec.Decode(&v) == nil {
		return nil
	}
	return raw
}

// generic decodes JSON without a type; numbers stay as they are written.
func generic(plain []byte) (any, error) {
	var out any
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.UseNumber()
	return out, dec.Decode(&out)
}

// graft puts into is, which was made of a t, the fields of was that a t does
// not have.
func graft(was, is any, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if writesItself(t) {
		return is
	}
	switch t.Kind() {
	case reflect.Struct:
		old, okOld := was.(map[string]any)
		now, okNow := is.(map[string]any)
		if okOld && okNow {
			graftFields(old, now, t)
		}
	case reflect.Map:
		old, okOld := was.(map[string]any)
		now, okNow := is.(map[string]any)
		if okOld && okNow {
			for k, v := range now {
				if w, ok := old[k]; ok {
					now[k] = graft(w, v, t.Elem())
				}
			}
		}
	case reflect.Slice, reflect.Array:
		old, okOld := was.([]any)
		now, okNow := is.([]any)
		if okOld && okNow {
			graftElements(old, now, t.Elem())
		}
	}
	return is
}

func graftFields(old, now map[string]any, t reflect.Type) {
	known := fieldsOf(t)
	for key, w := range old {
		f, ok := known[strings.ToLower(key)] // as encoding/json reads them
		switch v, there := now[f.name]; {
		case !ok:
			now[key] = w
		case there:
			now[f.name] = graft(w, v, f.of)
		}
	}
}

// graftElements finds for each element the one that it was.
func graftElements(old, now []any, elem reflect.Type) {
	before := map[string]any{}
	for i, k := range identities(old) {
		before[k] = old[i]
	}
	for i, k := range identities(now) {
		if w, ok := before[k]; ok {
			now[i] = graft(w, now[i], elem)
		}
	}
}

// identities are what tells the elements of a list apart: their names, and how
// many of that name came before.
func identities(list []any) []string {
	out, seen := make([]string, len(list)), map[string]int{}
	for i, e := range list {
		m, _ := e.(map[string]any)
		var k strings.Builder
		for _, key := range []string{"id", "name", "type", "set_id", "region", "endpoint", "address"} {
			fmt.Fprintf(&k, "%q ", fmt.Sprint(m[key]))
		}
		out[i] = fmt.Sprint(k.String(), seen[k.String()])
		seen[k.String()]++
	}
	return out
}

// field is a field of a struct in its JSON.
type field struct {
	name string
	of   reflect.Type
}

// fieldsOf are the fields of a struct by their names in lower case, those of
// embedded structs among them.
func fieldsOf(t reflect.Type) map[string]field {
	out := map[string]field{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			for k, inner := range fieldsOf(f.Type) {
				if _, hidden := out[k]; !hidden {
					out[k] = inner
				}
			}
		case f.IsExported():
			if name == "" {
				name = f.Name
			}
			out[strings.ToLower(name)] = field{name, f.Type}
		}
	}
	return out
}

// writesItself reports whether a type makes its own JSON.
func writesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Marshaler]()) || p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// strangers are the shards with unknown fields as etcd has them, by ID. The
// zero value is ready.
type strangers struct {
	mu     sync.Mutex
	shards map[int]stranger
}

type stranger struct {
	rev int64
	raw []byte // nil: it has no unknown fields
}

// saw takes down what a shard is at a revision; nil: it has no unknown fields.
// What is older than what is known was overtaken.
func (s *strangers) saw(id int, rev int64, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, known := s.shards[id]; known && was.rev > rev || raw == nil && !known {
		return
	}
	if s.shards == nil {
		s.shards = map[int]stranger{}
	}
	s.shards[id] = stranger{rev, raw}
}

// at is the shard at a revision, if it has unknown fields.
func (s *strangers) at(id int, rev int64) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.shards[id]
	return is.raw, is.raw != nil && is.rev == rev
}
