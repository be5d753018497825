package authority

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// told asks over UDP and TCP and returns the answer, which is the same.
func told(t *testing.T, s *Server, m *dns.Msg) *dns.Msg {
	t.Helper()
	var answers []*dns.Msg
	for _, a := range s.Addrs() {
		c := dns.Client{Net: a.Network()}
		r, _, err := c.Exchange(m.Copy(), a.String())
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, r)
	}
	if timeless(answers[0]).String() != timeless(answers[1]).String() {
		t.Errorf("over UDP\n%v\nover TCP\n%v", answers[0], answers[1])
	}
	return answers[0]
}

// timeless returns a copy without what of a server cookie depends on the second.
func timeless(m *dns.Msg) *dns.Msg {
	m = m.Copy()
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok && len(c.Cookie) == 2*ourCookie {
				c.Cookie = c.Cookie[:24]
			}
		}
	}
	return m
}

// options are the options of an answer, as NSID=text and EDE=code text.
func options(m *dns.Msg) []string {
	var out []string
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		switch o := o.(type) {
		case *dns.EDNS0_NSID:
			out = append(out, "NSID="+o.Nsid)
		case *dns.EDNS0_EDE:
			out = append(out, fmt.Sprintf("EDE=%d %s", o.InfoCode, o.ExtraText))
		default:
			out = append(out, fmt.Sprintf("%T", o))
		}
	}
	return out
}

func chaosQuery(name string, typ uint16) *dns.Msg {
	m := new(dns.Msg)
	m.Question = []dns.Question{{Name: name, Qtype: typ, Qclass: dns.ClassCHAOS}}
	return m
}

// TestChaosNames: what the server is and who is told only where the config
// says so (RFC 4892).
func TestChaosNames(t *testing.T) {
	hidden := startServer(t, exampleConfig(), Options{})
	c := exampleConfig()
	c.Identity, c.Version = `eu-west "1" \2`, "a name server"
	shown := startServer(t, c, Options{})
	for name, want := range map[string]string{
		"id.server.": c.Identity, "Hostname.BIND.": c.Identity, "version.server.": c.Version, "VERSION.bind.": c.Version,
		"authors.bind.": "", "example.test.": "", "bind.": "",
	} {
		if r := told(t, hidden, chaosQuery(name, dns.TypeTXT)); r.Rcode != dns.RcodeRefused || len(r.Answer) > 0 {
			t.Errorf("%s is not hidden by default:\n%v", name, r)
		}
		r := told(t, shown, chaosQuery(name, dns.TypeTXT))
		if want == "" {
			if r.Rcode != dns.RcodeRefused || len(r.Answer) > 0 {
				t.Errorf("%s is not refused:\n%v", name, r)
			}
			continue
		}
		unescape := strings.NewReplacer(`\"`, `"`, `\\`, `\`)
		txt, ok := r.Answer[0].(*dns.TXT)
		if !ok || len(r.Answer) != 1 || !r.Authoritative || txt.Hdr.Ttl != 0 || txt.Hdr.Class != dns.ClassCHAOS || txt.Hdr.Name != name || unescape.Replace(txt.Txt[0]) != want {
			t.Errorf("%s, want %q:\n%v", name, want, r)
		}
		if r := told(t, shown, chaosQuery(name, dns.TypeA)); r.Rcode != dns.RcodeRefused {
			t.Errorf("%s A is not refused:\n%v", name, r)
		}
	}
}

// TestNSID: told to who asks for it, and only where the config says so (RFC
// 5001).
func TestNSID(t *testing.T) {
	c := exampleConfig()
	c.Identity = "eu-west-1"
	for _, s := range []struct {
		server *Server
		shown  bool
	}{{startServer(t, exampleConfig(), Options{}), false}, {startServer(t, c, Options{}), true}} {
		for _, asks := range []bool{true, false} {
			m := new(dns.Msg)
			m.SetQuestion("www.example.test.", dns.TypeA)
			m.SetEdns0(1232, false)
			if asks {
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
			}
			want := "[]"
			if asks && s.shown {
				want = "[NSID=65752d776573742d31]" // eu-west-1
			}
			if got := fmt.Sprint(options(told(t, s.server, m))); got != want {
				t.Errorf("asked %v, shown %v: options %s, want %s", asks, s.shown, got, want)
			}
		}
	}
}

// TestStaleAnswer: an answer of the ledger says that it is one of before, to
// clients that can read it (RFC 8914).
func TestStaleAnswer(t *testing.T) {
	s := startServer(t, exampleConfig(), Options{})
	s.Update(mustShards(t, "app.example.test. A 30 192.0.2.1", "alias.big.example.test. CNAME 30 www.example.test."))
	ask := func(name string, typ uint16, edns bool) string {
		m := new(dns.Msg)
		m.SetQuestion(name, typ)
		if edns {
			m.SetEdns0(1232, false)
		}
		r := told(t, s, m)
		if (r.IsEdns0() != nil) != edns {
			t.Errorf("%s: EDNS(0) asked %v, answered %v", name, edns, r.IsEdns0() != nil)
		}
		return fmt.Sprint(options(r))
	}
	const why = "EDE=3 cut off"
	for _, step := range []struct {
		reason, want string
	}{{"", "[]"}, {"cut off", "[" + why + "]"}, {"", "[]"}} {
		s.Stale(step.reason)
		for _, q := range []struct {
			name string
			typ  uint16
			edns bool
			want string
		}{
			{"app.example.test.", dns.TypeA, true, step.want},
			{"alias.big.example.test.", dns.TypeA, true, step.want},
			{"app.example.test.", dns.TypeA, false, "[]"},
			{"app.example.test.", dns.TypeAAAA, true, "[]"}, // no answer is stale
			{"www.example.test.", dns.TypeA, true, "[]"},    // the file's
			{"nowhere.example.test.", dns.TypeA, true, "[]"},
		} {
			if got := ask(q.name, q.typ, q.edns); got != q.want {
				t.Errorf("reason %q, %s %s edns %v: options %s, want %s", step.reason, q.name, dns.Type(q.typ), q.edns, got, q.want)
			}
		}
	}
}

// TestStaleReasonGoesFirst: where the reason does not fit, the answer stays
// whole and goes without it (RFC 8914, section 3).
func TestStaleReasonGoesFirst(t *testing.T) {
	var data []string
	for i := range 27 {
		data = append(data, fmt.Sprintf("192.0.2.%d", i))
	}
	s := startServer(t, exampleConfig(), Options{})
	s.Update(mustShards(t, "app.example.test. A 30 "+strings.Join(data, " ")))
	s.Stale(strings.Repeat("why ", 20))
	m := new(dns.Msg)
	m.SetQuestion("app.example.test.", dns.TypeA)
	for size, want := range map[uint16]int{512: 0, 1232: 1} {
		m.Extra = nil
		m.SetEdns0(size, false)
		c := dns.Client{Net: "udp"}
		r, _, err := c.Exchange(m.Copy(), s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		if r.Truncated || len(r.Answer) != 27 || len(options(r)) != want {
			t.Errorf("size %d: TC %v, %d records, options %q, want %d", size, r.Truncated, len(r.Answer), options(r), want)
		}
	}
}
