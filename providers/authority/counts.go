package authority

import (
	"cmp"
	"math/bits"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
)

// This file counts the answers of each zone, and of each service by what it
// answered. Where something is counted is its line, a number that the table
// holds; how often is in tallies, of which each loop writes one of its own. A
// line is given once and for good, so that no count is ever lost or taken for
// another's, whatever table a loop still answers from.

// line is where something is counted; the zero line is nothing's.
type line uint32

// ZoneCount is how many queries a zone has answered over one transport with one
// rcode, since the start of the process.
type ZoneCount struct {
	Zone      string
	Transport string // udp, tcp or tls
	Rcode     int
	Queries   uint64
}

// AnswerCount is how many queries a service has answered in one way. A service
// that comes back after it was gone goes on counting.
type AnswerCount struct {
	Service string
	// Answer is what Options.Region calls it, or one of the words below.
	Answer  string
	Queries uint64
}

// The words of AnswerCount that are no region's: regions have no capitals.
const (
	// AnswerNone is of a type that the service has not.
	AnswerNone = "NODATA"
	// AnswerOther is what has no name, or comes after too many that have one.
	AnswerOther = "OTHER"
)

// maxAnswers bounds the names of one service's answers.
const maxAnswers = 64

func transportName(t transport) string {
	return [transports]string{overUDP: "udp", overTCP: "tcp", overTLS: "tls"}[t]
}

// zoneLine is the line of a zone's answers of one kind. of is its first one.
func zoneLine(of line, over transport, rcode byte) line {
	return of + line(over)*16 + line(rcode&15)
}

// book tells which line is whose. It is part of the state.
type book struct {
	last     line
	zones    map[key]line // the first of the zone's
	services map[string]*serviceLines
	// region names what a service answers; nil: nothing has a name.
	region func(service string, data []string) string
}

// serviceLines are the lines of one service.
type serviceLines struct {
	none    line
	answers map[string]line
}

func newBook() *book {
	return &book{zones: make(map[key]line), services: make(map[string]*serviceLines)}
}

// open gives so many lines, and returns the first; 0, nothing's, when there are
// no more.
func (b *book) open(n line) line {
	if b.last+n >= maxChunks*chunkLines {
		return 0
	}
	first := b.last + 1
	b.last += n
	return first
}

// zone returns the first line of a zone.
func (b *book) zone(apex key) line {
	l, ok := b.zones[apex]
	if !ok {
		l = b.open(line(transports) * 16)
		b.zones[apex] = l
	}
	return l
}

// number gives the services' answers their lines. What has them may be served
// already, and stays as it is.
func (b *book) number(services map[string]service) {
	for name, svc := range services {
		if svc.lines != nil {
			continue
		}
		svc.lines = b.service(name)
		for _, s := range svc.sets {
			s.each(func(p *pick) {
				p.region = AnswerOther
				if b.region != nil {
					p.region = cmp.Or(b.region(name, p.data()), AnswerOther)
				}
				p.region, p.line = b.answer(svc.lines, p.region)
			})
		}
		services[name] = svc
	}
}

func (b *book) service(name string) *serviceLines {
	s := b.services[name]
	if s == nil {
		s = &serviceLines{none: b.open(1), answers: make(map[string]line)}
		b.services[name] = s
	}
	return s
}

// answer returns the line of an answer, and the name that it goes by.
func (b *book) answer(s *serviceLines, name string) (string, line) {
	if _, ok := s.answers[name]; !ok {
		if len(s.answers) >= maxAnswers {
			name = AnswerOther
		}
		if _, ok := s.answers[name]; !ok {
			s.answers[name] = b.open(1)
		}
	}
	return name, s.answers[name]
}

// data are the addresses or host names that a service's records hold.
func (p *pick) data() []string {
	var out []string
	for _, rr := range p.rrs {
		switch r := rr.(type) {
		case *dns.A:
			out = append(out, r.A.String())
		case *dns.AAAA:
			out = append(out, r.AAAA.String())
		case *dns.CNAME:
			out = append(out, r.Target)
		case *dns.HTTPS:
			for _, v := range r.Value {
				var hints []net.IP
				switch v := v.(type) {
				case *dns.SVCBIPv4Hint:
					hints = v.Hint
				case *dns.SVCBIPv6Hint:
					hints = v.Hint
				}
				for _, ip := range hints {
					out = append(out, ip.String())
				}
			}
		}
	}
	return out
}

// tally is how often each line was counted, by one loop or a few connections.
// Its parts are made when something is counted in them first.
type tally struct {
	chunks [maxChunks]atomic.Pointer[chunk]
}

const (
	maxChunks  = 1024
	chunkLines = 1024
)

type chunk [chunkLines]atomic.Uint64

func (t *tally) add(l line, n uint64) {
	at := &t.chunks[l/chunkLines]
	c := at.Load()
	if c == nil {
		if c = new(chunk); !at.CompareAndSwap(nil, c) {
			c = at.Load()
		}
	}
	c[l%chunkLines].Add(n)
}

func (t *tally) of(l line) uint64 {
	if c := t.chunks[l/chunkLines].Load(); c != nil {
		return c[l%chunkLines].Load()
	}
	return 0
}

// tallies are those of a server: so many that two loops rarely share one.
type tallies struct {
	all  []tally
	next atomic.Uint32
}

func newTallies() *tallies { return &tallies{all: make([]tally, 2*runtime.GOMAXPROCS(0))} }

// take is one for a loop or a connection.
func (t *tallies) take() *tally {
	return &t.all[t.next.Add(1)%uint32(len(t.all))] // #nosec G115 -- a few
}

func (t *tallies) of(l line) (sum uint64) {
	if l == 0 {
		return 0
	}
	for i := range t.all {
		sum += t.all[i].of(l)
	}
	return sum
}

// pending is what one answerer counted and its tally does not have yet: a few
// lines, so that the many answers of one batch to the same questions cost the
// tally one addition.
type pending struct {
	to     *tally // nil: nothing is counted
	lines  [pendingLines]line
	counts [pendingLines]uint32
	dirty  uint32 // a bit for each that is not 0
}

const pendingLines = 32

// count counts one query.
func (p *pending) count(l line) {
	if l == 0 || p.to == nil {
		return
	}
	at := uint32(l) * 0x9e3779b1 >> 27 // Fibonacci hashing to 5 bits
	if p.lines[at] != l {
		p.spill(at)
		p.lines[at] = l
	}
	p.counts[at]++
	p.dirty |= 1 << at
}

func (p *pending) spill(at uint32) {
	if p.counts[at] > 0 {
		p.to.add(p.lines[at], uint64(p.counts[at]))
		p.counts[at] = 0
		p.dirty &^= 1 << at
	}
}

// flush gives the tally what it does not have.
func (p *pending) flush() {
	for p.dirty != 0 {
		p.spill(uint32(bits.TrailingZeros32(p.dirty))) // #nosec G115 -- below 32
	}
}

// count counts what an answer was, at its zone and at its service.
func (o *outcome) count(p *pending, over transport, rcode byte) {
	if o.zone == nil || o.zone.line == 0 {
		return
	}
	p.count(zoneLine(o.zone.line, over, rcode))
	p.count(o.service())
}

// service is the line of the service's count, if one answered.
func (o *outcome) service() line {
	switch {
	case o.known:
		return o.line
	case o.pick != nil:
		return o.pick.line
	case o.node != nil:
		return o.node.line
	}
	return 0
}

// Counts returns what each zone, and each service that is served, has answered:
// never less than it returned before.
func (s *Server) Counts() (zones []ZoneCount, answers []AnswerCount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	for apex, f := range st.files {
		first := st.book.zone(apex)
		for over := range transports {
			for rcode := range 16 {
				if n := s.tallies.of(zoneLine(first, over, byte(rcode))); n > 0 && first > 0 {
					zones = append(zones, ZoneCount{f.Name, transportName(over), rcode, n})
				}
			}
		}
	}
	for name := range st.effective.services {
		lines := st.book.services[name]
		if lines == nil {
			continue
		}
		for answer, l := range lines.answers {
			answers = append(answers, AnswerCount{name, answer, s.tallies.of(l)})
		}
		if n := s.tallies.of(lines.none); n > 0 {
			answers = append(answers, AnswerCount{name, AnswerNone, n})
		}
	}
	slices.SortFunc(zones, func(a, b ZoneCount) int {
		return cmp.Or(strings.Compare(a.Zone, b.Zone), strings.Compare(a.Transport, b.Transport), a.Rcode-b.Rcode)
	})
	slices.SortFunc(answers, func(a, b AnswerCount) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Answer, b.Answer))
	})
	return zones, answers
}
