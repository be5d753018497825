package authority

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/regions/steering"
)

// namesOf prints what a zone's table has beyond its file, sorted.
func namesOf(z *zone) []string {
	var out []string
	z.over.all(func(k key, n *node) {
		line := k.String()
		for _, s := range n.sets {
			for _, p := range s.picks {
				for _, rr := range p.rrs {
					line += " | " + strings.Join(strings.Fields(rr.String()), " ")
				}
			}
		}
		out = append(out, line)
	})
	slices.Sort(out)
	if len(out) != z.over.size {
		out = append(out, fmt.Sprintf("the index counts %d names and has %d", z.over.size, len(out)))
	}
	return out
}

// afresh returns a state that was told all at once what st was told in steps.
func afresh(t testing.TB, files []*ZoneFile, st *state) *state {
	t.Helper()
	all, err := newState(files, nil, quiet(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.shards {
		all.put(s, epoch)
	}
	all.over = st.over
	for apex, s := range st.serials {
		all.serials[apex] = s
	}
	return all
}

// stepsAreLikeAll changes shards and overlays at random and compares each
// table with one that is made from nothing.
func stepsAreLikeAll(t testing.TB, r *rapid.T, spoil func(*state)) error {
	files := []*ZoneFile{exampleFile(t)}
	child, err := zoneText("child.example.test", "$TTL 30\n@ SOA ns.other.test. h 1 2 3 4 5\n@ NS ns.other.test.\nwww A 192.0.2.9\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, child)
	st, err := newState(files, nil, quiet(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"a", "b", "x.a", "y.x.a", "z.y.x.a", "www", "new.ent", "c.ent", "b.c.ent", "", "child", "www.child", "u.v.child", "v.child"}
	first := st.build(false)
	was := namesOf(first.zones[files[0].apex])
	for step := range rapid.IntRange(1, 12).Draw(r, "steps") {
		id := rapid.IntRange(0, 2).Draw(r, "shard")
		var answers []steering.Answer
		for i, name := range names {
			if i%3 != id || !rapid.Bool().Draw(r, name) {
				continue
			}
			host := strings.TrimPrefix(name+".example.test.", ".")
			answers = append(answers, mustAnswers(t, fmt.Sprintf("%s A 30 192.0.2.%d", host, rapid.IntRange(1, 3).Draw(r, "address")))...)
		}
		if rapid.IntRange(0, 3).Draw(r, "overlay") == 0 {
			st.over = nil
			if rapid.Bool().Draw(r, "on") {
				st.over = func(ledger []steering.Answer) []steering.Answer {
					out := slices.Clone(ledger)
					for i := range out {
						if len(out[i].Name)%2 == 0 {
							out[i].Data = []string{"192.0.2.77"}
						}
					}
					return out
				}
			}
		}
		st.take(steering.Shard{ID: id, Term: 1, Seq: uint64(step) + 1, Answers: answers}, epoch)
		if spoil != nil {
			spoil(st)
		}
		got := st.build(true)
		want := afresh(t, files, st).build(false)
		for _, f := range files {
			if d := cmp.Diff(namesOf(want.zones[f.apex]), namesOf(got.zones[f.apex])); d != "" {
				return fmt.Errorf("step %d, zone %s (-afresh +in steps):\n%s", step, f.Name, d)
			}
		}
	}
	if d := cmp.Diff(was, namesOf(first.zones[files[0].apex])); d != "" {
		return fmt.Errorf("the first table has changed:\n%s", d)
	}
	return nil
}

func TestPropertyTablesInSteps(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		if err := stepsAreLikeAll(t, r, nil); err != nil {
			r.Fatal(err)
		}
	})
}

// TestMutantTablesInSteps: a table that forgets a change is caught, and so are
// empty non-terminals that nobody counts.
func TestMutantTablesInSteps(t *testing.T) {
	for name, spoil := range map[string]func(*state){
		"a name that is forgotten":         func(st *state) { delete(st.effective.dirty, "x.a.example.test.") },
		"names above that are not counted": func(st *state) { clear(st.effective.below) },
	} {
		found := ""
		rapid.Check(t, func(r *rapid.T) {
			if err := stepsAreLikeAll(t, r, spoil); err != nil {
				found = err.Error()
			}
		})
		if found == "" {
			t.Errorf("%s: the search proves nothing: it does not see the planted fault", name)
		}
		t.Logf("%s: %s", name, found)
	}
}

func TestIndexGrows(t *testing.T) {
	const many = 5000
	changes := make(edits)
	x := newIndex(maphash.MakeSeed())
	for i := range many {
		k, err := keyOf(fmt.Sprintf("n%d.example.test.", i))
		if err != nil {
			t.Fatal(err)
		}
		changes[k] = &node{cut: k}
	}
	x = x.with(changes)
	if x.size != many || len(x.pages)*pageSize*perBucket < many {
		t.Fatalf("%d names in %d pages", x.size, len(x.pages))
	}
	for k, n := range changes {
		if x.get(k) != n || x.find([]byte(k)) != n {
			t.Fatalf("%s is not found", k)
		}
	}
	for k := range changes {
		changes[k] = nil
	}
	if y := x.with(changes); y.size != 0 || x.size != many {
		t.Errorf("%d names left, and %d where none was removed", y.size, x.size)
	}
}

// all calls do for each name, in no order.
func (x *index) all(do func(key, *node)) {
	for _, p := range x.pages {
		for _, bucket := range p {
			for _, e := range bucket {
				do(e.name, e.node)
			}
		}
	}
}
