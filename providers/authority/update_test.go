package authority

import (
	"bytes"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

func TestUpdateNeverGoesBack(t *testing.T) {
	type swap struct {
		term regions.Term
		seq  uint64
		id   int
	}
	var swaps []swap
	dir := t.TempDir()
	o := Options{DataDir: dir, Swapped: func(term regions.Term, seq uint64, id int) { swaps = append(swaps, swap{term, seq, id}) }}
	s := newServer(t, exampleConfig(), o)
	stop := runServer(t, s)
	was := serialOf(t, s)
	for _, step := range []struct {
		term  regions.Term
		seq   uint64
		addr  string
		taken bool
	}{
		{1, 5, "192.0.2.1", true}, {1, 5, "192.0.2.66", false}, {1, 4, "192.0.2.66", false}, {2, 6, "192.0.2.2", true},
		{1, 9, "192.0.2.66", false}, {2, 7, "192.0.2.3", true}, {0, 0, "192.0.2.66", false},
	} {
		swaps = nil
		s.Update([]steering.Shard{shard(t, 3, step.term, step.seq, "app.example.test. A 30 "+step.addr)})
		if (len(swaps) == 1) != step.taken {
			t.Errorf("%+v: swaps %v", step, swaps)
		}
		if got := lookup(t, s, "app.example.test.", dns.TypeA); strings.Contains(got, step.addr) != step.taken {
			t.Errorf("%+v is answered\n%s", step, got)
		}
		if now := serialOf(t, s); after(now, was) != step.taken {
			t.Errorf("%+v: serial %d after %d", step, now, was)
		} else {
			was = now
		}
	}
	stop()
	// Across a restart neither, and the serial stays.
	again := newServer(t, exampleConfig(), o)
	if got := serialOf(t, again); got != was {
		t.Errorf("serial %d after the restart, want %d", got, was)
	}
	again.Update([]steering.Shard{shard(t, 3, 2, 6, "app.example.test. A 30 192.0.2.66"), shard(t, 64, 9, 9, "app.example.test. A 30 192.0.2.66"), shard(t, -1, 9, 9)})
	if got := again.Answer("APP.example.test"); len(got) != 1 || got[0].Data[0] != "192.0.2.3" {
		t.Errorf("after the restart the answer is %+v, want 192.0.2.3", got)
	}
	if got := lookup(t, again, "app.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.3") {
		t.Errorf("after the restart:\n%s", got)
	}
}

func TestStartAnswers(t *testing.T) {
	dir := t.TempDir()
	o := Options{DataDir: dir, Start: mustAnswers(t, "app.example.test. A 30 192.0.2.1 192.0.2.2", "away.example.net. A 30 192.0.2.9")}
	s := newServer(t, exampleConfig(), o)
	if got := s.Answer("app.example.test."); len(got) != 1 || len(got[0].Data) != 2 {
		t.Fatalf("on the first start: %+v", got)
	}
	before := serialOf(t, s)
	stop := runServer(t, s)
	s.Update([]steering.Shard{shard(t, 1, 1, 1, "app.example.test. A 30 192.0.2.2", "away.example.net. A 30 192.0.2.8")})
	stop()
	s = newServer(t, exampleConfig(), o)
	if got := s.Answer("app.example.test."); len(got) != 1 || !slices.Equal(got[0].Data, []string{"192.0.2.2"}) {
		t.Fatalf("the snapshot's answer is %+v, want the ledger's", got)
	}
	if !after(serialOf(t, s), before) {
		t.Errorf("serial %d, then %d", before, serialOf(t, s))
	}
	// The service is no more: the name is gone, or the file's again.
	o.Start = nil
	s = newServer(t, exampleConfig(), o)
	s.Update([]steering.Shard{shard(t, 1, 1, 2)})
	if got := lookup(t, s, "app.example.test.", dns.TypeA); !strings.HasPrefix(got, "NXDOMAIN") {
		t.Errorf("after its end the service answers\n%s", got)
	}
	o.Start = mustAnswers(t, "alias.example.test. A 30 192.0.2.1")
	if _, err := New(exampleConfig(), o); err == nil || !strings.Contains(err.Error(), "CNAME") {
		t.Errorf("a service beside a CNAME of the file: %v", err)
	}
}

func TestBadAnswersKeepWhatWas(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, exampleConfig(), Options{Log: zerolog.New(&log)})
	s.Update([]steering.Shard{shard(t, 1, 1, 1, "app.example.test. A 30 192.0.2.1", "b.example.test. A 30 192.0.2.5")})
	for i, lines := range [][]string{
		{"app.example.test. A 30 not-an-address"},
		{"app.example.test. A 30 2001:db8::1"},
		{"app.example.test. AAAA 30 192.0.2.1"},
		{"app.example.test. A 30 set=a"},
		{"app.example.test. A 4294967295 192.0.2.9"},
		{"app.example.test. A 30 left=-1s 192.0.2.9"},
		{"app.example.test. TXT 30 x"},
		{"app.example.test. CNAME 30 a.example. b.example."},
		{"app.example.test. CNAME 30 a.example.", "app.example.test. A 30 192.0.2.9"},
		{"app.example.test. A 30 192.0.2.8", "app.example.test. A 30 set=b 192.0.2.9"},
	} {
		log.Reset()
		s.Update([]steering.Shard{shard(t, 1, 1, uint64(i)+2, append(lines, "b.example.test. A 30 192.0.2.6")...)})
		if got := lookup(t, s, "app.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.1") {
			t.Errorf("%v is answered\n%s", lines, got)
		}
		if got := lookup(t, s, "b.example.test.", dns.TypeA); !strings.Contains(got, "192.0.2.6") {
			t.Errorf("beside %v the good answer is\n%s", lines, got)
		}
		if !strings.Contains(log.String(), "can't be served") {
			t.Errorf("%v: the log says nothing: %s", lines, log.String())
		}
	}
}

func TestCorruptSnapshot(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, exampleConfig(), Options{DataDir: dir})
	stop := runServer(t, s)
	s.Update([]steering.Shard{shard(t, 1, 1, 1, "app.example.test. A 30 192.0.2.1")})
	stop()
	path := filepath.Join(dir, snapshotFile.name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)-3] ^= 4
	for name, content := range map[string][]byte{"empty": {}, "cut": whole[:len(whole)/2], "flipped": flipped, "other": []byte("hello\nworld"), "newer": bytes.Replace(whole, []byte("snapshot 1"), []byte("snapshot 2"), 1)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := newServer(t, exampleConfig(), Options{DataDir: dir, Log: zerolog.New(&log)})
		if s.Answer("app.example.test.") != nil || !strings.Contains(log.String(), ".bad") {
			t.Errorf("%s: answer %v, log %s", name, s.Answer("app.example.test."), log.String())
		}
		aside, err := os.ReadFile(path + ".bad")
		if err != nil || !bytes.Equal(aside, content) {
			t.Errorf("%s: it was not kept: %v", name, err)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", whole[:9], 0o600); err != nil { // a save that was cut off
		t.Fatal(err)
	}
	s = newServer(t, exampleConfig(), Options{DataDir: dir})
	if got := s.Answer("app.example.test."); len(got) != 1 {
		t.Errorf("the whole snapshot gives %v", got)
	}
	runServer(t, s)()
}

// TestWeights: shares of draws come near the weights.
func TestWeights(t *testing.T) {
	table := exampleTable(t, mustAnswers(t, "w.example.test. A 30 set=a weight=1 192.0.2.1", "w.example.test. A 30 set=b weight=3 192.0.2.2",
		"z.example.test. A 30 set=a 192.0.2.1", "z.example.test. A 30 set=b 192.0.2.2",
		"c.example.test. CNAME 30 set=a weight=1 w.example.test.", "c.example.test. CNAME 30 set=b weight=1 z.example.test.")...)
	for name, want := range map[string]float64{"w.example.test.": 0.25, "z.example.test.": 0.5, "c.example.test.": 0.375} {
		k, err := keyOf(name)
		if err != nil {
			t.Fatal(err)
		}
		const draws = 40000
		first, draw := 0, uint64(1)
		var r Reply
		for range draws {
			draw = redraw(draw)
			table.Lookup(Query{Name: k, As: name, Type: dns.TypeA, Draw: draw}, &r)
			if r.Answer[len(r.Answer)-1].pick.rrs[0].(*dns.A).A.String() == "192.0.2.1" {
				first++
			}
		}
		if got := float64(first) / draws; got < want-0.02 || got > want+0.02 {
			t.Errorf("%s: the first set has a share of %.3f, want %.3f", name, got, want)
		}
	}
}

// TestEditedZoneFile: a file whose serial was not raised raises it here, and
// the raise is kept.
func TestEditedZoneFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zone")
	c := Config{Listen: []string{"127.0.0.1:0"}, Zones: []Zone{{Name: "example.test", File: file}}}
	var log bytes.Buffer
	start := func(text string) uint32 {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		s := newServer(t, c, Options{DataDir: dir, Log: zerolog.New(&log)})
		runServer(t, s)()
		return serialOf(t, s)
	}
	for i, step := range []struct {
		text   string
		serial uint32
		warns  bool
	}{
		{smallHead, 1, false},
		{smallHead, 1, false},
		{smallHead + "www A 192.0.2.2\n", 2, true},
		{smallHead + "www A 192.0.2.2\n", 2, false},
		{strings.Replace(smallHead, "hostmaster 1", "hostmaster 7", 1), 8, false},
		{strings.Replace(smallHead, "hostmaster 1", "hostmaster 3", 1), 9, true},
	} {
		if got := start(step.text); got != step.serial || strings.Contains(log.String(), "raise the serial") != step.warns {
			t.Errorf("step %d: serial %d, want %d; log %s", i, got, step.serial, log.String())
		}
	}
}

// TestSerialFollowsTheConfig: the serial grows when the config makes other HTTPS
// records or locations of the same answers, and not when it makes the same.
func TestSerialFollowsTheConfig(t *testing.T) {
	dir, zones := t.TempDir(), t.TempDir()
	file := filepath.Join(zones, "zone")
	c := Config{Listen: []string{"127.0.0.1:0"}, Zones: []Zone{{Name: "example.test", File: file}}}
	if err := os.WriteFile(file, []byte(smallHead), 0o600); err != nil {
		t.Fatal(err)
	}
	const app, other = "app.example.test.", "app.example.net."
	europe := func(networks ...string) map[string][]Location {
		l := Location{Name: "europe", Countries: []string{"FR"}}
		for _, n := range networks {
			l.Networks = append(l.Networks, netip.MustParsePrefix(n))
		}
		return map[string][]Location{app: {l}}
	}
	h2 := map[string]HTTPS{app: {ALPN: []string{"h2"}}, "b.example.test.": {ALPN: []string{"h3"}}}
	var s *Server
	var last uint32
	for i, step := range []struct {
		locations map[string][]Location
		https     map[string]HTTPS
		grows     bool
	}{
		{nil, nil, true},
		{nil, nil, false},
		{nil, h2, true},
		{nil, h2, false},
		{map[string][]Location{}, map[string]HTTPS{"b.example.test.": {ALPN: []string{"h3"}}, app: {ALPN: []string{"h2"}}}, false},
		{nil, map[string]HTTPS{app: {ALPN: []string{"h3", "h2"}}, "b.example.test.": {ALPN: []string{"h3"}}}, true},
		{nil, map[string]HTTPS{app: {ALPN: []string{"h3", "h2"}, Port: 8443}}, true},
		{nil, nil, true},
		{europe(), nil, true},
		{europe(), nil, false},
		{europe("192.0.2.0/24"), nil, true},
		{europe("192.0.2.0/25"), nil, true},
		{europe("192.0.2.0/25"), map[string]HTTPS{other: {Port: 1}}, false}, // in no zone of this server
		{europe("192.0.2.0/25"), nil, false},
	} {
		s = newServer(t, c, Options{DataDir: dir, Locations: step.locations, HTTPS: step.https})
		if i == 0 {
			s.Update([]steering.Shard{shard(t, 1, 1, 1, app+" A 30 192.0.2.1", "b.example.test. A 30 192.0.2.2")})
		}
		is := serialOf(t, s)
		if after(is, last) != step.grows || !step.grows && is != last {
			t.Errorf("step %d: serial %d after %d; it grows: %v", i, is, last, step.grows)
		}
		runServer(t, s)()
		// A reload of the same files makes nothing of the config.
		if changed, err := reload(s); err != nil || len(changed) > 0 || serialOf(t, s) != is {
			t.Errorf("step %d: a reload of nothing new: %v, %v, serial %d after %d", i, changed, err, serialOf(t, s), is)
		}
		last = is
	}
	// Nor has an edit of the file another part of the config in it.
	if err := os.WriteFile(file, []byte(smallHead+"www A 192.0.2.7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := reload(s); err != nil {
		t.Fatal(err)
	}
	edited := s.state.hashes
	again := newServer(t, c, Options{DataDir: t.TempDir(), Locations: europe("192.0.2.0/25")})
	if !maps.Equal(edited, again.state.hashes) {
		t.Error("the zone is another after a restart than after a reload")
	}
}
