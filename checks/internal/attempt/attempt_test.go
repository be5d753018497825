package attempt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

// TestFail is the table of what counts against the endpoint and what against
// the prober.
func TestFail(t *testing.T) {
	call := func(errno syscall.Errno) error {
		return &dial.Error{Phase: dial.Connecting, Err: &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}}
	}
	for _, c := range []struct {
		err    error
		health checks.Health
		words  string
	}{
		{call(syscall.ECONNREFUSED), checks.Down, "while connecting: connection refused"},
		{call(syscall.ENETUNREACH), checks.Down, "network is unreachable"},
		{call(syscall.EHOSTUNREACH), checks.Down, "no route to host"},
		{call(syscall.ECONNRESET), checks.Down, "the endpoint reset the connection"},
		{call(syscall.ETIMEDOUT), checks.Down, "connection timed out"},
		{io.ErrUnexpectedEOF, checks.Down, "while reading: the endpoint closed the connection"},
		{fmt.Errorf("x: %w", os.ErrDeadlineExceeded), checks.Down, "timed out after"},
		{&net.DNSError{Name: "a.test", Err: "no such host", IsNotFound: true}, checks.Down, "a.test: no such host"},
		{&net.DNSError{Name: "a.test", Err: "server misbehaving"}, checks.Down, "server misbehaving"},
		{call(syscall.EMFILE), checks.Unknown, "this host's own trouble while connecting: too many open files"},
		{call(syscall.ENFILE), checks.Unknown, "this host's own trouble"},
		{call(syscall.ENOBUFS), checks.Unknown, "this host's own trouble"},
		{call(syscall.ENOMEM), checks.Unknown, "this host's own trouble"},
		{call(syscall.EADDRNOTAVAIL), checks.Unknown, "this host's own trouble"},
		{call(syscall.EPERM), checks.Unknown, "this host's own trouble"},
		{call(syscall.EAFNOSUPPORT), checks.Unknown, "this host's own trouble"},
		{&net.DNSError{Name: "a.test", Err: "socket: too many open files"}, checks.Unknown, "this host's own trouble"},
		{errors.New("odd\x1b[31m\nerror"), checks.Down, "while reading: odd [31m error"},
	} {
		r := attempt.Begin("TCP x").Fail(t.Context(), "reading", c.err)
		if r.Health != c.health || !strings.Contains(r.Reason, c.words) {
			t.Errorf("%v: %s, %q; expected %s and %q", c.err, r.Health, r.Reason, c.health, c.words)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := attempt.Begin("TCP x").Fail(ctx, "reading", call(syscall.ECONNREFUSED)); r.Health != checks.Unknown {
		t.Errorf("cancelled: %s, %s", r.Health, r.Reason)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 850 * time.Nanosecond: "1µs", 12_345 * time.Microsecond: "12.3ms", 2_003_100 * time.Microsecond: "2s",
		1_999 * time.Microsecond: "2ms", 61_234 * time.Millisecond: "1m1.2s", 123_456 * time.Microsecond: "123ms",
	} {
		if got := attempt.Duration(d); got != want {
			t.Errorf("%d ns: %s, expected %s", d, got, want)
		}
	}
}

func TestQuoteHidesSecrets(t *testing.T) {
	a := attempt.Begin("x")
	a.Hide("", "token", "token-more")
	if got := a.Quote([]byte("a token, and more"), 12); got != `"a [secret..."` {
		t.Errorf("%s", got)
	}
	if got := a.Quote([]byte("token-more"), 12); got != `"[secret]"` {
		t.Errorf("%s, expected nothing left of the longer secret", got)
	}
}

func FuzzClip(f *testing.F) {
	for i, seed := range []string{
		"", "a", "   ", "abc", "abcdef", "äöü", "日本語のテキスト", "\x00", "\xff\xfe", "a\nb", "\x1b[2J", "a\tb", "\u202eabc", "\u00a0x",
		strings.Repeat("x", 300), strings.Repeat("ü", 99), "…", "a\u0301", "\xf0\x9f\x98", "😀😀😀", "x ", " x",
	} {
		f.Add(seed, 3+i)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 3 || limit > 1000 {
			return
		}
		got := attempt.Clip(text, limit)
		switch {
		case len(got) > limit || !utf8.ValidString(got):
			t.Fatalf("%q to %d: %q", text, limit, got)
		case strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }):
			t.Fatalf("%q: %q is not printable", text, got)
		case attempt.Clip(got, limit) != got:
			t.Fatalf("%q: %q clips again to %q", text, got, attempt.Clip(got, limit))
		}
	})
}
