package dnscheck_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/dnscheck"
)

func prober(t *testing.T, c dnscheck.Config) *dnscheck.Prober {
	t.Helper()
	p, err := dnscheck.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answer is what a test's server says to a query; nil says nothing.
type answer func(query *dns.Msg, overTCP bool) *dns.Msg

// serve answers over UDP and TCP on the same port of host.
func serve(t *testing.T, host string, say answer) checks.Target {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		if reply := say(query, w.RemoteAddr().Network() == "tcp"); reply != nil {
			_ = w.WriteMsg(reply) // The prober judges.
		}
	})
	for _, s := range []*dns.Server{{Listener: listener, Handler: handler}, {PacketConn: packets, Handler: handler}} {
		started, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			_ = s.ActivateAndServe() // It ends with an error when shut down.
		}()
		<-started
		t.Cleanup(func() {
			_ = s.ShutdownContext(context.Background())
			<-ended
		})
	}
	return checktest.Target(listener.Addr())
}

// reply makes an answer of records, written as in a zone file.
func reply(rcode int, records ...string) answer {
	return func(query *dns.Msg, _ bool) *dns.Msg {
		m := new(dns.Msg).SetRcode(query, rcode)
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err) // The test's own table is wrong.
			}
			m.Answer = append(m.Answer, rr)
		}
		return m
	}
}

func TestContract(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			checktest.Run(t, checktest.Kit{
				Network: transport, Drip: "\x10\x00", Flood: "\xff\xff",
				New: func(t *testing.T) checks.Prober {
					return prober(t, dnscheck.Config{Name: "example.test", Transport: transport, Answers: []string{"192.0.2.1"}})
				},
				Serve: func(t *testing.T, host string) checks.Target {
					return serve(t, host, reply(dns.RcodeSuccess, "example.test. 60 A 192.0.2.1"))
				},
			})
		})
	}
}

func TestProbe(t *testing.T) {
	spoil := func(change func(*dns.Msg)) answer {
		return func(query *dns.Msg, overTCP bool) *dns.Msg {
			m := reply(dns.RcodeSuccess, "example.test. 60 A 192.0.2.1")(query, overTCP)
			change(m)
			return m
		}
	}
	truncated := func(query *dns.Msg, overTCP bool) *dns.Msg {
		if overTCP {
			return reply(dns.RcodeSuccess, "example.test. 60 A 192.0.2.1")(query, true)
		}
		m := new(dns.Msg).SetReply(query)
		m.Truncated = true
		return m
	}
	for _, c := range []struct {
		name   string
		config dnscheck.Config
		say    answer
		health checks.Health
		words  string
	}{
		{"answers", dnscheck.Config{}, reply(dns.RcodeSuccess, "example.test. 60 A 192.0.2.1"), checks.Up, "answered NOERROR with 1 record after"},
		{"empty", dnscheck.Config{}, reply(dns.RcodeSuccess), checks.Up, "with 0 records"},
		{"refused", dnscheck.Config{}, reply(dns.RcodeRefused), checks.Down, "answered REFUSED with 0 records"},
		{"refused", dnscheck.Config{}, reply(dns.RcodeRefused), checks.Down, "expected NOERROR"},
		{"a rcode of its own", dnscheck.Config{Rcode: "nxdomain"}, reply(dns.RcodeNameError), checks.Up, "NXDOMAIN"},
		{"contains", dnscheck.Config{Answers: []string{"192.0.2.2"}},
			reply(dns.RcodeSuccess, "example.test. 9 CNAME a.test.", "a.test. 60 A 192.0.2.1", "a.test. 60 A 192.0.2.2"), checks.Up, "3 records"},
		{"contains not", dnscheck.Config{Answers: []string{"192.0.2.2"}}, reply(dns.RcodeSuccess, "example.test. 60 A 192.0.2.1"), checks.Down, "but without 192.0.2.2: A 192.0.2.1"},
		{"v6 in another writing", dnscheck.Config{Type: "AAAA", Answers: []string{"2001:db8:0:0::1"}}, reply(dns.RcodeSuccess, "example.test. 60 AAAA 2001:db8::1"), checks.Up, ""},
		{"text", dnscheck.Config{Type: "txt", Answers: []string{`"v=1" "b c"`}}, reply(dns.RcodeSuccess, `example.test. 60 TXT "v=1" "b c"`), checks.Up, ""},
		{"mx in another case", dnscheck.Config{Type: "MX", Answers: []string{"10 Mail.Example.Test."}}, reply(dns.RcodeSuccess, "example.test. 60 MX 10 mail.example.test."), checks.Up, ""},
		{"truncated", dnscheck.Config{Answers: []string{"192.0.2.1"}}, truncated, checks.Up, "1 record"},
		{"another question", dnscheck.Config{Transport: "tcp"}, spoil(func(m *dns.Msg) { m.Question[0].Name = "other.test." }), checks.Down, "another question"},
		{"another id", dnscheck.Config{Transport: "tcp"}, spoil(func(m *dns.Msg) { m.Id++ }), checks.Down, "another id"},
		{"a query back", dnscheck.Config{Transport: "tcp"}, spoil(func(m *dns.Msg) { m.Response = false }), checks.Down, "not a response"},
		{"no question", dnscheck.Config{Transport: "tcp"}, spoil(func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeFormatError }), checks.Down, "FORMERR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.Name = "Example.test"
			r := checktest.Probe(t, prober(t, c.config), serve(t, "127.0.0.1", c.say), time.Minute)
			checktest.Expect(t, r, c.health, c.words)
			if r.Evidence.FirstByte <= 0 {
				t.Errorf("no time to the answer: %+v", r.Evidence)
			}
		})
	}
}

// TestForgedAnswer sends a datagram with another id before the answer.
func TestForgedAnswer(t *testing.T) {
	target := serve(t, "127.0.0.1", reply(dns.RcodeSuccess, "example.test. 60 A 192.0.2.1"))
	relay := relayWithForgery(t, target)
	p := prober(t, dnscheck.Config{Name: "example.test", Answers: []string{"192.0.2.1"}})
	checktest.Expect(t, checktest.Probe(t, p, relay, time.Minute), checks.Up)
}

// relayWithForgery passes queries on to target, and sends a forged answer and
// bytes that are no message before each true answer.
func relayWithForgery(t *testing.T, target checks.Target) checks.Target {
	t.Helper()
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = front.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		packet := make([]byte, 4096)
		for {
			n, caller, err := front.ReadFrom(packet)
			if err != nil {
				return
			}
			query := new(dns.Msg)
			if query.Unpack(packet[:n]) != nil {
				continue
			}
			forged := new(dns.Msg).SetRcode(query, dns.RcodeNameError)
			forged.Id++
			bytes, _ := forged.Pack() // What cannot be packed is not sent.
			_, _ = front.WriteTo(bytes, caller)
			_, _ = front.WriteTo([]byte{1, 2, 3}, caller)
			back, err := net.Dial("udp", net.JoinHostPort(target.Host, strconv.Itoa(int(target.Port))))
			if err != nil {
				return
			}
			_, _ = back.Write(packet[:n])
			if n, err = back.Read(packet); err == nil {
				_, _ = front.WriteTo(packet[:n], caller)
			}
			_ = back.Close()
		}
	}()
	return checktest.Target(front.LocalAddr())
}

func TestBadConfig(t *testing.T) {
	for field, c := range map[string]dnscheck.Config{
		"name":       {},
		"type":       {Name: "a.test", Type: "AXFR"},
		"transport":  {Name: "a.test", Transport: "quic"},
		"rcode":      {Name: "a.test", Rcode: "OK"},
		"answers[1]": {Name: "a.test", Answers: []string{"192.0.2.1", "2001:db8::1"}},
		"answers[0]": {Name: "a.test", Type: "TXT", Answers: []string{"a\n. TXT b"}},
	} {
		var fields []string
		c.Check(func(field, _ string, _ ...any) { fields = append(fields, field) })
		if len(fields) != 1 || fields[0] != field {
			t.Errorf("problems at %q, expected one at %s", fields, field)
		}
		if _, err := dnscheck.New(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New says %v, expected an error naming %s", err, field)
		}
	}
}
