package authority

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions"
	"github.com/veerdns/veer/regions/steering"
)

// exampleConfig is one in which no connection is closed for its silence, however
// long the machine keeps the test waiting.
func exampleConfig() Config {
	return Config{Listen: []string{"127.0.0.1:0"}, Zones: []Zone{{Name: "example.test", File: exampleZone}}, TCPIdle: maxTCPIdle}
}

// startServer runs a server until the test ends.
func startServer(t *testing.T, c Config, o Options) *Server {
	t.Helper()
	s := newServer(t, c, o)
	runServer(t, s)
	return s
}

func newServer(t *testing.T, c Config, o Options) *Server {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = t.TempDir()
	}
	s, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runServer runs s until the returned function is called, or the test ends.
func runServer(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func exchange(t *testing.T, a net.Addr, name string, typ uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	c := dns.Client{Net: a.Network()}
	r, _, err := c.Exchange(m, a.String())
	if err != nil {
		t.Fatalf("%s %s: %v", a.Network(), a, err)
	}
	return r
}

// lookup asks the server's table, as a query would.
func lookup(t *testing.T, s *Server, name string, typ uint16) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var r dns.Msg
	if err := r.Unpack(s.responder().respond(packet, make([]byte, 512), true)); err != nil {
		t.Fatal(err)
	}
	return show(&r)
}

func serialOf(t *testing.T, s *Server) uint32 {
	t.Helper()
	k, err := keyOf("example.test.")
	if err != nil {
		t.Fatal(err)
	}
	var r Reply
	s.Table().Lookup(Query{Name: k, Type: dns.TypeSOA}, &r)
	return r.Answer[0].pick.rrs[0].(*dns.SOA).Serial
}

func shard(t *testing.T, id int, term regions.Term, seq uint64, lines ...string) steering.Shard {
	return steering.Shard{ID: id, Term: term, Seq: seq, Answers: mustAnswers(t, lines...)}
}

func TestServesOnEveryAddress(t *testing.T) {
	c := exampleConfig()
	c.Listen = []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"}
	s := newServer(t, c, Options{})
	if s.Addrs() != nil {
		t.Error("addresses before Run")
	}
	runServer(t, s)
	if len(s.Addrs()) != 8 {
		t.Fatalf("addresses %v, want UDP and TCP of four", s.Addrs())
	}
	for _, a := range s.Addrs() {
		if r := exchange(t, a, "www.example.test.", dns.TypeA); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 2 {
			t.Errorf("%s %s: %v", a.Network(), a, r)
		}
	}
}

func TestTCPKeepsTheConnection(t *testing.T) {
	s := startServer(t, exampleConfig(), Options{})
	conn, err := net.Dial("tcp", s.Addrs()[1].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := new(dns.Msg)
	m.SetQuestion("big.example.test.", dns.TypeTXT)
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	// Three queries in one write, one of them cut in two.
	one := append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	all := bytes.Repeat(one, 3)
	for _, part := range [][]byte{all[:len(one)+5], all[len(one)+5:]} {
		if _, err := conn.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
		var r dns.Msg
		if err := r.Unpack(answer); err != nil || len(r.Answer) != 6 || r.Truncated {
			t.Fatalf("got %v, %v; want six records", &r, err)
		}
	}
	// What is no query ends the connection.
	if _, err := conn.Write([]byte{0, 1, 7}); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatalf("read %d bytes after a message of one byte, want the end", n)
	}
}

func TestTCPIdle(t *testing.T) {
	c := exampleConfig()
	c.TCPIdle, c.TCPConnections = 1, 1 // a nanosecond: silence is at once too long
	s := startServer(t, c, Options{})
	for range 3 { // each seat is given back
		conn, err := net.Dial("tcp", s.Addrs()[1].String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Logf("the end came as %v", err)
		}
		conn.Close()
	}
}

func TestPortThatIsTaken(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		s := startServer(t, exampleConfig(), Options{})
		at := s.Addrs()[0].String()
		if network == "tcp" {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			at = l.Addr().String()
		}
		c := exampleConfig()
		c.Listen = []string{"127.0.0.1:0", at}
		err := newServer(t, c, Options{}).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), at+" is in use by ") || !strings.Contains(err.Error(), "choose another address") {
			t.Errorf("%s: error %v", network, err)
		}
		if _, statErr := os.Stat("/proc/self/comm"); statErr == nil && !strings.Contains(err.Error(), "(pid ") {
			t.Errorf("%s: the error names no process: %v", network, err)
		}
	}
	c := exampleConfig()
	c.Listen = []string{"192.0.2.1:5300"}
	if err := newServer(t, c, Options{}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "not an address of this host") {
		t.Errorf("a foreign address: %v", err)
	}
}
