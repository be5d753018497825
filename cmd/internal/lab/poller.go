package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Counts says what became of the queries of a poller.
type Counts struct {
	Sent       int
	Answered   int // with at least one address
	Unanswered int // no reply within the time-out
	Empty      int // NOERROR without an address
	Failed     int // any other code: SERVFAIL, REFUSED, NXDOMAIN
	// Slowest is the longest time a reply took.
	Slowest time.Duration
}

// Change is the first reply with another answer than the reply before.
type Change struct {
	At     time.Time // when the reply came
	Answer string    // addresses, sorted, with commas between them
}

// Poller asks one server for one name's A records at a fixed interval, without
// waiting for replies, and notes when the answer changes.
type Poller struct {
	// Dial makes the socket, if it is not to be one of this process's own
	// network; set it before Run.
	Dial func(network, address string) (net.Conn, error)

	server string
	every  time.Duration
	limit  time.Duration
	query  []byte

	mu      sync.Mutex
	waiting map[uint16]asked
	counts  Counts
	changes []Change
	last    uint64        // number of the newest query that was answered
	news    chan struct{} // closed and replaced at every change
}

type asked struct {
	number uint64
	at     time.Time
}

// NewPoller makes a poller; a reply later than limit counts as none.
func NewPoller(server, name string, every, limit time.Duration) (*Poller, error) {
	var m dns.Msg
	m.SetQuestion(dns.Fqdn(name), dns.TypeA)
	m.RecursionDesired = false
	query, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("poll %s for %s: %w", server, name, err)
	}
	return &Poller{server: server, every: every, limit: limit, query: query,
		waiting: map[uint16]asked{}, news: make(chan struct{})}, nil
}

// Run polls until ctx ends, then waits for the replies still due.
func (p *Poller) Run(ctx context.Context) error {
	dial := p.Dial
	if dial == nil {
		dial = net.Dial
	}
	conn, err := dial("udp", p.server)
	if err != nil {
		return fmt.Errorf("poll %s: %w", p.server, err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.receive(conn)
	}()
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for number := uint64(1); ; number++ {
		select {
		case <-ctx.Done():
			for p.expire() > 0 {
				<-tick.C
			}
			conn.Close()
			<-read
			return nil
		case <-tick.C:
			p.expire()
			p.send(conn, number)
		}
	}
}

func (p *Poller) send(conn net.Conn, number uint64) {
	id := uint16(number)
	msg := slices.Clone(p.query)
	binary.BigEndian.PutUint16(msg, id)
	p.mu.Lock()
	p.counts.Sent++
	p.waiting[id] = asked{number, time.Now()}
	p.mu.Unlock()
	_, _ = conn.Write(msg) // a query that could not be sent has no reply, and counts so
}

// expire counts the queries that waited too long and returns how many wait.
func (p *Poller) expire() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for id, a := range p.waiting {
		if now.Sub(a.at) > p.limit {
			delete(p.waiting, id)
			p.counts.Unanswered++
		}
	}
	return len(p.waiting)
}

func (p *Poller) receive(conn net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if ne, ok := err.(*net.OpError); ok && ne.Err == net.ErrClosed {
				return
			}
			continue // "connection refused" of a server that is not up: the query stays without a reply
		}
		var m dns.Msg
		if m.Unpack(buf[:n]) != nil || !m.Response {
			continue
		}
		p.note(&m, time.Now())
	}
}

func (p *Poller) note(m *dns.Msg, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.waiting[m.Id]
	if !ok {
		return
	}
	delete(p.waiting, m.Id)
	p.counts.Slowest = max(p.counts.Slowest, now.Sub(a.at))
	answer := addresses(m)
	switch {
	case m.Rcode != dns.RcodeSuccess:
		p.counts.Failed++
		return
	case answer == "":
		p.counts.Empty++
		return
	}
	p.counts.Answered++
	if a.number < p.last {
		return // overtaken by a newer reply
	}
	p.last = a.number
	if k := len(p.changes); k == 0 || p.changes[k-1].Answer != answer {
		p.changes = append(p.changes, Change{now, answer})
		close(p.news)
		p.news = make(chan struct{})
	}
}

func addresses(m *dns.Msg) string {
	var all []string
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok {
			all = append(all, a.A.String())
		}
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// Counts returns the counts so far.
func (p *Poller) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Changes returns the changes since the n-th, oldest first; the first change
// is the first answer. The channel is closed at the next one.
func (p *Poller) Changes(n int) ([]Change, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.changes[min(n, len(p.changes)):]), p.news
}

// Wait returns the first change to the answer since a moment; if the answer is
// this one already, with the moment itself.
func (p *Poller) Wait(ctx context.Context, since time.Time, answer string) (time.Time, error) {
	for {
		all, news := p.Changes(0)
		for i, c := range all {
			if c.Answer != answer {
				continue
			}
			if c.At.After(since) {
				return c.At, nil
			}
			if i == len(all)-1 || all[i+1].At.After(since) {
				return since, nil
			}
		}
		select {
		case <-news:
		case <-ctx.Done():
			c := p.Counts()
			now := fmt.Sprintf("no answer at all (%d queries: %d unanswered, %d empty, %d failed)", c.Sent, c.Unanswered, c.Empty, c.Failed)
			if k := len(all); k > 0 {
				now = "the answer " + all[k-1].Answer
			}
			return time.Time{}, fmt.Errorf("waited for the answer %s from %s, it has %s: %w", answer, p.server, now, ctx.Err())
		}
	}
}

// Another returns a poller of the same server and name with nothing noted yet.
func (p *Poller) Another(every time.Duration) *Poller {
	return &Poller{Dial: p.Dial, server: p.server, every: every, limit: p.limit, query: p.query,
		waiting: map[uint16]asked{}, news: make(chan struct{})}
}
