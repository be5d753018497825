//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// server answers the mix's queries on loopback; the nth one as fault says.
type server struct {
	at netip.AddrPort

	mu      sync.Mutex
	sources map[netip.Addr]bool
}

func serve(t *testing.T, m *mix, fault func(n int, a *dns.Msg) (keep bool)) *server {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadBuffer(roomAtSocket); err != nil { // a busy machine keeps queries waiting
		t.Fatal(err)
	}
	s := &server{at: conn.LocalAddr().(*net.UDPAddr).AddrPort(), sources: map[netip.Addr]bool{}}
	byName := map[string]*question{}
	for i := range m.questions {
		q := &m.questions[i]
		byName[q.name+dns.TypeToString[q.typ]] = q
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 2048)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.sources[from.Addr()] = true
			s.mu.Unlock()
			var query dns.Msg
			if err := query.Unpack(buf[:size]); err != nil {
				t.Errorf("%x: %v", buf[:size], err)
				return
			}
			a := answerTo(t, byName[query.Question[0].Name+dns.TypeToString[query.Question[0].Qtype]], query.IsEdns0() != nil)
			a.Id = query.Id
			if !fault(n, a) {
				continue
			}
			if _, err := conn.WriteToUDPAddrPort(pack(t, a), from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return s
}

func generate(t *testing.T, s *server, l load) *tally {
	t.Helper()
	g, err := newGenerator(s.at)
	if err != nil {
		t.Fatal(err)
	}
	defer g.wire.close()
	marks := 0
	got, err := g.run(l, func() error { marks++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if marks != 2 {
		t.Fatalf("the measurement was marked %d times, want its begin and its end", marks)
	}
	if got.sent == 0 || got.sent != got.answered()+got.after+got.lost {
		t.Fatalf("%d sent, %d answered and %d later, %d lost", got.sent, got.answered(), got.after, got.lost)
	}
	return got
}

func TestGeneratorSeesPlantedFaults(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		fault func(n int, a *dns.Msg) bool
		count func(*tally) uint64
	}{
		{"none", func(int, *dns.Msg) bool { return true }, nil},
		{"wrong", func(n int, a *dns.Msg) bool {
			if n%10 == 9 {
				a.Rcode = dns.RcodeServerFailure
			}
			return true
		}, func(t *tally) uint64 { return t.wrong }},
		{"cut", func(n int, a *dns.Msg) bool {
			a.Truncated = n%10 == 9
			return true
		}, func(t *tally) uint64 { return t.truncated }},
		{"lost", func(n int, _ *dns.Msg) bool { return n%50 != 9 }, func(t *tally) uint64 { return t.lost }},
		{"another id", func(n int, a *dns.Msg) bool {
			if n%50 == 9 {
				a.Id += 1 << 15
			}
			return true
		}, func(t *tally) uint64 { return min(t.strays, t.lost) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, m, tt.fault)
			for _, l := range []load{
				{window: 64, burst: 1},
				{window: 64, burst: 4},
				{rate: 3000, burst: 1},
			} {
				l.mix, l.sources, l.span = m, manySources(3), 200*time.Millisecond
				got := generate(t, s, l)
				if tt.count == nil {
					if got.wrong+got.truncated+got.strays > 0 || got.right == 0 || got.firstWrong != "" {
						t.Errorf("%+v: %d right, %d wrong (%s), %d cut, %d strays", l.burst, got.right, got.wrong, got.firstWrong, got.truncated, got.strays)
					}
					continue
				}
				if n := tt.count(got); n == 0 || n > got.sent/2 {
					t.Errorf("burst %d, rate %.0f: %d of %d", l.burst, l.rate, n, got.sent)
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.sources) < 20 {
				t.Errorf("the queries came from %d addresses only", len(s.sources))
			}
		})
	}
}

func TestGeneratorGivesUp(t *testing.T) {
	m, err := wholeMix(3)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, m, func(int, *dns.Msg) bool { return false })
	g, err := newGenerator(s.at)
	if err != nil {
		t.Fatal(err)
	}
	defer g.wire.close()
	_, err = g.run(load{mix: m, sources: manySources(3), window: 8, burst: 8, span: time.Minute}, func() error { return nil })
	if !errors.Is(err, errSilent) {
		t.Fatalf("got %v, want %v", err, errSilent)
	}
}

func TestGeneratorRefuses(t *testing.T) {
	for _, l := range []load{{window: 8}, {window: 8, burst: maxBurst + 1}, {window: 3, burst: 4}} {
		if _, err := (&generator{}).run(l, nil); err == nil {
			t.Errorf("bursts of %d and a window of %d were taken", l.burst, l.window)
		}
	}
}

// The moments must be at the rate, and as uneven as those of many clients.
func TestArrivals(t *testing.T) {
	a := newArrivals(20000, time.Second)
	near, n := 0, 1<<16
	for range n {
		before := a.at
		if a.step(); a.at-before < 10*time.Microsecond {
			near++
		}
	}
	if rate := float64(n) / (a.at - time.Second).Seconds(); rate < 19600 || rate > 20400 {
		t.Errorf("%.0f a second, want 20,000", rate)
	}
	if part := float64(near) / float64(n); part < 0.15 || part > 0.21 { // 1 - e^-0.2
		t.Errorf("%.3f of the gaps are below a fifth of the mean, want 0.18", part)
	}
}
