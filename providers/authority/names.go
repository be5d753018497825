package authority

import (
	"encoding/binary"
	"fmt"

	"github.com/miekg/dns"
)

// A key is a domain name in uncompressed wire format, ASCII letters in lower
// case (RFC 4343), the root's zero byte included. It is what the table is
// looked up by: one name has exactly one key, however it is escaped.
type key string

// maxName is the longest name in wire format (RFC 1035, section 2.3.4).
const maxName = 255

// appendKey writes the key of name, in presentation form, to the front of buf
// and returns that part of it.
func appendKey(buf *[maxName]byte, name string) ([]byte, error) {
	n, err := dns.PackDomainName(dns.Fqdn(name), buf[:], 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	k := buf[:n]
	lower(k)
	return k, nil
}

// keyOf returns the key of a name in presentation form.
func keyOf(name string) (key, error) {
	var buf [maxName]byte
	k, err := appendKey(&buf, name)
	return key(k), err
}

// lower lowers the letters of a wire name in place. Length bytes are below
// 64, so that none is taken for a letter.
func lower(wire []byte) {
	for i, c := range wire {
		if 'A' <= c && c <= 'Z' {
			wire[i] = c + ('a' - 'A')
		}
	}
}

// lowerInto fills key with the wire name that from begins with, in lower case.
func lowerInto(key, from []byte) {
	from = from[:len(key)]
	if len(key) < 8 {
		copy(key, from)
		lower(key)
		return
	}
	for at := 0; at < len(key); at += 8 {
		word := min(at, len(key)-8) // the last one has some of the one before
		binary.LittleEndian.PutUint64(key[word:], lowerWord(binary.LittleEndian.Uint64(from[word:])))
	}
}

// lowerWord lowers eight bytes at once, each by what its highest bit becomes when
// the others are added to.
func lowerWord(w uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	low := w &^ high
	fromA, afterZ := low+(0x80-'A')*each, low+(0x7f-'Z')*each
	return w | (fromA&^afterZ&^w&high)>>2 // of 'a' it is the bit that 'A' has not
}

// lowerName lowers the ASCII letters of a name in presentation form, whose
// escapes are of digits and of what is no letter.
func lowerName(name string) string {
	for i := range len(name) {
		if 'A' <= name[i] && name[i] <= 'Z' {
			low := []byte(name)
			lower(low)
			return string(low)
		}
	}
	return name
}

// parent strips the first label. The root has no parent.
func (k key) parent() (key, bool) {
	if len(k) <= 1 {
		return "", false
	}
	return k[1+int(k[0]):], true
}

// id is a number for the name, the same wherever it is made (FNV-1a).
func (k key) id() uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(k) {
		h = (h ^ uint64(k[i])) * 0x100000001b3
	}
	return h
}

// within reports whether k is apex or below it.
func (k key) within(apex key) bool {
	for {
		if k == apex {
			return true
		}
		up, ok := k.parent()
		if !ok || len(up) < len(apex) {
			return false
		}
		k = up
	}
}

// String returns the name in presentation form, for messages.
func (k key) String() string {
	name, _, err := dns.UnpackDomainName([]byte(k), 0)
	if err != nil {
		return fmt.Sprintf("%q", string(k))
	}
	return name
}

// wildcard reports whether the first label is "*" (RFC 4592, section 2.1.1).
func (k key) wildcard() bool { return len(k) > 2 && k[0] == 1 && k[1] == '*' }
