package authority

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions/steering"
)

// regionOf calls an answer by the third byte of its first address.
func regionOf(_ string, data []string) string {
	return map[string]string{"192.0.2.1": "eu", "198.51.100.1": "us", "2001:db8::1": "eu", "lb.outside.example.": "cdn"}[data[0]]
}

// countsOf are the counts as lines of text.
func countsOf(s *Server) []string {
	zones, answers := s.Counts()
	var out []string
	for _, z := range zones {
		out = append(out, fmt.Sprint(z.Zone, " ", z.Transport, " ", dns.RcodeToString[z.Rcode], " ", z.Queries))
	}
	for _, a := range answers {
		out = append(out, fmt.Sprint(a.Service, " ", a.Answer, " ", a.Queries))
	}
	return out
}

// TestCounts: each query is counted once at its zone and at its service, the
// same whichever way it is answered.
func TestCounts(t *testing.T) {
	for _, way := range ways {
		c := exampleConfig()
		c.Fast = way
		s := startServer(t, c, Options{Region: regionOf, HTTPS: map[string]HTTPS{"app.example.test.": {ALPN: []string{"h2"}}}})
		s.Update(mustShards(t, "app.example.test. A 30 192.0.2.1", "app.example.test. AAAA 30 2001:db8::1", "cloud.example.test. CNAME 30 lb.outside.example."))
		udp, tcp := s.Addrs()[0], s.Addrs()[1]
		for range 3 {
			exchange(t, udp, "aPP.example.test.", dns.TypeA)
		}
		exchange(t, udp, "app.example.test.", dns.TypeHTTPS)
		exchange(t, udp, "app.example.test.", dns.TypeMX)
		exchange(t, tcp, "app.example.test.", dns.TypeAAAA)
		exchange(t, udp, "cloud.example.test.", dns.TypeA)
		exchange(t, udp, "www.example.test.", dns.TypeA)
		exchange(t, udp, "nowhere.example.test.", dns.TypeA)
		exchange(t, udp, "elsewhere.example.", dns.TypeA) // of no zone
		s.Update([]steering.Shard{shard(t, 1, 1, 2, "app.example.test. A 30 198.51.100.1", "cloud.example.test. CNAME 30 lb.outside.example.")})
		exchange(t, udp, "app.example.test.", dns.TypeA)
		want := []string{
			"example.test. tcp NOERROR 1", "example.test. udp NOERROR 8", "example.test. udp NXDOMAIN 1",
			"app.example.test. NODATA 1", "app.example.test. eu 5", "app.example.test. us 1", "cloud.example.test. cdn 1",
		}
		waitFor(func() (uint64, bool) { n := s.Responses()[dns.RcodeSuccess]; return n, n == 9 })
		got := countsOf(s)
		if !slices.Equal(got, want) {
			t.Errorf("%s: counted\n%s\nwant\n%s", way, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		s.Update([]steering.Shard{shard(t, 1, 1, 3, "cloud.example.test. CNAME 30 lb.outside.example.")})
		if got := countsOf(s); slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "app.") }) {
			t.Errorf("%s: a service that is gone is counted still: %v", way, got)
		}
	}
}

// waitFor asks until the answer is good, or a time that is more than long
// enough has passed.
func waitFor[T any](ask func() (T, bool)) T {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		if got, good := ask(); good || time.Now().After(end) {
			return got
		}
	}
}

// countUnderChange asks while tables are swapped and zones reloaded, and
// returns what is wrong with the counts. reloaded is called after each reload.
func countUnderChange(t *testing.T, reloaded func(*Server)) error {
	b := newReloadBench(t, Options{Region: regionOf})
	order := func(seq uint64) []steering.Shard {
		return []steering.Shard{shard(t, 1, 1, seq, "app.example.test. A 30 "+[]string{"192.0.2.1", "198.51.100.1"}[seq%2])}
	}
	b.Update(order(1))
	const clients, each = 3, 400
	var asking sync.WaitGroup
	defer asking.Wait()
	for i := range clients {
		asking.Go(func() {
			conn, err := dns.DialTimeout(b.Addrs()[i%2].Network(), b.Addrs()[i%2].String(), 10*time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			m := new(dns.Msg)
			m.SetQuestion("app.example.test.", dns.TypeA)
			for range each {
				err := errors.Join(conn.SetDeadline(time.Now().Add(10*time.Second)), conn.WriteMsg(m))
				if _, lost := conn.ReadMsg(); err != nil || lost != nil {
					t.Error(err, lost)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { asking.Wait(); close(done) }()
	sum := func() (zones, answers uint64) {
		z, a := b.Counts()
		for _, z := range z {
			zones += z.Queries
		}
		for _, a := range a {
			answers += a.Queries
		}
		return zones, answers
	}
	var zones, answers uint64
	for seq, asked := uint64(2), false; !asked; seq++ {
		select {
		case <-done:
			asked = true
		default:
		}
		if seq%4 == 0 {
			b.write(t, "example.test", smallHead+fmt.Sprintf("www A 192.0.2.%d\n", seq%100))
			if _, err := reload(b.Server); err != nil {
				t.Fatal(err)
			}
			reloaded(b.Server)
		} else {
			b.Update(order(seq))
		}
		z, a := sum()
		if z < zones || a < answers {
			return fmt.Errorf("a count went backward: %d queries at zones after %d, %d at services after %d", z, zones, a, answers)
		}
		zones, answers = z, a
	}
	// A query over UDP is counted with its batch, which may be after its answer.
	waitFor(func() (uint64, bool) { n := b.Responses()[dns.RcodeSuccess]; return n, n == clients*each })
	if zones, answers = sum(); zones != clients*each || answers != clients*each {
		return fmt.Errorf("of %d queries %d were counted at zones and %d at services", clients*each, zones, answers)
	}
	return nil
}

// TestCountsNeverGoBackward, and none is lost, whatever table is swapped in.
func TestCountsNeverGoBackward(t *testing.T) {
	if err := countUnderChange(t, func(*Server) {}); err != nil {
		t.Error(err)
	}
}

// TestMutantCounts: each fault in the counting is found.
func TestMutantCounts(t *testing.T) {
	for name, plant := range map[string]func(*Server){
		"a reload that begins anew": func(s *Server) {
			s.mu.Lock()
			defer s.mu.Unlock()
			region := s.state.book.region
			last := s.state.book.last
			s.state.book = newBook()
			s.state.book.region, s.state.book.last = region, last
		},
		"lines that are given twice": func(s *Server) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for name := range s.state.book.services {
				s.state.book.services[name].answers["eu"] = s.state.book.services[name].answers["us"]
			}
		},
	} {
		err := countUnderChange(t, plant)
		if err == nil {
			t.Errorf("%s: the search proves nothing: it does not see the planted fault", name)
			continue
		}
		t.Logf("%s: %v", name, err)
	}
}

// TestTooManyAnswersHaveOneName: what a ledger makes up cannot fill the memory.
func TestTooManyAnswersHaveOneName(t *testing.T) {
	b := newBook()
	s := b.service("app.example.test.")
	for i := range 3 * maxAnswers {
		name, l := b.answer(s, fmt.Sprint("r", i))
		if i >= maxAnswers != (name == AnswerOther) || l == 0 {
			t.Fatalf("answer %d is called %s, line %d", i, name, l)
		}
	}
	if len(s.answers) != maxAnswers+1 {
		t.Errorf("%d names, want %d and one for all others", len(s.answers), maxAnswers)
	}
	b.last = maxChunks*chunkLines - 3
	if l := b.zone("\x04test\x00"); l != 0 {
		t.Errorf("line %d, and there is no room for a zone's", l)
	}
}

// TestPendingCounts: whatever is counted arrives, once.
func TestPendingCounts(t *testing.T) {
	to := new(tally)
	p := pending{to: to}
	want := make(map[line]uint64)
	for i := range 10_000 {
		l := line(i * i % 97 * 40)
		p.count(l)
		want[l]++
		if i%64 == 0 {
			p.flush()
		}
	}
	p.flush()
	delete(want, 0)
	for l, n := range want {
		if to.of(l) != n {
			t.Errorf("line %d: %d, want %d", l, to.of(l), n)
		}
	}
	if to.of(0) != 0 {
		t.Error("something is counted for nothing")
	}
}

// countingAnswerer answers from a server's table without sockets.
func countingAnswerer(t testing.TB) (*answerer, []byte) {
	t.Helper()
	c, off := exampleConfig(), false
	c.RateLimit.Enabled = &off
	s, err := New(c, Options{DataDir: t.TempDir(), Region: regionOf})
	if err != nil {
		t.Fatal(err)
	}
	s.Update(mustShards(t, "app.example.test. A 30 192.0.2.1"))
	m := new(dns.Msg)
	m.SetQuestion("app.example.test.", dns.TypeA)
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return s.answerer(), packet
}

func TestCountingAllocatesNothing(t *testing.T) {
	a, packet := countingAnswerer(t)
	buf, c := make([]byte, dns.MaxMsgSize), counter{codes: new(rcodeBlock)}
	if n := testing.AllocsPerRun(200, func() {
		a.begin()
		a.respond(buf, copy(buf, packet))
		c.add(a)
	}); n > 0 {
		t.Errorf("%v allocations an answer, want none", n)
	}
}

// BenchmarkCount is what counting adds to an answer, in batches of 64 and alone.
func BenchmarkCount(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			p, at := pending{to: new(tally)}, 0
			was := outcome{zone: &zone{line: 1}, pick: &pick{line: 70}}
			for b.Loop() {
				was.count(&p, overUDP, 0)
				if at++; at%batch == 0 {
					p.flush()
				}
			}
		})
	}
}

// BenchmarkAnswer is an answer of the fast path with all that is counted of it.
func BenchmarkAnswer(b *testing.B) {
	a, packet := countingAnswerer(b)
	buf := make([]byte, dns.MaxMsgSize)
	for b.Loop() {
		a.respond(buf, copy(buf, packet))
	}
}
