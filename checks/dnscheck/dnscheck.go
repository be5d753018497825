// Package dnscheck checks a DNS server by one query, over UDP or TCP, and
// judges the response code and the records of the answer section.
package dnscheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/internal/attempt"
	"github.com/veerdns/veer/checks/internal/dial"
)

const (
	defaultPort = 53
	// udpSize is the EDNS(0) buffer size sent (RFC 6891 section 6.2.5); it
	// fits every path's MTU.
	udpSize = 1232
	// maxStray is how many datagrams that are not the answer are passed over.
	maxStray = 64
)

// Prober is a checks.Prober, safe for concurrent use.
type Prober struct {
	name      string
	qtype     uint16
	transport string
	recursion bool
	rcode     int
	answers   []dns.RR
	dialer    dial.Dialer
}

// New makes a prober of a config that Check finds nothing wrong with.
func New(c Config) (*Prober, error) {
	var errs []error
	c.Check(func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("dns check: "+field+": "+format, args...))
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p := &Prober{transport: c.Transport, recursion: c.Recursion}
	if p.transport == "" {
		p.transport = "udp"
	}
	var errName, errType, errCode error
	p.name, errName = c.name()
	p.qtype, errType = c.qtype()
	p.rcode, errCode = c.rcode()
	for i := range c.Answers {
		rr, err := c.answer(i)
		if err != nil {
			return nil, fmt.Errorf("dns check: answers[%d]: %w", i, err)
		}
		p.answers = append(p.answers, rr)
	}
	return p, errors.Join(errName, errType, errCode)
}

// Resolver turns host names into addresses; *net.Resolver is one.
type Resolver = dial.Resolver

// UseResolver makes the prober resolve host names by r rather than by the
// system. It must not be called while probes run.
func (p *Prober) UseResolver(r Resolver) { p.dialer.Resolver = r }

// Probe asks the target. The latency is that of the whole probe.
func (p *Prober) Probe(ctx context.Context, t checks.Target) checks.Result {
	if t.Port == 0 {
		t.Port = defaultPort
	}
	a := attempt.Begin(fmt.Sprintf("DNS query %s %s to %s over %s", p.name, dns.TypeToString[p.qtype],
		net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))), p.transport))
	if ctx.Err() != nil {
		return a.Ended(ctx)
	}
	got, doing, err := p.exchange(ctx, a, p.transport, t)
	if err == nil && got.Truncated && p.transport == "udp" {
		got, doing, err = p.exchange(ctx, a, "tcp", t)
		doing += " over TCP, since the answer over UDP was truncated"
	}
	if err != nil {
		return a.Fail(ctx, doing, err)
	}
	return p.judge(a, got)
}

// exchange sends the query once over transport and reads its response.
func (p *Prober) exchange(ctx context.Context, a *attempt.Attempt, transport string, t checks.Target) (got *dns.Msg, doing string, err error) {
	conn, err := p.dialer.Dial(ctx, transport, t, defaultPort, &a.Evidence)
	if err != nil {
		return nil, "connecting", err
	}
	defer conn.Close()
	query := new(dns.Msg).SetQuestion(p.name, p.qtype)
	query.RecursionDesired = p.recursion
	query.SetEdns0(udpSize, false)
	packed, err := query.Pack()
	if err != nil {
		return nil, "packing the query", fmt.Errorf("%w: %w", dial.ErrConfig, err)
	}
	if transport == "tcp" {
		packed = append([]byte{byte(len(packed) >> 8), byte(len(packed))}, packed...)
	}
	start := time.Now()
	if _, err := conn.Write(packed); err != nil {
		return nil, "sending the query", err
	}
	got, err = receive(conn, transport, query)
	a.Evidence.FirstByte = time.Since(start)
	if err != nil {
		return nil, "waiting for the answer", err
	}
	return got, "", nil
}

// receive reads the response to query. Over UDP, datagrams that are not the
// response are passed over (RFC 5452 section 9.1); over TCP they end the
// probe.
func receive(conn net.Conn, transport string, query *dns.Msg) (*dns.Msg, error) {
	if transport == "tcp" {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return nil, err
		}
		packet := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(conn, packet); err != nil {
			return nil, err
		}
		return response(packet, query)
	}
	packet, stray := make([]byte, 64<<10), error(nil)
	for range maxStray {
		n, err := conn.Read(packet)
		if err != nil {
			if stray != nil {
				err = fmt.Errorf("%w (what came was not an answer: %w)", err, stray)
			}
			return nil, err
		}
		got, err := response(packet[:n], query)
		if err == nil {
			return got, nil
		}
		stray = err
	}
	return nil, fmt.Errorf("%d datagrams came, none of them the answer: %w", maxStray, stray)
}

// response unpacks a packet and makes sure that it answers query.
func response(packet []byte, query *dns.Msg) (*dns.Msg, error) {
	got := new(dns.Msg)
	if err := got.Unpack(packet); err != nil {
		return nil, fmt.Errorf("a malformed message of %d bytes: %w", len(packet), err)
	}
	switch {
	case got.Id != query.Id:
		return nil, errors.New("a message with another id")
	case !got.Response || got.Opcode != dns.OpcodeQuery:
		return nil, errors.New("a message that is not a response to a query")
	case len(got.Question) == 0 && got.Rcode != dns.RcodeSuccess:
		return got, nil // FORMERR and NOTIMP may come without the question.
	case len(got.Question) != 1 || got.Question[0].Qtype != query.Question[0].Qtype ||
		got.Question[0].Qclass != query.Question[0].Qclass ||
		!strings.EqualFold(got.Question[0].Name, query.Question[0].Name):
		return nil, errors.New("a response to another question")
	}
	return got, nil
}

func (p *Prober) judge(a *attempt.Attempt, got *dns.Msg) checks.Result {
	code := dns.RcodeToString[got.Rcode]
	if code == "" {
		code = "RCODE" + strconv.Itoa(got.Rcode)
	}
	said := fmt.Sprintf("answered %s with %s after %s", code, records(len(got.Answer)), a.Elapsed())
	a.Evidence.Detail = code + " " + summary(got.Answer)
	if got.Rcode != p.rcode {
		return a.End(checks.Down, "%s, expected %s", said, dns.RcodeToString[p.rcode])
	}
	for _, expected := range p.answers {
		if !slices.ContainsFunc(got.Answer, func(rr dns.RR) bool { return sameData(rr, expected) }) {
			return a.End(checks.Down, "%s, but without %s: %s", said, data(expected), summary(got.Answer))
		}
	}
	return a.End(checks.Up, "%s", said)
}

// sameData compares type and data, whatever the owner and the TTL.
func sameData(rr, expected dns.RR) bool {
	if rr.Header().Rrtype != expected.Header().Rrtype || rr.Header().Class != expected.Header().Class {
		return false
	}
	renamed := dns.Copy(rr)
	renamed.Header().Name = expected.Header().Name
	return dns.IsDuplicate(renamed, expected)
}

func records(n int) string {
	if n == 1 {
		return "1 record"
	}
	return strconv.Itoa(n) + " records"
}

// data is a record's data in master file form.
func data(rr dns.RR) string { return strings.TrimPrefix(rr.String(), rr.Header().String()) }

// summary lists the first few records' types and data.
func summary(answer []dns.RR) string {
	if len(answer) == 0 {
		return "no records"
	}
	var texts []string
	for _, rr := range answer[:min(len(answer), 4)] {
		texts = append(texts, dns.TypeToString[rr.Header().Rrtype]+" "+data(rr))
	}
	if len(answer) > 4 {
		texts = append(texts, "...")
	}
	return strings.Join(texts, ", ")
}
