package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/prober"
	"github.com/veerdns/veer/regions/steering"
)

// roundTrip holds a parser to this: what it takes it can write, and reads back
// the same; what it refuses it refuses with an error.
func roundTrip[V value](t *testing.T, raw []byte) {
	v, err := unpack[V](raw)
	if err != nil {
		return
	}
	packed, err := pack(v)
	if err != nil {
		t.Fatalf("%q was read as %+v, which cannot be written: %v", raw, v, err)
	}
	again, err := unpack[V](packed)
	if err != nil {
		t.Fatalf("%q, written from %q, cannot be read: %v", packed, raw, err)
	}
	if a, b := encode(t, v), encode(t, again); a != b {
		t.Fatalf("%q was read as\n%s\nand after writing as\n%s", raw, a, b)
	}
}

func encode(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// hostile are seeds that every parser has to survive.
var hostile = []string{
	"", "{", "{}", "[]", "null", "0", `"x"`, "{}{}", "\x1f\x8b", "\x1f\x8b\x08\x00",
	`{"id":1e9}`, `{"id":-1}`, `{"term":-1}`, `{"votes":{}}`, `{"votes":[{}]}`, `{"act":5}`,
	strings.Repeat("[", 20000), `{"ID":3,"id":4}`, "{\"why\":\"\xff\"}", `{"term":18446744073709551616}`, `{"answers":[null]}`,
}

func seed(f *testing.F, more ...value) {
	for _, s := range hostile {
		f.Add([]byte(s))
	}
	for _, v := range more {
		raw, err := pack(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
}

func someShard() steering.Shard {
	set := providers.RRSet{Name: "a.example.", Type: "A", TTL: 30, Data: []string{"192.0.2.1"}}
	return steering.Shard{ID: 3, Term: 7, Seq: 9, Config: "c", Version: "v", Answers: []steering.Answer{{RRSet: set, MinTTL: 5, Left: time.Second}}}
}

func FuzzShard(f *testing.F) {
	big := shard{Shard: someShard(), Holder: "h", Commit: 4}
	big.Config = strings.Repeat("long ", 5000)
	seed(f, shard{Shard: someShard(), Holder: "h", Commit: 4}, big)
	f.Fuzz(func(t *testing.T, raw []byte) { roundTrip[shard](t, raw) })
}

func FuzzBallot(f *testing.F) {
	seed(f, chunk{}, chunk{Votes: []cast{{Endpoint: "web@192.0.2.1", Health: checks.Down, Round: 3, Why: "refused"}, {Endpoint: "e"}}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		roundTrip[chunk](t, raw)
		roundTrip[head](t, raw)
		roundTrip[suspicion](t, raw)
	})
}

func FuzzOrder(f *testing.F) {
	o := controller.Order{Override: steering.Override{ID: "1", Act: steering.Drain, By: "ann", Why: "x"}, Until: time.Unix(1, 2).UTC()}
	seed(f, order{o}, Note{Act: "ordered", By: "ann", Order: &o})
	f.Fuzz(func(t *testing.T, raw []byte) {
		roundTrip[order](t, raw)
		roundTrip[Note](t, raw)
	})
}

func FuzzTerm(f *testing.F) {
	seed(f, termRecord{Term: 1, Holder: "h", Name: "n"}, claim{Name: "n", Holder: "h", Home: "x"})
	f.Fuzz(func(t *testing.T, raw []byte) {
		roundTrip[termRecord](t, raw)
		roundTrip[claim](t, raw)
	})
}

func FuzzEntry(f *testing.F) {
	e := steering.Entry{Term: 1, Seq: 2, Shard: 3, Cause: strings.Repeat("a vote changed ", 500)}
	seed(f, entry{e}, entry{steering.Entry{Term: 1}})
	f.Fuzz(func(t *testing.T, raw []byte) { roundTrip[entry](t, raw) })
}

// FuzzKeys holds the two readers of keys to the writers.
func FuzzKeys(f *testing.F) {
	k := newKeys("o")
	f.Add(k.shard(3))
	f.Add(k.entry(journalKey{term: 1, n: 2, shard: 3, size: 4}))
	for i := range 20 {
		f.Add(fmt.Sprintf("/veer/o/shard/%d/%d", i, -i))
	}
	f.Fuzz(func(t *testing.T, key string) {
		if id, err := k.shardID(key); err == nil && k.shard(id) != key {
			t.Errorf("%q was read as shard %d", key, id)
		}
		if j, ok := k.parseEntry(key); ok && k.entry(j) != key {
			t.Errorf("%q was read as %+v", key, j)
		}
	})
}

func TestInflateIsBounded(t *testing.T) {
	if _, err := unpack[head]([]byte(`{"config":"` + strings.Repeat("a", 65) + `"}`)); err == nil {
		t.Error("a hash of 65 bytes was read")
	}
	bomb, err := pack(head{Why: strings.Repeat("a", maxValue+1)})
	if err != nil || len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d bytes (%v)", len(bomb), err)
	}
	if _, err := unpack[head](bomb); err == nil || !strings.Contains(err.Error(), "when unpacked") {
		t.Errorf("a value of more than %d bytes was unpacked: %v", maxValue, err)
	}
}

// TestWorldSurvivesBadValues: what cannot be read is named and does not count;
// the rest does.
func TestWorldSurvivesBadValues(t *testing.T) {
	var log bytes.Buffer
	k := newKeys("o")
	w := newWorld(k, time.Hour, zerolog.New(&log))
	w.proven(time.Now())
	kv := func(key, val string, rev int64) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte(key), Value: []byte(val), ModRevision: rev}
	}
	w.reset([]*mvccpb.KeyValue{
		kv(k.head("eu"), `{}`, 1), kv(k.chunk("eu", 0), `{"votes":[{"endpoint":"e","health":"up","round":1}]}`, 2),
		kv(k.chunk("eu", 1), `{"votes":[{"endpoint":"f","health":"fine"}]}`, 3),
		kv(k.head("us"), `[]`, 4), kv(k.order("1"), `{"id":"1","act":"explode"}`, 5),
		kv(k.suspect("eu", "e"), `{"round":1}`, 6), kv(k.suspect("eu", "f"), `no`, 7), kv(k.world()+"else/x", `?`, 8),
	})
	want := controller.View{
		Ballots:  []regions.Ballot{{Vantage: "eu", Votes: []regions.Vote{{Vantage: "eu", Endpoint: "e", Health: checks.Up, Round: 1}}}},
		Suspects: []regions.EndpointID{"e"},
	}
	if d := cmp.Diff(want, w.view()); d != "" {
		t.Errorf("the view (-want +got):\n%s", d)
	}
	for _, key := range []string{k.chunk("eu", 1), k.head("us"), k.order("1"), k.suspect("eu", "f")} {
		if !strings.Contains(log.String(), key) {
			t.Errorf("the log does not name %s", key)
		}
	}
}

// TestAnOrderUnderAForeignKey: an order that its ID does not lead to could not
// be ended, so it does not count.
func TestAnOrderUnderAForeignKey(t *testing.T) {
	k := newKeys("test")
	var log bytes.Buffer
	w := newWorld(k, time.Hour, zerolog.New(&log))
	w.reset([]*mvccpb.KeyValue{{Key: []byte(k.order("one")), Value: []byte(`{"id":"other","act":"drain"}`), ModRevision: 3}})
	if v := w.view(); len(v.Overrides) > 0 {
		t.Errorf("it counts: %+v", v.Overrides)
	}
	if !strings.Contains(log.String(), `found order \"other\", expected \"one\"`) {
		t.Errorf("the log says %s", log.String())
	}
}

func FuzzMemory(f *testing.F) {
	seed(f, memory{}, memory{Kept: []prober.Kept{{Endpoint: "web@192.0.2.1", Track: checks.Track{State: checks.Down, Successes: 2}, Round: 7}}})
	f.Fuzz(func(t *testing.T, raw []byte) { roundTrip[memory](t, raw) })
}

func FuzzPassMarks(f *testing.F) {
	seed(f, mark{Term: 3, Votes: time.Minute, Boot: "b", At: time.Hour}, writing{Term: 1, Holder: "h"}, reading{Boot: "b", At: 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		roundTrip[mark](t, raw)
		roundTrip[writing](t, raw)
		roundTrip[reading](t, raw)
	})
}

func FuzzAsk(f *testing.F) {
	seed(f, request{From: "eu", Body: json.RawMessage(`{"by":"ann"}`)}, reply{Leader: "us"}, reply{Leader: "us", Done: true, Body: json.RawMessage(`[]`)})
	f.Fuzz(func(t *testing.T, raw []byte) {
		roundTrip[request](t, raw)
		roundTrip[reply](t, raw)
	})
}
