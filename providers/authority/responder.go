package authority

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// headerSize is the length of a message's header (RFC 1035, section 4.1.1).
const headerSize = 12

// responder turns a query packet into an answer packet. It keeps room to work
// in, and so serves one goroutine only. It holds the rules of messages; those
// of names and zones are the Table's.
type responder struct {
	table   *atomic.Pointer[Table]
	udpSize int
	// identity, version and stale are told as told.go says.
	identity, version string
	stale             *atomic.Pointer[string]

	// over is how the query came, idle how long a connection may be silent, and
	// pads that the answer is to be padded.
	over transport
	idle time.Duration
	pads bool

	ecs ecs
	// source is where the query comes from, sub its client subnet option, and
	// most how many bits of the client's address an answer may depend on.
	source netip.Addr
	sub    *subnet
	most   int
	// cookies is nil where they are off; cookie came with the query, valid says
	// whether the server's part is, and ours goes back.
	cookies *cookies
	cookie  cookie
	valid   bool
	ours    [ourCookie]byte
	// draw makes random numbers; nil: a good source.
	draw func() uint64

	reply  Reply
	query  dns.Msg
	answer dns.Msg
	room   []byte // see readable
}

// respond returns the answer to the packet, of at most limit bytes (TCP), or,
// over UDP, as many as the query's EDNS(0) option and the server's bound
// allow. It returns nil for what must not be answered: a packet without a
// whole header, and a response.
func (r *responder) respond(packet []byte, buf []byte, udp bool) []byte {
	r.reply.Reset()
	r.pads = false
	if len(packet) < headerSize || packet[2]&0x80 != 0 {
		return nil
	}
	if opcode := int(packet[2]>>3) & 0xf; opcode != dns.OpcodeQuery {
		return headerOnly(packet, buf, dns.RcodeNotImplemented)
	}
	// More than one question has no meaning (RFC 9619); a query has no records
	// but in the additional section.
	if binary.BigEndian.Uint64(packet[4:])>>16 == 0 {
		return r.cookieOnly(packet, buf)
	}
	if binary.BigEndian.Uint16(packet[4:]) != 1 || binary.BigEndian.Uint32(packet[6:]) != 0 {
		return headerOnly(packet, buf, dns.RcodeFormatError)
	}
	options, ok := skim(packet)
	if !ok {
		return headerOnly(packet, buf, dns.RcodeFormatError)
	}
	if err := r.query.Unpack(r.readable(packet, options)); err != nil || len(r.query.Question) != 1 {
		return headerOnly(packet, buf, dns.RcodeFormatError)
	}
	limit := dns.MaxMsgSize - 1
	opt, ok := option(r.query.Extra)
	if !ok {
		return headerOnly(packet, buf, dns.RcodeFormatError)
	}
	if r.sub, ok = r.ecs.readSubnet(options, r.source); !ok {
		return headerOnly(packet, buf, dns.RcodeFormatError) // RFC 7871, section 7.2.1
	}
	if !r.readCookie(opt, options) {
		return headerOnly(packet, buf, dns.RcodeFormatError) // RFC 7873, section 5.2.2
	}
	if udp {
		limit = minUDPSize
		if opt != nil {
			limit = min(max(int(opt.UDPSize()), minUDPSize), r.udpSize)
		}
	}
	r.fill(opt, r.cookies.withheld(udp, r.valid))
	return r.respell(r.pad(r.pack(buf, limit, packet), limit))
}

// respell gives the question of an answer the query's spelling. The answer was
// made for the name in lower case, so that names in it are compressed to the
// question's whatever its spelling is (RFC 1035, section 4.1.4; RFC 4343).
func (r *responder) respell(out []byte) []byte {
	if name := r.query.Question[0].Name; out[5] == 1 && name != r.answer.Question[0].Name {
		if _, err := dns.PackDomainName(name, out, headerSize, nil, false); err != nil {
			return headerOnly(out, out, dns.RcodeServerFailure)
		}
	}
	return out
}

// headerOnly is an answer of nothing but a header: the query's ID, opcode and
// RD bit, and the rcode.
func headerOnly(packet, buf []byte, rcode int) []byte {
	out := append(buf[:0], packet[:headerSize]...)
	out[2] = 0x80 | packet[2]&0x79
	out[3] = byte(rcode)
	clear(out[4:])
	return out
}

// option returns the EDNS(0) option of a query, and false when there is more
// than one or its name is not the root (RFC 6891, section 6.1.1).
func option(extra []dns.RR) (*dns.OPT, bool) {
	var found *dns.OPT
	for _, rr := range extra {
		opt, ok := rr.(*dns.OPT)
		if !ok {
			continue
		}
		if found != nil || opt.Hdr.Name != "." {
			return nil, false
		}
		found = opt
	}
	return found, true
}

// fill makes the answer to the query.
func (r *responder) fill(opt *dns.OPT, withheld bool) {
	q := r.query.Question[0]
	q.Name = lowerName(q.Name)
	m := &r.answer
	m.MsgHdr = dns.MsgHdr{Id: r.query.Id, Response: true, RecursionDesired: r.query.RecursionDesired}
	m.Compress = true
	m.Question = append(m.Question[:0], q)
	m.Answer, m.Ns, m.Extra = m.Answer[:0], m.Ns[:0], m.Extra[:0]
	if withheld && (opt == nil || opt.Version() == 0) {
		m.Rcode = r.withhold()
	} else if m.Rcode = r.lookup(q, opt); m.Rcode == dns.RcodeSuccess {
		m.Rcode, m.Authoritative = r.reply.Rcode, r.reply.Authoritative
		m.Answer = appendParts(m.Answer, r.reply.Answer)
		m.Ns = appendParts(m.Ns, r.reply.Authority)
		m.Extra = appendParts(m.Extra, r.reply.Additional)
	}
	if opt != nil {
		m.Extra = append(m.Extra, r.ownOption(opt, m.Rcode))
	}
}

// lookup asks the table what the question asks, or returns the rcode of a
// question that no table is asked.
func (r *responder) lookup(q dns.Question, opt *dns.OPT) int {
	switch {
	case opt != nil && opt.Version() != 0:
		return dns.RcodeBadVers // RFC 6891, section 6.1.3
	case q.Qtype == dns.TypeOPT || q.Qtype == dns.TypeTSIG || q.Qtype == dns.TypeTKEY:
		return dns.RcodeFormatError
	case q.Qclass == dns.ClassCHAOS:
		return r.chaos(q)
	case q.Qclass != dns.ClassINET:
		return dns.RcodeRefused
	case q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR:
		return dns.RcodeRefused // no transfers (RFC 5936, section 2.2.1)
	case q.Qtype == dns.TypeMAILA || q.Qtype == dns.TypeMAILB:
		return dns.RcodeNotImplemented // obsolete (RFC 8482, section 7, keeps ANY only)
	}
	name, err := keyOf(q.Name)
	if err != nil {
		return dns.RcodeFormatError
	}
	var client netip.Addr
	client, r.most = r.ecs.client(r.source, r.sub)
	r.table.Load().Lookup(Query{Name: name, As: q.Name, Type: q.Qtype, Now: time.Now(), Draw: r.random(), Client: client, From: r.source}, &r.reply)
	return dns.RcodeSuccess
}

func (r *responder) random() uint64 {
	if r.draw != nil {
		return r.draw()
	}
	return rand.Uint64() // #nosec G404 -- of shares, not of secrets
}

// ownOption is the server's EDNS(0) option: its size, and the query's DO bit
// (RFC 3225, section 3).
func (r *responder) ownOption(theirs *dns.OPT, rcode int) *dns.OPT {
	own := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	own.SetUDPSize(uint16(r.udpSize)) // #nosec G115 -- Config.Check bounds it
	own.SetDo(theirs.Do())
	own.SetExtendedRcode(uint16(rcode)) // #nosec G115 -- a constant
	if r.cookie.size >= 0 {
		own.Option = append(own.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(r.ours[:])})
	}
	r.tell(theirs, own)
	if r.sub != nil {
		own.Option = append(own.Option, r.sub.option(r.sub.scope(&r.reply, r.most)))
	}
	r.transported(theirs, own)
	return own
}

// appendParts adds the records of the parts with their owner and TTL. A
// record that already has both is not copied: packing changes none.
func appendParts(rrs []dns.RR, parts []Part) []dns.RR {
	for _, part := range parts {
		for _, rr := range part.pick.rrs {
			if h := rr.Header(); h.Ttl != part.TTL || h.Name != part.Owner {
				rr = dns.Copy(rr)
				rr.Header().Ttl, rr.Header().Name = part.TTL, part.Owner
			}
			rrs = append(rrs, rr)
		}
	}
	return rrs
}

// pack packs the answer into limit bytes. Additional records that nobody
// needs go first and without a word (RFC 2181, section 9); if glue or an
// answer does not fit, the answer is empty and truncated.
func (r *responder) pack(buf []byte, limit int, packet []byte) []byte {
	m := &r.answer
	out, err := m.PackBuffer(buf[:cap(buf)])
	if err == nil && len(out) <= limit {
		return out
	}
	var opt []dns.RR
	if n := len(m.Extra); n > 0 && m.Extra[n-1].Header().Rrtype == dns.TypeOPT {
		opt = []dns.RR{m.Extra[n-1]}
		if withoutReason(m.Extra[n-1].(*dns.OPT)) {
			if out, err = m.PackBuffer(buf[:cap(buf)]); err == nil && len(out) <= limit {
				return out
			}
		}
	}
	m.Extra = append(appendParts(m.Extra[:0], r.reply.Additional[:r.reply.Glue]), opt...)
	if out, err = m.PackBuffer(buf[:cap(buf)]); err == nil && len(out) <= limit {
		return out
	}
	m.Truncated = true
	m.Answer, m.Ns, m.Extra = m.Answer[:0], m.Ns[:0], append(m.Extra[:0], opt...)
	if out, err = m.PackBuffer(buf[:cap(buf)]); err == nil && len(out) <= limit {
		return out
	}
	return headerOnly(packet, buf, dns.RcodeServerFailure)
}
