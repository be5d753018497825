package icmpcheck

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// The protocol numbers of ICMP and ICMPv6.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// request writes an echo request. The checksum of ICMPv6 is the kernel's to
// fill in (RFC 3542 section 3.1).
func request(v6 bool, id, seq uint16, payload []byte) ([]byte, error) {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(id), Seq: int(seq), Data: payload}}
	if v6 {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	return m.Marshal(nil)
}

// parse reads an echo reply, or the echo request that an error is about.
func parse(v6, reply bool, message []byte) (id, seq uint16, data []byte, ok bool) {
	protocol, want := protocolICMP, icmp.Type(ipv4.ICMPTypeEcho)
	switch {
	case v6 && reply:
		protocol, want = protocolICMPv6, ipv6.ICMPTypeEchoReply
	case v6:
		protocol, want = protocolICMPv6, ipv6.ICMPTypeEchoRequest
	case reply:
		want = ipv4.ICMPTypeEchoReply
	}
	m, err := icmp.ParseMessage(protocol, message)
	if err != nil || m.Type != want || m.Code != 0 {
		return 0, 0, nil, false
	}
	e, ok := m.Body.(*icmp.Echo)
	if !ok {
		return 0, 0, nil, false
	}
	return uint16(e.ID), uint16(e.Seq), e.Data, true
}

// fault is an ICMP error about an echo.
type fault struct {
	v6         bool
	kind, code uint8
	from       netip.Addr // who sent it; invalid where that is not known
}

// String says what the error means, and who says it.
func (f *fault) String() string {
	text := f.words()
	if f.from.IsValid() {
		text += ", says " + f.from.String()
	}
	return text
}

// words are those of RFC 792, RFC 1812 section 5.2.7.1 and RFC 4443 section 3.
func (f *fault) words() string {
	type key struct{ kind, code uint8 }
	v4 := map[key]string{
		{3, 0}: "the network is unreachable", {3, 1}: "the host is unreachable", {3, 2}: "the host does not speak ICMP",
		{3, 4}: "the echo is too large for the path", {3, 6}: "the network is unknown", {3, 7}: "the host is unknown",
		{3, 9}: "a firewall forbids the network", {3, 10}: "a firewall forbids the host", {3, 13}: "a firewall forbids it",
		{11, 0}: "the echo went in circles (time to live exceeded)", {11, 1}: "a part of the echo was lost (reassembly time exceeded)",
	}
	v6 := map[key]string{
		{1, 0}: "there is no route to it", {1, 1}: "a firewall forbids it", {1, 2}: "it is beyond the scope of the source address",
		{1, 3}: "the address is unreachable", {1, 4}: "the host does not speak ICMP", {1, 5}: "the source address is refused",
		{1, 6}: "the route to it is refused", {2, 0}: "the echo is too large for the path",
		{3, 0}: "the echo went in circles (hop limit exceeded)", {3, 1}: "a part of the echo was lost (reassembly time exceeded)",
	}
	table := v4
	if f.v6 {
		table = v6
	}
	if text, ok := table[key{f.kind, f.code}]; ok {
		return text
	}
	return "ICMP error of type " + strconv.Itoa(int(f.kind)) + ", code " + strconv.Itoa(int(f.code))
}

// The origins of Linux's struct sock_extended_err (ip(7), IP_RECVERR) that
// are ICMP errors.
const (
	originICMP   = 2
	originICMPv6 = 3
)

// parseFault reads a struct sock_extended_err and the sockaddr of the sender
// that follows it. Errors of this host's own making are not faults.
func parseFault(data []byte) (*fault, bool) {
	if len(data) < 16 {
		return nil, false
	}
	f := &fault{kind: data[5], code: data[6]}
	offender := data[16:]
	switch data[4] {
	case originICMP:
		if len(offender) >= 8 { // struct sockaddr_in
			f.from = netip.AddrFrom4([4]byte(offender[4:8]))
		}
	case originICMPv6:
		f.v6 = true
		if len(offender) >= 24 { // struct sockaddr_in6
			f.from = netip.AddrFrom16([16]byte(offender[8:24]))
		}
	default:
		return nil, false
	}
	// Without a sender, the family is AF_UNSPEC.
	if len(offender) < 2 || binary.NativeEndian.Uint16(offender) == 0 {
		f.from = netip.Addr{}
	}
	return f, true
}

// headless cuts the IPv4 header off a packet (RFC 791 section 3.1), which raw
// sockets leave before the message.
func headless(packet []byte) []byte {
	if len(packet) == 0 {
		return nil
	}
	return packet[min(int(packet[0]&0xf)*4, len(packet)):]
}
