//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/miekg/dns"
)

// longestMalformed fits the room of a message.
const longestMalformed = maxBurst * longestQuery

// malformed makes packets that are no queries in good form out of queries that
// are, each in a way of its own. None is a response.
func malformed(r *rand.Rand, m *mix, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		q := &m.questions[r.IntN(len(m.questions))]
		p := append([]byte{}, q.packet(r.IntN(2) == 0)...)
		binary.BigEndian.PutUint16(p, uint16(r.Uint32())) // #nosec G115 -- any will do
		out[i] = spoil(r, p, i)
		if len(out[i]) > 2 {
			out[i][2] &^= 0x80
		}
	}
	return out
}

// spoil spoils a query in one of several ways, one after the other.
func spoil(r *rand.Rand, p []byte, way int) []byte {
	const question = headerSize
	switch way % 12 {
	case 0: // no whole header
		return p[:r.IntN(headerSize)]
	case 1: // cut off behind the header
		return p[:headerSize+r.IntN(len(p)-headerSize)]
	case 2: // a label of a kind that is not defined (RFC 6891, section 5)
		p[question] = 0x40 | byte(r.IntN(128)) // #nosec G115 -- below 128
	case 3: // a label longer than the packet
		p[question] = 63
		return p[:min(len(p), headerSize+40)]
	case 4: // a name that points to itself
		p[question], p[question+1] = 0xc0, headerSize
	case 5: // another opcode
		p[2] = byte(1+r.IntN(15)) << 3 // #nosec G115 -- below 16
	case 6: // no question, or many
		binary.BigEndian.PutUint16(p[4:], []uint16{0, 2, 3, 0xffff}[r.IntN(4)])
	case 7: // records that are not there
		binary.BigEndian.PutUint16(p[6+2*r.IntN(3):], uint16(1+r.IntN(0xffff))) // #nosec G115 -- below 65536
	case 8: // bytes behind the end
		for range 1 + r.IntN(400) {
			p = append(p, byte(r.Uint32())) // #nosec G115 -- any will do
		}
	case 9: // an EDNS record that is longer than the packet, or of a version that is not known
		p = p[:question]
		p = append(p, 0, 0, 1, 0, 1, 0, 0, byte(dns.TypeOPT), 4, 208, 0, byte(r.IntN(3)), 0, 0, byte(r.IntN(256)), byte(r.IntN(256)))
		p[11] = 1
	case 10: // some bits
		for range 1 + r.IntN(8) {
			at := 4 + r.IntN(len(p)-4)
			p[at] ^= 1 << r.IntN(8)
		}
	default: // noise
		p = p[:0]
		for range r.IntN(longestMalformed / 2) {
			p = append(p, byte(r.Uint32())) // #nosec G115 -- any will do
		}
	}
	return p
}

// responses are answers as a reflector would send them: nothing may answer them.
func responses(r *rand.Rand, m *mix, n int) [][]byte {
	out := malformed(r, m, n)
	for i := range out {
		if i%2 == 0 || len(out[i]) < headerSize {
			out[i] = append([]byte{}, m.questions[r.IntN(len(m.questions))].plain...)
		}
		out[i][2] |= 0x80
	}
	return out
}

// largeName is a name with an answer that nearly fills a UDP packet.
const largeName = "large"

// largeRecords are that name's lines in the zone.
func largeRecords() string {
	text := ""
	for i := range 9 {
		text += largeName + " TXT \""
		for range 110 {
			text += string(rune('a' + i))
		}
		text += "\"\n"
	}
	return text
}

// spoofed are queries that a reflector would be sent: three for a large answer,
// and one for ANY.
func spoofed() ([][]byte, error) {
	var out [][]byte
	for i, typ := range []uint16{dns.TypeTXT, dns.TypeTXT, dns.TypeANY, dns.TypeTXT} {
		var m dns.Msg
		m.SetQuestion(largeName+"."+zone+".", typ)
		m.SetEdns0([]uint16{1232, 4096}[i%2], false)
		p, err := m.Pack()
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// inBlocks are n addresses of 127/8 from a second byte on, so many in each /24:
// rate limiting counts by /24.
func inBlocks(second, n, each int) [][4]byte {
	var out [][4]byte
	for i := range n {
		block := i / each
		out = append(out, [4]byte{127, byte(second + block/256), byte(block), byte(1 + i%each)}) // #nosec G115 -- of few blocks
	}
	return out
}
