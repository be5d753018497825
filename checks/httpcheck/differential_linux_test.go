package httpcheck_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/httpcheck"
)

// durations are the parts of a reason that may differ from probe to probe.
var durations = regexp.MustCompile(`\b[0-9.]+(µs|ms|m?s)\b`)

// essence is what two probes of equal servers must agree on.
func essence(r checks.Result, target checks.Target) string {
	port := fmt.Sprint(target.Port)
	return fmt.Sprintf("%s | %s | %s | connected %t, first byte %t, %s",
		r.Health, strings.ReplaceAll(durations.ReplaceAllString(r.Reason, "T"), port, "PORT"), r.Evidence.Detail,
		r.Evidence.Connect > 0, r.Evidence.FirstByte > 0, strings.ReplaceAll(r.Evidence.Address, port, "PORT"))
}

// says is a server that reads a request and says each part, on each of which
// the next waits a little.
func says(parts ...string) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		for i, part := range parts {
			if i > 0 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(5 * time.Millisecond): // the server's slowness; nothing is lost if it is longer
				}
			}
			if _, err := io.WriteString(conn, part); err != nil {
				return
			}
		}
	}
}

// keeps is a server that answers every request of a connection alike.
func keeps(answer string) func(context.Context, net.Conn) {
	return func(_ context.Context, conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

// hangs says something, and then nothing until the caller goes.
func hangs(parts ...string) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		says(parts...)(ctx, conn)
		_, _ = io.Copy(io.Discard, conn)
	}
}

func resets(first string) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		says(first)(ctx, conn)
		_ = conn.(*net.TCPConn).SetLinger(0) // Closing then sends a reset.
	}
}

// hostile are servers, well-behaved ones among them.
func hostile() map[string]func(context.Context, net.Conn) {
	split := func(s string) []string { return strings.SplitAfter(s, "\r\n") }
	return map[string]func(context.Context, net.Conn){
		"fine": says(fine), "kept": keeps(fine), "in two": says(fine[:30], fine[30:]), "head and body": says(fine[:len(fine)-2], "ok"),
		"in lines": says(split(fine)...), "in bytes": says(strings.Split(fine, "")...),
		"closes": func(context.Context, net.Conn) {}, "closes after the request": says(), "silent": hangs(),
		"resets at once": func(_ context.Context, conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) },
		"resets":         resets(""), "half a line": says("HTTP/1."), "half a head": says("HTTP/1.1 200 OK\r\nA: b\r\n"),
		"half a head, silent": hangs("HTTP/1.1 200 OK\r\nA: b"), "half a body": says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
		"half a body, silent": hangs("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), "a head, silent": hangs("HTTP/1.1 200 OK\r\n\r\n"),
		"talks first": func(_ context.Context, conn net.Conn) {
			_, _ = io.WriteString(conn, "220 mail.example.test ESMTP\r\n")
			_, _ = io.Copy(io.Discard, conn)
		},
		"1.0":        says("HTTP/1.0 200 OK\r\n\r\nok"),
		"1.0 kept":   keeps("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok"),
		"1.0 in two": says("HTTP/1.0 200 OK\r\n\r\n", "ok"),
		"2.0":        says("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
		"interim":    says("HTTP/1.1 103 Early Hints\r\n\r\n" + fine), "interim apart": says("HTTP/1.1 100 Continue\r\n\r\n", fine),
		"too many": says(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 6) + fine), "upgrade": says("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
		"chunks":        says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
		"chunks kept":   keeps("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
		"chunks broken": says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok"),
		"chunks cut":    says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok"),
		"both lengths":  says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
		"two lengths":   says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok"),
		"equal lengths": says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
		"bad length":    says("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"), "huge length": says("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok"),
		"long length": says("HTTP/1.1 200 OK\r\nContent-Length: 0000000000000002\r\n\r\nok"),
		"more behind": keeps(fine + "more"), "no body": says("HTTP/1.1 204 No Content\r\n\r\n"), "304": says("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
		"503": says("HTTP/1.1 503 Oops\r\nContent-Length: 2\r\n\r\nno"), "no words": says("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"), "no code": says("HTTP/1.1 OK\r\n\r\n"),
		"999": says("HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok"), "four digits": says("HTTP/1.1 2000 OK\r\n\r\n"), "-20": says("HTTP/1.1 -20 OK\r\n\r\n"),
		"feeds": says("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), "folded": says("HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok"),
		"no colon": says("HTTP/1.1 200 OK\r\nA b\r\n\r\nok"), "no name": says("HTTP/1.1 200 OK\r\n: b\r\n\r\nok"), "space in a name": says("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
		"control": says("HTTP/1.1 200 OK\r\nA: b\x01c\r\nContent-Length: 2\r\n\r\nok"), "latin": says("HTTP/1.1 200 OK\r\nA: \xe9\r\nContent-Length: 2\r\n\r\nok"),
		"space first": says("HTTP/1.1 200 OK\r\n A: b\r\n\r\nok"), "close, upgrade": keeps("HTTP/1.1 200 OK\r\nConnection: close, x\r\nContent-Length: 2\r\n\r\nok"),
		"says close":      keeps("HTTP/1.1 200 OK\r\nConnection: CLOSE\r\nContent-Length: 2\r\n\r\nok"),
		"two connections": keeps("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
		"a long head":     says("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 60<<10) + "\r\nContent-Length: 2\r\n\r\nok"),
		"too long":        says("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 70<<10) + "\r\n\r\n"), "a long body": says("HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + strings.Repeat("b", 90000)),
		"closes at the next request": func(_ context.Context, conn net.Conn) {
			in := bufio.NewReader(conn)
			if _, err := http.ReadRequest(in); err == nil {
				_, _ = io.WriteString(conn, fine)
				_, _ = http.ReadRequest(in)
			}
		},
		"not ok": says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x1b[31m"), "redirect": says("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
	}
}

// TestBothPathsAgree: whatever a server does, an engine and Probe say the same,
// probe after probe.
func TestBothPathsAgree(t *testing.T) {
	for what, c := range map[string]httpcheck.Config{
		"new":  {},
		"kept": {KeepAlive: true},
		"head": {Method: "HEAD"},
		"body": {Body: httpcheck.Body{Contains: "ok"}, Status: []string{"200-299", "503"}, KeepAlive: true},
		"cut":  {MaxBody: 1, Body: httpcheck.Body{Matches: "^o$"}, Path: "/health?a=b", Host: "app.example.test", Headers: map[string]string{"x-a": "b"}, KeepAlive: true},
	} {
		for name, serve := range hostile() {
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				var seen [2][]string
				for i, make := range []maker{func(t *testing.T, c httpcheck.Config) checks.Prober { return prober(t, c) }, onEngine} {
					s, p := checktest.ServeTCP(t, serve), make(t, c)
					for range 3 {
						timeout := time.Minute
						if strings.Contains(name, "silent") || name == "talks first" {
							timeout = time.Second // a busy machine is not as late as makes it unknown
						}
						r := checktest.Probe(t, p, s.Target, timeout)
						say := essence(r, s.Target)
						switch name {
						case "closes", "resets at once": // which of the two sides is first varies
							say = r.Health.String()
						case "chunks kept": // an engine's first such connection is not kept
							say, _, _ = strings.Cut(say, " | connected")
						}
						seen[i] = append(seen[i], say)
					}
				}
				for i := range seen[0] {
					if seen[0][i] != seen[1][i] {
						t.Errorf("probe %d\nalone:  %s\nengine: %s", i, seen[0][i], seen[1][i])
					}
				}
			})
		}
	}
	t.Run("refused", func(t *testing.T) {
		for _, host := range []string{"127.0.0.1", "::1"} {
			target := checktest.Refused(t, "tcp", host)
			a, b := checktest.Probe(t, prober(t, httpcheck.Config{}), target, time.Minute), checktest.Probe(t, onEngine(t, httpcheck.Config{}), target, time.Minute)
			if essence(a, target) != essence(b, target) {
				t.Errorf("\nalone:  %s\nengine: %s", essence(a, target), essence(b, target))
			}
		}
	})
}
