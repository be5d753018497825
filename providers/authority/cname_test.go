package authority

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

// TestSteeredCNAME: what a service that answers with host names is asked for,
// by weight, by location, with time left, and both ways.
func TestSteeredCNAME(t *testing.T) {
	table := exampleTable(t, mustAnswers(t,
		"simple.example.test. CNAME 30 lb.outside.example.", "left.example.test. CNAME 30 min=5 left=12s lb.outside.example.",
		"share.example.test. CNAME 30 set=a weight=1 a.outside.example.", "share.example.test. CNAME 30 set=b weight=3 b.outside.example.",
		"in.example.test. CNAME 30 www.example.test.", "twice.example.test. CNAME 30 in.example.test.", "*.star.example.test. CNAME 30 lb.outside.example.",
	)...)
	for _, test := range []struct {
		name string
		typ  uint16
		draw uint64
		want []string // TTL and data; nil: NODATA
	}{
		{"simple.example.test.", dns.TypeA, 0, []string{"30 lb.outside.example."}},
		{"simple.example.test.", dns.TypeAAAA, 0, []string{"30 lb.outside.example."}},
		{"simple.example.test.", dns.TypeCNAME, 0, []string{"30 lb.outside.example."}},
		{"simple.example.test.", dns.TypeANY, 0, []string{"30 lb.outside.example."}},
		{"simple.example.test.", dns.TypeMX, 0, []string{"30 lb.outside.example."}},
		{"simple.example.test.", dns.TypeHTTPS, 0, []string{"30 lb.outside.example."}},
		{"left.example.test.", dns.TypeA, 0, []string{"12 lb.outside.example."}},
		{"share.example.test.", dns.TypeA, 0, []string{"30 a.outside.example."}},
		{"share.example.test.", dns.TypeTXT, 1, []string{"30 b.outside.example."}},
		{"share.example.test.", dns.TypeCNAME, 3, []string{"30 b.outside.example."}},
		{"in.example.test.", dns.TypeCNAME, 0, []string{"30 www.example.test."}},
		{"in.example.test.", dns.TypeTXT, 0, []string{"30 www.example.test."}},
		{"x.star.example.test.", dns.TypeA, 0, []string{"30 lb.outside.example."}},
	} {
		m, _ := askTable(t, table, test.name, test.typ, test.draw)
		var got []string
		for _, rr := range m.Answer {
			if rr.Header().Rrtype == dns.TypeCNAME {
				got = append(got, fmt.Sprint(rr.Header().Ttl, " ", rdata(rr)))
			}
		}
		if m.Rcode != dns.RcodeSuccess || !m.Authoritative || !slices.Equal(got, test.want) {
			t.Errorf("%s %s: %v, want %v\n%v", test.name, dns.Type(test.typ), got, test.want, m)
		}
	}
	if m, _ := askTable(t, table, "twice.example.test.", dns.TypeA, 0); len(m.Answer) != 4 {
		t.Errorf("a chain of services to two addresses: %v", m)
	}
}

// TestLocatedCNAME: each location's clients are sent to their host.
func TestLocatedCNAME(t *testing.T) {
	var answers []steering.Answer
	for location, host := range map[string]string{steering.DefaultLocation: "all.outside.example.", "office": "office.outside.example."} {
		answers = append(answers, steering.Answer{RRSet: providers.RRSet{Name: "app.example.test.", Type: "CNAME", Location: location, TTL: 30, Data: []string{host}}})
	}
	s := newServer(t, exampleConfig(), Options{Start: answers, Log: zerolog.Nop(), Locations: map[string][]Location{"app.example.test.": {{Name: "office", Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}}}})
	for client, want := range map[string]string{"203.0.113.9": "office.outside.example.", "198.51.100.1": "all.outside.example."} {
		for _, typ := range []uint16{dns.TypeA, dns.TypeCNAME, dns.TypeANY} {
			m := new(dns.Msg)
			m.SetQuestion("app.example.test.", typ)
			r := s.responder()
			r.source = netip.MustParseAddr(client)
			var out dns.Msg
			if err := out.Unpack(r.respond(packMsg(t, m), make([]byte, 512), true)); err != nil {
				t.Fatal(err)
			}
			if len(out.Answer) != 1 || rdata(out.Answer[0]) != want {
				t.Errorf("%s %s: %v, want %s", client, dns.Type(typ), out.Answer, want)
			}
		}
	}
}

// TestCNAMERefused: where no CNAME can stand, the service keeps what it had.
func TestCNAMERefused(t *testing.T) {
	for _, test := range []struct{ lines, want string }{
		{"example.test. CNAME 30 lb.outside.example.", "a CNAME stands alone"},
		{"txtonly.example.test. CNAME 30 lb.outside.example.", "a CNAME stands alone"},
		{"app.example.test. CNAME 30 lb.outside.example. lb2.outside.example.", "a name has one CNAME"},
		{"app.example.test. CNAME 30 lb.outside.example.\napp.example.test. A 30 192.0.2.1", "a CNAME stands alone"},
	} {
		_, err := newState([]*ZoneFile{exampleFile(t)}, mustAnswers(t, strings.Split(test.lines, "\n")...), quiet(), epoch)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.lines, err, test.want)
		}
	}
	s := newServer(t, exampleConfig(), Options{Start: mustAnswers(t, "app.example.test. CNAME 30 a.outside.example.")})
	s.Update([]steering.Shard{shard(t, 1, 1, 1, "app.example.test. CNAME 30 a.outside.example. b.outside.example.")})
	if m, _ := askTable(t, s.Table(), "app.example.test.", dns.TypeA, 0); len(m.Answer) != 1 || rdata(m.Answer[0]) != "a.outside.example." {
		t.Errorf("%v", m)
	}
	// From host names to addresses and back in one swap.
	for i, line := range []string{"app.example.test. A 30 192.0.2.1", "app.example.test. CNAME 30 b.outside.example."} {
		s.Update([]steering.Shard{shard(t, 1, 1, uint64(i+2), line)})
		m, _ := askTable(t, s.Table(), "app.example.test.", dns.TypeA, 0)
		if len(m.Answer) != 1 || !strings.HasSuffix(line, rdata(m.Answer[0])) {
			t.Errorf("after %s: %v", line, m)
		}
	}
}
