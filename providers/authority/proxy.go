package authority

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
)

// Proxy says who puts the PROXY protocol's header, version 2, in front of what
// it passes on: of each connection, and of each datagram.
type Proxy struct {
	// Trust holds the networks of the proxies. What comes from them must have
	// the header, and is from the client that it names; what comes from others
	// must not have one.
	Trust []string `yaml:"trust"`
}

func (p Proxy) check(bad func(field, format string, args ...any)) {
	for i, text := range p.Trust {
		if _, err := ParseNetwork(text); err != nil {
			bad("proxy.trust["+strconv.Itoa(i)+"]", "%v", err)
		}
	}
}

// proxies are those whose header is taken.
type proxies []netip.Prefix

func (p Proxy) proxies() proxies {
	var out proxies
	for _, text := range p.Trust {
		if n, err := ParseNetwork(text); err == nil { // check has seen the others
			out = append(out, n)
		}
	}
	return out
}

func (p proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// strip returns where the query in a datagram begins. Behind a header it is
// from the client that the header names. It is false for what is no query:
// without a header that must be there, or with one that may not.
func (p proxies) strip(packet []byte, from *peer) (offset int, ok bool) {
	switch {
	case len(p) == 0:
		return 0, true
	case !p.trust(from.addr):
		return 0, !p.forged(packet)
	}
	client, size, err := parseProxied(packet)
	if err != nil {
		return 0, false
	}
	if client.IsValid() {
		from.addr, from.port = client.Addr(), client.Port()
	}
	return size, true
}

// forged reports whether what is no proxy's begins with a header. No query
// does: its opcode would not be that of one. Where no proxy is trusted it is a
// message like any other.
func (p proxies) forged(in []byte) bool {
	return len(p) > 0 && bytes.HasPrefix(in, []byte(proxySign))
}

// The header: the sign, version and command, family and protocol, and the
// length of what follows, which are addresses and ports, and more that is of no
// use here.
const (
	proxySign   = "\r\n\r\n\x00\r\nQUIT\n"
	proxyHead   = len(proxySign) + 4
	proxyMost   = 1 << 11 // of all of it, so that it costs a stranger no more
	proxyLocal  = 0x20    // the proxy speaks for itself
	proxyClient = 0x21
	proxyInet   = 1
	proxyInet6  = 2
)

var errProxyShort = errors.New("the PROXY header is not whole")

// parseProxied parses the header that b begins with, and returns its length.
// The client is not valid where the proxy speaks for itself.
func parseProxied(b []byte) (client netip.AddrPort, size int, err error) {
	size, err = proxiedSize(b)
	if err != nil {
		return client, 0, err
	}
	if len(b) < size {
		return client, 0, errProxyShort
	}
	command, family, protocol := b[12], b[13]>>4, b[13]&15
	if command == proxyLocal {
		return client, size, nil
	}
	if protocol != 1 && protocol != 2 { // a stream, datagrams
		return client, 0, fmt.Errorf("the PROXY header is of the protocol %d, expected 1 (TCP) or 2 (UDP)", protocol)
	}
	body := b[proxyHead:size]
	width := 0
	switch family {
	case proxyInet:
		width = 4
	case proxyInet6:
		width = 16
	default:
		return client, 0, fmt.Errorf("the PROXY header is of the address family %d, expected 1 (IPv4) or 2 (IPv6)", family)
	}
	if len(body) < 2*width+4 {
		return client, 0, fmt.Errorf("the PROXY header has %d bytes for addresses, expected %d", len(body), 2*width+4)
	}
	addr, _ := netip.AddrFromSlice(body[:width])
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(body[2*width:])), size, nil
}

// proxiedSize returns the length of the header that begins b.
func proxiedSize(b []byte) (int, error) {
	switch {
	case !bytes.HasPrefix(b, []byte(proxySign[:min(len(b), len(proxySign))])):
		return 0, errors.New("no PROXY header, which all from a trusted proxy begins with")
	case len(b) < proxyHead:
		return 0, errProxyShort
	case b[12] != proxyLocal && b[12] != proxyClient:
		return 0, fmt.Errorf("the PROXY header has version %d and command %d, expected version 2, and command 0 (LOCAL) or 1 (PROXY)", b[12]>>4, b[12]&15)
	}
	size := proxyHead + int(binary.BigEndian.Uint16(b[14:]))
	if size > proxyMost {
		return 0, fmt.Errorf("the PROXY header has %d bytes, expected at most %d", size, proxyMost)
	}
	return size, nil
}

// readProxied reads a connection's header, and nothing behind it.
func readProxied(r io.Reader) (client netip.AddrPort, err error) {
	b := make([]byte, proxyHead, 128)
	if n, err := io.ReadFull(r, b); err != nil {
		if _, wrong := proxiedSize(b[:n]); n > 0 && wrong != nil {
			return client, wrong
		}
		return client, err
	}
	size, err := proxiedSize(b)
	if err != nil {
		return client, err
	}
	b = append(b, make([]byte, size-proxyHead)...)
	if _, err := io.ReadFull(r, b[proxyHead:]); err != nil {
		return client, errors.Join(errProxyShort, err)
	}
	client, _, err = parseProxied(b)
	return client, err
}
