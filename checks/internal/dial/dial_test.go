package dial_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/dial"
)

type addresses []string

func (a addresses) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, text := range a {
		all = append(all, netip.MustParseAddr(text))
	}
	return all, nil
}

// TestNextAddress requires that an address that refuses does not hide one
// that accepts, and that no more than eight are tried.
func TestNextAddress(t *testing.T) {
	s := checktest.Hang(t, "tcp")
	many := addresses{"::1", "::1", "::1", "::1", "::1", "::1", "::1", "127.0.0.1"}
	for _, c := range []struct {
		name string
		all  addresses
		ok   bool
	}{
		{"second", addresses{"::1", "127.0.0.1"}, true},
		{"mapped", addresses{"::ffff:127.0.0.1"}, true},
		{"eighth", many, true},
		{"ninth", append(addresses{"::1"}, many...), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var evidence checks.Evidence
			target := checks.Target{Name: "x@endpoint.test", Host: "endpoint.test", Port: s.Target.Port}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			conn, err := dial.Dialer{Resolver: c.all}.Dial(ctx, "tcp", target, 0, &evidence)
			var failed *dial.Error
			switch {
			case c.ok && err != nil:
				t.Fatal(err)
			case !c.ok && !errors.As(err, &failed):
				t.Fatalf("%v, expected a dial.Error", err)
			case c.ok:
				_ = conn.Close()
				if want := netip.MustParseAddr("127.0.0.1"); netip.MustParseAddrPort(evidence.Address).Addr() != want {
					t.Errorf("the evidence has %s, expected %s", evidence.Address, want)
				}
			}
		})
	}
}

// TestConnectionEndsWithContext requires that a read ends with the context,
// and that a released connection outlives it.
func TestConnectionEndsWithContext(t *testing.T) {
	s := checktest.Hang(t, "tcp")
	for name, release := range map[string]bool{"bound": false, "released": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			conn, err := dial.Dialer{}.Dial(ctx, "tcp", s.Target, 0, new(checks.Evidence))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if release && !dial.Release(conn) {
				t.Fatal("not released, though the context goes on")
			}
			ended := make(chan error, 1)
			go func() {
				_, err := conn.Read(make([]byte, 1))
				ended <- err
			}()
			cancel()
			if !release {
				if err := <-ended; err == nil {
					t.Error("a read went on after the context")
				}
				if dial.Release(conn) {
					t.Error("released after the context had ended")
				}
				return
			}
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Errorf("%v, expected the connection to outlive the context", err)
			}
		})
	}
}
