package cluster

import (
	"encoding/json"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/types"
)

const (
	markA = "00000000000000000000000000000001"
	markB = "00000000000000000000000000000002"
	markC = "0000000000000000000000000000000c"
)

func newborn() birth {
	return birth{Owner: "o", Name: "a", Mark: markA, Members: map[string]string{"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"},
		Set: map[string]string{"a": markA, "b": markB}}
}

// TestALostMarkIsAnotherCluster: with any other mark, cluster and members have
// other names.
func TestALostMarkIsAnotherCluster(t *testing.T) {
	first := newborn()
	cluster, self, err := first.ids()
	if err != nil {
		t.Fatal(err)
	}
	again := newborn()
	if c, s, err := again.ids(); err != nil || c != cluster || s != self {
		t.Errorf("the same set is %s and %s (%v), and was %s and %s", c, s, err, cluster, self)
	}
	lost := newborn()
	lost.Set["b"] = markC
	if c, s, err := lost.ids(); err != nil || c == cluster || s == self {
		t.Errorf("with a mark lost the names are still %s or %s (%v)", cluster, self, err)
	}
}

func TestParseBirth(t *testing.T) {
	good, err := json.Marshal(newborn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseBirth(good); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct{ from, to, want string }{
		{`"owner":"o"`, `"owner":""`, "an owner and a name"},
		{`"name":"a"`, `"name":"a/b"`, "an owner and a name"},
		{`"mark":"` + markA, `"mark":"x` + markA, "a mark"},
		{`"set":{"a":"` + markA, `"set":{"a":"` + markC, "its own among them"},
		{`"set":{"a"`, `"set":{"c"`, "the mark of each member"},
		{`{"owner"`, `{"more":1,"owner"`, "unknown field"},
		{`{"owner"`, `[{"owner"`, "a JSON object"},
		{markB + `"}}`, markB + `"}}{}`, "nothing after"},
		{`"owner":"o"`, `"owner":"` + strings.Repeat("o", maxBirth) + `"`, "more than"},
	} {
		text := strings.Replace(string(good), bad.from, bad.to, 1)
		if text == string(good) {
			t.Fatalf("%s is not in %s", bad.from, good)
		}
		if _, err := parseBirth([]byte(text)); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %q", bad.to, err, bad.want)
		}
	}
}

// FuzzParseBirth: what is taken is within bounds, and written it reads alike.
func FuzzParseBirth(f *testing.F) {
	good, err := json.Marshal(newborn())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"owner":"o","name":"a","mark":"` + markA + `","members":{"a":"x"}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parseBirth(text)
		if err != nil {
			return
		}
		if !isMark(b.Mark) || len(b.Members) > maxMembers || len(b.Set) > 0 && len(b.Set) != len(b.Members) {
			t.Fatalf("took %+v", b)
		}
		again, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := parseBirth(again); err != nil || c.token() != b.token() || !c.same(b) {
			t.Fatalf("%s reads as %+v (%v)", again, c, err)
		}
		_, _, _ = b.ids() // whatever the URLs are, it does not panic
	})
}

// FuzzParseLiving: a list of members from outside never panics, nor holds nil.
func FuzzParseLiving(f *testing.F) {
	f.Add([]byte(`[{"id":1,"peerURLs":["http://127.0.0.1:1"],"name":"a","clientURLs":["http://127.0.0.1:2"]}]`), "1f", 200)
	f.Add([]byte(`[null]`), "1f", 200)
	f.Add([]byte(``), "x", 404)
	f.Fuzz(func(t *testing.T, text []byte, id string, code int) {
		l, err := parseLiving(text, id, code)
		if err != nil {
			return
		}
		for _, m := range l.members {
			if m.ID == 7 && l.member(7) == nil {
				t.Fatal("a member is not found")
			}
		}
		_ = l.member(types.ID(1))
	})
}

// TestRemovable holds the rule to counting: what is removed without force
// leaves a majority of the rest that answers.
func TestRemovable(t *testing.T) {
	for voters := 1; voters <= 7; voters++ {
		for live := 0; live <= voters; live++ {
			for i := range voters {
				list := make([]MemberState, voters)
				for j := range list {
					list[j] = MemberState{Name: "m", Reachable: j < live}
				}
				left, answer := voters-1, live
				if i < live {
					answer--
				}
				want := left > 0 && answer*2 > left
				if err := removable(list, i, false); (err == nil) != want {
					t.Errorf("%d of %d answer, remove %d: %v", live, voters, i, err)
				}
				if err := removable(list, i, true); (err == nil) != (left > 0) {
					t.Errorf("forced, %d of %d answer, remove %d: %v", live, voters, i, err)
				}
			}
		}
	}
	learner := []MemberState{{Name: "a", Reachable: true}, {Name: "b", Learner: true}}
	if removable(learner, 1, false) != nil || removable(learner, 0, true) == nil {
		t.Error("a learner may go, and the only voter beside it may not")
	}
}
