package authority

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/miekg/dns"
)

// proxied makes a header: of what client asks over a stream or by datagrams, or,
// where it is not valid, of what the proxy asks itself.
func proxied(client netip.AddrPort, stream bool, more []byte) []byte {
	var body []byte
	command, family := byte(0x20), byte(0)
	if client.IsValid() {
		command, family = 0x21, 0x10
		if client.Addr().Is6() {
			family = 0x20
		}
		if family |= 2; stream {
			family--
		}
		local := netip.MustParseAddr("203.0.113.53")
		if client.Addr().Is6() {
			local = netip.MustParseAddr("2001:db8:53::53")
		}
		body = append(append(body, client.Addr().AsSlice()...), local.AsSlice()...)
		body = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(body, client.Port()), 53)
	}
	body = append(body, more...)
	out := append([]byte{0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a}, command, family)
	return append(binary.BigEndian.AppendUint16(out, uint16(len(body))), body...)
}

// FuzzProxied: whatever comes, a header that is taken is the one that the
// encoder makes of what was read; one that the encoder makes is taken, whole and
// byte by byte, and cut short it is not.
func FuzzProxied(f *testing.F) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:4711"), netip.MustParseAddrPort("[2001:db8::1]:53")
	for _, more := range [][]byte{nil, {3, 0, 4, 1, 2, 3, 4}, bytes.Repeat([]byte{4, 0, 1, 0}, 400), bytes.Repeat([]byte{9}, proxyMost)} {
		for _, client := range []netip.AddrPort{v4, v6, {}} {
			h := proxied(client, len(more)%2 == 0, more)
			f.Add(append(slices.Clone(h), "and a query"...), client.Addr().AsSlice(), client.Port(), more)
			for _, at := range []int{0, 11, 12, 13, 14, 15} {
				spoiled := slices.Clone(h)
				spoiled[at] ^= 0x30
				f.Add(spoiled, client.Addr().AsSlice(), client.Port(), more)
			}
		}
	}
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 4711 53\r\n"), []byte{1, 2, 3}, uint16(0), []byte{})
	f.Fuzz(func(t *testing.T, b, address []byte, port uint16, more []byte) {
		client, size, err := parseProxied(b)
		if err == nil {
			checkProxied(t, b, client, size)
		}
		addr, _ := netip.AddrFromSlice(address)
		want := netip.AddrPort{}
		if addr.IsValid() {
			want = netip.AddrPortFrom(addr, port)
		}
		h := proxied(want, port%2 == 0, more)
		want = netip.AddrPortFrom(addr.Unmap(), port)
		if !addr.IsValid() {
			want = netip.AddrPort{}
		}
		client, size, err = parseProxied(append(slices.Clone(h), b...))
		streamed, streamErr := readProxied(iotest.OneByteReader(bytes.NewReader(append(slices.Clone(h), b...))))
		if len(h) > proxyMost {
			if err == nil || streamErr == nil {
				t.Fatalf("a header of %d bytes is taken", len(h))
			}
			return
		}
		if err != nil || client != want || size != len(h) || streamErr != nil || streamed != want {
			t.Fatalf("of %x: %v, %d, %v; from a stream %v, %v; want %v, %d", h, client, size, err, streamed, streamErr, want, len(h))
		}
		cut := int(port) % len(h)
		if _, _, err := parseProxied(h[:cut]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken", cut, len(h))
		}
		if _, err := readProxied(bytes.NewReader(h[:cut])); err == nil {
			t.Fatalf("the first %d of %d bytes are taken from a stream", cut, len(h))
		}
	})
}

// checkProxied compares a header that was taken with the encoder's.
func checkProxied(t *testing.T, b []byte, client netip.AddrPort, size int) {
	t.Helper()
	if size > len(b) || size > proxyMost {
		t.Fatalf("a header of %d bytes in %d", size, len(b))
	}
	if !client.IsValid() {
		again := proxied(client, false, b[proxyHead:size])
		again[13] = b[13] // what LOCAL ignores
		if !bytes.Equal(again, b[:size]) {
			t.Fatalf("%x was taken, the encoder makes %x", b[:size], again)
		}
		return
	}
	width := 4
	if b[13]>>4 == 2 {
		width = 16
	}
	addr, _ := netip.AddrFromSlice(b[proxyHead : proxyHead+width])
	if addr.Unmap() != client.Addr() {
		t.Fatalf("%x is from %s, read as %s", b[:size], addr, client)
	}
	again := proxied(netip.AddrPortFrom(addr, client.Port()), b[13]&15 == 1, b[proxyHead+2*width+4:size])
	copy(again[proxyHead+width:], b[proxyHead+width:proxyHead+2*width])           // the destination
	copy(again[proxyHead+2*width+2:], b[proxyHead+2*width+2:proxyHead+2*width+4]) // its port
	if !bytes.Equal(again, b[:size]) {
		t.Fatalf("%x was taken, the encoder makes %x", b[:size], again)
	}
}

// TestProxiedHeaders goes through the specification's fields.
func TestProxiedHeaders(t *testing.T) {
	good := proxied(netip.MustParseAddrPort("192.0.2.1:4711"), true, []byte{4, 0, 1, 0})
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   string // of the error; "": the client
	}{
		"good":                   {func(b []byte) []byte { return b }, ""},
		"by datagrams":           {func(b []byte) []byte { b[13] = 0x12; return b }, ""},
		"a query":                {func([]byte) []byte { return make([]byte, 40) }, "no PROXY header"},
		"version 1":              {func([]byte) []byte { return []byte("PROXY TCP4 192.0.2.1 192.0.2.2 4711 53\r\n") }, "no PROXY header"},
		"version 3":              {func(b []byte) []byte { b[12] = 0x31; return b }, "has version 3 and command 1"},
		"an unknown command":     {func(b []byte) []byte { b[12] = 0x22; return b }, "has version 2 and command 2"},
		"no family":              {func(b []byte) []byte { b[13] = 0x01; return b }, "address family 0"},
		"a path":                 {func(b []byte) []byte { b[13] = 0x31; return b }, "address family 3"},
		"no protocol":            {func(b []byte) []byte { b[13] = 0x10; return b }, "protocol 0"},
		"too short for IPv6":     {func(b []byte) []byte { b[13] = 0x21; return b }, "has 16 bytes for addresses, expected 36"},
		"too short for IPv4":     {func(b []byte) []byte { b[15] = 11; return b }, "has 11 bytes for addresses, expected 12"},
		"longer than the packet": {func(b []byte) []byte { b[15]++; return b }, "not whole"},
		"too long":               {func(b []byte) []byte { b[14] = 0xff; return b }, "expected at most 2048"},
		"a sign alone":           {func(b []byte) []byte { return b[:12] }, "not whole"},
		"nothing":                {func([]byte) []byte { return nil }, "not whole"},
	} {
		client, _, err := parseProxied(c.change(slices.Clone(good)))
		if c.want == "" {
			if err != nil || client.String() != "192.0.2.1:4711" {
				t.Errorf("%s: %v, %v", name, client, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// proxyServer believes 127.0.0.1 and ::1, and answers office with 192.0.2.4 and
// all others with 192.0.2.1.
func proxyServer(t *testing.T, way string) *Server {
	c, _ := secureConfig(t)
	c.Listen = []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0"}
	c.Fast, c.Proxy = way, Proxy{Trust: []string{"127.0.0.1", "::1"}}
	return startServer(t, c, Options{Start: geoAnswers(t), Locations: map[string][]Location{"app.example.test.": geoLocations()}})
}

// over sends bytes, and then a query, from an address of loopback, and returns
// the address that it was answered; "": nothing but silence, or the end.
func over(t *testing.T, network, source, at string, first []byte, name string, silent bool) string {
	t.Helper()
	var local net.Addr = &net.UDPAddr{IP: net.ParseIP(source)}
	if network != "udp" {
		local = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	conn, err := (&net.Dialer{LocalAddr: local}).Dial(strings.TrimSuffix(network, "-tls"), at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := question4(name, dns.TypeA)
	packet := inStream(t, m)
	if network == "udp" {
		packet = append(slices.Clone(first), packet[2:]...)
	} else if network == "tcp" {
		packet = append(slices.Clone(first), packet...)
	} else {
		if _, err := conn.Write(first); err != nil {
			t.Fatal(err)
		}
		conn = dialled(conn)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(packet); err != nil {
		if network == "udp" {
			t.Fatal(err)
		}
		return ""
	}
	if network == "udp" && silent { // which is shown by an answer to what came later
		last := question4("www.example.test.", dns.TypeA)
		last.Id = m.Id ^ 1
		h := []byte(nil)
		if source == "127.0.0.1" || source == "::1" {
			h = proxied(netip.AddrPort{}, false, nil)
		}
		if _, err := conn.Write(append(h, inStream(t, last)[2:]...)); err != nil {
			t.Fatal(err)
		}
	}
	var r dns.Msg
	buf := make([]byte, 4096)
	if network == "udp" {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("neither this nor the next is answered: %v", err)
		}
		buf = buf[:n]
	} else if buf, err = readStream(conn); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("neither answered nor closed")
		}
		return ""
	}
	if err := r.Unpack(buf); err != nil {
		t.Fatal(err)
	}
	if r.Id != m.Id {
		return ""
	}
	if len(r.Answer) == 0 {
		t.Fatalf("%v", &r)
	}
	return r.Answer[0].(*dns.A).A.String()
}

// TestProxied: who asks through a trusted proxy is whom the header names, over
// each transport and either path; without a header such a proxy asks nothing,
// nor does anybody else with one.
func TestProxied(t *testing.T) {
	office, office6 := netip.MustParseAddrPort("198.51.100.77:999"), netip.MustParseAddrPort("[2001:db8:2:1::5]:999")
	other := netip.MustParseAddrPort("203.0.113.9:999")
	noop := []byte{4, 0, 3, 0, 0, 0}
	for _, way := range ways {
		s, away := proxyServer(t, way), uint64(0)
		for _, c := range []struct {
			source string
			header []byte
			want   string
		}{
			{"127.0.0.1", proxied(office, true, nil), "192.0.2.4"},
			{"127.0.0.1", proxied(office, false, noop), "192.0.2.4"},
			{"127.0.0.1", proxied(office6, true, bytes.Repeat(noop, 300)), "192.0.2.4"},
			{"127.0.0.1", proxied(other, true, nil), "192.0.2.1"},
			{"::1", proxied(office6, false, nil), "192.0.2.4"},
			{"127.0.0.1", proxied(netip.AddrPort{}, true, noop), "192.0.2.1"}, // LOCAL
			{"127.0.0.1", nil, ""},
			{"127.0.0.1", proxied(office, true, bytes.Repeat(noop, 400)), ""}, // too long
			{"127.0.0.1", []byte("PROXY TCP4 192.0.2.1 192.0.2.2 4711 53\r\n"), ""},
			{"127.0.0.2", proxied(office, true, nil), ""}, // not trusted
			{"127.0.0.2", nil, "192.0.2.1"},
		} {
			asked := uint64(0)
			for i, network := range []string{"udp", "tcp", "udp", "tcp", "udp", "tcp", "tcp-tls"} {
				a := s.Addrs()[i]
				if network == "tcp-tls" && c.want == "" && c.source == "127.0.0.2" || strings.Contains(a.String(), "::1") != strings.Contains(c.source, "::1") {
					continue // such a header is no TLS handshake; and the family must be one
				}
				at := strings.Replace(a.String(), "0.0.0.0", "127.0.0.3", 1)
				if got := over(t, network, c.source, at, c.header, "app.example.test.", c.want == ""); got != c.want {
					t.Errorf("%s: over %s from %s behind %.40x: answered %q, want %q", way, network, c.source, c.header, got, c.want)
				}
				asked++
			}
			if c.want == "" {
				away += asked
			}
			turnedAway(t, s, "proxy", away)
		}
	}
}

// TestProxiedClientsHaveLimits: a client's connections through a proxy are its
// own, and those of the proxy are not limited.
func TestProxiedClientsHaveLimits(t *testing.T) {
	c := exampleConfig()
	c.Proxy, c.TCPConnectionsPerClient = Proxy{Trust: []string{"127.0.0.1"}}, 1
	s := newServer(t, c, Options{})
	s.seats.patience = time.Hour
	runServer(t, s)
	for _, step := range []struct {
		client string
		served bool
	}{{"192.0.2.1:1", true}, {"192.0.2.2:1", true}, {"192.0.2.1:2", false}, {"[2001:db8::1]:1", true}, {"[2001:db8::ffff]:1", false}} {
		conn := dialFrom(t, "127.0.0.1", s.Addrs()[1].String())
		h := proxied(netip.MustParseAddrPort(step.client), true, nil)
		for _, part := range [][]byte{h[:1], h[1:20], h[20:]} {
			if _, err := conn.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if got := served(t, conn); got != step.served {
			t.Errorf("%s is served: %v, want %v", step.client, got, step.served)
		}
	}
	turnedAway(t, s, "client", 2)
	s = newServer(t, c, Options{})
	s.beginWithin = time.Millisecond
	runServer(t, s)
	conn := dialFrom(t, "127.0.0.1", s.Addrs()[1].String()) // says nothing
	if _, err := io.ReadAll(conn); err != nil {
		t.Logf("the end came as %v", err)
	}
}

// TestStripAllocatesNothing: a header costs the fast path no allocation.
func TestStripAllocatesNothing(t *testing.T) {
	p := Proxy{Trust: []string{"127.0.0.1", "2001:db8::/32"}}.proxies()
	packet := append(proxied(netip.MustParseAddrPort("[2001:db8:2:1::5]:999"), false, []byte{4, 0, 1, 0}), inStream(t, question4("www.example.test.", dns.TypeA))[2:]...)
	if n := testing.AllocsPerRun(100, func() {
		from := peer{addr: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
		if at, ok := p.strip(packet, &from); !ok || at != proxyHead+36+4 || from.port != 999 {
			t.Fatal("not taken")
		}
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// dialled makes a session over a connection that is there.
func dialled(conn net.Conn) net.Conn {
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- whose it is does not matter here
}
