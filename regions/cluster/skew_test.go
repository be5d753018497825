package cluster

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// drawShard is any shard of a few services.
func drawShard(rt *rapid.T) shard {
	s := shard{Holder: "h", Commit: 3, Shard: steering.Shard{ID: 3, Term: 7, Seq: 9, Config: "c", Version: "v"}}
	for i := range rapid.IntRange(0, 4).Draw(rt, "services") {
		s.State.Services = append(s.State.Services, drawService(rt, fmt.Sprintf("s%d.example.", i)))
		s.Answers = append(s.Answers, steering.Answer{RRSet: s.State.Services[i].Answer[0], MinTTL: 5})
	}
	return s
}

func drawService(rt *rapid.T, name string) steering.ServiceState {
	set := providers.RRSet{Name: name, Type: rapid.SampledFrom([]string{"A", "AAAA"}).Draw(rt, "type"), TTL: 30, Data: []string{"192.0.2.1"}}
	s := steering.ServiceState{Name: name, Serving: []regions.Name{"r0"}, Answer: []providers.RRSet{set}, MinTTL: 5}
	for i := range rapid.IntRange(0, 3).Draw(rt, "pools") {
		pool := steering.PoolState{Region: regions.Name(fmt.Sprintf("r%d", i)), Seen: checks.Up, Hold: time.Duration(rapid.IntRange(0, 9).Draw(rt, "hold"))}
		for k := range rapid.IntRange(0, 2).Draw(rt, "endpoints") {
			pool.Endpoints = append(pool.Endpoints, steering.EndpointState{ID: regions.EndpointID(fmt.Sprintf("e%d", k)), Seen: checks.Up})
		}
		s.Pools = append(s.Pools, pool)
	}
	return s
}

// plant puts fields that no version knows into objects of a decoded t.
func plant(rt *rapid.T, v any, t reflect.Type) {
	switch v := v.(type) {
	case map[string]any:
		for _, f := range fieldsOf(t) {
			if inner := f.of; v[f.name] != nil && (inner.Kind() == reflect.Struct || inner.Kind() == reflect.Slice) {
				plant(rt, v[f.name], inner)
			}
		}
		for i := range rapid.IntRange(0, 2).Draw(rt, "planted") {
			v[fmt.Sprintf("new_%d", i)] = rapid.SampledFrom([]any{"x", json.Number("18446744073709551615"), true, []any{"y"}, map[string]any{"z": json.Number("1.50")}}).Draw(rt, "value")
		}
	case []any:
		for _, e := range v {
			if _, ok := e.(map[string]any); ok {
				plant(rt, e, t.Elem())
			}
		}
	}
}

// planted lists every planted field by its path, and every object's path.
func planted(v any) (fields map[string]string, objects map[string]bool) {
	fields, objects = map[string]string{}, map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			objects[path] = true
			for key, inner := range v {
				if strings.HasPrefix(key, "new_") {
					text, _ := json.Marshal(inner)
					fields[path+"/"+key] = string(text)
				} else {
					walk(path+"/"+key, inner)
				}
			}
		case []any:
			for _, e := range v {
				if m, ok := e.(map[string]any); ok {
					walk(fmt.Sprint(path, "/", m["name"], m["type"], m["region"], m["id"]), e)
				}
			}
		}
	}
	walk("", v)
	return fields, objects
}

// rewrite is a way to write what was read and changed.
type rewrite func(was []byte, v value) ([]byte, error)

// skewed reads a newer version's shard, changes and writes it, and says what is
// wrong with the result.
func skewed(rt *rapid.T, write rewrite) string {
	plain, err := json.Marshal(drawShard(rt))
	if err != nil {
		return err.Error()
	}
	newer, err := generic(plain)
	if err != nil {
		return err.Error()
	}
	plant(rt, newer, reflect.TypeFor[shard]())
	if plain, err = json.Marshal(newer); err != nil {
		return err.Error()
	}
	was, err := squeeze(plain)
	if err != nil {
		return err.Error()
	}
	v, err := unpack[shard](was)
	if err != nil {
		return err.Error()
	}
	v.Seq++
	if n := len(v.State.Services); n > 0 && rapid.Bool().Draw(rt, "drop") {
		at := rapid.IntRange(0, n-1).Draw(rt, "which")
		v.State.Services = slices.Delete(v.State.Services, at, at+1)
		v.Answers = slices.Delete(v.Answers, at, at+1)
	}
	if rapid.Bool().Draw(rt, "add") {
		v.State.Services = append([]steering.ServiceState{drawService(rt, "added.example.")}, v.State.Services...)
	}
	raw, err := write(was, v)
	if err != nil {
		return err.Error()
	}
	again, err := unpack[shard](raw)
	if err != nil {
		return err.Error()
	}
	a, _ := json.Marshal(v) // it was packed before
	if b, _ := json.Marshal(again); string(a) != string(b) {
		return fmt.Sprintf("wrote %s, which reads as %s", a, b)
	}
	if plain, err = inflate(raw); err != nil {
		return err.Error()
	}
	is, err := generic(plain)
	if err != nil {
		return err.Error()
	}
	return lostOf(newer, is)
}

// lostOf names a field that was lost or moved, "" for none.
func lostOf(newer, is any) string {
	before, _ := planted(newer)
	after, objects := planted(is)
	for path, value := range before {
		if object := path[:strings.LastIndex(path, "/")]; objects[object] && after[path] != value {
			return fmt.Sprintf("%s was %s and is %q", path, value, after[path])
		}
	}
	for path := range after {
		if before[path] == "" {
			return path + " came from elsewhere"
		}
	}
	return ""
}

func TestPropertyUnknownFieldsStay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		if wrong := skewed(rt, repack); wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// TestMutantSkew: writers that forget are found.
func TestMutantSkew(t *testing.T) {
	for name, broken := range map[string]rewrite{
		"nothing is kept": func(_ []byte, v value) ([]byte, error) { return pack(v) },
		"only the outermost fields are kept": func(was []byte, v value) ([]byte, error) {
			return regraft(was, v, func(old, now map[string]any) {
				for k, w := range old {
					if _, known := fieldsOf(reflect.TypeOf(v))[k]; !known {
						now[k] = w
					}
				}
			})
		},
		"elements are found by their place": func(was []byte, v value) ([]byte, error) {
			return regraft(was, v, func(old, now map[string]any) { byPlace(old, now) })
		},
	} {
		found := ""
		rapid.Check(t, func(rt *rapid.T) {
			if wrong := skewed(rt, broken); wrong != "" {
				found = wrong
			}
		})
		if found == "" {
			t.Errorf("%s: not found", name)
		} else {
			t.Logf("%s: %s", name, found)
		}
	}
}

func regraft(was []byte, v value, how func(old, now map[string]any)) ([]byte, error) {
	plain, err := inflate(was)
	if err != nil {
		return nil, err
	}
	now, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	a, err := generic(plain)
	if err != nil {
		return nil, err
	}
	b, err := generic(now)
	if err != nil {
		return nil, err
	}
	how(a.(map[string]any), b.(map[string]any))
	return json.Marshal(b)
}

func byPlace(old, now any) {
	switch o := old.(type) {
	case map[string]any:
		n, ok := now.(map[string]any)
		for k, w := range o {
			if strings.HasPrefix(k, "new_") && ok {
				n[k] = w
			} else if ok {
				byPlace(w, n[k])
			}
		}
	case []any:
		n, _ := now.([]any)
		for i := range min(len(o), len(n)) {
			byPlace(o[i], n[i])
		}
	}
}

// TestAnOlderLeaderKeepsUnknownFields, in etcd: of the term and of a shard, over
// several commits.
func TestAnOlderLeaderKeepsUnknownFields(t *testing.T) {
	c := startAlone(t, Options{})
	ctx := c.ctx
	c.put(c.keys.term(), `{"term":4,"holder":"x","name":"n","zone":"later"}`)
	c.put(c.keys.shard(3), `{"id":3,"term":4,"seq":1,"later":1,"state":{"clock":0,"services":[{"name":"a.","pools":null,"serving":null,"answer":null,"min_ttl":0,"later":[2]}]},"answers":null}`)
	l, err := c.Campaign(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.get(c.keys.term()); !strings.Contains(got, `"zone":"later"`) || !strings.Contains(got, `"term":5`) {
		t.Errorf("the term is %s", got)
	}
	stored, err := c.Shards(ctx)
	if err != nil || len(stored) != 1 {
		t.Fatalf("%v %v", stored, err)
	}
	s, at := stored[0].Shard, stored[0].At
	for range 3 {
		s.Term, s.Seq = l.Term(), s.Seq+1
		if at, err = c.Commit(ctx, l, at, s, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Shards(ctx); err != nil {
			t.Fatal(err)
		}
		got := c.get(c.keys.shard(3))
		if !strings.Contains(got, `"later":1`) || !strings.Contains(got, `"later":[2]`) || !strings.Contains(got, fmt.Sprintf(`"seq":%d`, s.Seq)) {
			t.Fatalf("seq %d: the shard is %s", s.Seq, got)
		}
	}
}

// FuzzRepack: what could be read can be written again with its unknown fields,
// and reads as the same.
func FuzzRepack(f *testing.F) {
	seed(f, shard{Shard: someShard(), Holder: "h", Commit: 4})
	f.Add([]byte(`{"id":3,"term":7,"seq":1,"state":{"services":[{"name":"a","x":1},{"name":"a","x":2}]},"answers":[],"Term":9}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := unpack[shard](raw)
		if err != nil {
			return
		}
		out, err := repack(raw, v)
		if err != nil {
			t.Fatalf("%q cannot be written again: %v", raw, err)
		}
		again, err := unpack[shard](out)
		if err != nil || encode(t, v) != encode(t, again) {
			t.Fatalf("%q was written as %q, which reads as %+v, %v", raw, out, again, err)
		}
	})
}
