//go:build linux

package authority

import (
	"net"
	"testing"
)

// TestFreebind: addresses that no interface has are bound, IPv6 too, for UDP
// and TCP and TLS, each with several sockets.
func TestFreebind(t *testing.T) {
	c, _ := secureConfig(t)
	c.Listen = []string{"192.0.2.53:0", "[2001:db8::53]:0"}
	c.TLS.Listen = []string{"192.0.2.53:0", "[2001:db8::53]:0"}
	c.Sockets = 3
	if err := newServer(t, c, Options{}).Run(t.Context()); err == nil {
		t.Fatal("this host has the addresses, so that the test shows nothing")
	}
	c.Freebind = true
	s := startServer(t, c, Options{})
	for i, a := range s.Addrs() {
		host, _, err := net.SplitHostPort(a.String())
		want := "192.0.2.53"
		if i == 2 || i == 3 || i == 5 {
			want = "2001:db8::53"
		}
		if err != nil || host != want {
			t.Errorf("address %d is %s, %v; want %s", i, a, err, want)
		}
	}
}
