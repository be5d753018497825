package rfc2136test_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/providertest"
	"github.com/veerdns/veer/providers/rfc2136"
	"github.com/veerdns/veer/providers/rfc2136/rfc2136test"
)

// forger sends replies of its own before the real one.
type forger struct {
	net.Conn
	forge func(request []byte) [][]byte
	false [][]byte
}

func (f *forger) Write(b []byte) (int, error) {
	f.false = f.forge(append([]byte(nil), b...))
	return f.Conn.Write(b)
}

func (f *forger) Read(b []byte) (int, error) {
	if len(f.false) > 0 {
		n := copy(b, f.false[0])
		f.false = f.false[1:]
		return n, nil
	}
	return f.Conn.Read(b)
}

// forgeries are replies to a request that do not come from who has the key.
func forgeries(request []byte) [][]byte {
	q := new(dns.Msg)
	if err := q.Unpack(request); err != nil {
		return nil
	}
	pack := func(change func(*dns.Msg)) []byte {
		r := new(dns.Msg)
		r.SetReply(q)
		r.Authoritative = true
		change(r)
		wire, err := r.Pack()
		if err != nil {
			return nil
		}
		return wire
	}
	signed := func() []byte {
		if q.IsTsig() == nil {
			return nil
		}
		r := new(dns.Msg)
		r.SetReply(q)
		r.SetTsig("veer.", "hmac-sha256.", 300, time.Now().Unix())
		wire, _, err := dns.TsigGenerate(r, "AAAA", q.IsTsig().MAC, false)
		if err != nil {
			return nil
		}
		return wire
	}
	return [][]byte{
		{1, 2, 3},
		pack(func(r *dns.Msg) { r.Id++ }),
		pack(func(r *dns.Msg) { r.Question[0].Name = "else.test." }),
		pack(func(r *dns.Msg) { r.Response = false }),
		pack(func(r *dns.Msg) { r.Opcode = dns.OpcodeNotify }),
		pack(func(*dns.Msg) {}),
		pack(func(r *dns.Msg) { r.Rcode = dns.RcodeRefused }),
		signed(),
	}
}

// TestForgedReplies: what anybody on the way could send changes nothing.
func TestForgedReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.provider(t, func(_ *rfc2136.Config, o *rfc2136.Options) {
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := w.dial(ctx, network, address)
				if err != nil || network != "udp" {
					return conn, err
				}
				return &forger{Conn: conn, forge: forgeries}, nil
			}
		})
		if _, err := write(t, p, 1, app); err != nil {
			t.Fatal(err)
		}
		after, err := p.Read(t.Context(), zone)
		if err != nil || len(after.Records) != 1 {
			t.Errorf("the zone has %+v, %v", after, err)
		}
	})
}

// TestStrayReplies: where nothing is signed, a reply counts only if it answers
// what was asked (RFC 5452, section 9.1), and no error is believed.
func TestStrayReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := rfc2136test.NewWorld(t, zone, false, &providertest.Line{})
		refuse := false
		c := w.Config(t)
		p, err := rfc2136.New(c, rfc2136.Options{Owner: owner, Log: zerolog.Nop(), Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := w.Wire.Dial(ctx, network, address)
			if err != nil || network != "udp" {
				return conn, err
			}
			return &forger{Conn: conn, forge: func(request []byte) [][]byte {
				q := new(dns.Msg)
				if q.Unpack(request) == nil && refuse && len(q.Ns) > 0 {
					r := new(dns.Msg)
					wire, _ := r.SetRcode(q, dns.RcodeRefused).Pack()
					return [][]byte{wire}
				}
				return forgeries(request)[:5]
			}}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := write(t, p, 1, app); err != nil {
			t.Fatal(err)
		}
		refuse = true
		if _, err := write(t, p, 2); err != nil && errors.Is(err, providers.ErrRejected) {
			t.Errorf("a REFUSED that anybody could have sent is believed: %v", err)
		}
	})
}

// TestWildcards: what a wildcard makes up is not taken for a fence, a mark or a
// set.
func TestWildcards(t *testing.T) {
	for _, read := range []string{rfc2136.ReadTransfer, rfc2136.ReadQueries} {
		t.Run(read, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for typ, data := range map[string]string{"TXT": `"v=spf1 -all"`, "A": "203.0.113.1"} {
					if err := w.Admin.Put("", providers.RRSet{Name: "*." + zone, Type: typ, TTL: 60, Data: []string{data}}); err != nil {
						t.Fatal(err)
					}
				}
				p := w.provider(t, func(c *rfc2136.Config, o *rfc2136.Options) { c.Read, o.Names = read, []string{app.Name, "b." + zone} })
				if _, err := write(t, p, 1, app); err != nil {
					t.Fatal(err)
				}
				got, err := p.Read(t.Context(), zone)
				if err != nil || got.Fence.Write != 1 || len(got.Records) != 1 || !got.Records[0].Equal(app) {
					t.Errorf("read %+v, %v; want %v", got, err, app)
				}
			})
		})
	}
}

// TestForgedRefusal: an error that nobody signed is told, and not believed: the
// fence is read.
func TestForgedRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		forge := false
		p := w.provider(t, func(_ *rfc2136.Config, o *rfc2136.Options) {
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := w.dial(ctx, network, address)
				if err != nil || network != "tcp" || !forge {
					return conn, err
				}
				return &forger{Conn: conn, forge: func(request []byte) [][]byte {
					q := new(dns.Msg)
					if q.Unpack(request[2:]) != nil || q.Opcode != dns.OpcodeUpdate || len(q.Ns) == 0 {
						return nil
					}
					r := new(dns.Msg)
					r.SetRcode(q, dns.RcodeRefused)
					wire, err := r.Pack()
					if err != nil {
						return nil
					}
					length := binary.BigEndian.AppendUint16(nil, uint16(len(wire)))
					return [][]byte{length, wire}
				}}, nil
			}
		})
		if err := p.Prove(t.Context(), zone); err != nil {
			t.Fatal(err)
		}
		forge = true
		many := app
		many.Data = nil
		for i := range 100 { // too many for UDP
			many.Data = append(many.Data, fmt.Sprintf("192.0.2.%d", i))
		}
		_, err := write(t, p, 1, many)
		if err != nil && errors.Is(err, providers.ErrRejected) {
			t.Errorf("a forged REFUSED is taken for one: %v", err)
		}
	})
}
