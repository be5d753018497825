package authority

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/miekg/dns"
)

// ECS says whose client subnet options are believed (RFC 7871).
type ECS struct {
	// Trust holds the networks of the resolvers whose option is used; to all
	// others, and to all where there is none, the server has no support.
	Trust []string `yaml:"trust"`
	// MaxPrefixV4 and MaxPrefixV6 are how many bits of a client's address are
	// used at most. 0 is 24 and 56 (RFC 7871, section 11.1).
	MaxPrefixV4 int `yaml:"max_prefix_v4"`
	MaxPrefixV6 int `yaml:"max_prefix_v6"`
}

// ecs is an ECS, ready for queries.
type ecs struct {
	trust          []netip.Prefix
	mostV4, mostV6 int
}

// Defaults of ECS.
const (
	defaultMaxPrefixV4 = 24
	defaultMaxPrefixV6 = 56
)

func (e ECS) rules() ecs {
	return ecs{mostV4: cmp.Or(e.MaxPrefixV4, defaultMaxPrefixV4), mostV6: cmp.Or(e.MaxPrefixV6, defaultMaxPrefixV6), trust: parsed(e.Trust)}
}

// parsed are the networks of a list that was checked.
func parsed(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range list {
		if n, err := ParseNetwork(text); err == nil { // check has seen the others
			out = append(out, n)
		}
	}
	return out
}

// ParseNetwork parses a network, or an address as the network of it alone.
func ParseNetwork(text string) (netip.Prefix, error) {
	const expected = "expected one like 192.0.2.0/24 or 2001:db8::/32"
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := netip.ParsePrefix(text)
	switch {
	case err != nil || n.Addr().Is4In6():
		return n, fmt.Errorf("%q is not a network; %s", text, expected)
	case n.Masked() != n:
		return n, fmt.Errorf("%q has bits behind its length; expected %s", text, n.Masked())
	}
	return n, nil
}

func (e ECS) check(bad func(field, format string, args ...any)) {
	for i, text := range e.Trust {
		if _, err := ParseNetwork(text); err != nil {
			bad("ecs.trust["+strconv.Itoa(i)+"]", "%v", err)
		}
	}
	if len(e.Trust) == 0 && (e.MaxPrefixV4 != 0 || e.MaxPrefixV6 != 0) {
		bad("ecs.trust", "no resolver is trusted, so that the other keys have no meaning; expected the networks of resolvers, like [192.0.2.0/24]")
	}
	if e.MaxPrefixV4 < 0 || e.MaxPrefixV4 > 32 {
		bad("ecs.max_prefix_v4", "%d is out of range; expected 1 to 32 bits (default %d)", e.MaxPrefixV4, defaultMaxPrefixV4)
	}
	if e.MaxPrefixV6 < 0 || e.MaxPrefixV6 > 128 {
		bad("ecs.max_prefix_v6", "%d is out of range; expected 1 to 128 bits (default %d)", e.MaxPrefixV6, defaultMaxPrefixV6)
	}
}

func (e ecs) trusts(resolver netip.Addr) bool {
	return slices.ContainsFunc(e.trust, func(n netip.Prefix) bool { return n.Contains(resolver) })
}

// longest is how many bits of an address are used.
func (e ecs) longest(a netip.Addr) int {
	if a.Is4() {
		return e.mostV4
	}
	return e.mostV6
}

// subnet is a client subnet option that is believed, as it came.
type subnet struct {
	family  uint16
	source  uint8 // SOURCE PREFIX-LENGTH
	address netip.Addr
}

// client returns the address to look up for a query, and how many bits of it
// at most an answer may depend on. sub is nil without an option.
func (e ecs) client(resolver netip.Addr, sub *subnet) (netip.Addr, int) {
	if sub == nil || sub.source == 0 {
		// No bits are the client's wish for privacy: its resolver stands for it
		// (RFC 7871, section 7.1.2).
		return resolver, resolver.BitLen()
	}
	most := e.longest(sub.address)
	cut, err := sub.address.Prefix(min(int(sub.source), most))
	if err != nil {
		return resolver, resolver.BitLen() // cannot be: parse has checked it
	}
	return cut.Addr(), most
}

// scope is the SCOPE PREFIX-LENGTH of an answer that depends on so many bits of
// the client's address. More bits than are used at most make no difference; an
// answer for no bits at all is for the resolver's own clients (section 7.3.1).
func (s *subnet) scope(r *Reply, most int) uint8 {
	if s.source == 0 || !r.Tailored {
		return 0
	}
	return uint8(min(r.Scope, most)) // #nosec G115 -- at most 128
}

// option is the option of the response: that of the query with the scope
// (section 7.2.1).
func (s *subnet) option(scope uint8) *dns.EDNS0_SUBNET {
	out := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: s.family, SourceNetmask: s.source, SourceScope: scope}
	if s.address.IsValid() {
		out.Address = s.address.AsSlice()
	}
	return out
}

// readSubnet returns the client subnet option of a query from a trusted
// resolver, nil where it has none, and false where it is malformed. To others
// the option is an unknown one: it is not looked at.
//
// The options are the data of the OPT record of a packet that was unpacked without
// an error; nil: it has none.
func (e ecs) readSubnet(options []byte, resolver netip.Addr) (*subnet, bool) {
	if !e.trusts(resolver) {
		return nil, true
	}
	var found *subnet
	for code, data := range optionsOf(options) {
		if code != dns.EDNS0SUBNET {
			continue
		}
		s, ok := parseSubnet(data)
		if !ok || found != nil {
			return nil, false
		}
		found = s
	}
	return found, true
}

// parseSubnet parses the option's data (section 6).
func parseSubnet(data []byte) (*subnet, bool) {
	if len(data) < 4 {
		return nil, false
	}
	s := &subnet{family: binary.BigEndian.Uint16(data), source: data[2]}
	scope, address := data[3], data[4:]
	var whole []byte
	switch s.family {
	case 0:
		// Of no family is only what gives no address (section 7.1.2).
		return s, s.source == 0 && scope == 0 && len(address) == 0
	case 1:
		whole = make([]byte, 4)
	case 2:
		whole = make([]byte, 16)
	default:
		return nil, false
	}
	bits := int(s.source)
	if scope != 0 || bits > 8*len(whole) || len(address) != (bits+7)/8 {
		return nil, false
	}
	copy(whole, address)
	s.address, _ = netip.AddrFromSlice(whole)
	cut, err := s.address.Prefix(bits)
	return s, err == nil && cut.Addr() == s.address // no bits beyond
}
