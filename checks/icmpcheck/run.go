package icmpcheck

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"time"
)

// spacing is the time from one echo to the next, where the probe's time
// allows.
const spacing = 50 * time.Millisecond

// headers is more than all that can stand before the bytes of an echo: the
// longest IPv4 header and ICMP's.
const headers = 60 + 8

// socket sends ICMP messages to one address and receives what comes back.
type socket interface {
	// ID is the identifier of echoes: the kernel's for udp, a random one for
	// raw.
	ID() uint16
	// Send sends one ICMP message.
	Send(message []byte) error
	// Receive waits for the next ICMP message of the address, without an IP
	// header; or for an error about a message sent there, with that message's
	// start. It fails with os.ErrDeadlineExceeded at the deadline.
	Receive(into []byte) (n int, about *fault, err error)
	SetReadDeadline(time.Time) error
	Close() error
}

// opener opens a socket of a kind, udp or raw.
type opener func(kind string, to netip.Addr) (socket, error)

// echo is one echo sent.
type echo struct {
	payload []byte
	sent    time.Time
	took    time.Duration // 0 while it is not answered
	fault   *fault        // what an error said of it
}

// run is the echoes of one probe to one address. It belongs to one goroutine.
type run struct {
	socket socket
	v6     bool
	start  uint16 // the first echo's sequence number, random
	echoes []echo // those sent
	count  int
	random []byte // the payloads of all
	err    error  // of this host, which ended the run
}

func newRun(s socket, to netip.Addr, count, size int) (run, error) {
	random := make([]byte, count*size+2)
	if _, err := rand.Read(random); err != nil {
		return run{}, err
	}
	return run{socket: s, v6: to.Is6(), start: binary.BigEndian.Uint16(random), random: random[2:], count: count}, nil
}

// exchange sends the echoes and takes replies until every echo has one, or an
// error, or ctx ended.
func (r *run) exchange(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = r.socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	deadline, bounded := ctx.Deadline()
	gap := spacing
	if bounded {
		gap = min(gap, time.Until(deadline)/time.Duration(2*r.count))
	}
	buffer := make([]byte, len(r.random)/r.count+headers)
	next := time.Now()
	for ctx.Err() == nil && r.err == nil {
		if now := time.Now(); len(r.echoes) < r.count && !now.Before(next) {
			r.send(now)
			next = now.Add(gap)
			continue
		} else if len(r.echoes) == r.count && r.settled() || bounded && !now.Before(deadline) {
			return
		}
		until := deadline // without one, a wait that ctx ends
		if len(r.echoes) < r.count && (!bounded || next.Before(deadline)) {
			until = next
		}
		r.receive(ctx, until, buffer)
	}
}

func (r *run) send(now time.Time) {
	size := len(r.random) / r.count
	i := len(r.echoes)
	e := echo{payload: r.random[i*size : (i+1)*size], sent: now}
	message, err := request(r.v6, r.socket.ID(), r.start+uint16(i), e.payload)
	if err != nil {
		r.err = err
		return
	}
	r.echoes = append(r.echoes, e)
	r.err = r.socket.Send(message)
}

// receive takes what comes until a time.
func (r *run) receive(ctx context.Context, until time.Time, buffer []byte) {
	if err := r.socket.SetReadDeadline(until); err != nil {
		r.err = err
		return
	}
	if ctx.Err() != nil {
		return // Its end may have come before the deadline was set.
	}
	n, about, err := r.socket.Receive(buffer)
	if err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			r.err = err
		}
		return
	}
	r.take(buffer[:n], about, time.Now())
}

// take notes a reply, or an error about an echo. All that is not about one of
// our echoes is passed over.
func (r *run) take(message []byte, about *fault, now time.Time) {
	id, seq, data, ok := parse(r.v6, about == nil, message)
	i := int(seq - r.start)
	if !ok || id != r.socket.ID() || i >= len(r.echoes) {
		return
	}
	e := &r.echoes[i]
	switch {
	case e.took != 0:
	case about == nil && bytes.Equal(data, e.payload):
		e.took, e.fault = max(now.Sub(e.sent), 1), nil
	case about != nil && e.fault == nil && bytes.HasPrefix(e.payload, data):
		// A router sends back as much of the echo as it likes, 8 bytes at
		// least (RFC 792), so the data may be cut.
		e.fault = about
	}
}

// settled reports whether there is nothing to wait for.
func (r *run) settled() bool {
	for _, e := range r.echoes {
		if e.took == 0 && e.fault == nil {
			return false
		}
	}
	return true
}

func (r *run) answered() int {
	n := 0
	for _, e := range r.echoes {
		if e.took != 0 {
			n++
		}
	}
	return n
}

// first is the time of the first reply.
func (r *run) first() time.Duration {
	for _, e := range r.echoes {
		if e.took != 0 {
			return e.took
		}
	}
	return 0
}

// times are those of the replies; there is at least one.
func (r *run) times() (lowest, mean, highest time.Duration) {
	sum := time.Duration(0)
	for _, e := range r.echoes {
		if e.took == 0 {
			continue
		}
		if lowest == 0 || e.took < lowest {
			lowest = e.took
		}
		highest = max(highest, e.took)
		sum += e.took
	}
	return lowest, sum / time.Duration(max(r.answered(), 1)), highest
}

// fault is the first error told about an echo, or nil.
func (r *run) fault() *fault {
	for _, e := range r.echoes {
		if e.fault != nil {
			return e.fault
		}
	}
	return nil
}
