package rfc2136

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// message is a reply as it came, its sections found and no record read but
// TSIG: what is foreign in a large zone is stepped over.
type message struct {
	raw   []byte
	id    uint16
	flags uint16
	count [4]int
	start [4]int // where each section's first record is; [0] is the question's
	// tsig is the last record of the additional section, if it is one, at tsigAt.
	tsig   *dns.TSIG
	tsigAt int
}

const headerSize = 12

// Sections of a message (RFC 1035, section 4.1; RFC 2136, section 2).
const (
	sectionQuestion = iota
	sectionAnswer
	sectionAuthority
	sectionAdditional
)

var errShort = errors.New("it ends within a record")

func (m *message) response() bool      { return m.flags&(1<<15) != 0 }
func (m *message) opcode() int         { return int(m.flags>>11) & 0xf }
func (m *message) authoritative() bool { return m.flags&(1<<10) != 0 }
func (m *message) truncated() bool     { return m.flags&(1<<9) != 0 }
func (m *message) rcode() int          { return int(m.flags & 0xf) }

// parse finds a message's sections.
func parse(raw []byte) (*message, error) {
	if len(raw) < headerSize {
		return nil, fmt.Errorf("a message of %d bytes", len(raw))
	}
	m := &message{raw: raw, id: binary.BigEndian.Uint16(raw), flags: binary.BigEndian.Uint16(raw[2:])}
	off := headerSize
	for s := range m.count {
		m.count[s], m.start[s] = int(binary.BigEndian.Uint16(raw[4+2*s:])), off
		for i := range m.count[s] {
			r, err := recordAt(raw, off, s == sectionQuestion)
			if err != nil {
				return nil, fmt.Errorf("a malformed message: section %d, record %d: %w", s, i, err)
			}
			if r.typ == dns.TypeTSIG && s != sectionQuestion {
				if s != sectionAdditional || i != m.count[s]-1 {
					return nil, errors.New("a malformed message: TSIG is not its last record")
				}
				if err := m.readTSIG(off); err != nil {
					return nil, err
				}
			}
			off = r.end
		}
	}
	if off != len(raw) {
		return nil, fmt.Errorf("a malformed message: %d bytes follow it", len(raw)-off)
	}
	return m, nil
}

func (m *message) readTSIG(off int) error {
	rr, _, err := dns.UnpackRR(m.raw, off)
	if err != nil {
		return fmt.Errorf("a malformed TSIG: %w", err)
	}
	t, ok := rr.(*dns.TSIG)
	if !ok {
		return errors.New("a malformed TSIG")
	}
	m.tsig, m.tsigAt = t, off
	return nil
}

// stripped is the message as it was signed: without TSIG, and with the id that
// the signer saw (RFC 8945, section 4.3.2).
func (m *message) stripped() []byte {
	out := append([]byte(nil), m.raw[:m.tsigAt]...)
	binary.BigEndian.PutUint16(out, m.tsig.OrigId)
	binary.BigEndian.PutUint16(out[10:], uint16(m.count[sectionAdditional]-1)) // #nosec G115 -- of a 16-bit field
	return out
}

// record is where a record stands, and its type.
type record struct {
	at, end    int
	typ, class uint16
}

// recordAt finds a record, or a question, which is a record without TTL and
// data.
func recordAt(raw []byte, off int, question bool) (record, error) {
	r := record{at: off}
	for {
		if off >= len(raw) {
			return r, errShort
		}
		size := int(raw[off])
		if size&0xc0 == 0xc0 { // a pointer ends the name (RFC 1035, section 4.1.4)
			off += 2
			break
		}
		if size&0xc0 != 0 {
			return r, errors.New("a label of an unknown kind")
		}
		off += 1 + size
		if size == 0 {
			break
		}
	}
	if off+4 > len(raw) {
		return r, errShort
	}
	r.typ, r.class = binary.BigEndian.Uint16(raw[off:]), binary.BigEndian.Uint16(raw[off+2:])
	r.end = off + 4
	if question {
		return r, nil
	}
	if off+10 > len(raw) {
		return r, errShort
	}
	r.end = off + 10 + int(binary.BigEndian.Uint16(raw[off+8:]))
	if r.end > len(raw) {
		return r, errShort
	}
	return r, nil
}

// answers reads the records of the answer section whose type is wanted. One
// that is malformed is an error that names it.
func (m *message) answers(want func(typ uint16) bool) ([]dns.RR, error) {
	var out []dns.RR
	off := m.start[sectionAnswer]
	for range m.count[sectionAnswer] {
		r, err := recordAt(m.raw, off, false)
		if err != nil {
			return nil, err
		}
		off = r.end
		if r.class != dns.ClassINET || !want(r.typ) {
			continue
		}
		rr, end, err := dns.UnpackRR(m.raw[:r.end], r.at)
		if err == nil && end == r.end {
			err = whole(rr)
		}
		if err != nil || end != r.end {
			name, _, _ := dns.UnpackDomainName(m.raw, r.at) // empty where that is what is malformed
			return nil, fmt.Errorf("a malformed record: %.300q %s: %w", name, dns.Type(r.typ), err)
		}
		out = append(out, rr)
	}
	return out, nil
}

// whole refuses a record without data.
func whole(rr dns.RR) error {
	empty := false
	switch rr := rr.(type) {
	case *dns.A:
		empty = len(rr.A) == 0
	case *dns.AAAA:
		empty = len(rr.AAAA) == 0
	case *dns.CNAME:
		empty = rr.Target == ""
	case *dns.TXT:
		empty = len(rr.Txt) == 0
	case *dns.SOA:
		empty = rr.Ns == ""
	case *dns.NS:
		empty = rr.Ns == ""
	}
	if empty {
		return errors.New("it has no data")
	}
	return nil
}

// question returns the name and type that a message asks for, or is about.
func (m *message) question() (name string, typ uint16, err error) {
	name, _, err = dns.UnpackDomainName(m.raw, headerSize)
	if err != nil {
		return "", 0, err
	}
	r, err := recordAt(m.raw, headerSize, true)
	return providers.CanonicalName(name), r.typ, err
}

// check returns an error unless the message is the reply to q: RFC 5452,
// section 9.1. Only an error, or the reply to an UPDATE (RFC 2136, section
// 3.8), may leave the question out.
func (m *message) check(q *dns.Msg) error {
	switch {
	case m.id != q.Id:
		return errors.New("it has another id")
	case !m.response():
		return errors.New("it is no reply")
	case m.opcode() != q.Opcode:
		return fmt.Errorf("it is of opcode %d", m.opcode())
	case m.count[sectionQuestion] == 0 && (m.rcode() != dns.RcodeSuccess || q.Opcode == dns.OpcodeUpdate):
		return nil
	case m.count[sectionQuestion] != 1:
		return fmt.Errorf("it has %d questions", m.count[sectionQuestion])
	}
	name, typ, err := m.question()
	if err != nil {
		return err
	}
	if want := q.Question[0]; typ != want.Qtype || !strings.EqualFold(name, providers.CanonicalName(want.Name)) {
		return fmt.Errorf("it is about %s %s", name, dns.Type(typ))
	}
	return nil
}
