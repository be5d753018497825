// Package checktest is the contract of checks.Prober and checks.Watcher as a
// suite of tests that every checker of an address passes: one time-out covers
// the whole probe, every result has a reason, input is bounded, and what the
// endpoint did is told from what the prober suffered.
//
// It uses loopback addresses only, IPv4 and IPv6, and asserts on no duration.
package checktest

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/dial"
)

// Kit is what the suite needs of a checker.
type Kit struct {
	// Network is tcp or udp.
	Network string
	// New makes a prober that expects the answer of a server that Serve starts.
	New func(t *testing.T) checks.Prober
	// Serve starts a server, as an endpoint that is up, on a free port of host
	// until the test ends.
	Serve func(t *testing.T, host string) checks.Target
	// Indirect is set where the server is not the endpoint itself but one that
	// is asked about it, whose failure leaves the endpoint unknown.
	Indirect bool
	// Drip is how an answer starts that comes a byte at a time, without end.
	Drip string
	// Flood is how an endless answer of the protocol starts.
	Flood string
}

// short is the time-out of probes that must run into it.
const short = 150 * time.Millisecond

// ample is the time-out of probes that must not.
const ample = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, k Kit) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run("up/"+host, k.up(host))
		t.Run("refused/"+host, k.refused(host))
	}
	t.Run("name", k.name)
	t.Run("hung", func(t *testing.T) { k.timesOut(t, Hang(t, k.Network)) })
	t.Run("drips", func(t *testing.T) { k.timesOut(t, Drip(t, k.Network, k.Drip)) })
	t.Run("flood", k.flood)
	if k.Network == "tcp" {
		t.Run("closed", func(t *testing.T) { k.fails(t, Close(t)) })
		t.Run("reset", func(t *testing.T) { k.fails(t, Reset(t)) })
	}
	t.Run("cancelled", k.cancelled)
	t.Run("ended before", k.endedBefore)
	t.Run("concurrent", k.concurrent)
	if _, ok := k.New(t).(checks.Watcher); ok {
		t.Run("watch", k.watch)
	}
}

// failed is what the failure of the server makes of the endpoint.
func (k Kit) failed() checks.Health {
	if k.Indirect {
		return checks.Unknown
	}
	return checks.Down
}

// Probe probes once with the time-out and requires of the result what every
// result must hold.
func Probe(t *testing.T, p checks.Prober, target checks.Target, timeout time.Duration) checks.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r := p.Probe(ctx, target)
	Valid(t, r)
	return r
}

// Valid requires what every result must hold.
func Valid(t testing.TB, r checks.Result) {
	t.Helper()
	switch {
	case len(r.Reason) < 10 || len(r.Reason) > 600:
		t.Errorf("the reason has %d bytes, expected a sentence: %q", len(r.Reason), r.Reason)
	case strings.ContainsFunc(r.Reason+r.Evidence.Detail, func(c rune) bool { return !unicode.IsPrint(c) }):
		t.Errorf("the reason or detail is not printable: %q, %q", r.Reason, r.Evidence.Detail)
	case len(r.Evidence.Detail) > 256:
		t.Errorf("the detail has %d bytes, expected at most 256", len(r.Evidence.Detail))
	case r.Latency <= 0:
		t.Errorf("the latency is %s", r.Latency)
	}
}

// Expect requires a health, and words in the reason.
func Expect(t testing.TB, r checks.Result, health checks.Health, words ...string) {
	t.Helper()
	if r.Health != health {
		t.Errorf("%s, expected %s: %s", r.Health, health, r.Reason)
	}
	for _, text := range words {
		if !strings.Contains(r.Reason, text) {
			t.Errorf("the reason lacks %q: %s", text, r.Reason)
		}
	}
}

func (k Kit) up(host string) func(*testing.T) {
	return func(t *testing.T) {
		target := k.Serve(t, host)
		r := Probe(t, k.New(t), target, ample)
		Expect(t, r, checks.Up)
		want := netip.AddrPortFrom(netip.MustParseAddr(host), target.Port).String()
		if r.Evidence.Address != want {
			t.Errorf("the evidence has address %q, expected %q", r.Evidence.Address, want)
		}
		if r.Evidence.Connect <= 0 {
			t.Errorf("the evidence has no time to connect: %+v", r.Evidence)
		}
	}
}

func (k Kit) refused(host string) func(*testing.T) {
	return func(t *testing.T) {
		Expect(t, Probe(t, k.New(t), Refused(t, k.Network, host), ample), k.failed(), "connection refused")
	}
}

func (k Kit) timesOut(t *testing.T, s *Server) {
	r := Probe(t, k.New(t), s.Target, short)
	Expect(t, r, k.failed(), "timed out")
	if k.Network == "tcp" {
		s.AwaitGone(t)
	}
}

func (k Kit) fails(t *testing.T, s *Server) {
	Expect(t, Probe(t, k.New(t), s.Target, ample), k.failed(), "while")
}

func (k Kit) flood(t *testing.T) {
	s := Flood(t, k.Network, k.Flood)
	r := Probe(t, k.New(t), s.Target, ample)
	if r.Health == checks.Unknown && !k.Indirect {
		t.Errorf("unknown after a flood: %s", r.Reason)
	}
	if k.Network == "tcp" {
		s.AwaitGone(t)
	}
}

func (k Kit) cancelled(t *testing.T) {
	s := Hang(t, k.Network)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		s.AwaitCaller(t)
		cancel()
	}()
	r := k.New(t).Probe(ctx, s.Target)
	Valid(t, r)
	Expect(t, r, checks.Unknown, "cancelled")
}

func (k Kit) endedBefore(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	r := k.New(t).Probe(ctx, k.Serve(t, "127.0.0.1"))
	Valid(t, r)
	Expect(t, r, checks.Unknown, "not tried")
}

func (k Kit) concurrent(t *testing.T) {
	p, good, hung := k.New(t), k.Serve(t, "127.0.0.1"), Hang(t, k.Network)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			if i%4 == 0 {
				Expect(t, Probe(t, p, hung.Target, short), k.failed())
				return
			}
			Expect(t, Probe(t, p, good, ample), checks.Up)
		})
	}
	wg.Wait()
}

// resolver answers every name alike.
type resolver func(ctx context.Context) ([]netip.Addr, error)

func (r resolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) { return r(ctx) }

// name requires that host names are resolved within the probe, and that one
// address that refuses does not hide the next.
func (k Kit) name(t *testing.T) {
	good := k.Serve(t, "127.0.0.1")
	target := checks.Target{Name: "web@endpoint.test", Host: "endpoint.test", Port: good.Port}
	for _, c := range []struct {
		name    string
		resolve resolver
		timeout time.Duration
		health  checks.Health
		words   string
	}{
		{"found", func(context.Context) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}, ample, checks.Up, "endpoint.test"},
		{"none", func(context.Context) ([]netip.Addr, error) { return nil, nil }, ample, k.failed(), "no address"},
		{"error", func(context.Context) ([]netip.Addr, error) {
			return nil, errors.New("no such host")
		}, ample, k.failed(), "no such host"},
		{"hung", func(ctx context.Context) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, short, k.failed(), "resolving"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := k.New(t)
			p.(interface{ UseResolver(dial.Resolver) }).UseResolver(c.resolve)
			Expect(t, Probe(t, p, target, c.timeout), c.health, c.words)
		})
	}
}
