package authority

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/regions/steering"
)

// allowBench serves three zones: one to all that the server allows, one to
// others, and one to everybody.
func allowBench(t *testing.T, way string) *Server {
	t.Helper()
	dir := t.TempDir()
	c := Config{Listen: []string{"127.0.0.1:0"}, Allow: []string{"127.0.0.0/30", "192.0.2.0/24"}, Identity: "ns1", Fast: way}
	for name, z := range map[string]Zone{
		"inner.test": {Allow: []string{"127.0.0.8/29"}}, "outer.test": {Allow: []string{"0.0.0.0/0", "::/0"}}, "plain.test": {},
	} {
		z.Name, z.File = name, filepath.Join(dir, name)
		text := smallHead + "www A 192.0.2.1\nto CNAME www.inner.test.\n"
		if err := os.WriteFile(z.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Zones = append(c.Zones, z)
	}
	s := startServer(t, c, Options{})
	s.Update(mustShards(t, "app.plain.test. A 30 192.0.2.1"))
	return s
}

// TestAllow: each zone answers those whom it, or else the server, allows; all
// others are refused, the same on both paths, and after a reload too.
func TestAllow(t *testing.T) {
	for _, way := range ways {
		s := allowBench(t, way)
		for range 2 {
			for _, c := range []struct{ client, name, want string }{
				{"127.0.0.1", "www.plain.test.", "NOERROR 1"},
				{"127.0.0.1", "app.plain.test.", "NOERROR 1"},
				{"127.0.0.1", "nowhere.plain.test.", "NXDOMAIN 0"},
				{"127.0.0.1", "to.plain.test.", "NOERROR 1"}, // what it leads to is not for this client
				{"127.0.0.9", "to.outer.test.", "NOERROR 2"},
				{"127.0.0.1", "www.inner.test.", "REFUSED 0 EDE=18 "},
				{"127.0.0.1", "elsewhere.test.", "REFUSED 0"},
				{"127.0.0.9", "www.plain.test.", "REFUSED 0 EDE=18 "},
				{"127.0.0.9", "app.plain.test.", "REFUSED 0 EDE=18 "},
				{"127.0.0.9", "nowhere.plain.test.", "REFUSED 0 EDE=18 "},
				{"127.0.0.9", "www.inner.test.", "NOERROR 1"},
				{"127.0.0.9", "elsewhere.test.", "REFUSED 0 EDE=18 "},
				{"127.0.0.9", "www.outer.test.", "NOERROR 1"},
			} {
				for _, a := range s.Addrs() {
					if got := askFrom(t, a.Network(), a.String(), c.client, c.name); got != c.want {
						t.Errorf("%s, %s asks %s over %s: %q, want %q", way, c.client, c.name, a.Network(), got, c.want)
					}
				}
			}
			if _, err := reload(s); err != nil {
				t.Fatal(err)
			}
			s.Update([]steering.Shard{shard(t, 1, 2, 1, "app.plain.test. A 30 192.0.2.7")})
		}
	}
}

// askFrom asks from an address, and returns the rcode, how many records the
// answer has, and its options.
func askFrom(t *testing.T, network, server, client, name string) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA).SetEdns0(1232, false)
	c := dns.Client{Net: network, Dialer: dialerFrom(network, client)}
	r, _, err := c.Exchange(m, server)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(append([]string{dns.RcodeToString[r.Rcode], fmt.Sprint(len(r.Answer))}, options(r)...), " ")
}

// TestWhoMayNotAskLearnsNothing: who the server is, it does not tell them
// either; and a query without EDNS(0) gets no option.
func TestWhoMayNotAskLearnsNothing(t *testing.T) {
	s := allowBench(t, FastAuto)
	asks := func(client string, m *dns.Msg) *dns.Msg {
		c := dns.Client{Dialer: dialerFrom("udp", client)}
		r, _, err := c.Exchange(m, s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := asks("127.0.0.1", chaosQuery("id.server.", dns.TypeTXT)); len(r.Answer) != 1 {
		t.Errorf("id.server is hidden from whom may ask: %v", r)
	}
	if r := asks("127.0.0.9", chaosQuery("id.server.", dns.TypeTXT)); r.Rcode != dns.RcodeRefused || len(r.Answer) != 0 {
		t.Errorf("id.server is told to whom may not ask: %v", r)
	}
	m := new(dns.Msg)
	m.SetQuestion("www.plain.test.", dns.TypeA).SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	if got := options(asks("127.0.0.9", m)); !slices.Equal(got, []string{"EDE=18 "}) {
		t.Errorf("who may not ask is told %v", got)
	}
	m.Extra = nil
	if r := asks("127.0.0.9", m); r.Rcode != dns.RcodeRefused || len(r.Extra) != 0 {
		t.Errorf("without EDNS(0): %v", r)
	}
}

// TestNetworks against a search through the list.
func TestNetworks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := rapid.Custom(func(t *rapid.T) netip.Addr {
			if rapid.Bool().Draw(t, "v4") {
				return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr")))
			}
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr"))).Unmap()
		})
		var list []string
		var prefixes []netip.Prefix
		for range rapid.IntRange(1, 8).Draw(t, "networks") {
			a := addr.Draw(t, "network")
			p, err := a.Prefix(rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
			if err != nil {
				t.Fatal(err)
			}
			list, prefixes = append(list, p.String()), append(prefixes, p)
		}
		n := newNetworks(list)
		ask := append([]netip.Addr{addr.Draw(t, "asks"), {}}, prefixes[0].Addr(), prefixes[0].Addr().Prev(), prefixes[0].Addr().Next())
		for _, a := range ask {
			if want := slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) }); n.have(a) != want {
				t.Errorf("%v have %s: %v, want %v", list, a, n.have(a), want)
			}
		}
	})
	if !newNetworks(nil).have(netip.Addr{}) {
		t.Error("no list does not allow everybody")
	}
}

// TestMutantAllow: a fast path that allows others than the general one is found.
func TestMutantAllow(t *testing.T) {
	for _, open := range []string{"", "child.knots.test.", "knots.test."} {
		synctest.Test(t, func(t *testing.T) {
			table, rrs := manyZones(t)
			planted, _ := manyZones(t)
			if open == "" {
				planted.allow = nil
			}
			for _, z := range planted.zones {
				if z.apex.String() == open {
					z.allow = newNetworks([]string{"2001:db9::/32"})
				}
			}
			time.Sleep(time.Second)
			g := newGenerator(11, rrs, ".")
			for range 100_000 {
				m := g.query()
				if g.rng.IntN(8) == 0 {
					m.Question[0].Name = "elsewhere."
				}
				packet, err := m.Pack()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := twoTables(table, planted, packet, true, g.rng.Uint64()); err != nil {
					t.Logf("%q: %v", open, err)
					return
				}
			}
			t.Errorf("%q: the search proves nothing: it does not see the planted fault", open)
		})
	}
}

func dialerFrom(network, client string) *net.Dialer {
	addr := netip.AddrPortFrom(netip.MustParseAddr(client), 0)
	d := &net.Dialer{Timeout: 10 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(addr)}
	if network == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(addr)
	}
	return d
}
