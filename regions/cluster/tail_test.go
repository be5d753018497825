package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// decision is the decision of a number, as it is kept.
func (a *alone) decision(n uint64) (key, value string) {
	a.t.Helper()
	packed, err := pack(entry{steering.Entry{Term: 1, Seq: n, Cause: fmt.Sprintf("d%d", n)}})
	if err != nil {
		a.t.Fatal(err)
	}
	return a.keys.entry(journalKey{term: 1, n: n, size: int64(len(packed))}), string(packed)
}

// decide puts the decision of a number into the journal.
func (a *alone) decide(n uint64) {
	a.t.Helper()
	a.put(a.decision(n))
}

func (a *alone) remark(text string) {
	a.t.Helper()
	if err := a.JournalNote(a.ctx, Note{Act: text, By: "test"}); err != nil {
		a.t.Fatal(err)
	}
}

// wordOf is a record in a word.
func wordOf(r Record) string {
	switch {
	case r.Entry != nil:
		return r.Entry.Cause
	case r.Note != nil:
		return r.Note.Act
	case r.Anew:
		return "anew"
	}
	return "gap"
}

var errEnough = errors.New("enough")

// read tails from a place until so many records came, and returns them and the
// last one's place; during is called when the first has come.
func (a *alone) read(from Place, n int, during func()) (string, Place) {
	a.t.Helper()
	got, places := a.readPlaces(from, n, during)
	return got, places[n-1]
}

// readPlaces returns the place of each record.
func (a *alone) readPlaces(from Place, n int, during func()) (string, []Place) {
	a.t.Helper()
	var got []string
	var places []Place
	ctx, cancel := context.WithTimeout(a.ctx, 30*time.Second)
	defer cancel()
	err := a.Tail(ctx, from, func(r Record) error {
		got = append(got, wordOf(r))
		places = append(places, r.Place)
		if during != nil {
			during()
			during = nil
		}
		if len(got) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		a.t.Fatalf("after %v: %v", got, err)
	}
	return strings.Join(got, " "), places
}

// TestTail: what is there, in order, then what comes; again from any place; and
// what was pruned, is unreadable or of another ledger is said.
func TestTail(t *testing.T) {
	a := startAlone(t, Options{})
	a.decide(1)
	a.remark("n1")
	a.decide(3) // it overtook 2
	a.decide(2)
	got, at := a.read(Place{}, 6, func() { a.remark("n2"); a.decide(4) })
	if got != "d1 n1 d3 d2 n2 d4" {
		t.Errorf("tailed %s", got)
	}
	here, err := a.Now(a.ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(at)
	if err != nil {
		t.Fatal(err)
	}
	var kept Place
	if err := json.Unmarshal(raw, &kept); err != nil || kept != at {
		t.Errorf("kept as %+v, %v", kept, err)
	}
	a.decide(5)
	a.put(a.keys.entry(journalKey{term: 1, n: 6, size: 1}), "{")
	a.put(string(a.keys)+"journal/other", "not an entry")
	a.remark("n3")
	for _, from := range []Place{at, here} {
		if got, _ := a.read(from, 3, nil); got != "d5 gap n3" {
			t.Errorf("from %+v tailed %s", from, got)
		}
	}
	rev, err := a.etcd.Get(a.ctx, a.keys.term())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.etcd.Compact(a.ctx, rev.Header.Revision); err != nil {
		t.Fatal(err)
	}
	if got, _ := a.read(at, 3, nil); got != "d5 gap n3" {
		t.Errorf("after a compaction tailed %s", got)
	}
	if _, err := a.etcd.Delete(a.ctx, a.keys.entry(journalKey{term: 1, n: 4, size: 0})); err != nil {
		t.Fatal(err)
	}
	if _, err := a.etcd.Delete(a.ctx, at.Decisions.Key); err != nil {
		t.Fatal(err)
	}
	keys, err := a.journalKeys(a.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k.n < 6 {
			if _, err := a.etcd.Delete(a.ctx, a.keys.entry(k)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, _ := a.read(at, 3, nil); got != "gap gap n3" { // pruned, unreadable
		t.Errorf("after pruning tailed %s", got)
	}
	for what, other := range map[string]Place{
		"another cluster": {Cluster: 1, Decisions: at.Decisions, Notes: at.Notes},
		"a later one":     {Cluster: at.Cluster, Decisions: Mark{Revision: 1 << 40}},
		"another note":    {Cluster: at.Cluster, Notes: Mark{Revision: at.Notes.At - 1, Key: at.Notes.Key, At: at.Notes.At - 1}},
	} {
		if got, _ := a.read(other, 2, nil); !strings.HasPrefix(got, "anew n1") {
			t.Errorf("%s: tailed %s", what, got)
		}
	}
	if _, err := a.etcd.Delete(a.ctx, a.keys.notes(), clientv3.WithRange(at.Notes.Key+"\x00")); err != nil {
		t.Fatal(err)
	}
	if got, _ := a.read(Place{Cluster: at.Cluster, Notes: at.Notes}, 3, nil); got != "gap gap n3" { // pruned, unreadable
		t.Errorf("after pruning of notes tailed %s", got)
	}
}

// TestTailIsTheSameAgain: decisions and notes that come while it watches are in
// the order in which they were agreed on, and have the places, as when they were
// there before: a chain of the journal that is sent again is the same chain.
func TestTailIsTheSameAgain(t *testing.T) {
	a := startAlone(t, Options{})
	a.remark("first")
	want := "first"
	got, places := a.readPlaces(Place{}, 21, func() {
		for i := range 10 {
			a.remark(fmt.Sprintf("n%d", i))
			a.decide(uint64(i))
			want += fmt.Sprintf(" n%d d%d", i, i)
		}
	})
	if again, at := a.readPlaces(Place{}, 21, nil); got != want || again != want || !slices.Equal(at, places) {
		t.Errorf("tailed %s\n%+v\nand again %s\n%+v\nexpected %s", got, places, again, at, want)
	}
}

// TestTailOfOneRevision: of decisions that were written in one step, those are
// read that were not.
func TestTailOfOneRevision(t *testing.T) {
	a := startAlone(t, Options{})
	var ops []clientv3.Op
	for n := range uint64(3) {
		key, value := a.decision(n)
		ops = append(ops, clientv3.OpPut(key, value))
	}
	if _, err := a.etcd.Txn(a.ctx).Then(ops...).Commit(); err != nil {
		t.Fatal(err)
	}
	_, at := a.read(Place{}, 1, nil)
	if got, _ := a.read(at, 2, nil); got != "d1 d2" {
		t.Errorf("tailed %s", got)
	}
}

// TestTailFindsWhatItsWatchLeftOut: a record that no watch tells of is noticed.
func TestTailFindsWhatItsWatchLeftOut(t *testing.T) {
	a := startAlone(t, Options{})
	a.decide(1)
	r := &tail{c: a.Cluster}
	var err error
	if r.at, _, err = r.end(a.ctx); err != nil {
		t.Fatal(err)
	}
	if key, err := r.ahead(a.ctx); key != "" || err != nil {
		t.Errorf("ahead is %q, %v", key, err)
	}
	a.decide(2)
	if key, err := r.ahead(a.ctx); !strings.Contains(key, "/00000000000000000002/") || err != nil {
		t.Errorf("ahead is %q, %v", key, err)
	}
	r.at, _, _ = r.end(a.ctx)
	a.remark("n")
	if key, err := r.ahead(a.ctx); !strings.HasPrefix(key, a.keys.notes()) || err != nil {
		t.Errorf("ahead is %q, %v", key, err)
	}
}

// TestSlips: one writer at a time, and nothing of a backup.
func TestSlips(t *testing.T) {
	a := startAlone(t, Options{})
	if raw, rev, err := a.Slip(a.ctx, "x"); raw != nil || rev != 0 || err != nil {
		t.Errorf("found %s at %d, %v", raw, rev, err)
	}
	one, err := a.PutSlip(a.ctx, "export/a/file", json.RawMessage(`{"n":1}`), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.PutSlip(a.ctx, "export/a/file", json.RawMessage(`{"n":2}`), 0); !errors.Is(err, controller.ErrMoved) {
		t.Errorf("written over: %v", err)
	}
	if _, err := a.PutSlip(a.ctx, "export/a/file", json.RawMessage(`{"n":3,"text":"`+strings.Repeat("x", 100_000)+`"}`), one); err != nil {
		t.Error(err)
	}
	all, err := a.Slips(a.ctx, "export/")
	if err != nil || len(all) != 1 || !strings.HasPrefix(string(all["export/a/file"]), `{"n":3`) {
		t.Errorf("listed %.100s, %v", all, err)
	}
	for name, value := range map[string]string{"no JSON": "{", "too large": `"` + strings.Repeat("x", maxSlip) + `"`} {
		if _, err := a.PutSlip(a.ctx, "y", json.RawMessage(value), 0); err == nil {
			t.Errorf("%s: kept", name)
		}
	}
	a.put(a.keys.slip("bad"), "{")
	var bad *ValueError
	if _, _, err := a.Slip(a.ctx, "bad"); !errors.As(err, &bad) {
		t.Errorf("unreadable: %v", err)
	}
	for _, k := range a.backup().kept {
		if strings.Contains(k.Key, "slip") {
			t.Errorf("the backup has %s", k.Key)
		}
	}
}
