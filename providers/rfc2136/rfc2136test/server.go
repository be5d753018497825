// Package rfc2136test is a primary in memory that takes DNS UPDATE, the double
// of BIND, Knot and PowerDNS in tests: RFC 2136 with prerequisites, TSIG,
// AXFR and queries, over connections that use no socket. A Wire lies between
// it, or a real server, and a client, and loses, repeats and holds up writes.
//
// It passes the contract that the real servers pass. All is safe for
// concurrent use, and works within a bubble of testing/synctest.
package rfc2136test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
)

// DialFunc is rfc2136.Options.Dial.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Key is a TSIG key.
type Key struct {
	Name, Algorithm string // "veer.", "hmac-sha256."
	Secret          string // base64
	// May says what the key may update; nil is all.
	May func(name string, typ uint16) bool
}

// Faults are what a server may do that it should not.
type Faults struct {
	// IgnorePrerequisites: every UPDATE is made.
	IgnorePrerequisites bool
	// DropForbidden: what the policy does not allow is left out, and the rest
	// made, as PowerDNS does.
	DropForbidden bool
	// NoTransfer: AXFR is refused.
	NoTransfer bool
	// NotAuthoritative: answers lack AA, as a resolver's do.
	NotAuthoritative bool
}

// Server is the primary.
type Server struct {
	mu     sync.Mutex
	faults Faults
	keys   map[string]Key
	zones  map[string]*zone
	counts map[string]int
	conns  sync.WaitGroup
}

// NewServer returns a server of empty zones: SOA and NS alone. Without keys it
// takes unsigned requests.
func NewServer(zones []string, keys ...Key) *Server {
	s := &Server{keys: map[string]Key{}, zones: map[string]*zone{}, counts: map[string]int{}}
	for _, k := range keys {
		s.keys[k.Name] = k
	}
	for _, name := range zones {
		name = providers.CanonicalName(name)
		s.zones[name] = newZone(name)
	}
	return s
}

// Set makes the server misbehave from now on.
func (s *Server) Set(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Count tells how often the server was asked: "UPDATE" for what writes, "PROBE"
// for an UPDATE without one, "AXFR", "QUERY".
func (s *Server) Count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[what]
}

// Copy makes the server's zones what the other's are, as a transfer to a
// secondary does.
func (s *Server) Copy(from *Server) {
	from.mu.Lock()
	zones := make(map[string]*zone, len(from.zones))
	for name, z := range from.zones {
		zones[name] = z.clone()
	}
	from.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones = zones
}

// Dial connects to the server, whatever the address.
func (s *Server) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, server := net.Pipe()
	s.conns.Go(func() {
		defer server.Close()
		for {
			request, err := readMessage(server, network)
			if err != nil {
				return
			}
			for _, reply := range s.Serve(network, request) {
				if writeMessage(server, network, reply) != nil {
					return
				}
			}
		}
	})
	return client, nil
}

// Wait returns when every connection is closed.
func (s *Server) Wait() { s.conns.Wait() }

// Serve answers one message: a stream of several for AXFR, none where the
// message is malformed.
func (s *Server) Serve(network string, request []byte) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := new(dns.Msg)
	if err := q.Unpack(request); err != nil || q.Response || len(q.Question) != 1 {
		return nil
	}
	r := new(dns.Msg)
	r.SetReply(q)
	key, problem := s.authenticate(q, request)
	a := answer{s, network, q, key, problem}
	switch {
	case problem != 0:
		r.Rcode = dns.RcodeNotAuth
	case q.Opcode == dns.OpcodeUpdate:
		r.Rcode = a.update()
	case q.Opcode != dns.OpcodeQuery:
		r.Rcode = dns.RcodeNotImplemented
	case q.Question[0].Qtype == dns.TypeAXFR:
		return a.transfer()
	default:
		a.query(r)
	}
	return a.pack(r)
}

// answer is one request and who it is from.
type answer struct {
	*Server
	network string
	q       *dns.Msg
	key     *Key   // nil: unsigned
	problem uint16 // with its TSIG
}

// authenticate checks a request's TSIG (RFC 8945, section 5.2).
func (s *Server) authenticate(q *dns.Msg, raw []byte) (*Key, uint16) {
	t := q.IsTsig()
	if t == nil {
		return nil, 0
	}
	k, ok := s.keys[providers.CanonicalName(t.Hdr.Name)]
	if !ok || !strings.EqualFold(k.Algorithm, t.Algorithm) {
		return nil, dns.RcodeBadKey
	}
	switch err := dns.TsigVerify(append([]byte(nil), raw...), k.Secret, "", false); {
	case errors.Is(err, dns.ErrTime):
		return &k, dns.RcodeBadTime
	case err != nil:
		return nil, dns.RcodeBadSig
	}
	return &k, 0
}

// allowed reports whether the request may do what needs a key.
func (a answer) allowed() bool { return a.key != nil || len(a.keys) == 0 }

// pack signs the replies and truncates what UDP cannot carry.
func (a answer) pack(replies ...*dns.Msg) [][]byte {
	var out [][]byte
	mac := ""
	t := a.q.IsTsig()
	if t != nil {
		mac = t.MAC
	}
	for i, r := range replies {
		if a.network == "udp" {
			r.Truncate(dns.MinMsgSize - 200) // leaves room for TSIG
		}
		var wire []byte
		var err error
		if t == nil {
			wire, err = r.Pack()
		} else {
			wire, mac, err = a.sign(r, t, mac, i > 0)
		}
		if err != nil {
			return nil
		}
		out = append(out, wire)
	}
	return out
}

func (a answer) sign(r *dns.Msg, t *dns.TSIG, mac string, timersOnly bool) ([]byte, string, error) {
	r.SetTsig(t.Hdr.Name, t.Algorithm, 300, time.Now().Unix())
	signed := r.IsTsig()
	signed.Error = a.problem
	if a.problem == dns.RcodeBadTime { // RFC 8945, section 5.2.3
		signed.OtherData, signed.OtherLen = fmt.Sprintf("%012x", signed.TimeSigned), 6
		signed.TimeSigned = t.TimeSigned
	}
	secret := ""
	if a.key != nil {
		secret = a.key.Secret
	}
	return dns.TsigGenerate(r, secret, mac, timersOnly)
}

// readMessage reads a message: over "udp" each write is one.
func readMessage(conn io.Reader, network string) ([]byte, error) {
	if network == "udp" {
		buf := make([]byte, 8192) // no client here announces more
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, buf)
	return buf, err
}

func writeMessage(conn io.Writer, network string, wire []byte) error {
	if network != "udp" {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...) // #nosec G115 -- it was packed
	}
	_, err := conn.Write(wire)
	return err
}
