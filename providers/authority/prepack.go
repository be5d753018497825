package authority

import (
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"
)

// maxPacked is the longest prepacked answer: more fits into no UDP answer.
const maxPacked = maxUDPSize

// packed is an RRset as it stands in an answer, directly behind the question
// that it answers. It does not change.
type packed struct {
	wire []byte // nil: only the general path can answer
	// ttls are the places of the TTLs, where they change with time.
	ttls []uint16
	// records is how many there are.
	records uint16
	// moves says that wire is right behind a question of any length: it points
	// to nothing but the question's name.
	moves bool
}

// pack gives the set's picks the bytes that answer for owner. The general path
// packs the same records in the same way, so that both answer alike.
//
// Left to the general path: the root, whose name is not compressed, and types
// that bring additional records.
func (s *set) pack(owner key) {
	switch s.typ {
	case dns.TypeNS, dns.TypeMX, dns.TypeSRV, dns.TypeSVCB, dns.TypeHTTPS:
		return
	}
	if len(owner) <= 1 {
		return
	}
	name := owner.String()
	for i := range s.picks {
		p := &s.picks[i]
		if p.unknown() {
			continue
		}
		p.packed = packed{wire: packBehind(name, len(owner), Part{pick: p, TTL: p.ttl, Owner: name}, false), records: uint16(len(p.rrs)), moves: moves(s.typ)} // #nosec G115 -- they fit into maxPacked bytes
		if !p.until.IsZero() {
			p.ttls = ttlsOf(p.wire)
		}
	}
}

// moves reports whether the data of a type holds no name that is compressed.
func moves(typ uint16) bool {
	switch typ {
	case dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeCAA, dns.TypeTLSA, dns.TypeSSHFP:
		return true
	}
	return false
}

// packBehind packs the part into the section behind a question for name,
// which has size bytes on the wire. It returns nil for what is too long.
func packBehind(name string, size int, part Part, authority bool) []byte {
	m := dns.Msg{Compress: true, Question: []dns.Question{{Name: name, Qtype: dns.TypeA, Qclass: dns.ClassINET}}}
	if authority {
		m.Ns = appendParts(nil, []Part{part})
	} else {
		m.Answer = appendParts(nil, []Part{part})
	}
	out, err := m.Pack()
	start := headerSize + size + questionTail
	if err != nil || len(out)-start > maxPacked {
		return nil
	}
	return slices.Clip(slices.Clone(out[start:]))
}

// questionTail is the length of a question's type and class.
const questionTail = 4

// recordHead is the length of a record's fields between owner and data.
const recordHead = 10

// skipName returns where the name at off ends, and where the pointer that ends
// it stands; -1 for none.
func skipName(wire []byte, off int) (end, pointer int) {
	for {
		switch c := wire[off]; {
		case c == 0:
			return off + 1, -1
		case c >= 0xc0:
			return off + 2, off
		default:
			off += 1 + int(c)
		}
	}
}

// ttlsOf returns where the TTLs of the records stand.
func ttlsOf(wire []byte) []uint16 {
	var at []uint16
	for off := 0; off < len(wire); {
		off, _ = skipName(wire, off)
		at = append(at, uint16(off+4)) // #nosec G115 -- at most maxPacked
		off += recordHead + int(binary.BigEndian.Uint16(wire[off+8:]))
	}
	return at
}

// negative is the authority section of a negative answer, packed behind a
// question for the apex. Behind a longer one all its pointers grow by the
// difference: they point into the apex, which ends the question's name, or to
// the record itself.
type negative struct {
	wire     []byte // nil: only the general path can answer
	pointers []uint16
	// avoid are labels below the apex that names in the data have too: a
	// question with one of them would be pointed to differently.
	avoid []string
}

func packNegative(apex key, soa *set) negative {
	if len(apex) <= 1 {
		return negative{}
	}
	name, p := apex.String(), &soa.picks[0]
	n := negative{wire: packBehind(name, len(apex), Part{pick: p, TTL: p.ttl, Owner: name}, true)}
	if n.wire == nil {
		return n
	}
	add := func(off int) int {
		end, pointer := skipName(n.wire, off)
		if pointer >= 0 {
			n.pointers = append(n.pointers, uint16(pointer)) // #nosec G115 -- at most maxPacked
		}
		return end
	}
	add(add(add(0) + recordHead))
	record := p.rrs[0].(*dns.SOA)
	for _, name := range []string{record.Ns, record.Mbox} {
		k, err := keyOf(name)
		if err != nil {
			return negative{}
		}
		if k != apex && k.within(apex) {
			for len(k)-1-int(k[0]) > len(apex) {
				k, _ = k.parent()
			}
			n.avoid = append(n.avoid, string(k[1:1+int(k[0])]))
		}
	}
	return n
}
