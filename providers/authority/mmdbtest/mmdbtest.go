// Package mmdbtest writes small databases of countries in the MaxMind DB format
// (version 2.0), for tests only: what a network is in, and nothing else.
package mmdbtest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Network is one network with its country and continent; either may be empty.
type Network struct {
	Prefix             netip.Prefix
	Country, Continent string
}

// Networks parses lines like "192.0.2.0/24 FR EU", "-" being an empty code. It
// panics on others: the lines are the test's own.
func Networks(lines ...string) []Network {
	var out []Network
	for _, l := range lines {
		f := strings.Fields(strings.ReplaceAll(l, " -", " "+none))
		if len(f) != 3 {
			panic(fmt.Sprintf("%q: expected a network, a country and a continent", l))
		}
		out = append(out, Network{netip.MustParsePrefix(f[0]), strings.Trim(f[1], none), strings.Trim(f[2], none)})
	}
	return out
}

const none = "-"

// Record sizes that the format has, in bits.
const (
	Small  = 24
	Middle = 28
	Large  = 32
)

// Write makes a database of the networks, of which the longer lie over the
// shorter. IPv4 networks are in an IPv6 tree, at ::/96, as in the published
// databases.
func Write(recordSize int, networks ...Network) []byte {
	w := &writer{records: map[string]int{}, nodes: [][2]int{{empty, empty}}}
	networks = slices.Clone(networks)
	slices.SortStableFunc(networks, func(a, b Network) int { return bits(a.Prefix) - bits(b.Prefix) })
	for _, n := range networks {
		w.put(n)
	}
	var out []byte
	for _, n := range w.nodes {
		out = append(out, pair(recordSize, w.pointer(n[0]), w.pointer(n[1]))...)
	}
	out = append(out, make([]byte, 16)...)
	out = append(out, w.data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	return append(out, w.metadata(recordSize)...)
}

// A side of a node is the number of another, or empty, or below that the place
// of a record.
const empty = -1

type writer struct {
	nodes   [][2]int
	data    []byte
	records map[string]int
}

// bits is a prefix's length in the tree of IPv6.
func bits(p netip.Prefix) int {
	if p.Addr().Is4() {
		return p.Bits() + 96
	}
	return p.Bits()
}

func (w *writer) put(n Network) {
	var address [16]byte
	if a := n.Prefix.Masked().Addr(); a.Is4() {
		copy(address[12:], a.AsSlice())
	} else {
		address = a.As16()
	}
	leaf, at := empty-1-w.record(n), 0
	for depth := range bits(n.Prefix) {
		side := int(address[depth/8]>>(7-depth%8)) & 1
		if depth == bits(n.Prefix)-1 {
			w.nodes[at][side] = leaf
			return
		}
		if next := w.nodes[at][side]; next < 0 { // what lies over all of it so far
			w.nodes = append(w.nodes, [2]int{next, next})
			w.nodes[at][side] = len(w.nodes) - 1
		}
		at = w.nodes[at][side]
	}
	w.nodes[0] = [2]int{leaf, leaf}
}

// record returns the place of a network's record among the data.
func (w *writer) record(n Network) int {
	body := mapOf(2, text("continent"), mapOf(1, text("code"), text(n.Continent)), text("country"), mapOf(1, text("iso_code"), text(n.Country)))
	if n.Country == "" {
		body = mapOf(1, text("continent"), mapOf(1, text("code"), text(n.Continent)))
	}
	at, ok := w.records[string(body)]
	if !ok {
		at = len(w.data)
		w.records[string(body)] = at
		w.data = append(w.data, body...)
	}
	return at
}

// pointer is what stands in the tree for a side.
func (w *writer) pointer(side int) uint32 {
	switch {
	case side >= 0:
		return uint32(side)
	case side == empty:
		return uint32(len(w.nodes))
	}
	return uint32(len(w.nodes) + 16 + empty - 1 - side)
}

func pair(recordSize int, left, right uint32) []byte {
	switch recordSize {
	case Small:
		return []byte{byte(left >> 16), byte(left >> 8), byte(left), byte(right >> 16), byte(right >> 8), byte(right)}
	case Middle:
		return []byte{byte(left >> 16), byte(left >> 8), byte(left), byte(left>>24)<<4 | byte(right>>24), byte(right >> 16), byte(right >> 8), byte(right)}
	}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, left), right)
}

func (w *writer) metadata(recordSize int) []byte {
	return mapOf(9,
		text("binary_format_major_version"), number(5, 2), text("binary_format_minor_version"), number(5, 0),
		text("build_epoch"), number(9, 1_700_000_000), text("database_type"), text("Test-Country"),
		text("description"), mapOf(1, text("en"), text("made by a test")), text("ip_version"), number(5, 6),
		text("languages"), []byte{1, 11 - 7, 1<<6 | 2, 'e', 'n'}, text("node_count"), number(6, uint64(len(w.nodes))),
		text("record_size"), number(5, uint64(recordSize)))
}

// text is a string of less than 285 bytes.
func text(s string) []byte {
	if len(s) >= 29 {
		return append([]byte{2<<5 | 29, byte(len(s) - 29)}, s...)
	}
	return append([]byte{2<<5 | byte(len(s))}, s...)
}

// number is an unsigned number of a type: 5 is 16 bits, 6 is 32, 9 is 64.
func number(typ byte, n uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, n)
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	head := []byte{typ<<5 | byte(len(b))}
	if typ > 7 {
		head = []byte{byte(len(b)), typ - 7}
	}
	return append(head, b...)
}

// mapOf is a map of pairs, each a key and its value.
func mapOf(pairs int, parts ...[]byte) []byte {
	return append([]byte{7<<5 | byte(pairs)}, slices.Concat(parts...)...)
}
