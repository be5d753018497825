package main

import (
	"encoding/json"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/cmd/veer/api"
)

// startResolver answers from records over UDP on loopback, and with NXDOMAIN
// once it is told that they are gone. It kicks who waits with each answer.
func startResolver(t *testing.T, gone *atomic.Bool, kicks *atomic.Pointer[live], records ...string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan struct{})
	s := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg)
		r.SetReply(q)
		r.RecursionAvailable, r.Rcode = true, dns.RcodeNameError
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			if gone.Load() || !strings.EqualFold(rr.Header().Name, q.Question[0].Name) {
				continue
			}
			if r.Rcode = dns.RcodeSuccess; rr.Header().Rrtype == q.Question[0].Qtype {
				rr.Header().Name = q.Question[0].Name
				r.Answer = append(r.Answer, rr)
			}
		}
		_ = w.WriteMsg(r)
		if l := kicks.Load(); l != nil {
			l.kick()
		}
	})}
	go func() {
		defer close(done)
		_ = s.ActivateAndServe()
	}()
	<-ready
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-done
	})
	return conn.LocalAddr().String()
}

// TestAliasService: the top of a zone follows hosts that others manage, moves
// between them, and keeps the last good addresses.
func TestAliasService(t *testing.T) {
	var gone atomic.Bool
	var kicks atomic.Pointer[live]
	resolver := startResolver(t, &gone, &kicks, "lb-1.example.net. 1 A 203.0.113.1", "lb-1.example.net. 1 AAAA 2001:db8::1", "lb-2.example.net. 1 A 203.0.113.2")
	config := strings.NewReplacer(
		"zones: [{name: example.test", `alias: {resolver: ["`+resolver+`"], min_ttl: 1s}, zones: [{name: example.test`,
		"name: app.example.test\n", "name: example.test\n    type: ALIAS\n", "[192.0.2.10]", "[lb-1.example.net]", "[198.51.100.10]", "[198.51.100.10, lb-2.example.net]",
	).Replace(liveConfig)
	l := startLiveOn(t, config, nil)
	kicks.Store(l)
	query := []string{"query", "example.test", "--server", l.server}
	l.until("IN A 203.0.113.1", query...)
	l.until("IN AAAA 2001:db8::1", "query", "example.test", "AAAA", "--server", l.server)
	l.until("eu-west up 1/1, us-east up 2/2", "status")
	explained := func(want string) {
		t.Helper()
		l.until(want, "explain", "example.test")
	}
	explained("lb-1.example.net is 203.0.113.1 2001:db8::1, told")
	explained("lb-2.example.net is 203.0.113.2, told")
	explained("ALIAS lb-1.example.net")

	// What moves to another pool has its host's addresses at once.
	l.expect(exitDone, "drain", "drain", "eu-west", "--for", "1h", "--reason", "test", "-y")
	_, text := l.veer(query...)
	if !strings.Contains(text, "IN A 203.0.113.2") || !strings.Contains(text, "IN A 198.51.100.10") || strings.Contains(text, "203.0.113.1\n") {
		t.Errorf("after the move:\n%s", text)
	}

	gone.Store(true)
	l.until("NXDOMAIN", "status")
	l.matches(`lb-2\.example\.net is 203\.0\.113\.2, told \S+ ago, STALE`, "explain", "example.test")
	l.until("IN A 203.0.113.2", query...)
	_, text = l.veer("explain", "example.test", "-o", "json")
	var e api.Explain
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	if len(e.Aliases) != 2 || e.Aliases[1].Host != "lb-2.example.net." || len(e.Aliases[1].Addresses) != 1 || !e.Aliases[1].Stale || e.Aliases[1].Failed == 0 || !strings.Contains(e.Aliases[1].Problem, "which takes none away") {
		t.Errorf("aliases %+v", e.Aliases)
	}
	gone.Store(false)
	l.until("lb-1.example.net is 203.0.113.1 2001:db8::1, told", "explain", "example.test")
}
