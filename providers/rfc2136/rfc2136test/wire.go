package rfc2136test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers/providertest"
)

// ErrBusy is what a Carrier returns for a request that the server answers with
// SERVFAIL and leaves undone.
var ErrBusy = errors.New("the server is busy")

// Wire is the network between a client and a server of DNS, a real one or a
// Server: a Carrier brings each message to it, over a connection of its own.
// What is lost ends the client's connection. A client sends one message over
// each connection, as the adapter does. It is safe for concurrent use.
type Wire struct {
	carrier providertest.Carrier
	next    DialFunc
	// Key signs the SERVFAIL of ErrBusy; without a name it is unsigned.
	Key   Key
	conns sync.WaitGroup
}

// NewWire puts a Wire before what next connects to.
func NewWire(c providertest.Carrier, next DialFunc) *Wire { return &Wire{carrier: c, next: next} }

// Wait returns when every connection is closed.
func (w *Wire) Wait() { w.conns.Wait() }

// Dial implements DialFunc.
func (w *Wire) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, inner := net.Pipe()
	w.conns.Go(func() {
		defer inner.Close()
		request, err := readMessage(inner, network)
		if err != nil {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan struct{})
		go func() { // ends when either side closes
			defer close(gone)
			_, _ = inner.Read(make([]byte, 1)) // a client sends nothing more
			cancel()
		}()
		for _, reply := range w.carry(ctx, network, address, request) {
			if writeMessage(inner, network, reply) != nil {
				break
			}
		}
		_ = inner.Close()
		<-gone
	})
	return client, nil
}

// writes reports whether a message is an UPDATE that changes something.
func writes(m []byte) bool {
	return len(m) >= 12 && int(m[2]>>3)&0xf == dns.OpcodeUpdate && binary.BigEndian.Uint16(m[8:]) > 0
}

// carry returns the replies to a request; none where it is lost.
func (w *Wire) carry(ctx context.Context, network, address string, request []byte) [][]byte {
	reply, err := w.carrier.Carry(ctx, providertest.Request{
		Write: writes(request),
		Send: func(ctx context.Context) (any, error) {
			return w.arrive(ctx, network, address, request)
		},
		Done: func(reply any) error { return Done(reply.([][]byte)) },
	})
	if errors.Is(err, ErrBusy) {
		return w.busy(request)
	}
	if err != nil {
		return nil
	}
	return reply.([][]byte)
}

// arrive sends a message over a connection of its own and reads the reply, all
// messages of it.
func (w *Wire) arrive(ctx context.Context, network, address string, request []byte) ([][]byte, error) {
	conn, err := w.next(ctx, network, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := writeMessage(conn, network, request); err != nil {
		return nil, err
	}
	q := new(dns.Msg)
	if err := q.Unpack(request); err != nil {
		return nil, err
	}
	var replies [][]byte
	for soas := 0; ; {
		reply, err := readMessage(conn, network)
		if err != nil {
			return nil, err
		}
		replies = append(replies, reply)
		r := new(dns.Msg)
		if err := r.Unpack(reply); err != nil {
			return nil, err
		}
		for _, rr := range r.Answer {
			if rr.Header().Rrtype == dns.TypeSOA {
				soas++
			}
		}
		if q.Question[0].Qtype != dns.TypeAXFR || r.Rcode != dns.RcodeSuccess || soas > 1 {
			return replies, nil
		}
	}
}

// busy is a SERVFAIL.
func (w *Wire) busy(request []byte) [][]byte {
	q := new(dns.Msg)
	if q.Unpack(request) != nil {
		return nil
	}
	r := new(dns.Msg)
	r.SetRcode(q, dns.RcodeServerFailure)
	a := answer{network: "tcp", q: q, key: &w.Key}
	return a.pack(r)
}

// Done tells from the reply to an UPDATE whether it was done: nil if so.
func Done(replies [][]byte) error {
	if len(replies) == 0 || len(replies[0]) < 12 {
		return errors.New("no reply")
	}
	if rcode := int(replies[0][3] & 0xf); rcode != dns.RcodeSuccess {
		return fmt.Errorf("the server answers %s", dns.RcodeToString[rcode])
	}
	return nil
}
