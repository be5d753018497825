//go:build realservers

package authority

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// startRecursor resolves a zone by Debian's named, which asks a server that
// serves it.
func startRecursor(t *testing.T, zone, server string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(server)
	if err != nil {
		t.Fatal(err)
	}
	return startPeer(t, map[string]string{zone: ""}, debian{
		program: "named", args: []string{"-g", "-n", "1", "-c"}, config: strings.Replace(bindConfig, "recursion no;", "recursion yes; allow-query { any; };", 1),
		zone:  "zone %[1]q { type forward; forward only; forwarders { 127.0.0.1 port " + port + "; }; };\n",
		ready: func(line string) bool { return strings.HasSuffix(line, " running") },
		fails: func(line string) bool { return strings.Contains(line, "not loaded") },
	})
}

// TestAliasByRealServers: hosts that NSD serves and BIND resolves, behind CNAME
// records, with more addresses than fit a UDP packet, and after NSD is gone.
func TestAliasByRealServers(t *testing.T) {
	var zone strings.Builder
	zone.WriteString("$TTL 2\n@ SOA ns hostmaster 1 7200 900 1209600 2\n@ NS ns\nns A 192.0.2.53\nlb CNAME lb.fleet\nlb.fleet A 203.0.113.1\nlb.fleet A 203.0.113.2\nlb.fleet AAAA 2001:db8::1\n")
	const many = 90 // BIND takes at most 100 records of one type
	for i := range many {
		fmt.Fprintf(&zone, "many A 198.51.100.%d\n", i+1)
	}
	closed := net.JoinHostPort("127.0.0.1", fmt.Sprint(freePort(t)))
	swapped := make(chan struct{}, 1000)
	var s *Server
	outer := t
	t.Run("while the zone is served", func(t *testing.T) {
		c := exampleConfig()
		c.Alias = Alias{Resolver: []string{closed, startRecursor(outer, "cloud.example.", startNSD(t, map[string]string{"cloud.example.": zone.String()}))}, MinTTL: time.Second}
		s = newServer(outer, c, Options{Start: mustAnswers(t, "example.test. ALIAS 300 lb.cloud.example.", "many.example.test. ALIAS 300 many.cloud.example.", "none.example.test. ALIAS 300 none.cloud.example.")})
		use := s.aliases.use
		s.aliases.use = func(fresh map[string]*flat) {
			use(fresh)
			swapped <- struct{}{}
		}
		runServer(outer, s)
		for known := 0; known < 2; {
			<-swapped
			known = 0
			for _, a := range s.Aliases() {
				if a.Known() {
					known++
				}
			}
		}
		udp, tcp := s.Addrs()[0], s.Addrs()[1]
		for typ, want := range map[uint16]int{dns.TypeA: 2, dns.TypeAAAA: 1} {
			if r := exchange(t, udp, "example.test.", typ); r.Rcode != dns.RcodeSuccess || len(r.Answer) != want || r.Answer[0].Header().Ttl > 2 || r.Answer[0].Header().Name != "example.test." {
				t.Errorf("%v", r)
			}
		}
		if r := exchange(t, udp, "many.example.test.", dns.TypeA); !r.Truncated {
			t.Errorf("%d addresses in a UDP packet", len(r.Answer))
		}
		if r := exchange(t, tcp, "many.example.test.", dns.TypeA); len(r.Answer) != many {
			t.Errorf("%d addresses, want %d", len(r.Answer), many)
		}
		if r := exchange(t, udp, "many.example.test.", dns.TypeAAAA); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 0 {
			t.Errorf("%v", r)
		}
		if r := exchange(t, udp, "none.example.test.", dns.TypeA); r.Rcode != dns.RcodeServerFailure {
			t.Errorf("%v", r)
		}
	})
	for left := true; left; {
		<-swapped
		left = slices.ContainsFunc(s.Aliases(), func(a AliasState) bool { return a.Known() && !a.Stale })
	}
	if r := exchange(t, s.Addrs()[0], "example.test.", dns.TypeA); len(r.Answer) != 2 || r.Answer[0].Header().Ttl != 30 {
		t.Errorf("%v", r)
	}
	for _, a := range s.Aliases() {
		t.Logf("%+v", a)
		if a.Failed == 0 || !a.Known() != (a.Host == "none.cloud.example.") {
			t.Errorf("%+v", a)
		}
		if a.Host == "none.cloud.example." && !strings.Contains(a.Problem, "NXDOMAIN") && !strings.Contains(a.Problem, "SERVFAIL") {
			t.Errorf("%+v", a)
		}
	}
}
