//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// moving is a server whose one name moves as Veer's does, and a log of it.
type moving struct {
	log *os.File

	mu    sync.Mutex
	away  bool
	since time.Time // of the last move
	n     int       // answers since then
	late  bool      // an answer was late since then
}

func (m *moving) set(works bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away, m.since, m.n, m.late = !works, time.Now(), 0, false
	to := homeAddresses
	if m.away {
		to = awayAddresses
	}
	return m.say(time.Now(), joined(to))
}

func (m *moving) say(at time.Time, to string) error {
	line, err := json.Marshal(map[string]any{"message": "answer moved", "time": at.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), "to": to, "cause": "a test", "committed_ms": 1.5})
	if err == nil {
		_, err = m.log.Write(append(line, '\n'))
	}
	return err
}

func (m *moving) records(q *question) []dns.RR {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := homeAddresses
	if m.away {
		of = awayAddresses
	}
	var out []dns.RR
	for _, a := range of {
		out = append(out, &dns.A{Hdr: dns.RR_Header{Name: q.name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(a)})
	}
	return out
}

// first reports whether this is one of the first n answers since a move; it is
// asked once an answer.
func (m *moving) first(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	return !m.since.IsZero() && m.n <= n
}

// tooSoon is true from a move on until it was for an answer later than d.
func (m *moving) tooSoon(d time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() || m.late {
		return false
	}
	m.late = time.Since(m.since) > d
	return true
}

// longAgo reports whether a move was longer ago than d.
func (m *moving) longAgo(d time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.since.IsZero() && time.Since(m.since) > d
}

const lateSwap = 30 * time.Millisecond

func TestMoverSeesPlantedFaults(t *testing.T) {
	other := func(away bool) net.IP {
		if away {
			return net.ParseIP(homeAddresses[0])
		}
		return net.ParseIP(awayAddresses[0])
	}
	old := func(m *moving, a *dns.Msg) {
		m.mu.Lock()
		defer m.mu.Unlock()
		of := awayAddresses
		if m.away {
			of = homeAddresses
		}
		for i, rr := range a.Answer {
			rr.(*dns.A).A = net.ParseIP(of[i])
		}
	}
	tests := []struct {
		name  string
		fault func(m *moving, n int, a *dns.Msg) (keep bool)
		says  func(m moved) bool
	}{
		{"none", nil, func(m moved) bool {
			return m.tally.lost+m.tally.wrong+m.mixed+m.stale == 0 && len(m.moves) == 2
		}},
		{"a torn table", func(m *moving, _ int, a *dns.Msg) bool {
			if m.first(20) {
				a.Answer[2].(*dns.A).A = other(m.away)
			}
			return true
		}, func(m moved) bool { return m.mixed > 0 }},
		{"an address too few", func(m *moving, n int, a *dns.Msg) bool {
			if n%100 == 99 {
				a.Answer = a.Answer[:3]
			}
			return true
		}, func(m moved) bool { return m.tally.wrong > m.mixed }},
		{"a query lost at each move", func(m *moving, _ int, _ *dns.Msg) bool {
			return !m.first(5)
		}, func(m moved) bool { return m.tally.lost > 0 }},
		{"a late swap", func(m *moving, _ int, a *dns.Msg) bool {
			if m.tooSoon(lateSwap) {
				old(m, a)
			}
			return true
		}, func(m moved) bool { return longest(m.took()) > lateSwap }},
		{"an old table much later", func(m *moving, _ int, a *dns.Msg) bool {
			if m.longAgo(2 * settled) {
				old(m, a)
			}
			return true
		}, func(m moved) bool { return m.stale > 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := watchMoves(t, tt.fault)
			if !tt.says(got) {
				t.Errorf("%d moves, took %v; %d lost, %d wrong, %d mixed, %d stale", len(got.moves), got.took(), got.tally.lost, got.tally.wrong, got.mixed, got.stale)
			}
			var out strings.Builder
			got.latest = moveLimit // no time of a busy machine is judged
			if tt.name == "a late swap" {
				got.latest = lateSwap
			}
			if passed := got.report(&out); passed != (tt.name == "none") {
				t.Errorf("passed %t:\n%s", passed, out.String())
			}
		})
	}
}

// watchMoves has a name move there and back under load.
func watchMoves(t *testing.T, fault func(m *moving, n int, a *dns.Msg) bool) moved {
	t.Helper()
	q, err := newQuestion(steeredName, dns.TypeA, want{typ: dns.TypeA, data: []byte{127, 0, 1, 1}})
	if err != nil {
		t.Fatal(err)
	}
	asked := &mix{questions: []question{q}, order: make([]uint16, 100)}
	asked.shuffle(1)
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	srv := &moving{log: file}
	s := serve(t, asked, func(n int, a *dns.Msg) bool {
		a.Answer = srv.records(&q)
		return fault == nil || fault(srv, n, a)
	})
	g, err := newGenerator(s.at)
	if err != nil {
		t.Fatal(err)
	}
	defer g.wire.close()
	log, err := followLog(path, g.began)
	if err != nil {
		t.Fatal(err)
	}
	defer log.close()
	m := &mover{ctx: t.Context(), ends: srv, log: log, steered: &asked.questions[0], rest: 3 * settled}
	m.states = [2][][]byte{rawAddresses(homeAddresses), rawAddresses(awayAddresses)}
	m.begin(2)
	got, err := g.run(load{mix: asked, sources: manySources(3), rate: 500, burst: 1, span: time.Minute, patience: movePatience, watch: m}, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return moved{name: "test", tally: got, moves: m.done, mixed: m.mixed, stale: m.stale}
}

func TestLogFollower(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m := &moving{log: file}
	began := time.Now()
	l, err := followLog(path, began)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	at := began.Add(123 * time.Millisecond)
	l.now = func() time.Time { return at.Add(time.Millisecond) }
	write := func(text string) {
		t.Helper()
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("{\"message\":\"of another kind\"}\nhalf a li")
	if got, err := l.lines(); len(got) != 0 || err != nil {
		t.Fatalf("%v, %v", got, err)
	}
	write("ne\n")
	if err := m.say(at, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	got, err := l.lines()
	if err != nil || len(got) != 1 || got[0].to != "192.0.2.1" || got[0].took != 1500*time.Microsecond || (got[0].at-123*time.Millisecond).Abs() > time.Microsecond {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, moment := range map[string]time.Time{"of long ago": at.Add(-tardy - time.Second), "of later": at.Add(time.Second)} {
		if err := m.say(moment, "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
		if got, err := l.lines(); err == nil {
			t.Errorf("a line %s was taken: %+v", name, got)
		}
		if err := l.skip(); err != nil {
			t.Fatal(err)
		}
	}
	write("{\"message\":\"answer moved\",\"time\":\"2026-01-01T00:00:00Z\"}\n")
	if got, err := l.lines(); err == nil {
		t.Errorf("a line without committed_ms was taken: %+v", got)
	}
}

func TestDropsIn(t *testing.T) {
	const table = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 2114: 0100007F:DDF5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 32066877 2 0000000018aaaeb8 5
 2114: 0100007F:DDF5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 32066878 2 0000000018aaaeb8 2
 2115: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 32066879 2 0000000018aaaeb8 9
`
	if n, err := dropsIn(table, []uint16{0xddf5}); n != 7 || err != nil {
		t.Errorf("%d, %v; want 7", n, err)
	}
	if n, err := dropsIn(table, []uint16{0xddf5, 53}); n != 16 || err != nil {
		t.Errorf("%d, %v; want 16", n, err)
	}
	if n, err := dropsIn(table, []uint16{0x1234}); err == nil {
		t.Errorf("%d drops of a port that nobody has", n)
	}
}

func TestParseFailover(t *testing.T) {
	if _, err := parseFailover(nil); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"x"}, {"--repeats", "0"}, {"--burst", "17"}, {"--for", "1ms"}, {"--server-cpu", "1"}} {
		if o, err := parseFailover(args); err == nil {
			t.Errorf("%v: taken for %+v", args, o)
		}
	}
}
