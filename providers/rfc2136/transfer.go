package rfc2136

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// Bounds of one transfer: bytes that are read, sets that are kept.
const (
	maxTransfer = 2 << 30
	maxSets     = 4_000_000
)

// transfer reads a zone by AXFR from the first server that gives it. What Veer
// has no part in is stepped over and not kept.
func (c *client) transfer(ctx context.Context, zone string) ([]fenced.Record, error) {
	var errs []error
	for _, i := range c.order() {
		records, err := c.transferFrom(ctx, c.servers[i], zone)
		if err == nil {
			c.worked(i)
			return records, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		errs = append(errs, fmt.Errorf("transfer from %s: %w", c.servers[i], err))
	}
	return nil, errors.Join(errs...)
}

func (c *client) transferFrom(ctx context.Context, server, zone string) ([]fenced.Record, error) {
	q := new(dns.Msg)
	q.SetAxfr(zone)
	p, err := c.pack(q)
	if err != nil {
		return nil, err
	}
	conn, end, err := c.connect(ctx, "tcp", server, c.timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := writeTCP(conn, p.wire); err != nil {
		return nil, c.cut(ctx, "tcp", err)
	}
	t := transfer{zone: zone, server: server, p: p}
	if p.key != nil {
		t.verifier = newVerifier(p.key, p.mac)
	}
	if err := c.stream(ctx, conn, &t); err != nil {
		return nil, err
	}
	return t.sets.list, nil
}

// stream reads the messages of a transfer. Each must come within the timeout.
func (c *client) stream(ctx context.Context, conn net.Conn, t *transfer) error {
	var buf []byte
	for !t.ended {
		if err := conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
			return err
		}
		if ctx.Err() != nil { // it may have ended before the deadline was moved
			return ctx.Err()
		}
		raw, err := readTCP(conn, buf)
		if err != nil {
			return c.cut(ctx, "tcp", err)
		}
		buf = raw
		if err := t.message(raw, c.now()); err != nil {
			return err
		}
	}
	return nil
}

// transfer is the state of one AXFR.
type transfer struct {
	zone, server string
	p            packed
	verifier     *verifier // nil: nothing is signed
	begun, ended bool
	serial       uint32
	bytes        int
	sets         sets
}

// message takes the stream's next message.
func (t *transfer) message(raw []byte, now time.Time) error {
	if t.bytes += len(raw); t.bytes > maxTransfer {
		return fmt.Errorf("the zone is larger than %d bytes", maxTransfer)
	}
	m, err := parse(raw)
	if err != nil {
		return err
	}
	if err := t.check(m, now); err != nil {
		return err
	}
	rrs, err := m.answers(func(typ uint16) bool { return kept(typ) || typ == dns.TypeSOA })
	if err != nil {
		return err
	}
	for _, rr := range rrs {
		if err := t.take(rr); err != nil {
			return err
		}
	}
	if !t.begun {
		return errors.New("the transfer does not begin with the zone's SOA")
	}
	if t.ended && t.verifier != nil {
		return t.verifier.done()
	}
	return nil
}

func (t *transfer) check(m *message, now time.Time) error {
	if m.id != t.p.q.Id || !m.response() || m.opcode() != dns.OpcodeQuery {
		return errors.New("a message that is not of this transfer")
	}
	r := reply{message: m, server: t.server}
	if t.verifier != nil {
		if err := t.verifier.message(m, now); err != nil {
			if m.rcode() != dns.RcodeSuccess {
				return fmt.Errorf("%w; it says: %w", err, explain(r))
			}
			return err
		}
	}
	if m.rcode() != dns.RcodeSuccess {
		return explain(r)
	}
	if !t.begun { // RFC 5936, section 2.2.2: later messages may leave it out
		return m.check(t.p.q)
	}
	return nil
}

// take takes the next record. The SOA is the first and the last (RFC 5936,
// section 2.2).
func (t *transfer) take(rr dns.RR) error {
	if t.ended {
		return errors.New("records follow the end of the transfer")
	}
	soa, ok := rr.(*dns.SOA)
	switch {
	case ok && providers.CanonicalName(soa.Hdr.Name) != t.zone:
		return fmt.Errorf("the transfer has the SOA of %s; expected %s", soa.Hdr.Name, t.zone)
	case ok && t.begun && soa.Serial != t.serial:
		return fmt.Errorf("the transfer begins with serial %d and ends with %d", t.serial, soa.Serial)
	case ok && t.begun:
		t.ended = true
		return nil
	case ok:
		t.begun, t.serial = true, soa.Serial
		return nil
	case !t.begun:
		return errors.New("the transfer does not begin with the zone's SOA")
	}
	if rr.Header().Rrtype == dns.TypeTXT {
		if _, mark := providers.OwnedName(rr.Header().Name); !mark {
			return nil
		}
	}
	if !providers.InZone(rr.Header().Name, t.zone) {
		return fmt.Errorf("the transfer has %s, which is not in the zone", rr.Header().Name)
	}
	if len(t.sets.list) >= maxSets {
		return fmt.Errorf("the zone has more than %d sets of addresses and aliases", maxSets)
	}
	return t.sets.add(rr)
}
