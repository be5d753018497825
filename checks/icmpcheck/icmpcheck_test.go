package icmpcheck

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/dial"
)

const rtt = 10 * time.Millisecond

func number(n int) *int { return &n }

func echoes(_ int, v6 bool, message []byte) ([]packet, error) {
	return []packet{{message: replyTo(v6, message), after: rtt}}, nil
}

func silent(int, bool, []byte) ([]packet, error) { return nil, nil }

func prober(t *testing.T, c Config, o opener) *Prober {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	p.open = o
	return p
}

var either = []string{"udp", "raw"}

// TestContract holds the fake network to what the real one is held to.
func TestContract(t *testing.T) {
	for _, host := range []string{"192.0.2.1", "2001:db8::1"} {
		p := prober(t, Config{}, network(echoes, either...))
		hung := prober(t, Config{}, network(silent, either...))
		contract(t, subject{up: p, hung: hung, upAt: host, hungAt: host})
	}
}

// subject is what the contract needs: a prober and a host that answers it, and
// one that does not.
type subject struct {
	up, hung     checks.Prober
	upAt, hungAt string
}

// contract is that of checktest, as far as a protocol without ports, and
// without a server that could misbehave, has it.
func contract(t *testing.T, s subject) {
	up := checks.Target{Name: "host@" + s.upAt, Host: s.upAt}
	hung := checks.Target{Name: "host@" + s.hungAt, Host: s.hungAt}
	t.Run("up/"+s.upAt, func(t *testing.T) {
		r := checktest.Probe(t, s.up, up, 30*time.Second)
		checktest.Expect(t, r, checks.Up, "ICMP echo to "+s.upAt+" was answered 3 of 3 times")
		if r.Evidence.Address != s.upAt || r.Evidence.FirstByte <= 0 || r.Evidence.Detail == "" {
			t.Errorf("%+v", r.Evidence)
		}
	})
	t.Run("hung/"+s.hungAt, func(t *testing.T) {
		checktest.Expect(t, checktest.Probe(t, s.hung, hung, 150*time.Millisecond), checks.Down, "timed out after", "waiting for a reply (3 sent)")
	})
	t.Run("cancelled/"+s.hungAt, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		r := s.hung.Probe(ctx, hung)
		checktest.Valid(t, r)
		checktest.Expect(t, r, checks.Unknown, "cancelled")
	})
	t.Run("ended before/"+s.upAt, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), -1)
		defer cancel()
		r := s.up.Probe(ctx, up)
		checktest.Valid(t, r)
		checktest.Expect(t, r, checks.Unknown, "not tried")
	})
	t.Run("concurrent/"+s.upAt, func(t *testing.T) {
		done := make(chan struct{})
		for i := range 24 {
			go func() {
				defer func() { done <- struct{}{} }()
				if i%4 == 0 {
					checktest.Expect(t, checktest.Probe(t, s.hung, hung, 150*time.Millisecond), checks.Down)
					return
				}
				checktest.Expect(t, checktest.Probe(t, s.up, up, 30*time.Second), checks.Up, "3 of 3")
			}()
		}
		for range 24 {
			<-done
		}
	})
}

// TestProbe tells what comes back from what is counted. An answer of a stranger
// comes before, or instead of, the true one.
func TestProbe(t *testing.T) {
	router := netip.MustParseAddr("198.51.100.1")
	spoiled := func(spoil func(v6 bool, reply []byte) []byte) func(int, bool, []byte) ([]packet, error) {
		return func(_ int, v6 bool, m []byte) ([]packet, error) {
			return []packet{{message: spoil(v6, replyTo(v6, m)), after: rtt}}, nil
		}
	}
	faulty := func(kind, code uint8, keep int) func(int, bool, []byte) ([]packet, error) {
		return func(_ int, v6 bool, m []byte) ([]packet, error) {
			return []packet{{message: m[:keep], about: &fault{v6: v6, kind: kind, code: code, from: router}, after: rtt}}, nil
		}
	}
	only := func(which ...int) func(int, bool, []byte) ([]packet, error) {
		return func(n int, v6 bool, m []byte) ([]packet, error) {
			for _, w := range which {
				if n == w {
					return echoes(n, v6, m)
				}
			}
			return nil, nil
		}
	}
	for _, c := range []struct {
		name    string
		config  Config
		network func(int, bool, []byte) ([]packet, error)
		health  checks.Health
		words   string
		took    time.Duration // of the probe
	}{
		{"all", Config{}, echoes, checks.Up, "was answered 3 of 3 times, after 10ms on average", 2*spacing + rtt},
		{"one", Config{Count: 1, Size: 16}, echoes, checks.Up, "1 of 1 times", rtt},
		{"some lost", Config{}, only(0, 2), checks.Up, "2 of 3 times", time.Second},
		{"some lost, asked", Config{WarnLoss: number(0)}, only(0, 2), checks.Degraded, "33% were lost, expected at most 0%", time.Second},
		{"some lost, not too many", Config{WarnLoss: number(33), Count: 4}, only(0, 1, 2), checks.Up, "3 of 4", time.Second},
		{"half lost", Config{Count: 4}, only(0, 2), checks.Up, "2 of 4 times", time.Second},
		{"too many lost", Config{}, only(2), checks.Down, "was answered 1 of 3 times, after 10ms on average; 66% were lost, expected at most 50%", time.Second},
		{"one too many", Config{MaxLoss: number(0)}, only(0, 1), checks.Down, "33% were lost, expected at most 0%", time.Second},
		{"twice", Config{}, func(_ int, v6 bool, m []byte) ([]packet, error) {
			return []packet{{message: replyTo(v6, m), after: rtt}, {message: replyTo(v6, m), after: 3 * rtt}}, nil
		}, checks.Up, "3 of 3 times, after 10ms on average", 2*spacing + rtt},
		{"in half of the time", Config{Count: 20}, echoes, checks.Up, "20 of 20", 19*time.Second/40 + rtt},
		{"out of order", Config{}, func(n int, v6 bool, m []byte) ([]packet, error) {
			return []packet{{message: replyTo(v6, m), after: time.Duration(3-n) * 100 * time.Millisecond}}, nil
		}, checks.Up, "3 of 3", 300 * time.Millisecond},
		{"too late", Config{}, func(_ int, v6 bool, m []byte) ([]packet, error) {
			return []packet{{message: replyTo(v6, m), after: 2 * time.Second}}, nil
		}, checks.Down, "timed out", time.Second},
		{"another id", Config{}, spoiled(func(_ bool, m []byte) []byte { return edited(m, 4) }), checks.Down, "timed out", time.Second},
		{"another sequence number", Config{}, spoiled(func(_ bool, m []byte) []byte { return edited(m, 6) }), checks.Down, "timed out", time.Second},
		{"other bytes", Config{}, spoiled(func(_ bool, m []byte) []byte { return edited(m, 20) }), checks.Down, "timed out", time.Second},
		{"fewer bytes", Config{}, spoiled(func(_ bool, m []byte) []byte { return m[:len(m)-1] }), checks.Down, "timed out", time.Second},
		{"more bytes", Config{}, spoiled(func(_ bool, m []byte) []byte { return append(m, 0) }), checks.Down, "timed out", time.Second},
		{"the request itself", Config{}, func(_ int, v6 bool, m []byte) ([]packet, error) {
			return []packet{{message: m, after: rtt}}, nil
		}, checks.Down, "timed out", time.Second},
		{"no message", Config{}, spoiled(func(bool, []byte) []byte { return nil }), checks.Down, "timed out", time.Second},
		{"a stranger before", Config{}, func(_ int, v6 bool, m []byte) ([]packet, error) {
			return []packet{{message: edited(replyTo(v6, m), 20), after: rtt / 2}, {message: replyTo(v6, m), after: rtt}}, nil
		}, checks.Up, "3 of 3", 2*spacing + rtt},
		{"unreachable", Config{}, faulty(1, 3, 64), checks.Down, "says 198.51.100.1", 2*spacing + rtt},
		{"unreachable, told shortly", Config{}, faulty(3, 1, 8), checks.Down, "says 198.51.100.1", 2*spacing + rtt},
		{"about another's echo", Config{}, func(_ int, v6 bool, m []byte) ([]packet, error) {
			return []packet{{message: edited(m, 30), about: &fault{v6: v6, kind: 3}, after: rtt}}, nil
		}, checks.Down, "timed out", time.Second},
		{"unreachable at first", Config{}, func(n int, v6 bool, m []byte) ([]packet, error) {
			if n == 0 {
				return faulty(3, 1, 64)(n, v6, m)
			}
			return echoes(n, v6, m)
		}, checks.Up, "2 of 3", 2*spacing + rtt},
		{"an error before the answer", Config{}, func(n int, v6 bool, m []byte) ([]packet, error) {
			return []packet{{message: m, about: &fault{v6: v6, kind: 3}, after: rtt / 2}, {message: replyTo(v6, m), after: rtt}}, nil
		}, checks.Up, "2 of 3", 2*spacing + rtt/2},
		{"no route here", Config{}, func(int, bool, []byte) ([]packet, error) { return nil, syscall.ENETUNREACH }, checks.Down, "network is unreachable", 0},
		{"a firewall here", Config{}, func(int, bool, []byte) ([]packet, error) { return nil, syscall.EPERM }, checks.Unknown, "this host's own trouble", 0},
	} {
		for _, host := range []string{"192.0.2.1", "2001:db8::1"} {
			t.Run(c.name+"/"+host, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					r := prober(t, c.config, network(c.network, either...)).Probe(ctx, checks.Target{Name: "x", Host: host})
					if c.took == 0 {
						r.Latency++ // Time stands still in the bubble.
					}
					checktest.Valid(t, r)
					checktest.Expect(t, r, c.health, c.words)
					if took := time.Since(start); took != c.took {
						t.Errorf("it took %s, expected %s", took, c.took)
					}
					if r.Health == checks.Up && c.name == "all" && r.Latency != rtt {
						t.Errorf("the latency is %s, expected the mean of the replies, %s", r.Latency, rtt)
					}
				})
			})
		}
	}
}

// TestPermission requires that what this process may not do is no trouble of
// the endpoint, and that auto takes what is permitted.
func TestPermission(t *testing.T) {
	for _, c := range []struct {
		asked     string
		permitted []string
		health    checks.Health
		words     []string
	}{
		{"auto", []string{"udp"}, checks.Up, nil},
		{"auto", []string{"raw"}, checks.Up, nil},
		{"", either, checks.Up, nil},
		{"udp", []string{"raw"}, checks.Unknown, []string{"may not send ICMP", "net.ipv4.ping_group_range"}},
		{"raw", []string{"udp"}, checks.Unknown, []string{"may not send ICMP", "CAP_NET_RAW"}},
		{"auto", nil, checks.Unknown, []string{"net.ipv4.ping_group_range", "CAP_NET_RAW"}},
	} {
		p := prober(t, Config{Privileged: c.asked, Count: 1}, network(echoes, c.permitted...))
		checktest.Expect(t, checktest.Probe(t, p, checks.Target{Name: "x", Host: "192.0.2.1"}, time.Minute), c.health, c.words...)
	}
	p := prober(t, Config{}, func(string, netip.Addr) (socket, error) { return nil, &openError{syscall.EMFILE} })
	checktest.Expect(t, checktest.Probe(t, p, checks.Target{Name: "x", Host: "192.0.2.1"}, time.Minute), checks.Unknown, "own trouble", "too many open files")
	p = prober(t, Config{}, func(string, netip.Addr) (socket, error) { return nil, syscall.EACCES })
	if r := p.Probe(t.Context(), checks.Target{Host: "192.0.2.1"}); errors.Is(syscall.EACCES, errDenied) || r.Health != checks.Unknown {
		t.Errorf("%+v", r)
	}
	p = prober(t, Config{}, func(string, netip.Addr) (socket, error) { return nil, errors.ErrUnsupported })
	checktest.Expect(t, checktest.Probe(t, p, checks.Target{Name: "x", Host: "192.0.2.1"}, time.Minute), checks.Unknown, "on Linux only")
}

// TestRealSocket probes loopback by whatever this process may do: where that
// is nothing, the result must say so.
func TestRealSocket(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		for _, kind := range either {
			p := prober(t, Config{Privileged: kind, Count: 2}, open)
			r := checktest.Probe(t, p, checks.Target{Name: "x", Host: host}, 30*time.Second)
			if r.Health == checks.Unknown {
				checktest.Expect(t, r, checks.Unknown, "could not be tried")
				continue
			}
			checktest.Expect(t, r, checks.Up, "2 of 2")
		}
	}
}

type resolver func(ctx context.Context) ([]netip.Addr, error)

func (r resolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) { return r(ctx) }

// TestName requires that an address that does not answer does not hide the
// next.
func TestName(t *testing.T) {
	good, bad := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for _, c := range []struct {
		name    string
		resolve resolver
		health  checks.Health
		words   string
		took    time.Duration
	}{
		{"first", func(context.Context) ([]netip.Addr, error) { return []netip.Addr{good, bad}, nil }, checks.Up, "endpoint.test was answered", 110 * time.Millisecond},
		{"second", func(context.Context) ([]netip.Addr, error) { return []netip.Addr{bad, good}, nil }, checks.Up, "was answered", time.Second/2 + 110*time.Millisecond},
		{"neither", func(context.Context) ([]netip.Addr, error) { return []netip.Addr{bad, bad}, nil }, checks.Down, "timed out after 1s while waiting for a reply (3 sent) (192.0.2.2)", time.Second},
		{"none", func(context.Context) ([]netip.Addr, error) { return nil, nil }, checks.Down, "no address", 0},
		{"hung", func(ctx context.Context) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() }, checks.Down, "resolving", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				p := prober(t, Config{}, func(kind string, to netip.Addr) (socket, error) {
					if to == good {
						return network(echoes, either...)(kind, to)
					}
					return network(silent, either...)(kind, to)
				})
				p.UseResolver(dial.Resolver(c.resolve))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				r := p.Probe(ctx, checks.Target{Name: "host@endpoint.test", Host: "endpoint.test"})
				checktest.Expect(t, r, c.health, c.words)
				if took := time.Since(start); took != c.took {
					t.Errorf("it took %s, expected %s", took, c.took)
				}
			})
		})
	}
}
