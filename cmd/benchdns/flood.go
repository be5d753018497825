//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"
)

// A flood sends packets that nobody waits for, on the generator's own thread. It
// is a watcher.
type flood struct {
	name    string
	rate    float64 // packets a second
	sources [][4]byte
	packets [][]byte
	// forbidden: no answer to it is allowed; limited: rate limiting is to act.
	forbidden, limited bool

	wire *wire
	due  *arrivals
	next int // source and packet

	first, last       time.Duration // when packets were sent
	sent, bytes       uint64
	answers, answered uint64 // packets that came back, and their bytes
	cut               uint64 // of them, those with TC
}

// perStep is how many packets of a flood leave at once, at most: more would hold
// the honest queries up that the same thread sends.
const perStep = 8

func (f *flood) open(server netip.AddrPort) error {
	var err error
	f.due = newArrivals(f.rate, 0)
	f.wire, err = newWire(server)
	return err
}

// step sends what is due and takes what came.
func (f *flood) step(now time.Duration) error {
	n, err := f.wire.take()
	if err != nil {
		return err
	}
	for i := range n {
		if r := f.wire.reply(i); r != nil {
			f.answers, f.answered = f.answers+1, f.answered+uint64(len(r))
			if len(r) >= headerSize && r[2]&2 != 0 {
				f.cut++
			}
		}
	}
	if now-f.due.at > 10*time.Millisecond { // the first time, or this thread was held up
		f.due.restart(now)
	}
	sent := 0
	for ; sent < perStep && f.due.at <= now; sent++ {
		p, source := f.packets[f.next%len(f.packets)], f.sources[f.next%len(f.sources)]
		f.next++
		copy(f.wire.out[sent].room[:], p)
		f.wire.load(sent, source, len(p), 1)
		f.sent, f.bytes = f.sent+1, f.bytes+uint64(len(p))
		f.due.step()
	}
	if sent == 0 {
		return nil
	}
	if f.first == 0 {
		f.first = now
	}
	f.last = now
	return f.wire.send(sent)
}

// perSecond is how many packets were sent a second.
func (f *flood) perSecond() float64 {
	if f.last <= f.first {
		return 0
	}
	return float64(f.sent) / (f.last - f.first).Seconds()
}

// amplification is bytes of answers to one of queries, without their IP and UDP
// headers.
func (f *flood) amplification() float64 {
	if f.bytes == 0 {
		return 0
	}
	return float64(f.answered) / float64(f.bytes)
}

// floods are several at once, and the TCP connections beside them. They judge
// honest answers as ever.
type floods struct {
	all  []*flood
	tcp  *readers
	held *idle
}

func (f *floods) judge(reply []byte, q *question, edns bool, _ time.Duration) (judgement, bool) {
	return judge(reply, q, edns)
}

func (f *floods) step(now time.Duration) (over bool, err error) {
	for _, one := range f.all {
		err = errors.Join(err, one.step(now))
	}
	if f.tcp != nil {
		err = errors.Join(err, f.tcp.step(now))
	}
	return false, err
}

func (f *floods) open(server netip.AddrPort) error {
	for _, one := range f.all {
		if err := one.open(server); err != nil {
			return err
		}
	}
	return nil
}

func (f *floods) close() {
	for _, one := range f.all {
		if one.wire != nil {
			one.wire.close()
		}
	}
	if f.tcp != nil {
		f.tcp.close()
	}
	if f.held != nil {
		f.held.close()
	}
}

// malformedFlood is a flood of packets that are none, with responses in it, which
// come from a socket of their own.
func malformedFlood(r *rand.Rand, m *mix, rate float64) *floods {
	const kinds = 4096
	return &floods{all: []*flood{
		{name: "malformed packets", rate: rate * 0.9, sources: inBlocks(150, sourceAddresses, 1), packets: malformed(r, m, kinds)},
		{name: "responses", rate: rate * 0.1, sources: inBlocks(200, sourceAddresses/10, 1), packets: responses(r, m, kinds), forbidden: true},
	}}
}

// spoofedFlood is a flood of queries in the name of others.
func spoofedFlood(rate float64) (*floods, error) {
	packets, err := spoofed()
	return &floods{all: []*flood{{name: "spoofed queries", rate: rate, sources: inBlocks(100, spoofedAddresses, hostsOfBlock), packets: packets, limited: true}}}, err
}

// The clients that queries are sent in the name of: all of some /24.
const (
	hostsOfBlock     = 254
	spoofedAddresses = 40 * hostsOfBlock
)
