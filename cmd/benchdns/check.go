//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"encoding/binary"
)

// judgement is what an answer is worth.
type judgement uint8

const (
	right judgement = iota
	wrong
	truncated // as rate limiting does it
)

const (
	headerSize = 12
	typeSOA    = 6
	typeOPT    = 41
	codeCookie = 10
)

// judge holds an answer against what is right for the question: header, the
// question itself, number, type and data of the records. cookie says that the
// server sent a cookie back. It allocates nothing.
func judge(reply []byte, q *question, edns bool) (j judgement, cookie bool) {
	query := q.plain // the question ends where this one does
	if len(reply) < len(query) || !bytes.Equal(reply[headerSize:len(query)], query[headerSize:]) {
		return wrong, false
	}
	const response, authoritative, cut = 0x80, 0x04, 0x02
	if reply[2]&cut != 0 {
		return truncated, false
	}
	count := func(section int) int { return int(binary.BigEndian.Uint16(reply[4+2*section:])) }
	records := 0
	if q.want.typ != 0 {
		records = 1
	}
	if reply[2]&^1 != response|authoritative || reply[3]&15 != q.want.rcode || count(0) != 1 || count(1) != records {
		return wrong, false
	}
	at, opt, soa := len(query), false, false
	for i := range count(1) + count(2) + count(3) {
		r, end := record(reply, at)
		if end < 0 {
			return wrong, false
		}
		switch {
		case i < records:
			if r.typ != q.want.typ || r.class != 1 || !bytes.Equal(r.data, q.want.data) {
				return wrong, false
			}
		case r.typ == typeSOA:
			soa = i < records+count(2)
		case r.typ == typeOPT:
			if r.extended != 0 { // a code beyond those of the header
				return wrong, false
			}
			opt, cookie = true, hasCookie(r.data)
		}
		at = end
	}
	if at != len(reply) || opt != edns || records == 0 && !soa {
		return wrong, false
	}
	return right, cookie
}

type rr struct {
	typ, class uint16
	extended   byte // of an OPT record: the upper bits of the code
	data       []byte
}

// record reads the record that begins at a byte, and returns where it ends; -1
// if it is not whole.
func record(m []byte, at int) (rr, int) {
	for {
		if at >= len(m) {
			return rr{}, -1
		}
		n := int(m[at])
		if n >= 0xc0 {
			at += 2
			break
		}
		at += 1 + n
		if n == 0 {
			break
		}
	}
	if at+10 > len(m) {
		return rr{}, -1
	}
	out := rr{typ: binary.BigEndian.Uint16(m[at:]), class: binary.BigEndian.Uint16(m[at+2:]), extended: m[at+4]}
	end := at + 10 + int(binary.BigEndian.Uint16(m[at+8:]))
	if end > len(m) {
		return rr{}, -1
	}
	out.data = m[at+10 : end]
	return out, end
}

// hasCookie looks for a server's cookie among an OPT record's options.
func hasCookie(data []byte) bool {
	for len(data) >= 4 {
		code, n := binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:]))
		if code == codeCookie && n > 8 {
			return true
		}
		if 4+n > len(data) {
			return false
		}
		data = data[4+n:]
	}
	return false
}
