package authority

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
)

// tapped is an answerer with one tap that nobody serves.
func tapped(t testing.TB, to *tap) (a *answerer, packet []byte) {
	t.Helper()
	a, packet = countingAnswerer(t)
	a.from = peer{netip.MustParseAddr("192.0.2.77"), 5353, overUDP}
	a.samplers = []sampler{{tap: to, left: to.every}}
	return a, packet
}

// TestATapNeverBlocks: a log that nobody writes holds up no query, and what it
// has no room for is counted. The planted fault is a tap that waits for room.
func TestATapNeverBlocks(t *testing.T) {
	const asked = 3*tapRoom + 7
	ask := func(to *tap) (answered chan int) {
		a, packet := tapped(t, to)
		answered = make(chan int, asked)
		go func() {
			buf := make([]byte, dns.MaxMsgSize)
			for range asked {
				size, _ := a.respond(buf, copy(buf, packet))
				answered <- size
			}
			close(answered)
		}()
		return answered
	}
	to := newTap(1)
	count := 0
	for size := range ask(to) {
		if size == 0 {
			t.Error("a query is not answered")
		}
		count++
	}
	if count != asked || to.dropped.Load() != asked-tapRoom || len(to.full) != tapRoom {
		t.Errorf("%d of %d queries answered, %d observations wait, %d were dropped", count, asked, len(to.full), to.dropped.Load())
	}

	synctest.Test(t, func(t *testing.T) {
		planted := newTap(1)
		planted.full = make(chan *observation) // to hand one on waits for the log
		answered := ask(planted)
		if synctest.Wait(); len(answered) > 0 {
			t.Error("the test proves nothing: it does not see a log line that blocks the loop")
		}
		for len(answered) < asked { // let it end
			select {
			case o := <-planted.full:
				planted.release(o)
			default:
				synctest.Wait()
			}
		}
	})
}

// TestOneOfSoMany is taken, whichever a loop begins with.
func TestOneOfSoMany(t *testing.T) {
	to := newTap(10)
	a, packet := tapped(t, to)
	buf := make([]byte, dns.MaxMsgSize)
	for range 200 {
		a.respond(buf, copy(buf, packet))
	}
	a.respond(buf, copy(buf, packet[:3])) // what is not answered is not told of
	if len(to.full) != 20 || to.dropped.Load() != 0 {
		t.Errorf("of 200 queries %d were taken, want 20", len(to.full))
	}
	o := <-to.full
	if string(o.query) != string(packet) || o.region != "eu" || o.zone.String() != "example.test." || o.answer[2]&flagResponse == 0 {
		t.Errorf("taken: %+v", o)
	}
	first := make(map[uint32]bool)
	s := &Server{taps: map[string]*tap{"a": to}}
	for range 1000 {
		first[s.samplers()[0].left] = true
	}
	if len(first) != 10 || first[0] || first[11] {
		t.Errorf("answerers begin with %v, want 1 to 10 each", first)
	}
}

// TestTappingAllocatesNothing once the buffers have grown.
func TestTappingAllocatesNothing(t *testing.T) {
	to := newTap(2)
	a, packet := tapped(t, to)
	buf := make([]byte, dns.MaxMsgSize)
	ask := func() {
		a.respond(buf, copy(buf, packet))
		select {
		case o := <-to.full:
			to.release(o)
		default:
		}
	}
	for range 3 * tapRoom {
		ask()
	}
	if n := testing.AllocsPerRun(100, ask); n > 0 {
		t.Errorf("%v allocations an answer, want none", n)
	}
}

// TestATapKeepsNoLargeBuffers, so that a few large answers do not stay for good.
func TestATapKeepsNoLargeBuffers(t *testing.T) {
	to := newTap(1)
	o := <-to.free
	o.answer = make([]byte, keepRoom+1)
	to.release(o)
	for range tapRoom {
		if o := <-to.free; cap(o.answer) > keepRoom {
			t.Fatal("it is kept")
		}
	}
}

// logLines reads a query log's lines once there are so many.
func logLines(t *testing.T, path string, want int) []map[string]any {
	t.Helper()
	text := waitFor(func() (string, bool) {
		b, err := os.ReadFile(path)
		return string(b), err == nil && strings.Count(string(b), "\n") >= want
	})
	var out []map[string]any
	for line := range strings.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(m["at"])); err != nil {
			t.Errorf("%v", err)
		}
		delete(m, "at")
		out = append(out, m)
	}
	if len(out) != want {
		t.Fatalf("%d lines, want %d:\n%s", len(out), want, text)
	}
	return out
}

// TestQueryLog: lines have what was asked and answered, no more of the client
// than allowed, and go on in a new file after a rotation.
func TestQueryLog(t *testing.T) {
	for _, way := range ways {
		path := filepath.Join(t.TempDir(), "queries.log")
		c := exampleConfig()
		c.Fast, c.QueryLog = way, QueryLog{Sample: 1, Path: path, PrefixV4: 16}
		s := startServer(t, c, Options{Region: regionOf})
		s.Update(mustShards(t, "app.example.test. A 30 192.0.2.1"))
		exchange(t, s.Addrs()[0], "aPP.example.test.", dns.TypeA)
		exchange(t, s.Addrs()[1], "nowhere.example.test.", dns.TypeMX)
		exchange(t, s.Addrs()[0], "elsewhere.", dns.TypeA)
		got := logLines(t, path, 3)
		slices.SortFunc(got, func(a, b map[string]any) int { return strings.Compare(fmt.Sprint(a["name"]), fmt.Sprint(b["name"])) })
		want := []string{
			"map[answer:[192.0.2.1] client:127.0.0.0/16 message:query name:aPP.example.test. rcode:NOERROR region:eu transport:udp type:A zone:example.test.]",
			"map[client:127.0.0.0/16 message:query name:elsewhere. rcode:REFUSED transport:udp type:A]",
			"map[client:127.0.0.0/16 message:query name:nowhere.example.test. rcode:NXDOMAIN transport:tcp type:MX zone:example.test.]",
		}
		for i, line := range got {
			if fmt.Sprint(line) != want[i] {
				t.Errorf("%s: line %v, want %s", way, line, want[i])
			}
		}
		moved := path + ".1"
		if err := os.Rename(path, moved); err != nil {
			t.Fatal(err)
		}
		exchange(t, s.Addrs()[0], "www.example.test.", dns.TypeA) // to the file that was moved
		logLines(t, moved, 4)
		s.Reopen()
		// The signal and the next query race; once the new file is there, lines go
		// to it.
		waitFor(func() (error, bool) { _, err := os.Stat(path); return err, err == nil })
		exchange(t, s.Addrs()[0], "www.example.test.", dns.TypeA)
		logLines(t, path, 1)
		if n := s.Dropped()[tapQueryLog]; n != 0 {
			t.Errorf("%s: %d lines were dropped", way, n)
		}
	}
}

// TestQueryLogThatCannotBeWritten: queries are answered, their lines counted as
// dropped, and it is said once.
func TestQueryLogThatCannotBeWritten(t *testing.T) {
	said := new(strings.Builder)
	for _, path := range []string{"/dev/null", filepath.Join(t.TempDir(), "absent", "queries.log"), "/dev/full"} {
		q := newQueryLog(QueryLog{Sample: 1, Path: path}, zerolog.New(said))
		to := newTap(1)
		a, packet := tapped(t, to)
		buf := make([]byte, dns.MaxMsgSize)
		for range 5 {
			if size, _ := a.respond(buf, copy(buf, packet)); size == 0 {
				t.Error("a query is not answered")
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { q.run(ctx, to); close(ended) }()
		if n := waitFor(func() (uint64, bool) { n := to.dropped.Load(); return n, n == 5 }); n != 5 {
			t.Errorf("%s: %d lines were dropped, want 5", path, n)
		}
		stop()
		<-ended
	}
	if n := strings.Count(said.String(), "the query log cannot be written"); n != 3 {
		t.Errorf("it is said %d times of 3 logs:\n%s", n, said)
	}
}

// TestQueryLogInTheLog: without a file, lines go where all others go.
func TestQueryLogInTheLog(t *testing.T) {
	said := new(strings.Builder)
	q := newQueryLog(QueryLog{Sample: 1}, zerolog.New(said))
	to := newTap(1)
	a, packet := tapped(t, to)
	buf := make([]byte, dns.MaxMsgSize)
	a.respond(buf, copy(buf, packet))
	if !q.write(<-to.full) {
		t.Error("it is not written")
	}
	want := `{"level":"info","client":"192.0.2.77","transport":"udp","name":"app.example.test.","type":"A","rcode":"NOERROR","answer":["192.0.2.1"],"zone":"example.test.","region":"eu","message":"query"}` + "\n"
	if said.String() != want {
		t.Errorf("got  %s want %s", said, want)
	}
}
