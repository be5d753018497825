package authority

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// cookies makes and checks server cookies. It is safe for concurrent use, takes
// no lock, and allocates nothing for a query.
type cookies struct {
	require bool
	// keys: the first makes cookies, all are accepted.
	keys atomic.Pointer[[]sipKey]
}

// newCookies reads the secrets. It returns nil where cookies are off.
func newCookies(c Cookies) (*cookies, error) {
	if c.Enabled != nil && !*c.Enabled {
		return nil, nil
	}
	out := &cookies{require: c.Require}
	keys, err := c.read()
	if err != nil {
		return nil, err
	}
	out.keys.Store(&keys)
	return out, nil
}

// Lengths of cookies (RFC 7873, section 4), and of those that this server makes
// (RFC 9018, section 4).
const (
	clientCookie  = 8
	minFullCookie = clientCookie + 8
	maxFullCookie = clientCookie + 32
	ourCookie     = clientCookie + 16
	cookieOption  = 4 + ourCookie
	cookieVersion = 1
)

// How old a server cookie may be, how far in the future, and how old it is when
// a new one takes its place, in seconds (RFC 9018, section 4.3).
const (
	maxCookieAge   = 3600
	maxCookieAhead = 300
	freshCookie    = 1800
)

// cookie is the content of a query's option, read in place.
type cookie struct {
	data [maxFullCookie]byte
	size int // as it came; -1: there is none
}

// read takes over an option's content. All but the first option is ignored.
func (c *cookie) read(data []byte) {
	if c.size < 0 {
		c.size = len(data)
		copy(c.data[:], data)
	}
}

// malformed reports a length that no cookie has (RFC 7873, section 5.2.2).
func (c *cookie) malformed() bool {
	return c.size >= 0 && c.size != clientCookie && (c.size < minFullCookie || c.size > maxFullCookie)
}

// answer returns the cookie that goes back to a client, which is the one that
// came while it is fresh, and whether that was valid.
//
// The time in a cookie is that of the wall clock, the only one that the servers
// of an address share. A wrong clock costs its server cookies that were valid,
// and so no more than clients' being treated as if they had none.
func (c *cookies) answer(q *cookie, from netip.Addr, at time.Time) (out [ourCookie]byte, valid bool) {
	keys := *c.keys.Load()
	now := uint32(at.Unix()) // #nosec G115 -- serial arithmetic (RFC 1982), as RFC 9018 says
	var buf [clientCookie + 8 + 16]byte
	message := buf[:clientCookie+8]
	if from.Is4() {
		ip := from.As4()
		message = append(message, ip[:]...)
	} else {
		ip := from.As16()
		message = append(message, ip[:]...)
	}
	copy(out[:], q.data[:clientCookie])
	if q.size == ourCookie && q.data[clientCookie] == cookieVersion {
		age := int32(now - binary.BigEndian.Uint32(q.data[clientCookie+4:])) // #nosec G115 -- the same
		if -maxCookieAhead <= age && age <= maxCookieAge {
			copy(message, q.data[:clientCookie+8]) // the reserved bytes as they came
			hash := binary.LittleEndian.Uint64(q.data[clientCookie+8:])
			for i, key := range keys {
				if key.sum(message) != hash {
					continue
				}
				if i == 0 && age <= freshCookie {
					copy(out[:], q.data[:])
					return out, true
				}
				valid = true
				break
			}
		}
	}
	copy(message, q.data[:clientCookie])
	clear(message[clientCookie : clientCookie+8])
	message[clientCookie] = cookieVersion
	binary.BigEndian.PutUint32(message[clientCookie+4:], now)
	copy(out[clientCookie:], message[clientCookie:clientCookie+8])
	binary.LittleEndian.PutUint64(out[clientCookie+8:], keys[0].sum(message))
	return out, valid
}

// readCookie reads the cookie in the data of a query's OPT record, if there is
// one that counts. It returns false for one that is malformed.
func (r *responder) readCookie(opt *dns.OPT, data []byte) bool {
	r.cookie.size, r.valid = -1, false
	if r.cookies == nil || opt == nil || opt.Version() != 0 {
		return true
	}
	for len(data) >= 4 {
		end := 4 + int(binary.BigEndian.Uint16(data[2:]))
		if end > len(data) {
			break // cannot be: the library has read it
		}
		if binary.BigEndian.Uint16(data) == dns.EDNS0COOKIE {
			r.cookie.read(data[4:end])
		}
		data = data[end:]
	}
	if r.cookie.malformed() {
		return false
	}
	if r.cookie.size >= 0 {
		r.ours, r.valid = r.cookies.answer(&r.cookie, r.source, time.Now())
	}
	return true
}

// withheld reports whether the answer is for clients over TCP only, and for
// those that show a server cookie.
func (c *cookies) withheld(udp, valid bool) bool { return c != nil && c.require && udp && !valid }

// withhold makes the answer to who has to come again: with the cookie that it
// is told now (RFC 7873, section 5.2.3), or over TCP where it knows of none.
func (r *responder) withhold() int {
	if r.cookie.size >= 0 {
		return dns.RcodeBadCookie
	}
	r.answer.Truncated = true
	return dns.RcodeSuccess
}

// cookieOnly answers a query without a question, by which a client asks for a
// server cookie, or whether its own is valid (RFC 7873, section 5.4).
func (r *responder) cookieOnly(packet, buf []byte) []byte {
	r.valid = false
	if r.cookies == nil || r.query.Unpack(packet) != nil || len(r.query.Question) != 0 {
		return headerOnly(packet, buf, dns.RcodeFormatError)
	}
	opt, ok := option(r.query.Extra)
	if !ok || opt == nil || !r.readCookie(opt, soleOption(packet)) {
		return headerOnly(packet, buf, dns.RcodeFormatError)
	}
	m := &r.answer
	*m = dns.Msg{MsgHdr: dns.MsgHdr{Id: r.query.Id, Response: true, RecursionDesired: r.query.RecursionDesired}}
	switch {
	case opt.Version() != 0:
		m.Rcode = dns.RcodeBadVers
	case r.cookie.size < 0:
		return headerOnly(packet, buf, dns.RcodeFormatError)
	case r.cookie.size > clientCookie && !r.valid:
		m.Rcode = dns.RcodeBadCookie
	}
	r.sub = nil
	m.Extra = []dns.RR{r.ownOption(opt, m.Rcode)}
	out, err := m.PackBuffer(buf[:cap(buf)])
	if err != nil {
		return headerOnly(packet, buf, dns.RcodeServerFailure)
	}
	return out
}

// soleOption returns the data of the OPT record of a query without a question,
// which has to be its first record; nil where it is not.
func soleOption(packet []byte) []byte {
	r := packet[headerSize:]
	if len(r) < optSize || r[0] != 0 || binary.BigEndian.Uint16(r[1:]) != dns.TypeOPT {
		return nil
	}
	end := optSize + int(binary.BigEndian.Uint16(r[9:]))
	if end > len(r) {
		return nil
	}
	return r[optSize:end]
}
