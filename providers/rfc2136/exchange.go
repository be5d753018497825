package rfc2136

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
)

// udpRequest is the largest message that is sent over UDP: what every server
// takes (RFC 1035, section 4.2.1), since none has told us of more.
const udpRequest = 512

// errUnsent means that the request surely did not reach the server.
var errUnsent = errors.New("it could not be reached")

// client exchanges messages with the first of the servers that answers. It is
// safe for concurrent use.
type client struct {
	servers []string
	tsig    TSIG // the zero TSIG signs nothing
	timeout time.Duration
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	now     func() time.Time // the wall clock
	log     zerolog.Logger
	// preferred is the server that answered last.
	preferred atomic.Int32
	// primary is the server that accepted the last update; at first the first.
	primary atomic.Int32
}

// reply is what a server answered.
type reply struct {
	*message
	server string
	// proven: it is signed by the key, so what it says is so.
	proven bool
}

// ask sends a query, or a probe, to one server after the other until one
// answers: as often as needed, since it changes nothing.
func (c *client) ask(ctx context.Context, q *dns.Msg) (reply, error) {
	var errs []error
	for _, i := range c.order() {
		r, err := c.exchange(ctx, c.servers[i], q)
		if err == nil {
			err = refusal(r)
		}
		if err == nil {
			c.worked(i)
			return r, nil
		}
		if ctx.Err() != nil {
			return reply{}, ctx.Err()
		}
		errs = append(errs, fmt.Errorf("server %s: %w", c.servers[i], err))
	}
	return reply{}, errors.Join(errs...)
}

// refusal is an error where a server says that it does not do what it is asked
// for, or not now: another one may.
func refusal(r reply) error {
	switch r.rcode() {
	case dns.RcodeRefused, dns.RcodeNotAuth, dns.RcodeNotImplemented, dns.RcodeServerFailure, dns.RcodeFormatError:
		return explain(r)
	}
	return nil
}

// order is the order in which the servers are tried.
func (c *client) order() []int {
	first, out := int(c.preferred.Load()), make([]int, len(c.servers))
	for i := range out {
		out[i] = (first + i) % len(out)
	}
	return out
}

// worked remembers the server that answered.
func (c *client) worked(i int) {
	if was := c.preferred.Swap(int32(i)); was != int32(i) { // #nosec G115 -- a few
		c.log.Warn().Str("server", c.servers[i]).Str("instead_of", c.servers[was]).Msg("another of the servers answers now")
	}
}

// packed is a request as it is sent.
type packed struct {
	q    *dns.Msg
	wire []byte
	key  *key // nil signs nothing
	mac  []byte
}

func (c *client) pack(q *dns.Msg) (packed, error) {
	if c.tsig == (TSIG{}) {
		wire, err := q.Pack()
		return packed{q: q, wire: wire}, err
	}
	k, err := c.tsig.read()
	if err != nil {
		return packed{}, err
	}
	wire, mac, err := k.sign(q, c.now())
	return packed{q, wire, k, mac}, err
}

// exchange asks one server, over UDP and, where that fails or is not proven,
// over TCP. It may send twice, so it is not for writes.
func (c *client) exchange(ctx context.Context, server string, q *dns.Msg) (reply, error) {
	p, err := c.pack(q)
	if err != nil {
		return reply{}, err
	}
	if len(p.wire) <= udpRequest {
		r, err := c.once(ctx, "udp", server, p, c.timeout/2)
		if err == nil && !r.truncated() || ctx.Err() != nil {
			return r, err
		}
	}
	return c.once(ctx, "tcp", server, p, c.timeout)
}

// send sends a write to one server, once. An error that wraps errUnsent tells
// that it did not arrive; after any other it may have been done.
func (c *client) send(ctx context.Context, server string, p packed) (reply, error) {
	network := "udp"
	if len(p.wire) > udpRequest {
		network = "tcp"
	}
	return c.once(ctx, network, server, p, c.timeout)
}

// once sends one message over one connection and reads its reply.
func (c *client) once(ctx context.Context, network, server string, p packed, timeout time.Duration) (reply, error) {
	conn, end, err := c.connect(ctx, network, server, timeout)
	if err != nil {
		return reply{}, err
	}
	defer end()
	if err := ctx.Err(); err != nil { // the dialling may have been long
		return reply{}, fmt.Errorf("%w: %w", errUnsent, err)
	}
	if network == "tcp" {
		return c.overTCP(ctx, conn, server, p)
	}
	return c.overUDP(ctx, conn, server, p)
}

// connect dials. The connection is cut when ctx ends or the time is up; end
// closes it.
func (c *client) connect(ctx context.Context, network, server string, timeout time.Duration) (conn net.Conn, end func(), err error) {
	deadline := time.Now().Add(timeout)
	dialing, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err = c.dial(dialing, network, server)
	if err != nil {
		return nil, nil, fmt.Errorf("%w over %s: %w", errUnsent, network, err)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, nil, errors.Join(errUnsent, err, conn.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { stop(); _ = conn.Close() }, nil // nothing is left to be told
}

// overUDP reads until a reply comes that is proven, and discards all that are
// not: anybody can send one (RFC 8945, section 5.4).
func (c *client) overUDP(ctx context.Context, conn net.Conn, server string, p packed) (reply, error) {
	if _, err := conn.Write(p.wire); err != nil {
		return reply{}, c.cut(ctx, "udp", err)
	}
	buf := make([]byte, 1<<16)
	var last error
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if last != nil && ctx.Err() == nil {
				return reply{}, fmt.Errorf("%w; %w", c.cut(ctx, "udp", err), last)
			}
			return reply{}, c.cut(ctx, "udp", err)
		}
		m, err := parse(buf[:n])
		if err == nil {
			err = m.check(p.q)
		}
		if err != nil {
			last = fmt.Errorf("a reply was discarded: %w", err)
			continue
		}
		r, err := c.prove(m, server, p)
		if err == nil {
			return r, nil
		}
		if p.q.Opcode != dns.OpcodeUpdate || len(p.q.Ns) == 0 {
			return reply{}, err // TCP tells better
		}
		last = fmt.Errorf("a reply was discarded: %w", err)
	}
}

func (c *client) overTCP(ctx context.Context, conn net.Conn, server string, p packed) (reply, error) {
	if err := writeTCP(conn, p.wire); err != nil {
		return reply{}, c.cut(ctx, "tcp", err)
	}
	raw, err := readTCP(conn, nil)
	if err != nil {
		return reply{}, c.cut(ctx, "tcp", err)
	}
	m, err := parse(raw)
	if err == nil {
		err = m.check(p.q)
	}
	if err != nil {
		return reply{}, fmt.Errorf("its reply was discarded: %w", err)
	}
	return c.prove(m, server, p)
}

// prove checks the reply's signature, where there is a key. What an unproven
// reply says of why is told, and not believed.
func (c *client) prove(m *message, server string, p packed) (reply, error) {
	r := reply{message: m, server: server}
	if p.key == nil {
		return r, nil
	}
	if err := newVerifier(p.key, p.mac).message(m, c.now()); err != nil {
		if m.rcode() != dns.RcodeSuccess {
			return reply{}, fmt.Errorf("%w; it says: %w", err, explain(r))
		}
		return reply{}, err
	}
	r.proven = true
	return r, nil
}

// cut tells why a connection gave no reply.
func (c *client) cut(ctx context.Context, network string, err error) error {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no reply over %s within %s", network, c.timeout)
	}
	return fmt.Errorf("no reply over %s: %w", network, err)
}

// writeTCP sends a message with its length before it (RFC 1035, section 4.2.2),
// at once (RFC 7766, section 8).
func writeTCP(conn net.Conn, wire []byte) error {
	if len(wire) > dns.MaxMsgSize-1 {
		return fmt.Errorf("a message of %d bytes", len(wire))
	}
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(wire)), uint16(len(wire))) // #nosec G115 -- checked above
	_, err := conn.Write(append(framed, wire...))
	return err
}

// readTCP reads one message, into buf where it fits.
func readTCP(conn io.Reader, buf []byte) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	_, err := io.ReadFull(conn, buf)
	return buf, err
}
