package authority

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds of what a resolver may say.
const (
	// maxAliasAddresses is how many addresses of one family a host may have.
	maxAliasAddresses = 256
	// maxAliasChain is how many CNAME records may lead to them.
	maxAliasChain = 16
	// maxStray is how many packets that answer nothing are read for one question.
	maxStray = 64
	// askedSize is the size of UDP answers that is offered (RFC 9715).
	askedSize = 1232
)

// found is what a resolver says of a host's addresses of one family. Without
// addresses, none says how it put it: the host or the type does not exist.
type found struct {
	addrs []netip.Addr // sorted, each once
	none  string
	// ttl is in seconds, of the record that ends first; of a negative answer
	// that of its SOA.
	ttl uint32
	// passed are the names that CNAME records led through, the host first.
	passed []string
}

// resolver asks recursive resolvers, in their order. Whatever comes back is
// hostile until readReply has taken it.
type resolver struct {
	servers []string
	timeout time.Duration
}

// askRounds is how often each resolver is asked before a look-up fails: a
// packet may be lost.
const askRounds = 2

// resolve looks a host up. The error tells what each resolver did last.
func (r resolver) resolve(ctx context.Context, host string, typ uint16) (found, error) {
	var problems []error
	for range askRounds {
		problems = problems[:0]
		for _, server := range r.servers {
			f, err := r.ask(ctx, server, host, typ)
			if err == nil {
				return f, nil
			}
			if ctx.Err() != nil {
				return found{}, fmt.Errorf("look %s up: %w", host, ctx.Err())
			}
			problems = append(problems, fmt.Errorf("%s: %w", server, err))
		}
	}
	return found{}, fmt.Errorf("%s of %s: %w", dns.Type(typ), host, errors.Join(problems...))
}

// ask asks one resolver over UDP, and over TCP where the answer is cut short or
// the resolver does not keep the spelling, without which UDP proves too little.
func (r resolver) ask(ctx context.Context, server, host string, typ uint16) (found, error) {
	q, err := newSought(host, typ)
	if err != nil {
		return found{}, err
	}
	f, err := r.over(ctx, "udp", server, q)
	if errors.Is(err, errCut) || errors.Is(err, errSpelling) {
		f, err = r.over(ctx, "tcp", server, q)
	}
	return f, err
}

// over asks one resolver over one transport, from a port of its own.
func (r resolver) over(ctx context.Context, network, server string, q sought) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, server)
	if err != nil {
		return found{}, err
	}
	defer conn.Close()                                      //nolint:errcheck // its answer is read, or it is given up
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // it ends the reading
	defer stop()
	var f found
	if network == "tcp" {
		f, err = q.overTCP(conn)
	} else {
		f, err = q.overUDP(conn)
	}
	if ctx.Err() != nil && (errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF)) {
		err = fmt.Errorf("no answer within %s over %s", r.timeout, network)
	}
	return f, err
}

// overUDP reads until the answer comes: the socket is connected, so that only
// packets from the resolver's address and port arrive, and those that are not
// the answer to this question are somebody else's.
func (q sought) overUDP(conn net.Conn) (found, error) {
	if _, err := conn.Write(q.packet); err != nil {
		return found{}, err
	}
	buf := make([]byte, askedSize+1)
	var stray error
	for range maxStray {
		n, err := conn.Read(buf)
		if err != nil {
			if errors.Is(stray, errSpelling) {
				return found{}, errSpelling
			}
			return found{}, err
		}
		if n > askedSize {
			stray = errors.New("more bytes than were asked for")
			continue
		}
		f, err := q.read(buf[:n], true)
		if !errors.Is(err, errStray) {
			return f, err
		}
		if stray = err; errors.Is(err, errSpelling) {
			return found{}, err // TCP settles it, whoever sent this
		}
	}
	return found{}, fmt.Errorf("%d packets that do not answer the question; the last: %w", maxStray, stray)
}

// overTCP asks on a connection, whose sequence numbers protect the answer.
func (q sought) overTCP(conn net.Conn) (found, error) {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(q.packet))) // #nosec G115 -- a question
	if _, err := conn.Write(append(out, q.packet...)); err != nil {
		return found{}, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return found{}, err
	}
	in := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, in); err != nil {
		return found{}, err
	}
	return q.read(in, false)
}

// sought is one question as it was sent.
type sought struct {
	packet []byte
	id     uint16
	name   string // in the spelling that was sent
	typ    uint16
}

// newSought makes a question with a random id and a random spelling (0x20).
func newSought(host string, typ uint16) (sought, error) {
	random := make([]byte, 2+len(host))
	if _, err := rand.Read(random); err != nil {
		return sought{}, err
	}
	name := []byte(host)
	for i, c := range name {
		if 'a' <= c && c <= 'z' && random[2+i]&1 == 1 {
			name[i] = c - ('a' - 'A')
		}
	}
	q := sought{id: binary.BigEndian.Uint16(random), name: string(name), typ: typ}
	m := new(dns.Msg)
	m.Id, m.RecursionDesired = q.id, true
	m.Question = []dns.Question{{Name: q.name, Qtype: typ, Qclass: dns.ClassINET}}
	m.SetEdns0(askedSize, false)
	var err error
	if q.packet, err = m.Pack(); err != nil {
		return sought{}, fmt.Errorf("ask for %s: %w", host, err)
	}
	return q, nil
}

// What is wrong with a packet: it does not answer the question, or is cut short.
var (
	errStray    = errors.New("not the answer to the question")
	errSpelling = fmt.Errorf("%w: the name came back in another spelling", errStray)
	errCut      = errors.New("the answer is cut short")
)

// read reads an answer. exact wants the name in the very spelling that was sent.
func (q sought) read(packet []byte, exact bool) (found, error) {
	if err := q.echoed(packet, exact); err != nil {
		return found{}, err
	}
	if packet[2]&0x02 != 0 {
		if !exact {
			return found{}, errors.New("the answer is cut short over TCP too")
		}
		return found{}, errCut
	}
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		return found{}, fmt.Errorf("the answer is malformed: %w", err)
	}
	f, last, err := q.follow(m.Answer)
	switch {
	case err != nil:
		return found{}, err
	case m.Rcode == dns.RcodeSuccess && len(f.addrs) > 0:
		return f, nil
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return found{}, fmt.Errorf("it answers %s", rcodeName(m.Rcode))
	case !m.RecursionAvailable && !m.Authoritative:
		return found{}, errors.New("it does not resolve for this server (no RA bit)")
	}
	f.addrs, f.none, f.ttl = nil, "no "+dns.Type(q.typ).String()+" records", negativeTTL(m.Ns)
	if m.Rcode == dns.RcodeNameError {
		f.none = "NXDOMAIN"
	}
	if last != strings.ToLower(q.name) {
		f.none += " at " + last
	}
	return f, nil
}

// echoed checks that a packet is a response to the question.
func (q sought) echoed(packet []byte, exact bool) error {
	if len(packet) < headerSize || binary.BigEndian.Uint16(packet) != q.id || packet[2]&0xf8 != 0x80 || binary.BigEndian.Uint16(packet[4:]) != 1 {
		return errStray
	}
	name, end, err := dns.UnpackDomainName(packet, headerSize)
	if err != nil || len(packet) < end+questionTail || binary.BigEndian.Uint16(packet[end:]) != q.typ || binary.BigEndian.Uint16(packet[end+2:]) != dns.ClassINET {
		return errStray
	}
	switch {
	case !strings.EqualFold(name, q.name):
		return errStray
	case exact && name != q.name:
		return errSpelling
	}
	return nil
}

// follow collects the addresses that the answer gives for the name, by way of
// its CNAME records. last is the name at the end of them.
func (q sought) follow(rrs []dns.RR) (f found, last string, err error) {
	last, f.ttl = strings.ToLower(q.name), maxTTL
	for {
		f.passed = append(f.passed, last)
		next := ""
		for _, rr := range rrs {
			h := rr.Header()
			if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, last) {
				continue
			}
			var addr netip.Addr
			switch r := rr.(type) {
			case *dns.A:
				addr, _ = netip.AddrFromSlice(r.A.To4())
			case *dns.AAAA:
				addr, _ = netip.AddrFromSlice(r.AAAA)
			case *dns.CNAME:
				next = strings.ToLower(r.Target)
			}
			if h.Rrtype != q.typ && h.Rrtype != dns.TypeCNAME {
				continue
			}
			f.ttl = min(f.ttl, plainTTL(h.Ttl))
			if h.Rrtype == dns.TypeCNAME {
				continue
			}
			if !usable(addr, q.typ) {
				return f, last, fmt.Errorf("it gives %s for %s, which is no address of a service", addr, last)
			}
			f.addrs = append(f.addrs, addr)
		}
		switch {
		case len(f.addrs) > 0 || next == "":
			slices.SortFunc(f.addrs, netip.Addr.Compare)
			if f.addrs = slices.Compact(f.addrs); len(f.addrs) > maxAliasAddresses {
				return f, last, fmt.Errorf("it gives %d addresses; expected at most %d", len(f.addrs), maxAliasAddresses)
			}
			return f, last, nil
		case len(f.passed) > maxAliasChain || slices.Contains(f.passed, next):
			return f, last, fmt.Errorf("its CNAME records lead in a circle, or through more than %d names", maxAliasChain)
		}
		last = next
	}
}

// usable refuses what is no address of a service on another host: such answers
// come from filters, and from who wants to harm.
func usable(a netip.Addr, typ uint16) bool {
	return a.IsValid() && a.Is4() == (typ == dns.TypeA) && !a.Is4In6() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() &&
		!a.IsLoopback() && !a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// plainTTL is 0 for a TTL with the highest bit (RFC 2181, section 8).
func plainTTL(ttl uint32) uint32 {
	if ttl > maxTTL {
		return 0
	}
	return ttl
}

// negativeTTL is how long a negative answer holds (RFC 2308, section 5).
func negativeTTL(authority []dns.RR) uint32 {
	for _, rr := range authority {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(plainTTL(soa.Hdr.Ttl), plainTTL(soa.Minttl))
		}
	}
	return 0
}

func rcodeName(code int) string {
	if name, ok := dns.RcodeToString[code]; ok {
		return name
	}
	return fmt.Sprintf("code %d", code)
}
