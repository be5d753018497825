package authority

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/regions/steering"
)

// limitedServer is a server that limits the clients of its own host as well.
func limitedServer(t *testing.T, way string, limit RateLimit) *Server {
	c := exampleConfig()
	limit.Loopback = true
	c.Fast, c.RateLimit = way, limit
	return newServer(t, c, Options{})
}

// ask answers a question as a loop does, and returns the answer; nil: none.
func (a *answerer) ask(t *testing.T, name string, typ uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.SetEdns0(1232, false)
	return a.exchange(t, m)
}

// exchange is ask for a query of any kind.
func (a *answerer) exchange(t *testing.T, m *dns.Msg) *dns.Msg {
	t.Helper()
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, dns.MaxMsgSize)
	a.begin()
	size, _ := a.respond(buf, copy(buf, packet))
	if size == 0 {
		return nil
	}
	if size > len(packet) && buf[2]&flagTruncated != 0 {
		t.Errorf("%s: a truncated answer has %d bytes, the query %d", m.Question[0].Name, size, len(packet))
	}
	r := new(dns.Msg)
	if err := r.Unpack(buf[:size]); err != nil {
		t.Fatal(err)
	}
	if r.Id != m.Id {
		t.Errorf("%s: another query's id", m.Question[0].Name)
	}
	return r
}

// TestRateLimit: over UDP a network gets so many answers a second, then every
// second one without records and with TC, then again; over TCP it gets all.
func TestRateLimit(t *testing.T) {
	for _, way := range ways {
		synctest.Test(t, func(t *testing.T) {
			second := 2
			s := limitedServer(t, way, RateLimit{ResponsesPerSecond: 3, Window: 2 * time.Second, Slip: &second})
			a := s.answerer()
			for round := range 2 {
				for i := range 9 {
					a.from = peer{addr: netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i)), over: overUDP}
					r := a.ask(t, "wWw.example.test.", dns.TypeA)
					switch {
					case i < 3:
						if r == nil || len(r.Answer) != 2 || r.Truncated {
							t.Errorf("%s, round %d: answer %d is\n%v", way, round, i, r)
						}
					case (i+6*round)%2 == 0:
						if r == nil || !r.Truncated || r.Authoritative || len(r.Answer)+len(r.Ns)+len(r.Extra) > 0 || len(r.Question) != 1 || r.Question[0].Name != "wWw.example.test." {
							t.Errorf("%s, round %d: answer %d is not empty with TC:\n%v", way, round, i, r)
						}
					case r != nil:
						t.Errorf("%s, round %d: answer %d is not dropped:\n%v", way, round, i, r)
					}
				}
				if r := a.ask(t, "www.example.test.", dns.TypeMX); r == nil || r.Truncated {
					t.Errorf("%s: another answer to the same network is limited", way)
				}
				a.from.addr = netip.MustParseAddr("192.0.3.1")
				if r := a.ask(t, "www.example.test.", dns.TypeA); r == nil || r.Truncated {
					t.Errorf("%s: the same answer to another network is limited", way)
				}
				a.from = peer{addr: netip.MustParseAddr("192.0.2.1"), over: overTCP}
				for range 10 {
					if r := a.ask(t, "www.example.test.", dns.TypeA); r == nil || len(r.Answer) != 2 {
						t.Errorf("%s: limited over TCP", way)
					}
				}
				time.Sleep(3 * time.Second) // in the bubble's time: window and one second
			}
			if fast, general := a.fastAnswers, a.generalAnswers; fast+general != 2*(3+3+2+10) || way == FastNone && fast > 0 {
				t.Errorf("%s: %d and %d answers were counted as given", way, fast, general)
			}
		})
	}
}

// TestRateLimitSubjects: which answers are one.
func TestRateLimitSubjects(t *testing.T) {
	for _, way := range ways {
		c := exampleConfig()
		c.Fast = way
		s := newServer(t, c, Options{})
		s.Update(mustShards(t, "app.example.test. A 30 192.0.2.1", "app.example.test. AAAA 30 2001:db8::1"))
		a := s.answerer()
		subject := func(question string) subject {
			name, typ, _ := strings.Cut(question, " ")
			r := a.ask(t, name, dns.StringToType[typ])
			return subjectOf(a.was, r.Rcode&15)
		}
		for _, same := range [][]string{
			{"www.example.test. A", "WWW.example.test. A"},
			{"a.wild.example.test. A", "b.c.wild.example.test. A"},
			{"x.sub.example.test. A", "y.z.sub.example.test. MX", "sub.example.test. A"},
			{"no.example.test. A", "none.example.test. MX", "a.b.c.example.test. AAAA"},
			{"www.example.test. CAA", "www.example.test. NAPTR"},
			{"alias.example.test. A", "alias.example.test. MX", "alias.example.test. CNAME"},
			{"elsewhere.example. A", "other.example. AXFR", "www.example.test. MAILB"},
			{"app.example.test. A", "app.example.test. ANY"},
		} {
			for _, other := range same[1:] {
				if x, y := subject(same[0]), subject(other); x != y {
					t.Errorf("%s: %s is %+v, %s %+v", way, same[0], x, other, y)
				}
			}
		}
		seen := map[any]string{}
		for class, questions := range map[limitClass][]string{
			limitAnswers:   {"www.example.test. A", "big.example.test. TXT", "app.example.test. A", "app.example.test. AAAA", "example.test. SOA", "example.test. NS", "a.wild.example.test. A", "alias.example.test. A"},
			limitNoData:    {"www.example.test. CAA", "app.example.test. CAA"},
			limitReferrals: {"x.sub.example.test. A"},
			limitNXDomain:  {"no.example.test. A"},
			limitErrors:    {"elsewhere.example. A"},
		} {
			for _, q := range questions {
				x := subject(q)
				if x.class != class || seen[x] != "" {
					t.Errorf("%s: %s is %+v, want class %s, and another than %q", way, q, x, class, seen[x])
				}
				seen[x] = q
			}
		}
		// A new table tells no new names.
		before := subject("app.example.test. A")
		s.Update([]steering.Shard{shard(t, 1, 1, 2, "app.example.test. A 30 192.0.2.9")})
		if after := subject("app.example.test. A"); after != before {
			t.Errorf("%s: a new answer of a name is limited by itself: %+v and %+v", way, before, after)
		}
	}
}

// TestRateLimitSettings: off, log_only, exempt, and this host.
func TestRateLimitSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		off, never := false, 0
		for name, c := range map[string]struct {
			limit RateLimit
			from  string
			want  int
		}{
			"the limit":            {RateLimit{Slip: &never}, "192.0.2.1", 1},
			"off":                  {RateLimit{Enabled: &off}, "192.0.2.1", 10},
			"log_only":             {RateLimit{LogOnly: true}, "192.0.2.1", 10},
			"exempt":               {RateLimit{Exempt: []string{"198.51.100.7", "192.0.2.0/25"}}, "192.0.2.1", 10},
			"not exempt":           {RateLimit{Slip: &never, Exempt: []string{"198.51.100.7", "192.0.2.128/25"}}, "192.0.2.1", 1},
			"this host":            {RateLimit{}, "127.1.2.3", 10},
			"this host over IPv6":  {RateLimit{}, "::1", 10},
			"this host is limited": {RateLimit{Slip: &never, Loopback: true}, "127.1.2.3", 1},
		} {
			conf := exampleConfig()
			conf.RateLimit = c.limit
			conf.RateLimit.ResponsesPerSecond = 1
			s := newServer(t, conf, Options{})
			a, got := s.answerer(), 0
			a.from.addr = netip.MustParseAddr(c.from)
			for range 10 {
				if a.ask(t, "www.example.test.", dns.TypeA) != nil {
					got++
				}
			}
			counted := map[string]uint64{}
			for _, l := range s.Limited() {
				counted[l.Class+" "+l.Action] += l.Answers
			}
			key := "answer dropped"
			if c.limit.LogOnly {
				key = "answer logged"
			}
			if want := uint64(10 - c.want); got != c.want || !c.limit.LogOnly && counted[key] != want || c.limit.LogOnly && counted[key] != 9 {
				t.Errorf("%s: %d answers of 10, want %d; counted %v", name, got, c.want, counted)
			}
		}
	})
}

// TestRateLimitOfErrors: errors have limits of their own, and slip as they are.
func TestRateLimitOfErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// No slip is given: all slip, but of errors every second one.
		s := limitedServer(t, FastAuto, RateLimit{ResponsesPerSecond: 5, ErrorsPerSecond: 2, NXDomainsPerSecond: 1})
		a := s.answerer()
		a.from.addr = netip.MustParseAddr("192.0.2.1")
		var got []string
		for i := range 6 {
			for _, name := range []string{"n%d.elsewhere.example.", "n%d.example.test.", "n%d.wild.example.test."} {
				r := a.ask(t, fmt.Sprintf(name, i), dns.TypeA)
				switch {
				case r == nil:
					got = append(got, "-")
				case r.Truncated:
					got = append(got, "TC "+dns.RcodeToString[r.Rcode])
				default:
					got = append(got, dns.RcodeToString[r.Rcode])
				}
			}
		}
		want := []string{
			"REFUSED", "NXDOMAIN", "NOERROR",
			"REFUSED", "TC NXDOMAIN", "NOERROR",
			"-", "TC NXDOMAIN", "NOERROR",
			"REFUSED", "TC NXDOMAIN", "NOERROR",
			"-", "TC NXDOMAIN", "NOERROR",
			"REFUSED", "TC NXDOMAIN", "TC NOERROR",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

// TestRateLimitOnTheWire: a flood to real sockets is limited, whichever of them
// it comes to. All of it is answered, what is too much without records.
func TestRateLimitOnTheWire(t *testing.T) {
	for _, way := range ways {
		s := limitedServer(t, way, RateLimit{ResponsesPerSecond: 1})
		s.config.Sockets = 3
		runServer(t, s)
		m := new(dns.Msg)
		m.SetQuestion("www.example.test.", dns.TypeA)
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		const clients, each = 10, 20
		var conns []net.Conn
		for range clients { // of different ports, so that the sockets share them out
			conn, err := net.Dial("udp", s.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for range each {
				if _, err := conn.Write(packet); err != nil {
					t.Fatal(err)
				}
			}
			conns = append(conns, conn)
		}
		whole, buf := uint64(0), make([]byte, 512)
		for _, conn := range conns {
			conn.SetReadDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // Read says it
			for range each {
				n, err := conn.Read(buf)
				if err != nil || n < headerSize {
					t.Fatalf("%s: an answer of %d bytes, %v", way, n, err)
				}
				if buf[2]&flagTruncated == 0 {
					whole++
				}
			}
		}
		limited := uint64(0)
		for _, l := range s.Limited() {
			limited += l.Answers
		}
		if whole+limited != clients*each || whole == 0 || whole > clients*each/4 {
			t.Errorf("%s: of %d answers %d were given whole and %d limited", way, clients*each, whole, limited)
		}
	}
}

// lockedBuffer is a buffer that one goroutine writes and another reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *lockedBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Reset()
}

// TestRateLimitLog: a line when a network begins to be limited, one when that
// is over, and no more of either when many are.
func TestRateLimitLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(RateLimit{ResponsesPerSecond: 1}.rules(), defaultAccounts)
		var out lockedBuffer
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.tell(ctx, zerolog.New(&out)); close(done) }()
		lines := func() (begin, end int) {
			synctest.Wait()
			return strings.Count(out.String(), "is over the rate limit"), strings.Count(out.String(), "within the rate limit again")
		}
		ask := func(from string) {
			l.weigh(netip.MustParseAddr(from), subject{class: limitNXDomain, id: 1}, l.ticks(time.Now()))
		}
		ask("192.0.2.1")
		if begin, _ := lines(); begin != 0 {
			t.Errorf("a line of a network within its limit:\n%s", &out)
		}
		for range 30 { // 15 seconds
			for _, from := range []string{"192.0.2.1", "192.0.2.9", "2001:db8::1", "2001:db8:0:ff::1"} {
				ask(from)
			}
			time.Sleep(time.Second / 2)
		}
		if begin, end := lines(); begin != 2 || end != 0 || !strings.Contains(out.String(), `"network":"192.0.2.0/24","class":"nxdomain"`) || !strings.Contains(out.String(), `"network":"2001:db8::/56"`) {
			t.Errorf("while two networks are limited:\n%s", &out)
		}
		time.Sleep(episodeQuiet + 2*time.Second)
		if begin, end := lines(); begin != 2 || end != 2 {
			t.Errorf("after that:\n%s", &out)
		}
		out.Reset()
		for range 3 {
			for i := range 5000 {
				for range 2 {
					ask(fmt.Sprintf("10.%d.%d.1", i>>8, i&255))
				}
			}
			time.Sleep(time.Second)
		}
		if begin, _ := lines(); begin != maxEpisodes {
			t.Errorf("%d lines of 5000 networks, want %d", begin, maxEpisodes)
		}
		time.Sleep(episodeQuiet + 2*time.Second)
		if begin, end := lines(); begin != maxEpisodes || end != maxEpisodes {
			t.Errorf("%d lines of begins, %d of ends, want %d", begin, end, maxEpisodes)
		}
		cancel()
		<-done
	})
}

// TestRateLimitAllocatesNothing: neither what passes nor what is limited.
func TestRateLimitAllocatesNothing(t *testing.T) {
	s := limitedServer(t, FastAuto, RateLimit{ResponsesPerSecond: 1})
	a := s.answerer()
	a.from.addr = netip.MustParseAddr("2001:db8::1")
	m := new(dns.Msg)
	m.SetQuestion("www.example.test.", dns.TypeA)
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, dns.MaxMsgSize)
	if n := testing.AllocsPerRun(1000, func() {
		a.begin()
		a.respond(buf, copy(buf, packet))
	}); n > 0 {
		t.Errorf("%v allocations an answer, want none", n)
	}
}
