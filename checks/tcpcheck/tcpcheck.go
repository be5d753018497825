// Package tcpcheck checks that an endpoint accepts a TCP connection and, where
// asked, that it answers as expected.
package tcpcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

// maxReads bounds how many pieces an answer may come in, since each is
// followed by a search of all that came.
const maxReads = 1024

// Prober is a checks.Prober and a checks.Watcher. It holds no connection
// between probes, and is safe for concurrent use.
type Prober struct {
	send    []byte
	expect  []byte
	matches *regexp.Regexp
	limit   int
	dialer  dial.Dialer
}

// New makes a prober of a config that Check finds nothing wrong with.
func New(c Config) (*Prober, error) {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("tcp check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p := &Prober{send: []byte(c.Send), expect: []byte(c.Expect), limit: c.MaxRead}
	if c.MaxRead == 0 {
		p.limit = DefaultMaxRead
	}
	if c.Matches != "" {
		p.matches = regexp.MustCompile(c.Matches) // Check compiled it already.
	}
	return p, nil
}

// Resolver turns host names into addresses; *net.Resolver is one.
type Resolver = dial.Resolver

// UseResolver makes the prober resolve host names by r rather than by the
// system. It must not be called while probes run.
func (p *Prober) UseResolver(r Resolver) { p.dialer.Resolver = r }

// Probe connects, sends and reads. The latency is that of the whole probe.
func (p *Prober) Probe(ctx context.Context, t checks.Target) checks.Result {
	a := attempt.Begin("TCP " + net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))))
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	conn, err := p.dialer.Dial(ctx, "tcp", t, 0, &a.Evidence)
	if err != nil {
		return a.Fail(ctx, "", err)
	}
	defer conn.Close()
	if len(p.send) > 0 {
		if _, err := conn.Write(p.send); err != nil {
			return a.Fail(ctx, "sending "+attempt.Bytes(len(p.send)), err)
		}
	}
	if len(p.expect) == 0 && p.matches == nil {
		return a.End(checks.Up, "accepted a connection after %s", a.Elapsed())
	}
	return p.read(ctx, a, conn)
}

// read reads until the answer is as expected or cannot become so.
func (p *Prober) read(ctx context.Context, a *attempt.Attempt, conn net.Conn) checks.Result {
	start, chunk := time.Now(), make([]byte, min(p.limit, 4<<10))
	var got []byte
	for reads := 1; ; reads++ {
		n, err := conn.Read(chunk[:min(len(chunk), p.limit-len(got))])
		if n > 0 && len(got) == 0 {
			a.Evidence.FirstByte = time.Since(start)
		}
		got = append(got, chunk[:n]...)
		if n > 0 && p.satisfied(got) {
			a.Evidence.Detail = a.Quote(got, 128)
			return a.End(checks.Up, "answered %s as expected after %s", a.Quote(got, 64), a.Elapsed())
		}
		switch {
		case err == nil && len(got) < p.limit && reads < maxReads:
			continue
		case err != nil && !errors.Is(err, io.EOF) || len(got) == 0:
			return a.Fail(ctx, p.waiting(a, got), err)
		}
		a.Evidence.Detail = a.Quote(got, 128)
		return a.End(checks.Down, "answered %s (%s read) after %s, expected %s",
			a.Quote(got, 64), attempt.Bytes(len(got)), a.Elapsed(), p.expected())
	}
}

func (p *Prober) satisfied(got []byte) bool {
	return bytes.Contains(got, p.expect) && (p.matches == nil || p.matches.Match(got))
}

func (p *Prober) waiting(a *attempt.Attempt, got []byte) string {
	if len(got) == 0 {
		return "waiting for an answer, expected " + p.expected()
	}
	return "waiting for the rest of the answer " + a.Quote(got, 64) + ", expected " + p.expected()
}

func (p *Prober) expected() string {
	switch {
	case p.matches == nil:
		return strconv.Quote(attempt.Clip(string(p.expect), 64))
	case len(p.expect) == 0:
		return "a match of " + p.matches.String()
	}
	return strconv.Quote(attempt.Clip(string(p.expect), 64)) + " and a match of " + p.matches.String()
}

// Watch implements checks.Watcher.
func (p *Prober) Watch(ctx context.Context, t checks.Target) error {
	return p.dialer.Watch(ctx, t, 0, nil)
}
