package lab

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// fakeDNS answers every A query with what reply says.
func fakeDNS(t *testing.T, reply func() (rcode int, address string)) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		rcode, address := reply()
		m.Rcode = rcode
		if address != "" {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(address)}}
		}
		_ = w.WriteMsg(m)
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ActivateAndServe()
	}()
	t.Cleanup(func() {
		_ = s.Shutdown()
		conn.Close()
		<-ended
	})
	return conn.LocalAddr().String()
}

func TestPollerSeesTheChange(t *testing.T) {
	var moved atomic.Bool
	server := fakeDNS(t, func() (int, string) {
		if moved.Load() {
			return dns.RcodeSuccess, "192.0.2.2"
		}
		return dns.RcodeSuccess, "192.0.2.1"
	})
	p, err := NewPoller(server, "app.example.test", time.Millisecond, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	polling, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(polling) }()

	if _, err := p.Wait(t.Context(), time.Now(), "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	moved.Store(true)
	got, err := p.Wait(t.Context(), at, "192.0.2.2")
	if err != nil || got.Before(at) {
		t.Fatalf("got %v, %v; want a time after %v", got, err, at)
	}
	again, err := p.Wait(t.Context(), time.Now(), "192.0.2.2")
	if err != nil || again.Before(got) {
		t.Fatalf("an answer that is there already: got %v, %v", again, err)
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Wait(late, time.Now(), "192.0.2.1"); err == nil {
		t.Fatal("an answer that is gone was found")
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if c := p.Counts(); c.Sent == 0 || c.Answered != c.Sent {
		t.Fatalf("got %+v; want every query answered", c)
	}
	if all, _ := p.Changes(0); len(all) != 2 {
		t.Fatalf("got %v; want two answers", all)
	}
}

func TestPollerCountsWhatIsNoAnswer(t *testing.T) {
	tests := []struct {
		name    string
		rcode   int
		address string
		want    func(Counts) int
	}{
		{"servfail", dns.RcodeServerFailure, "", func(c Counts) int { return c.Failed }},
		{"servfail with an address", dns.RcodeServerFailure, "192.0.2.1", func(c Counts) int { return c.Failed }},
		{"nodata", dns.RcodeSuccess, "", func(c Counts) int { return c.Empty }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			polling, stop := context.WithCancel(t.Context())
			var asked atomic.Int32
			server := fakeDNS(t, func() (int, string) {
				if asked.Add(1) == 3 {
					stop()
				}
				return tt.rcode, tt.address
			})
			p, err := NewPoller(server, "app.example.test", time.Millisecond, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Run(polling); err != nil {
				t.Fatal(err)
			}
			c := p.Counts()
			if c.Sent < 3 || tt.want(c) != c.Sent || c.Answered != 0 {
				t.Fatalf("got %+v", c)
			}
			if all, _ := p.Changes(0); len(all) != 0 {
				t.Fatalf("got the answers %v; want none", all)
			}
		})
	}
}

func TestPollerCountsSilence(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := NewPoller(conn.LocalAddr().String(), "app.example.test", time.Millisecond, 5*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	polling, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(polling) }()
	buf := make([]byte, 512)
	for range 3 {
		if _, _, err := conn.ReadFrom(buf); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if c := p.Counts(); c.Sent < 3 || c.Unanswered != c.Sent {
		t.Fatalf("got %+v; want no query answered", c)
	}
}
