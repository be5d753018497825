package authority

import (
	"encoding/binary"
	"math/bits"
)

// sipKey is a key of SipHash, its two halves as numbers.
type sipKey [2]uint64

func sipKeyOf(secret [16]byte) sipKey {
	return sipKey{binary.LittleEndian.Uint64(secret[:8]), binary.LittleEndian.Uint64(secret[8:])}
}

// sum is SipHash-2-4 of data, which is what interoperable server cookies are
// made with (RFC 9018, section 4.4); its bytes are those of the number, the
// lowest first. It is written out here since it is all that is needed of it:
// some of what there is to import is no longer looked after.
func (k sipKey) sum(data []byte) uint64 {
	a, b, c, d := k[0]^0x736f6d6570736575, k[1]^0x646f72616e646f6d, k[0]^0x6c7967656e657261, k[1]^0x7465646279746573
	last := uint64(len(data)) << 56
	for ; len(data) >= 8; data = data[8:] {
		m := binary.LittleEndian.Uint64(data)
		a, b, c, d = sipRound(a, b, c, d^m)
		a, b, c, d = sipRound(a, b, c, d)
		a ^= m
	}
	for i, x := range data {
		last |= uint64(x) << (8 * i)
	}
	a, b, c, d = sipRound(a, b, c, d^last)
	a, b, c, d = sipRound(a, b, c, d)
	a, c = a^last, c^0xff
	for range 4 {
		a, b, c, d = sipRound(a, b, c, d)
	}
	return a ^ b ^ c ^ d
}

func sipRound(a, b, c, d uint64) (uint64, uint64, uint64, uint64) {
	a += b
	c += d
	b = bits.RotateLeft64(b, 13) ^ a
	d = bits.RotateLeft64(d, 16) ^ c
	c += b
	a = bits.RotateLeft64(a, 32) + d
	b = bits.RotateLeft64(b, 17) ^ c
	d = bits.RotateLeft64(d, 21) ^ a
	return a, b, bits.RotateLeft64(c, 32), d
}
