package cluster

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/controller"
	"github.com/veerdns/veer/regions/steering"
)

// -record COMMIT writes testdata/recorded/COMMIT.json with what the code of that
// commit puts into etcd. The test and this file compile at older commits too.
var recordAs = flag.String("record", "", "write the values of this commit, by its name, into testdata/recorded")

// recording is what one commit wrote.
type recording struct {
	// Commit wrote the values.
	Commit string `json:"commit"`
	// Values are by key, below the owner's.
	Values map[string][]byte `json:"values"`
}

const recordedFolder = "testdata/recorded"

// recorded makes values of every kind that outlives a version, through the
// decisions of a failover and its journal.
func recorded(t *testing.T) map[string][]byte {
	k, out := newKeys("o"), map[string][]byte{}
	add := func(key string, v value) {
		raw, err := pack(v)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimPrefix(key, string(k))] = raw
	}
	pool := func(region regions.Name, addresses ...string) steering.Pool {
		p := steering.Pool{Region: region, Capacity: 1000, Weight: 3, MinUp: 1}
		for _, a := range addresses {
			p.Endpoints = append(p.Endpoints, steering.Endpoint{ID: regions.EndpointID("web@" + a), Address: a})
		}
		return p
	}
	policy := steering.Policy{Services: []steering.Service{{
		Name: "app.example.test.", Kind: steering.Failover, AllDown: steering.LastGood, Hold: time.Minute, Demand: 500,
		Damping: steering.Damping{Suppress: 3000, Reuse: 750, HalfLife: 15 * time.Minute, Max: time.Hour},
		TTL:     30, MinTTL: 5, MaxTTL: 60, Pools: []steering.Pool{pool("eu", "192.0.2.1", "2001:db8::1"), pool("us", "198.51.100.1")},
	}}}
	shardID := steering.ShardOf("app.example.test.")
	prev := steering.State{}
	for seq, eu := range []checks.Health{checks.Up, checks.Down, checks.Up} {
		verdict := func(id regions.EndpointID, h checks.Health) regions.Verdict {
			return regions.Verdict{Endpoint: id, Health: h, Need: 2, For: []regions.Name{"ap", "eu"}, Missing: []regions.Name{"us"}}
		}
		in := steering.Input{Now: time.Duration(seq+1) * 10 * time.Second, Policy: policy, Prev: prev, Verdicts: []regions.Verdict{
			verdict("web@192.0.2.1", eu), verdict("web@198.51.100.1", checks.Up), verdict("web@2001:db8::1", eu),
		}}
		d := steering.Decide(in)
		e := steering.Entry{Term: 7, Seq: uint64(seq + 1), Shard: shardID, Config: "c0ffee", Version: "v", Time: "2026-11-20T12:00:00Z", Cause: "eu voted", Input: in, Decision: d}
		raw, err := pack(entry{e})
		if err != nil {
			t.Fatal(err)
		}
		add(k.entry(journalKey{term: 7, n: uint64(seq + 1), shard: shardID, size: int64(len(raw))}), entry{e})
		add(k.shard(shardID), shard{Holder: "0123456789abcdef", Commit: uint64(seq + 1), Shard: steering.Shard{
			ID: shardID, Term: 7, Seq: uint64(seq + 1), Config: "c0ffee", Version: "v", State: d.Next, Answers: d.Answers,
		}})
		prev = d.Next
	}
	large := shard{Holder: "h", Commit: 9, Shard: steering.Shard{ID: (shardID + 1) % steering.Shards, Term: 7, Seq: 1, Config: "c0ffee", Version: "v"}}
	for i := range 60 { // more than is stored as plain JSON
		set := providers.RRSet{Name: fmt.Sprintf("s%d.example.test.", i), Type: "A", TTL: 30, Data: []string{"192.0.2.1"}}
		large.Answers = append(large.Answers, steering.Answer{RRSet: set, MinTTL: 5, Left: time.Second})
	}
	add(k.shard(large.ID), large)
	add(k.term(), termRecord{Term: 7, Holder: "0123456789abcdef", Name: "eu"})
	add(k.head("eu"), head{Suspect: true, Why: "3 of 4 references fail"})
	add(k.chunk("eu", 0), chunk{Votes: []cast{
		{Endpoint: "web@192.0.2.1", Health: checks.Up, Round: 12, Why: "200 OK"}, {Endpoint: "web@198.51.100.1", Health: checks.Degraded, Round: 3},
		{Endpoint: "web@2001:db8::1", Health: checks.Down, Round: 9, Why: "connection refused"},
	}})
	add(k.suspect("eu", "web@192.0.2.1"), suspicion{Round: 12})
	made := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	o := controller.Order{Made: made, Until: made.AddDate(100, 0, 0), Override: steering.Override{
		ID: "019a9f000000-00000001", Act: steering.Drain, By: "ann", Why: "maintenance", Target: steering.Target{Service: "app.example.test.", Region: "eu", Address: "192.0.2.1"},
	}}
	add(k.order(o.ID), order{o})
	add(k.note("019a9f000000-00000002"), Note{Time: made, Act: "ordered", By: "ann", Why: "maintenance", Order: &o})
	return out
}

func record(t *testing.T, commit string) {
	text, err := json.MarshalIndent(recording{Commit: commit, Values: recorded(t)}, "", "\t")
	if err == nil {
		err = os.MkdirAll(recordedFolder, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(recordedFolder, commit+".json"), append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func recordings(t *testing.T) []recording {
	paths, err := filepath.Glob(filepath.Join(recordedFolder, "*.json"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%d recordings, %v: expected those of two commits at least", len(paths), err)
	}
	var out []recording
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var r recording
		if err := json.Unmarshal(text, &r); err != nil || r.Commit+".json" != filepath.Base(path) || len(r.Values) == 0 {
			t.Fatalf("%s: %v, of commit %q", path, err, r.Commit)
		}
		out = append(out, r)
	}
	return out
}

// reread reads a value as the kind of its key and writes it again.
func reread(key string, raw []byte) ([]byte, error) {
	again := func(v value, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		return pack(v)
	}
	kind, rest, _ := strings.Cut(key, "/")
	if kind == "world" {
		kind, rest, _ = strings.Cut(rest, "/")
	}
	switch {
	case kind == "shard":
		v, err := unpack[shard](raw)
		return again(v, err)
	case kind == "journal":
		v, err := unpack[entry](raw)
		return again(v, err)
	case kind == "term":
		v, err := unpack[termRecord](raw)
		return again(v, err)
	case kind == "ballot" && strings.HasSuffix(rest, "/head"):
		v, err := unpack[head](raw)
		return again(v, err)
	case kind == "ballot":
		v, err := unpack[chunk](raw)
		return again(v, err)
	case kind == "suspect":
		v, err := unpack[suspicion](raw)
		return again(v, err)
	case kind == "order":
		v, err := unpack[order](raw)
		return again(v, err)
	case kind == "note":
		v, err := unpack[Note](raw)
		return again(v, err)
	}
	return nil, fmt.Errorf("a kind of value that no reader knows")
}

// lost names a field of a recorded value that this version does not carry on.
func lost(key string, raw []byte) string {
	now, err := reread(key, raw)
	if err != nil {
		return err.Error()
	}
	values := make([]any, 2)
	for i, b := range [][]byte{raw, now} {
		if b, err = inflate(b); err == nil {
			values[i], err = generic(b)
		}
		if err != nil {
			return err.Error()
		}
	}
	return missing("", values[0], values[1])
}

func missing(path string, was, is any) string {
	switch w := was.(type) {
	case map[string]any:
		i, _ := is.(map[string]any)
		for key, inner := range w {
			if found, ok := i[key]; !ok {
				return path + "/" + key
			} else if text := missing(path+"/"+key, inner, found); text != "" {
				return text
			}
		}
	case []any:
		i, _ := is.([]any)
		if len(w) != len(i) {
			return path
		}
		for n := range w {
			if text := missing(fmt.Sprintf("%s/%d", path, n), w[n], i[n]); text != "" {
				return text
			}
		}
	default:
		if was != is {
			return fmt.Sprintf("%s: %v became %v", path, was, is)
		}
	}
	return ""
}

// TestRecordedValuesAreRead: what older versions wrote is read by this one, and
// no field of it is lost.
func TestRecordedValuesAreRead(t *testing.T) {
	if *recordAs != "" {
		record(t, *recordAs)
		return
	}
	for _, r := range recordings(t) {
		for key, raw := range r.Values {
			if text := lost(key, raw); text != "" {
				t.Errorf("commit %s, %s: lost %s", r.Commit, key, text)
			}
		}
	}
}

// TestMutantRecordings: a field by another name, or none, is noticed in every
// kind of value.
func TestMutantRecordings(t *testing.T) {
	for key, raw := range recorded(t) {
		plain, err := inflate(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"seq", "round", "term", "why", "act", "by", "endpoint", "prev", "pools", "min_ttl"} {
			renamed := strings.ReplaceAll(string(plain), `"`+name+`":`, `"x_`+name+`":`)
			if renamed != string(plain) && lost(key, []byte(renamed)) == "" {
				t.Errorf("%s: that %s has another name was not noticed", key, name)
			}
		}
	}
}

// TestRecordedLedgerInEtcd puts each recording into etcd and has the cluster
// read it: the ledger, the votes, the orders, the journal, the notes, the term.
func TestRecordedLedgerInEtcd(t *testing.T) {
	for _, r := range recordings(t) {
		t.Run(r.Commit, func(t *testing.T) {
			c := startAlone(t, Options{})
			for key, raw := range r.Values {
				c.put(string(c.keys)+key, string(raw))
			}
			shards, err := c.Shards(c.ctx)
			if err != nil || len(shards) != 2 {
				t.Errorf("%d shards, %v", len(shards), err)
			}
			entries, err := c.Journal(c.ctx, JournalQuery{Service: "app.example.test."})
			if err != nil || len(entries) != 3 || !slices.Equal(entries[1].Moved(), []string{"app.example.test."}) {
				t.Errorf("%d entries, %v", len(entries), err)
			}
			notes, err := c.Notes(c.ctx, 0)
			if err != nil || len(notes) != 1 || notes[0].Order == nil {
				t.Errorf("notes %+v, %v", notes, err)
			}
			view, err := c.Survey(c.ctx)
			if err != nil || len(view.Ballots) != 1 || len(view.Ballots[0].Votes) != 3 || len(view.Suspects) != 1 || len(view.Overrides) != 1 {
				t.Errorf("the votes and orders are %+v, %v", view, err)
			}
			l, err := c.Campaign(c.ctx, "a")
			if err != nil || l.Term() != 8 {
				t.Fatalf("%v, %v", l, err)
			}
			for _, s := range shards { // and this version goes on from it
				s.Term, s.Seq = 8, s.Seq+1
				if _, err := c.Commit(c.ctx, l, s.At, s.Shard, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
