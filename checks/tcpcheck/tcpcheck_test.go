package tcpcheck_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/tcpcheck"
)

func prober(t *testing.T, c tcpcheck.Config) *tcpcheck.Prober {
	t.Helper()
	p, err := tcpcheck.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// echo is a server that sends back what comes.
func echo(t *testing.T, host string) checks.Target {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return checktest.Target(listener.Addr())
}

func TestContract(t *testing.T) {
	checktest.Run(t, checktest.Kit{
		Network: "tcp",
		New:     func(t *testing.T) checks.Prober { return prober(t, tcpcheck.Config{Send: "PING\r\n", Expect: "PING"}) },
		Serve:   echo,
	})
}

func say(t *testing.T, pieces ...string) checks.Target {
	return checktest.ServeTCP(t, func(_ context.Context, conn net.Conn) {
		for _, piece := range pieces {
			_, _ = conn.Write([]byte(piece))
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	}).Target
}

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name   string
		config tcpcheck.Config
		says   []string
		health checks.Health
		words  string
	}{
		{"connects only", tcpcheck.Config{}, nil, checks.Up, "accepted a connection after"},
		{"a banner in pieces", tcpcheck.Config{Expect: "220 ready"}, []string{"22", "0 re", "ady\r\n"}, checks.Up, `answered "220 ready`},
		{"a pattern", tcpcheck.Config{Matches: `^220 \w+`}, []string{"220 smtp.example.test\r\n"}, checks.Up, "as expected"},
		{"another banner", tcpcheck.Config{Expect: "220"}, []string{"554 no\r\n\x1b[2J"}, checks.Down, `answered "554 no`},
		{"both must hold", tcpcheck.Config{Expect: "220", Matches: "^x"}, []string{"220"}, checks.Down, `expected "220" and a match of ^x`},
		{"nothing said", tcpcheck.Config{Expect: "220"}, nil, checks.Down, `waiting for an answer, expected "220": the endpoint closed the connection`},
		{"beyond the limit", tcpcheck.Config{Expect: "end", MaxRead: 8}, []string{"01234567end"}, checks.Down, "(8 bytes read)"},
		{"just within", tcpcheck.Config{Expect: "end", MaxRead: 8}, []string{"01234end"}, checks.Up, "as expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := checktest.Probe(t, prober(t, c.config), say(t, c.says...), time.Minute)
			checktest.Expect(t, r, c.health, c.words)
			if c.says != nil && r.Evidence.FirstByte <= 0 && c.config != (tcpcheck.Config{}) {
				t.Errorf("no time to the first byte: %+v", r.Evidence)
			}
		})
	}
}

func TestNoPort(t *testing.T) {
	r := checktest.Probe(t, prober(t, tcpcheck.Config{}), checks.Target{Name: "x", Host: "127.0.0.1"}, time.Minute)
	checktest.Expect(t, r, checks.Unknown, "no port")
}

func TestBadConfig(t *testing.T) {
	for field, c := range map[string]tcpcheck.Config{
		"matches":  {Matches: "("},
		"max_read": {Expect: "x", MaxRead: -1},
		"expect":   {Expect: "long", MaxRead: 3},
		"send":     {Send: strings.Repeat("x", 64<<10+1)},
	} {
		var fields []string
		c.Check(func(field, _ string, _ ...any) { fields = append(fields, field) })
		if len(fields) != 1 || fields[0] != field {
			t.Errorf("problems at %q, expected one at %s", fields, field)
		}
		if _, err := tcpcheck.New(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New says %v, expected an error naming %s", err, field)
		}
	}
}

// TestWatchIsSilent requires that a watcher sends no byte.
func TestWatchIsSilent(t *testing.T) {
	got := make(chan int64, 1)
	s := checktest.ServeTCP(t, func(_ context.Context, conn net.Conn) {
		n, _ := io.Copy(io.Discard, conn) // It ends when the watcher goes.
		got <- n
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	returned := make(chan error, 1)
	go func() { returned <- prober(t, tcpcheck.Config{Send: "PING"}).Watch(ctx, s.Target) }()
	s.AwaitCaller(t)
	cancel()
	if err := <-returned; err != nil {
		t.Error(err)
	}
	if n := <-got; n != 0 {
		t.Errorf("the watcher sent %d bytes", n)
	}
}
