package authority

import "net/netip"

// trie tells which value each address has: a binary tree over the bits of
// addresses of one family, whose leaves hold values. It covers every address.
type trie struct {
	nodes [][2]ref
	root  ref
}

// ref is a node's number, or a leaf's value.
type ref uint32

// isLeaf marks a ref that is a value.
const isLeaf ref = 1 << 31

func leafOf(value int) ref { return isLeaf | ref(value) } // #nosec G115 -- values are counted in thousands

func (r ref) leaf() bool { return r&isLeaf != 0 }
func (r ref) value() int { return int(r &^ isLeaf) }

// newTrie gives all addresses one value.
func newTrie(value int) *trie { return &trie{root: leafOf(value)} }

// bit returns the address's bit at a depth, the first being 0.
func bit(addr []byte, depth int) int { return int(addr[depth/8]>>(7-depth%8)) & 1 }

// put gives all addresses of a network a value, whatever they had.
func (t *trie) put(network netip.Prefix, value int) {
	t.root = t.place(t.root, network.Addr().AsSlice(), 0, network.Bits(), value)
}

func (t *trie) place(at ref, addr []byte, depth, bits, value int) ref {
	if depth == bits {
		return leafOf(value)
	}
	if at.leaf() {
		t.nodes = append(t.nodes, [2]ref{at, at})
		at = ref(len(t.nodes) - 1) // #nosec G115 -- loads are bounded far below
	}
	side := bit(addr, depth)
	below := t.place(t.nodes[at][side], addr, depth+1, bits, value)
	t.nodes[at][side] = below
	return at
}

// find returns the value of an address, and the length of the longest prefix of
// it of which all addresses have this value. It allocates nothing.
func (t *trie) find(addr netip.Addr) (value, depth int) {
	a, shift := addr.As16(), 0
	if addr.Is4() {
		shift = 96
	}
	at := t.root
	for ; !at.leaf(); depth++ {
		at = t.nodes[at][bit(a[:], shift+depth)]
	}
	return at.value(), depth
}

// compact returns the trie with its values changed by f, and without nodes
// whose sides are the same: so every leaf is as wide as it can be.
func (t *trie) compact(f func(value int) int) *trie {
	out := &trie{}
	out.root = out.copyOf(t, t.root, f)
	return out
}

func (t *trie) copyOf(of *trie, at ref, f func(int) int) ref {
	if at.leaf() {
		return leafOf(f(at.value()))
	}
	left, right := t.copyOf(of, of.nodes[at][0], f), t.copyOf(of, of.nodes[at][1], f)
	if left == right && left.leaf() {
		return left
	}
	t.nodes = append(t.nodes, [2]ref{left, right})
	return ref(len(t.nodes) - 1) // #nosec G115 -- not more than of has
}
