package authority

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// This file reads the options of a query's OPT record as they came.

// readable returns the query as the library is to read it. The library knows
// more options than this server does, and refuses a message with one of them
// that is malformed; to this server they are unknown, and unknown ones are
// ignored, whatever is in them (RFC 6891, section 6.1.2). So they get a code that
// nobody knows. The client subnet is among them: who is believed reads it from
// the packet; to all others there is no support of it (RFC 7871, section 7.2.1).
func (r *responder) readable(packet, options []byte) []byte {
	if len(options) == 0 {
		return packet
	}
	r.room = append(r.room[:0], packet...)
	rest, _ := skim(r.room)
	for code, data := range optionsOf(rest) {
		// Over UDP there is no idle time to ask for (RFC 7828, section 3.3.1).
		if ours := code == dns.EDNS0NSID || code == dns.EDNS0PADDING || code == dns.EDNS0TCPKEEPALIVE && r.over != overUDP; !ours {
			binary.BigEndian.PutUint16(rest, dns.EDNS0LOCALSTART)
		}
		rest = rest[4+len(data):]
	}
	return r.room
}

// optionsOf yields the options in the data of an OPT record.
func optionsOf(rdata []byte) func(yield func(code uint16, data []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(rdata) >= 4 {
			code, size := binary.BigEndian.Uint16(rdata), int(binary.BigEndian.Uint16(rdata[2:]))
			if len(rdata) < 4+size || !yield(code, rdata[4:4+size]) {
				return
			}
			rdata = rdata[4+size:]
		}
	}
}
