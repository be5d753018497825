//go:build linux && (amd64 || arm64)

package authority

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Queries that have come when the server is to end are answered, be they more
// than one batch.
func TestQueriesAtTheEnd(t *testing.T) {
	s := newServer(t, exampleConfig(), Options{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", s.open[0].udp[0].LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const queries = 3*batchSize + 1
	waiting := make(map[uint16]bool)
	for i := range queries {
		m := new(dns.Msg)
		m.SetQuestion("www.example.test.", dns.TypeA)
		m.Id = uint16(i)
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
		waiting[m.Id] = true
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Run(ended); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, dns.MinMsgSize)
	for len(waiting) > 0 {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%d of %d queries were not answered: %v", len(waiting), queries, err)
		}
		var m dns.Msg
		if err := m.Unpack(buf[:n]); err != nil || len(m.Answer) == 0 {
			t.Fatalf("% x is no answer: %v", buf[:n], err)
		}
		delete(waiting, m.Id)
	}
}

// A loop begins where no descriptor is left: all that it needs is open before.
func TestLoopOpensNothing(t *testing.T) {
	s := newServer(t, exampleConfig(), Options{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	defer s.open[0].tcp.Close()
	ended, end := context.WithCancel(t.Context())
	loop := s.batchLoop(ended, s.open[0].udp[0], false, s.counter())
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}()
	none := was
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	end()
	if err := loop(); err != nil {
		t.Error(err)
	}
}
