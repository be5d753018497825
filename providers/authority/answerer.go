package authority

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
)

// transport is how a query came.
type transport uint8

const (
	overUDP transport = iota
	overTCP
	overTLS // DNS over TLS (RFC 7858)
	transports
)

// peer is who asks, and how.
type peer struct {
	addr netip.Addr
	port uint16
	over transport
}

// outcome is what answered a query, the same on both paths. Of a chain of names
// it is the first that counts.
type outcome struct {
	zone *zone // nil: none of ours
	// node is the name's own or, of a name that does not exist, the source of
	// synthesis, the DNAME or the delegation that answers for it; nil: no such name.
	node *node
	pick *pick // the RRset in the answer section; nil: none
	// known says that node is left out, and what the limiter and the service count
	// stands here: it is remembered, and need not be read of node and pick.
	known bool
	what  subject
	line  line
}

// answerer turns queries into answers in place: on the fast path if it can,
// otherwise on the general one. It serves one goroutine only.
type answerer struct {
	// from is who asks. It is set before respond is called.
	from peer
	// was is what answered the last query; empty for one that no table was asked.
	was outcome
	// shown says that the last query had a valid server cookie.
	shown bool

	fast    *quick // nil: everything takes the general path
	general *responder
	anew    func() *responder // after a fault
	room    []byte            // of the general path
	log     zerolog.Logger

	clock  *clock   // of the batch
	limits *limiter // nil: nobody is limited
	tick   uint64   // of the batch, as limits has it; 0: nobody asked yet

	// What it answered since it was last counted.
	fastAnswers, generalAnswers uint64
	codes                       [16]uint64 // by rcode
	counted                     pending

	samplers []sampler // nil: no query is observed
}

func (s *Server) answerer() *answerer {
	a := &answerer{
		general: s.responder(), anew: s.responder, log: s.opts.Log, limits: s.limits, clock: new(clock),
		counted: pending{to: s.tallies.take()}, samplers: s.samplers(),
	}
	if s.config.Fast != FastNone {
		a.fast = &quick{table: &s.table, udpSize: s.config.UDPSize, named: s.config.Identity != "", stale: &s.stale, cookies: s.cookies, from: &a.from}
		a.clock = &a.fast.clock
	}
	return a
}

// remembering lets the fast path remember answers, for a loop that lasts.
func (a *answerer) remembering() *answerer {
	if a.fast != nil {
		a.fast.memo = newMemo(memoSets)
	}
	return a
}

// begin begins a batch of queries that came at the same time.
func (a *answerer) begin() { *a.clock, a.tick = clock{}, 0 }

// draft is an answer that is neither limited nor counted yet.
type draft struct {
	from  peer
	was   outcome
	size  int
	fast  bool // it took the fast path
	fault bool // it says that there was one
	// limited says that the limiter is to be asked, of what, and where in its
	// table the answer is.
	limited bool
	what    subject
	hash    uint64
}

// answer replaces the query in the first n bytes of buf by its answer, and
// returns the answer's length; 0 for what must not be answered. more is the
// answer where buf has no room for it, as can be over TCP.
func (a *answerer) answer(buf []byte, n int) (size int, more []byte) {
	var d draft
	more = a.draft(&d, buf, n)
	if size = a.settle(&d, buf, more); size == 0 {
		more = nil
	}
	return size, more
}

// ahead reads a query of a batch before its draft, which reads it once more should
// this find a fault.
func (a *answerer) ahead(q *quickQuery, packet []byte) {
	if q.ahead = false; a.fast == nil {
		return
	}
	defer func() {
		if recover() != nil {
			q.ahead = false
		}
	}()
	a.fast.asked, q.ahead = q, true
	a.fast.read(packet)
}

// draft is answer without limits and counts.
//
// Should a query find a fault in the parsing of it, that query fails and the
// server goes on.
func (a *answerer) draft(d *draft, buf []byte, n int) (more []byte) {
	defer func() {
		if fault := recover(); fault != nil {
			a.log.Error().Interface("fault", fault).Hex("query", buf[:n]).Msg("a query could not be answered")
			a.general, a.was = a.anew(), outcome{}
			*d, more = draft{from: a.from, size: len(headerOnly(buf[:n], buf, dns.RcodeServerFailure)), fault: true}, nil
		}
	}()
	d.from, d.fault, d.limited = a.from, false, false
	d.size, more, d.fast = a.reply(buf, n)
	d.was = a.was
	if d.size > 0 && more == nil && a.limits != nil && a.from.over == overUDP && !a.shown {
		d.limited, d.what = true, subjectOf(a.was, int(buf[3]&15))
		d.hash = a.limits.hash(a.from.addr, d.what)
	}
	return more
}

// settle limits and counts an answer, and returns how much of it is to be sent.
func (a *answerer) settle(d *draft, buf, more []byte) int {
	if d.fault {
		a.codes[dns.RcodeServerFailure]++
		return d.size
	}
	if d.limited {
		d.size = a.limit(d, buf)
	}
	if d.size == 0 {
		return 0
	}
	if d.fast {
		a.fastAnswers++
	} else {
		a.generalAnswers++
	}
	flags := buf[3]
	if more != nil {
		flags = more[3]
	}
	a.codes[flags&15]++
	d.was.count(&a.counted, d.from.over, flags)
	return d.size
}

// reply makes the answer; fast says which path it took.
func (a *answerer) reply(buf []byte, n int) (size int, more []byte, fast bool) {
	udp := a.from.over == overUDP
	if a.fast != nil {
		if size := a.fast.respond(buf, n, udp); size > 0 {
			a.was, a.shown = a.fast.was, a.fast.valid
			return size, nil, true
		}
	}
	if a.room == nil {
		a.room = make([]byte, maxPacked)
	}
	a.general.source, a.general.over = a.from.addr, a.from.over
	out := a.general.respond(buf[:n], a.room, udp)
	a.was, a.shown = a.general.reply.was, a.general.valid
	if len(out) > len(buf) {
		return len(out), out, false
	}
	return copy(buf, out), nil, false
}

// appendAnswer appends the answer to a query as TCP has it: behind its length.
// It returns false for what must not be answered.
func (a *answerer) appendAnswer(out, query []byte) ([]byte, bool) {
	start := len(out) + 2
	out = slices.Grow(out, 2+max(len(query), maxPacked)+maxQuestion)
	buf := out[start:cap(out)]
	size, more := a.respond(buf, copy(buf, query))
	if size == 0 {
		return out, false
	}
	out = binary.BigEndian.AppendUint16(out, uint16(size)) // #nosec G115 -- respond bounds it
	if more != nil {
		return append(out, more...), true
	}
	return out[:start+size], true
}

// maxQuestion is the room for all of an answer but its records.
const maxQuestion = headerSize + maxName + questionTail + optSize

// counter counts the answers of one loop, which alone writes it.
type counter struct {
	fast, general atomic.Uint64
	codes         *rcodeBlock
	_             [104]byte // no two loops write the same line of a CPU's cache
}

// add takes over what the answerer counted.
func (c *counter) add(a *answerer) {
	a.counted.flush() // before the others: a response that these have is counted everywhere
	if a.fastAnswers > 0 {
		c.fast.Add(a.fastAnswers)
	}
	if a.generalAnswers > 0 {
		c.general.Add(a.generalAnswers)
	}
	for code, n := range a.codes {
		if n > 0 {
			c.codes.counts[code].Add(n)
		}
	}
	a.fastAnswers, a.generalAnswers, a.codes = 0, 0, [16]uint64{}
}
