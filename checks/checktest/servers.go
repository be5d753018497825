package checktest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
)

// Server is a server that misbehaves, on 127.0.0.1, until the test ends.
type Server struct {
	Target checks.Target
	called chan struct{} // receives once a caller came
	gone   chan struct{} // receives once a caller's connection has ended
}

// AwaitCaller waits until a caller came.
func (s *Server) AwaitCaller(t *testing.T) { await(t, s.called) }

// AwaitGone waits until the connection of a caller has ended.
func (s *Server) AwaitGone(t *testing.T) { await(t, s.gone) }

func await(t *testing.T, event <-chan struct{}) {
	select {
	case <-event:
	case <-t.Context().Done():
	}
}

// Refused is a target of a port that nothing listens on.
func Refused(t *testing.T, network, host string) checks.Target {
	t.Helper()
	if network == "udp" {
		conn, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return Target(conn.LocalAddr())
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return Target(listener.Addr())
}

// Hang is a server that accepts and never answers.
func Hang(t *testing.T, network string) *Server {
	if network == "udp" {
		return ServeUDP(t, func(context.Context, net.PacketConn, net.Addr) {})
	}
	return ServeTCP(t, func(ctx context.Context, conn net.Conn) {
		_, _ = io.Copy(io.Discard, conn) // It ends when the caller goes.
	})
}

// Drip is a server that sends start and then zeros, a byte every few
// milliseconds, without end. Over UDP it sends datagrams of a byte.
func Drip(t *testing.T, network, start string) *Server {
	if network == "udp" {
		return ServeUDP(t, func(ctx context.Context, conn net.PacketConn, caller net.Addr) {
			each(ctx, 5*time.Millisecond, func() error {
				_, err := conn.WriteTo([]byte{0}, caller)
				return err
			})
		})
	}
	return ServeTCP(t, func(ctx context.Context, conn net.Conn) {
		left := []byte(start)
		each(ctx, 5*time.Millisecond, func() error {
			next := []byte{0}
			if len(left) > 0 {
				next, left = left[:1], left[1:]
			}
			_, err := conn.Write(next)
			return err
		})
	})
}

// Flood is a server that sends start and then bytes as fast as they are taken.
func Flood(t *testing.T, network, start string) *Server {
	more := make([]byte, 1200)
	for i := range more {
		more[i] = 'x'
	}
	if network == "udp" {
		return ServeUDP(t, func(ctx context.Context, conn net.PacketConn, caller net.Addr) {
			for range 200 {
				_, _ = conn.WriteTo(more, caller) // A caller that went away refuses.
			}
		})
	}
	return ServeTCP(t, func(ctx context.Context, conn net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, conn) }() // It ends with conn.
		for _, err := conn.Write([]byte(start)); err == nil; {
			_, err = conn.Write(more)
		}
	})
}

// Close is a server that closes each connection at once.
func Close(t *testing.T) *Server { return ServeTCP(t, func(context.Context, net.Conn) {}) }

// Reset is a server that resets each connection at once (RFC 9293 section 3.5.3).
func Reset(t *testing.T) *Server {
	return ServeTCP(t, func(_ context.Context, conn net.Conn) {
		_ = conn.(*net.TCPConn).SetLinger(0) // Closing then sends a reset.
	})
}

func each(ctx context.Context, interval time.Duration, do func() error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for do() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ServeTCP calls serve for each connection, and closes it afterwards.
func ServeTCP(t *testing.T, serve func(ctx context.Context, conn net.Conn)) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(listener.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				defer stop()
				tell(s.called)
				serve(ctx, conn)
				_ = conn.Close()
				tell(s.gone)
			})
		}
	})
	return s
}

// ServeUDP calls serve for each datagram that comes.
func ServeUDP(t *testing.T, serve func(ctx context.Context, conn net.PacketConn, caller net.Addr)) *Server {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(conn.LocalAddr())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		_ = conn.Close()
		wg.Wait()
	})
	wg.Go(func() {
		packet := make([]byte, 64<<10)
		for {
			_, caller, err := conn.ReadFrom(packet)
			if err != nil && ctx.Err() != nil {
				return
			}
			if err == nil {
				tell(s.called)
				wg.Go(func() { serve(ctx, conn, caller) })
			}
		}
	})
	return s
}

func newServer(address net.Addr) *Server {
	return &Server{Target: Target(address), called: make(chan struct{}, 1), gone: make(chan struct{}, 1)}
}

func tell(event chan<- struct{}) {
	select {
	case event <- struct{}{}:
	default:
	}
}

// Target is the target of a server's address.
func Target(address net.Addr) checks.Target {
	var host string
	var port int
	switch a := address.(type) {
	case *net.TCPAddr:
		host, port = a.IP.String(), a.Port
	case *net.UDPAddr:
		host, port = a.IP.String(), a.Port
	}
	return checks.Target{Name: "check@" + host, Host: host, Port: uint16(port)}
}
