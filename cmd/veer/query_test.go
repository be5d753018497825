package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// serve answers on one port over UDP and TCP until the test ends.
func serve(t *testing.T, handler dns.HandlerFunc) string {
	t.Helper()
	pc, l := samePort(t)
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		started, done := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { done <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	return pc.LocalAddr().String()
}

func samePort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	var last error
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return pc, l
		}
		last = err
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal(last)
	return nil, nil
}

func rr(t *testing.T, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestQuery(t *testing.T) {
	a, soa := rr(t, "app.example.test. 12 IN A 198.51.100.10"), rr(t, "example.test. 300 IN SOA ns1 hostmaster 7 7200 900 1209600 300")
	server := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		_, tcp := w.RemoteAddr().(*net.TCPAddr)
		switch {
		case q.Question[0].Name == "big.example.test." && !tcp:
			m.Truncated = true
		case q.Question[0].Qtype == dns.TypeA && q.Question[0].Name != "gone.example.test.":
			m.Answer = []dns.RR{a}
		case q.Question[0].Qtype == dns.TypeA:
			m.Rcode = dns.RcodeNameError
			fallthrough
		default:
			m.Ns = []dns.RR{soa}
		}
		if q.IsEdns0() != nil {
			m.SetEdns0(1232, false)
		}
		if err := w.WriteMsg(m); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		args []string
		want reply
	}{
		{[]string{"app.example.test"}, reply{Transport: "udp", Rcode: "NOERROR", Question: "app.example.test. A", Answer: []string{a.String()}}},
		{[]string{"app.example.test", "a", "--tcp"}, reply{Transport: "tcp", Rcode: "NOERROR", Question: "app.example.test. A", Answer: []string{a.String()}}},
		{[]string{"big.example.test"}, reply{Transport: "tcp", Rcode: "NOERROR", Question: "big.example.test. A", Answer: []string{a.String()}}},
		{[]string{"app.example.test", "TYPE65"}, reply{Transport: "udp", Rcode: "NOERROR", Question: "app.example.test. HTTPS", Authority: []string{soa.String()}}},
		{[]string{"gone.example.test."}, reply{Transport: "udp", Rcode: "NXDOMAIN", Question: "gone.example.test. A", Authority: []string{soa.String()}}},
	} {
		s := newSession(nil, "", nil)
		if code := s.veer(t, append(append([]string{"query"}, c.args...), "--server", server, "-o", "json")...); code != exitDone {
			t.Fatalf("%v: exit code %d: %s", c.args, code, s.stderr.String())
		}
		var got reply
		if err := json.Unmarshal(s.stdout.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		got.Took = 0
		c.want.Server, c.want.Flags, c.want.Additional = server, []string{"qr", "aa", "rd"}, []string{}
		c.want.Answer, c.want.Authority = spaced(c.want.Answer), spaced(c.want.Authority)
		c.want.Flags = got.Flags
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v: %s", c.args, diff)
		}
		if !strings.Contains(strings.Join(got.Flags, " "), "qr aa") {
			t.Errorf("%v: flags %v", c.args, got.Flags)
		}
	}
}

func spaced(records []string) []string {
	out := []string{}
	for _, r := range records {
		out = append(out, strings.ReplaceAll(r, "\t", " "))
	}
	return out
}

func TestQueryText(t *testing.T) {
	var b strings.Builder
	writeReply(&b, reply{
		Server: "127.0.0.1:5300", Transport: "udp", Took: 312456, Rcode: "NOERROR", Flags: []string{"qr", "aa"},
		Question: "app.example.test. A", Answer: []string{"app.example.test. 12 IN A 198.51.100.10"},
	})
	golden(t, "query.txt", b.String())
}

func TestServerAddress(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:5300": "127.0.0.1:5300", "127.0.0.1": "127.0.0.1:53", "::1": "[::1]:53", "[::1]": "[::1]:53",
		"[::1]:5300": "[::1]:5300", "0.0.0.0:53": "127.0.0.1:53", "[::]:53": "[::1]:53",
		"127.0.0.1:0": "", "localhost:53": "", "": "", "1.2.3.4:99999": "",
	} {
		got, err := serverAddress(text)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; expected %q", text, got, err, want)
		}
	}
}
