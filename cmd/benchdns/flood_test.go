//go:build linux && (amd64 || arm64)

package main

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

func TestMalformed(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	packets, good, short := malformed(r, m, 6000), 0, 0
	for _, p := range packets {
		var msg dns.Msg
		switch {
		case len(p) > longestMalformed:
			t.Fatalf("a packet of %d bytes", len(p))
		case len(p) < headerSize:
			short++
		case p[2]&0x80 != 0:
			t.Fatalf("%x is a response", p)
		case msg.Unpack(p) == nil && msg.Opcode == dns.OpcodeQuery && len(msg.Question) == 1 && len(msg.Answer)+len(msg.Ns) == 0:
			good++
		}
	}
	// Flipped bits and bytes behind the end can leave a query that unpacks.
	if good > len(packets)/3 || short < len(packets)/20 || short > len(packets)/4 {
		t.Errorf("of %d packets %d are queries in good form and %d have no header", len(packets), good, short)
	}
	for _, p := range responses(r, m, 1000) {
		if len(p) < headerSize || p[2]&0x80 == 0 {
			t.Fatalf("%x is no response", p)
		}
	}
}

func TestInBlocks(t *testing.T) {
	blocks, all := map[[3]byte]int{}, map[[4]byte]bool{}
	for _, a := range inBlocks(100, spoofedAddresses, hostsOfBlock) {
		blocks[[3]byte(a[:3])]++
		all[a] = true
	}
	if len(all) != spoofedAddresses || len(blocks) != spoofedAddresses/hostsOfBlock {
		t.Errorf("%d addresses in %d networks", len(all), len(blocks))
	}
}

// echo sends every packet back as often as asked.
func echo(t *testing.T, times func(p []byte) int) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			for range times(buf[:n]) {
				if _, err := conn.WriteToUDPAddrPort(buf[:n], from); err != nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestFloodSeesAnswers: answers to what must have none, and what comes back to
// a flood's sources, are counted.
func TestFloodSeesAnswers(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		times func(p []byte) int
		good  func(malformed, responses *flood) bool
	}{
		"a good server":           {func([]byte) int { return 0 }, func(a, b *flood) bool { return a.answers+b.answers == 0 && a.amplification() == 0 }},
		"it answers responses":    {func(p []byte) int { return int(p[2] >> 7) }, func(_, b *flood) bool { return b.answers > 0 }},
		"it sends all back twice": {func([]byte) int { return 2 }, func(a, b *flood) bool { return a.amplification() > 0.5 && b.answers > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			at := echo(t, func(p []byte) int {
				if len(p) < headerSize && name == "it answers responses" {
					return 0
				}
				return tt.times(p)
			})
			f := malformedFlood(rand.New(rand.NewPCG(1, 1)), m, 5000)
			if err := f.open(at); err != nil {
				t.Fatal(err)
			}
			defer f.close()
			deadline := time.Now().Add(10 * time.Second)
			for began := time.Now(); time.Now().Before(deadline); {
				if _, err := f.step(time.Since(began) + time.Second); err != nil {
					t.Fatal(err)
				}
				if f.all[1].sent > 400 && (name == "a good server" || tt.good(f.all[0], f.all[1])) {
					break
				}
			}
			if !tt.good(f.all[0], f.all[1]) {
				t.Errorf("%+v, %+v", f.all[0].answers, f.all[1].answers)
			}
		})
	}
}

// TestIdleSeesClosedConnections: connections that a server closes are not taken
// for open ones.
func TestIdleSeesClosedConnections(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const n, kept = 20, 15
	opened := make(chan *idle, 1)
	go func() {
		held, err := openIdle(l.Addr().(*net.TCPAddr).AddrPort(), n)
		if err != nil {
			t.Error(err)
		}
		opened <- held
	}()
	for i := range n {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if i < kept {
			defer conn.Close()
			continue
		}
		conn.Close()
	}
	held := <-opened
	defer held.close()
	for end := time.Now().Add(10 * time.Second); held.open() != kept; {
		if time.Now().After(end) {
			t.Fatalf("%d connections count as open, want %d", held.open(), kept)
		}
	}
}

// TestReadersWriteAndComeBack: they fill what the server gives them, and open a
// connection again that it resets.
func TestReadersWriteAndComeBack(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := newReaders(l.Addr().(*net.TCPAddr).AddrPort(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Duration(0)
	step := func() {
		t.Helper()
		now += time.Millisecond
		if err := r.step(now); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		step()
	}
	buf := make([]byte, 2+headerSize)
	if n, err := first.Read(buf); err != nil || n != len(buf) || r.written == 0 {
		t.Fatalf("read %d bytes of %d, %v", n, r.written, err)
	}
	first.(*net.TCPConn).SetLinger(0)
	first.Close()
	for end := time.Now().Add(10 * time.Second); r.anew == 0; step() {
		if time.Now().After(end) {
			t.Fatal("a connection that was reset is not opened again")
		}
	}
}

func TestConnections(t *testing.T) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if n, err := connections(1); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := connections(1 << 30); err != nil || uint64(n) >= l.Cur {
		t.Errorf("%d of %d, %v", n, l.Cur, err)
	}
}

// TestFloodReportSeesPlantedFaults: each bound is missed by what should miss it.
func TestFloodReportSeesPlantedFaults(t *testing.T) {
	at := func(d time.Duration) measured {
		m := measured{tally: &tally{sent: 1000, right: 1000, span: time.Second}}
		for range 1000 {
			m.tally.latency.add(d)
		}
		return m
	}
	tests := map[string]func(s *attacked){
		"":                              func(*attacked) {},
		"times the normal p99":          func(s *attacked) { s.under = at(3 * time.Millisecond) },
		"the generator sent":            func(s *attacked) { s.normal.tally.late.add(time.Millisecond) },
		"honest queries were lost":      func(s *attacked) { s.under.tally.lost = 1 },
		"answered wrongly":              func(s *attacked) { s.under.tally.wrong = 1 },
		"over TCP: ":                    func(s *attacked) { s.tcp = net.ErrClosed },
		"the server grew by":            func(s *attacked) { s.after = 100 << 20 },
		"responses were answered":       func(s *attacked) { s.floods.all[1].answers = 1 },
		"rate limiting cut":             func(s *attacked) { s.floods.all[0].answers, s.floods.all[0].cut = 900, 100 },
		"spoofed queries a second were": func(s *attacked) { s.floods.all[0].last = time.Minute },
		"connections were open":         func(s *attacked) { s.held = 9 },
		"clients wrote 0 bytes":         func(s *attacked) { s.floods.tcp.written = 0 },
	}
	for says, plant := range tests {
		s := attacked{normal: at(time.Millisecond), under: at(time.Millisecond), before: 50 << 20, after: 51 << 20, held: 10}
		s.floods = &floods{tcp: &readers{written: 1}, held: &idle{fds: make([]int, 10)}, all: []*flood{
			{name: "spoofed queries", rate: 1000, first: time.Second, last: 2 * time.Second, sent: 1000, answers: 100, bytes: 100, limited: true},
			{name: "responses", rate: 1000, first: time.Second, last: 2 * time.Second, sent: 1000, bytes: 100, forbidden: true},
		}}
		plant(&s)
		var out strings.Builder
		a := &attack{name: "test", room: 32 << 20, samples: []attacked{s}}
		passed := a.report(&out)
		var failed []string
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "FAIL") {
				failed = append(failed, line)
			}
		}
		if passed != (says == "") || len(failed) != min(1, len(says)) || says != "" && !strings.Contains(failed[0], says) {
			t.Errorf("%q: passed %t:\n%s", says, passed, out.String())
		}
	}
}

func TestParseFlood(t *testing.T) {
	if _, err := parseFlood(nil); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"x"}, {"--rounds", "0"}, {"--idle", "0"}, {"--slow", "501"}, {"--flood", "1"}, {"--server-cpu", "1"}} {
		if o, err := parseFlood(args); err == nil {
			t.Errorf("%v: taken for %+v", args, o)
		}
	}
}
