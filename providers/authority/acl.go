package authority

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// This file holds who may ask what. Everybody else is refused, and told that it
// is them (RFC 8914, section 4.19).

// networks are addresses that may ask; nil is everybody.
type networks struct{ v4, v6 *trie }

// newNetworks returns those of a list that was checked; none is everybody.
func newNetworks(list []string) *networks {
	if len(list) == 0 {
		return nil
	}
	const not, may = 0, 1
	n := &networks{newTrie(not), newTrie(not)}
	for _, one := range parsed(list) {
		if one.Addr().Is4() {
			n.v4.put(one, may)
		} else {
			n.v6.put(one, may)
		}
	}
	return n
}

// have reports whether an address, which is not one of IPv4 in an IPv6 one, is
// among them. It allocates nothing.
func (n *networks) have(a netip.Addr) bool {
	if n == nil {
		return true
	}
	t := n.v6
	switch {
	case !a.IsValid():
		return false
	case a.Is4():
		t = n.v4
	}
	value, _ := t.find(a)
	return value != 0
}

// access is who may ask for each zone.
type access struct {
	all   *networks
	zones map[key]*networks // those with a list of their own
}

func (c Config) access() access {
	out := access{all: newNetworks(c.Allow), zones: make(map[key]*networks)}
	for _, z := range c.Zones {
		if len(z.Allow) == 0 {
			continue
		}
		if apex, err := keyOf(providers.CanonicalName(z.Name)); err == nil { // Check has seen the others
			out.zones[apex] = newNetworks(z.Allow)
		}
	}
	return out
}

func (a access) of(apex key) *networks {
	if n, ok := a.zones[apex]; ok {
		return n
	}
	return a.all
}

// checkAllow checks the lists. An empty one could mean nobody or everybody.
func (c Config) checkAllow(bad func(field, format string, args ...any)) {
	check := func(field string, list []string) {
		if list != nil && len(list) == 0 {
			bad(field, "no network; expected at least one, like [192.0.2.0/24], or no list, which allows everybody")
		}
		for i, text := range list {
			if _, err := ParseNetwork(text); err != nil {
				bad(field+"["+strconv.Itoa(i)+"]", "%v", err)
			}
		}
	}
	check("allow", c.Allow)
	for i, z := range c.Zones {
		check("zones["+strconv.Itoa(i)+"].allow", z.Allow)
	}
}

// prohibit refuses a query as the general path does, with the reason if the
// client can take it.
func (f *quick) prohibit(buf []byte, limit int) int {
	const reasonSize = 6
	size := f.finish(buf, limit-reasonSize, dns.RcodeRefused, nil)
	if size == 0 || !f.asked.edns {
		return size
	}
	length := buf[f.asked.end+optSize-2:] // of the option, which may hold a cookie
	binary.BigEndian.PutUint16(length, binary.BigEndian.Uint16(length)+reasonSize)
	*(*[reasonSize]byte)(buf[size:]) = [reasonSize]byte{0, dns.EDNS0EDE, 0, 2, 0, byte(dns.ExtendedErrorCodeProhibited)}
	return size + reasonSize
}
