package authority

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

// This file holds the EDNS(0) options that depend on the transport.

// keepaliveUnit is the unit of edns-tcp-keepalive's TIMEOUT (RFC 7828, section
// 3.1).
const keepaliveUnit = 100 * time.Millisecond

// padTo is the block that answers are padded to (RFC 8467, section 4.1).
const padTo = 468

// optionHead is an option without data.
const optionHead = 4

// transported adds the options of a connection to the answer's: how long it may
// be silent (RFC 7828, section 3.3.2), over TCP and TLS; and padding, which is
// given its length by pad, to who pads over TLS (RFC 7830, section 4). Over UDP
// the first is ignored (RFC 7828, section 3.3.1), in the clear the second.
func (r *responder) transported(theirs, own *dns.OPT) {
	keepalive := false
	for _, o := range theirs.Option {
		switch o.Option() {
		case dns.EDNS0TCPKEEPALIVE:
			keepalive = r.over != overUDP
		case dns.EDNS0PADDING:
			r.pads = r.over == overTLS
		}
	}
	if keepalive && theirs.Version() == 0 {
		own.Option = append(own.Option, &dns.EDNS0_TCP_KEEPALIVE{
			Code: dns.EDNS0TCPKEEPALIVE, Timeout: uint16(max(r.idle/keepaliveUnit, 1)), // #nosec G115 -- Config.Check bounds it
		})
	}
}

// pad pads an answer, whose last record is the server's option, to a whole
// number of blocks, as far as the limit allows.
func (r *responder) pad(out []byte, limit int) []byte {
	if !r.pads {
		return out
	}
	n := len(r.answer.Extra)
	if n == 0 {
		return out
	}
	own, ok := r.answer.Extra[n-1].(*dns.OPT)
	if !ok {
		return out
	}
	at := len(out) - dns.Len(own)
	if at < headerSize || out[at] != 0 || binary.BigEndian.Uint16(out[at+1:]) != dns.TypeOPT {
		return out // the answer is a header only
	}
	size := at + optSize + int(binary.BigEndian.Uint16(out[at+optSize-2:]))
	if size != len(out) || size+optionHead > limit {
		return out
	}
	whole := min((size+optionHead+padTo-1)/padTo*padTo, limit)
	fill := whole - size - optionHead
	out = binary.BigEndian.AppendUint16(out, dns.EDNS0PADDING)
	out = binary.BigEndian.AppendUint16(out, uint16(fill)) // #nosec G115 -- below the block
	for range fill {
		out = append(out, 0) // RFC 7830, section 3
	}
	binary.BigEndian.PutUint16(out[at+optSize-2:], uint16(len(out)-at-optSize)) // #nosec G115 -- below the limit
	return out
}
