package authority

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// skim goes through a query of one question, and returns the data of its first OPT
// record, nil where there is none. It returns false for a packet that the library
// refuses, though not for all of them. It takes no memory: of a flood of such
// packets the library's errors are what the garbage collector would have to clear
// away while honest queries wait.
func skim(packet []byte) (opt []byte, ok bool) {
	off, ok := nameEnd(packet, headerSize)
	if !ok {
		return nil, false
	}
	// The library takes a question without type, or without class.
	if left := len(packet) - off; left < questionTail {
		return nil, left%2 == 0
	}
	off += questionTail
	for range binary.BigEndian.Uint16(packet[10:]) {
		if off == len(packet) {
			break // it takes fewer records than the header says, too
		}
		next, ok := nameEnd(packet, off)
		if !ok || next+recordTail > len(packet) {
			return opt, false
		}
		typ, data := binary.BigEndian.Uint16(packet[next:]), next+recordTail
		if off = data + int(binary.BigEndian.Uint16(packet[data-2:])); off > len(packet) {
			return opt, false
		}
		if typ == dns.TypeOPT && opt == nil {
			opt = packet[data:off]
		}
	}
	return opt, true
}

// recordTail is the length of a record between its name and its data.
const recordTail = 10

// nameEnd returns where a name ends, and false for one that the library refuses
// (RFC 1035, section 4.1.4).
func nameEnd(packet []byte, off int) (end int, ok bool) {
	size, pointers := 0, 0
	for off < len(packet) {
		length := int(packet[off])
		switch off++; length & 0xc0 {
		case 0:
			if length == 0 {
				if pointers == 0 {
					end = off
				}
				return end, true
			}
			off += length
			if size += 1 + length; off > len(packet) || size >= maxName {
				return 0, false
			}
		case 0xc0:
			if off == len(packet) {
				return 0, false
			}
			if pointers == 0 {
				end = off + 1
			}
			if pointers++; pointers > maxPointers {
				return 0, false
			}
			off = length&0x3f<<8 | int(packet[off])
		default:
			return 0, false
		}
	}
	return 0, false
}

// maxPointers is how many the library follows: a name has at most 127 labels.
const maxPointers = 126
