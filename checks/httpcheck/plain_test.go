package httpcheck_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/httpcheck"
)

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// TestPlainAnswers: what a server may say before, in place of and behind an
// answer, on a connection of its own.
func TestPlainAnswers(t *testing.T) { paths(t, plainAnswers) }

func plainAnswers(t *testing.T, prober maker) {
	for name, c := range map[string]struct {
		says string
		want checks.Health
		why  string
	}{
		"interim answers":        {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 5) + fine, checks.Up, ""},
		"no end of interim ones": {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 6) + fine, checks.Down, "more than 5 interim answers"},
		"another protocol":       {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", checks.Down, "101"},
		"a head at the bound":    {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 60<<10) + "\r\n\r\n", checks.Up, ""},
		"a head beyond it":       {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", checks.Down, "more than 65536 bytes"},
		"chunks":                 {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n", checks.Up, ""},
		"a body cut off":         {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", checks.Down, "reading the body"},
		"the end of the line":    {"HTTP/1.0 200 OK\r\n\r\nok", checks.Up, ""},
		"another language":       {"220 mail.example.test ESMTP\r\n", checks.Down, "malformed HTTP"},
		"two lengths":            {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", checks.Down, "Content-Length"},
		"nothing":                {"", checks.Down, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			s := checktest.ServeTCP(t, func(_ context.Context, conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, c.says)
				}
			})
			got := checktest.Probe(t, prober(t, httpcheck.Config{}), s.Target, time.Minute)
			checktest.Expect(t, got, c.want, c.why)
			if len(c.says) > 0 && got.Evidence.FirstByte <= 0 {
				t.Errorf("the first byte came after %s", got.Evidence.FirstByte)
			}
		})
	}
}

// TestUnasked: what comes on a kept connection without being asked for is no
// answer to the next request, which goes over a new connection.
func TestUnasked(t *testing.T) { paths(t, unasked) }

func unasked(t *testing.T, prober maker) {
	for name, behind := range map[string]string{
		"with the answer": fine + "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
		"later":           "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"the end":         "",
	} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			sent, more := make(chan struct{}), make(chan struct{})
			s := checktest.ServeTCP(t, func(ctx context.Context, conn net.Conn) {
				nth := connections.Add(1)
				in := bufio.NewReader(conn)
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				if nth > 1 {
					_, _ = io.WriteString(conn, fine)
					return
				}
				if strings.HasPrefix(behind, fine) {
					_, _ = io.WriteString(conn, behind)
					close(sent)
					<-ctx.Done()
					return
				}
				_, _ = io.WriteString(conn, fine)
				<-more
				_, _ = io.WriteString(conn, behind)
				if behind == "" {
					_ = conn.(*net.TCPConn).CloseWrite()
				}
				close(sent)
				<-ctx.Done()
			})
			p := prober(t, httpcheck.Config{KeepAlive: true})
			checktest.Expect(t, checktest.Probe(t, p, s.Target, time.Minute), checks.Up)
			close(more)
			<-sent
			checktest.Expect(t, checktest.Probe(t, p, s.Target, time.Minute), checks.Up)
			if n := connections.Load(); n != 2 {
				t.Errorf("%d connections were made, want 2", n)
			}
		})
	}
}

// BenchmarkProbe tells what a probe over loopback costs, the server's side in
// this process included.
func BenchmarkProbe(b *testing.B) {
	for name, keep := range map[string]bool{"new": false, "kept": true} {
		b.Run(name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go answerAll(l) // it ends with l
			p, err := httpcheck.New(httpcheck.Config{Scheme: "http", KeepAlive: keep})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			at := l.Addr().(*net.TCPAddr)
			target := checks.Target{Name: "b", Host: at.IP.String(), Port: uint16(at.Port)}
			before := spent()
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), time.Second)
				if r := p.Probe(ctx, target); r.Health != checks.Up {
					b.Fatal(r.Reason)
				}
				cancel()
			}
			b.ReportMetric(float64((spent()-before).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// answerAll answers each request of each connection, as cheaply as it can.
func answerAll(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			in := make([]byte, 1024)
			for n, err := conn.Read(in); err == nil && n > 0; n, err = conn.Read(in) {
				if _, err := io.WriteString(conn, fine); err != nil || strings.Contains(string(in[:n]), "Connection: close") {
					return
				}
			}
		}()
	}
}

// spent is the CPU time of this process so far.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprint("getrusage: ", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
