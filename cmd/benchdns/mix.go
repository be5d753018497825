//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// The zone: as many names as the issue of this benchmark asks for, all of the
// same length, so that a burst of queries is one of equal packets.
const (
	zone           = "example.test"
	names          = 1000
	steeredName    = "s000"
	steeredAddress = "127.0.0.1"
)

// The mix, in percent of the queries. The steered name's are part of the A.
const (
	percentA        = 70
	percentSteered  = 5
	percentAAAA     = 20
	percentMissing  = 10
	percentEDNS     = 20
	queriesOfMix    = 64000
	burstsOfMix     = 5000
	sourceAddresses = 10000
)

// want is what makes an answer the right one.
type want struct {
	rcode byte
	typ   uint16 // of its one record; 0: it has none
	data  []byte // the record's
}

// A question is packed once; only the id changes from query to query.
type question struct {
	name   string
	typ    uint16
	plain  []byte
	cookie []byte // the same with EDNS and a client's cookie
	want   want
}

// packet is the query with or without EDNS.
func (q *question) packet(edns bool) []byte {
	if edns {
		return q.cookie
	}
	return q.plain
}

// A mix is what is asked, in what order. Whether a query has EDNS is decided for
// the burst that it is part of.
type mix struct {
	questions []question
	order     []uint16
	edns      []bool
}

func newQuestion(label string, typ uint16, w want) (question, error) {
	q := question{name: label + "." + zone + ".", typ: typ, want: w}
	var m dns.Msg
	m.SetQuestion(q.name, typ)
	m.Id, m.RecursionDesired = 0, false
	var err error
	if q.plain, err = m.Pack(); err != nil {
		return q, fmt.Errorf("pack the query for %s: %w", q.name, err)
	}
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{
		Code: dns.EDNS0COOKIE, Cookie: fmt.Sprintf("5eed%04x", typ) + fmt.Sprintf("%08x", []byte(label)),
	})
	if q.cookie, err = m.Pack(); err != nil {
		return q, fmt.Errorf("pack the query for %s with a cookie: %w", q.name, err)
	}
	return q, nil
}

// label is that of the nth name; the first one is steered.
func label(n int) string {
	if n == 0 {
		return steeredName
	}
	return fmt.Sprintf("n%03d", n)
}

func address4(n int) netip.Addr {
	if n == 0 {
		return netip.MustParseAddr(steeredAddress)
	}
	return netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}) // #nosec G115 -- below names
}

func address6(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(n >> 8), 15: byte(n)}) // #nosec G115 -- below names
}

// wholeMix is the mix that servers are compared with.
func wholeMix(seed uint64) (*mix, error) {
	m := &mix{}
	var a, aaaa, missing []uint16
	add := func(to *[]uint16, label string, typ uint16, w want) error {
		q, err := newQuestion(label, typ, w)
		*to = append(*to, uint16(len(m.questions))) // #nosec G115 -- 3 times names at most
		m.questions = append(m.questions, q)
		return err
	}
	for n := range names {
		if err := add(&a, label(n), dns.TypeA, want{typ: dns.TypeA, data: address4(n).AsSlice()}); err != nil {
			return nil, err
		}
		if err := add(&missing, fmt.Sprintf("x%03d", n), dns.TypeA, want{rcode: dns.RcodeNameError}); err != nil {
			return nil, err
		}
		if n == 0 {
			continue
		}
		if err := add(&aaaa, label(n), dns.TypeAAAA, want{typ: dns.TypeAAAA, data: address6(n).AsSlice()}); err != nil {
			return nil, err
		}
	}
	fill := func(from []uint16, percent int) {
		for i := range queriesOfMix * percent / 100 {
			m.order = append(m.order, from[i%len(from)])
		}
	}
	fill(a[:1], percentSteered)
	fill(a[1:], percentA-percentSteered)
	fill(aaaa, percentAAAA)
	fill(missing, percentMissing)
	m.shuffle(seed)
	return m, nil
}

// oneName is a mix of one name's A records only.
func oneName(n int, seed uint64) (*mix, error) {
	q, err := newQuestion(label(n), dns.TypeA, want{typ: dns.TypeA, data: address4(n).AsSlice()})
	m := &mix{questions: []question{q}, order: make([]uint16, queriesOfMix)}
	m.shuffle(seed)
	return m, err
}

func (m *mix) shuffle(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 5)) // #nosec G404 -- of a benchmark
	r.Shuffle(len(m.order), func(i, j int) { m.order[i], m.order[j] = m.order[j], m.order[i] })
	m.edns = make([]bool, burstsOfMix)
	for i := range burstsOfMix * percentEDNS / 100 {
		m.edns[i] = true
	}
	r.Shuffle(len(m.edns), func(i, j int) { m.edns[i], m.edns[j] = m.edns[j], m.edns[i] })
}

// A cursor walks through a mix for ever, and through the sources.
type cursor struct {
	mix     *mix
	sources [][4]byte
	query   int
	burst   int
	source  int
}

// next begins a burst.
func (c *cursor) next() (source [4]byte, edns bool) {
	source, edns = c.sources[c.source], c.mix.edns[c.burst]
	if c.source++; c.source == len(c.sources) {
		c.source = 0
	}
	if c.burst++; c.burst == len(c.mix.edns) {
		c.burst = 0
	}
	return source, edns
}

// ask returns the next question's number.
func (c *cursor) ask() uint16 {
	n := c.mix.order[c.query]
	if c.query++; c.query == len(c.mix.order) {
		c.query = 0
	}
	return n
}

// manySources are addresses of 127/8, each in a /24 of its own: rate limiting is
// by such prefixes.
func manySources(seed uint64) [][4]byte {
	var out [][4]byte
	for i := range sourceAddresses {
		out = append(out, [4]byte{127, byte(1 + i/250), byte(i % 250), 1}) // #nosec G115 -- 40 times 250
	}
	r := rand.New(rand.NewPCG(seed, 6)) // #nosec G404 -- of a benchmark
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// zoneText is the zone as a master file, with a line of the server's own for
// the steered name.
func zoneText(steered string) string {
	var z strings.Builder
	z.WriteString("$TTL 300\n@ 60 SOA ns1 hostmaster 1 7200 1800 259200 60\n@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.0.0.1\n" + steered)
	for n := 1; n < names; n++ {
		fmt.Fprintf(&z, "%s A %s\n%s AAAA %s\n", label(n), address4(n), label(n), address6(n))
	}
	return z.String()
}

// dnsperfText is the mix as dnsperf reads it.
func (m *mix) dnsperfText() string {
	var t strings.Builder
	for _, n := range m.order {
		q := &m.questions[n]
		fmt.Fprintf(&t, "%s %s\n", q.name, dns.TypeToString[q.typ])
	}
	return t.String()
}
