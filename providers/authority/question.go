package authority

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// question is what the fast path reads of a query, in place. What every query
// has stands in front, in few lines of the CPU's cache.
type question struct {
	size  int // of name
	count int // of labels
	typ   uint16
	// end is where the question ends in the packet.
	end int
	// edns says that there is an option, udp what size it offers, do its bit.
	edns bool
	udp  uint16
	do   byte
	nsid bool // it asks who the server is
	pads bool // it is padded
	// labels are the places in name where its labels begin, the root's zero
	// byte included.
	labels [maxLabels]uint8
	// name is the key of the question's name: the first size bytes.
	name [maxName]byte
	// cookie is the DNS cookie, whatever its length.
	cookie cookie
	star   [maxName]byte
}

const (
	maxLabels = 128
	optSize   = 11 // of an OPT record without data
	doBit     = 0x80
)

// oneQuestion are the counts of a query: one question, and nothing else but
// perhaps one additional record.
const oneQuestion = 1 << 48

// read reads the query, and reports whether the fast path may answer it. What
// is in any way unusual is left to the general path: false does not mean that
// the packet is bad, but true that the general path would read it the same. What
// stands behind the message's end counts for neither.
func (q *question) read(packet []byte) bool {
	// Not a response, opcode QUERY.
	if len(packet) < headerSize+1+questionTail || packet[2]&0xf8 != 0 {
		return false
	}
	extra := binary.BigEndian.Uint64(packet[4:]) - oneQuestion
	if extra > 1 || !q.readName(packet[headerSize:]) {
		return false
	}
	q.end = headerSize + q.size + questionTail
	if q.end > len(packet) {
		return false
	}
	q.typ = binary.BigEndian.Uint16(packet[q.end-4:])
	if binary.BigEndian.Uint16(packet[q.end-2:]) != dns.ClassINET || !plain(q.typ) {
		return false
	}
	q.edns, q.nsid, q.pads, q.cookie.size = extra == 1, false, false, -1
	return !q.edns || q.readOption(packet[q.end:])
}

// plain reports whether a type is one of data that a zone answers for itself, or
// ANY: no other meta type or QTYPE (RFC 6895, section 3.1), nor DS, which belongs
// to the zone above.
func plain(typ uint16) bool {
	return typ != dns.TypeOPT && typ != dns.TypeDS && (typ < dns.TypeTKEY || typ >= dns.TypeANY)
}

// readName reads an uncompressed name.
func (q *question) readName(from []byte) bool {
	at := 0
	for q.count = 0; ; {
		if at >= len(from) {
			return false
		}
		length := int(from[at])
		end := at + 1 + length
		if length > 63 || end > maxName || end > len(from) {
			return false
		}
		q.labels[q.count] = uint8(at) // #nosec G115 -- below maxName
		q.count++
		at = end
		if length == 0 {
			break
		}
	}
	q.size = at
	lowerInto(q.name[:at], from)
	return true
}

// readOption reads an EDNS(0) option. Options within it are those that change
// nothing of the answer's records.
func (q *question) readOption(r []byte) bool {
	if len(r) < optSize || r[0] != 0 || r[1] != 0 || r[2] != byte(dns.TypeOPT) {
		return false
	}
	size := int(binary.BigEndian.Uint16(r[9:]))
	if r[6] != 0 || size > len(r)-optSize { // version
		return false
	}
	q.udp, q.do = binary.BigEndian.Uint16(r[3:]), r[7]&doBit
	for r = r[optSize : optSize+size]; len(r) > 0; {
		if len(r) < 4 {
			return false
		}
		end := 4 + int(binary.BigEndian.Uint16(r[2:]))
		if end > len(r) {
			return false
		}
		switch binary.BigEndian.Uint16(r) {
		case dns.EDNS0NSID:
			q.nsid = true
		case dns.EDNS0COOKIE:
			q.cookie.read(r[4:end])
		case dns.EDNS0PADDING:
			q.pads = true
		default:
			return false
		}
		r = r[end:]
	}
	return true
}

// key returns the name from label i on.
func (q *question) key(i int) []byte { return q.name[q.labels[i]:q.size] }

// starBelow returns the wildcard below the name from label i on. It is no
// longer than the whole name: i is not 0.
func (q *question) starBelow(i int) []byte {
	q.star[0], q.star[1] = 1, '*'
	return q.star[:2+copy(q.star[2:], q.key(i))]
}
