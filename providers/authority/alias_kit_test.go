package authority

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// flatHosts are hosts of every kind: known in both families, in one, out of
// date, in part, and never.
func flatHosts() *flats {
	v4 := flatFamily{known: true, addrs: []string{"203.0.113.1", "203.0.113.2"}, ttl: 60}
	v6 := flatFamily{known: true, addrs: []string{"2001:db8:1::1"}, ttl: 40, until: time.Now().Add(25 * time.Second)}
	stale := v4
	stale.stale, stale.ttl = true, 7
	return &flats{minTTL: 5, hosts: map[string]*flat{
		"both.example.net.": {families: [2]flatFamily{v4, v6}},
		"four.example.net.": {families: [2]flatFamily{v4, {known: true, ttl: 60}}},
		"late.example.net.": {families: [2]flatFamily{stale, {known: true, stale: true, ttl: 7}}},
		"part.example.net.": {families: [2]flatFamily{v4, {}}},
	}}
}

// toy is a resolver of the test's own, over UDP and TCP on one port of
// loopback. What it answers, and how, can be changed at any time.
type toy struct {
	addr string

	mu      sync.Mutex
	records map[string][]string // by name: "A 300 192.0.2.1", ...
	rcode   int
	mangle  func(network string, q, r *dns.Msg) [][]byte // nil: answers as it should
	asked   map[string]int                               // by network
}

func startToy(t testing.TB, records ...string) *toy {
	t.Helper()
	y := &toy{asked: map[string]int{}}
	y.set(records...)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	y.addr = tcp.Addr().String()
	udp, err := net.ListenPacket("udp", y.addr)
	if err != nil {
		t.Fatal(err)
	}
	var ready sync.WaitGroup
	for _, s := range []*dns.Server{{Listener: tcp}, {PacketConn: udp}} {
		ready.Add(1)
		s.NotifyStartedFunc = ready.Done
		s.Handler = y
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.ActivateAndServe()
		}()
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-done
		})
	}
	ready.Wait()
	return y
}

// set replaces the records, each "NAME TTL TYPE DATA".
func (y *toy) set(records ...string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.records = map[string][]string{}
	for _, r := range records {
		name, _, _ := strings.Cut(r, " ")
		y.records[name] = append(y.records[name], r)
	}
}

func (y *toy) behave(rcode int, mangle func(network string, q, r *dns.Msg) [][]byte) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.rcode, y.mangle = rcode, mangle
}

func (y *toy) count(network string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.asked[network]
}

// ServeDNS answers as a recursive resolver: with the CNAME records that lead on.
func (y *toy) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	y.mu.Lock()
	defer y.mu.Unlock()
	network := w.RemoteAddr().Network()
	y.asked[network]++
	r := new(dns.Msg)
	r.SetReply(q)
	r.RecursionAvailable = true
	typ := q.Question[0].Qtype
	owner := q.Question[0].Name
	for range 20 {
		name, next := strings.ToLower(owner), ""
		if y.records[name] == nil {
			r.Rcode = dns.RcodeNameError
		}
		for _, text := range y.records[name] {
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			if rr.Header().Rrtype == typ || rr.Header().Rrtype == dns.TypeCNAME {
				rr.Header().Name = owner // as it was asked for
				r.Answer = append(r.Answer, rr)
			}
			if c, ok := rr.(*dns.CNAME); ok {
				next = c.Target
			}
		}
		if next == "" {
			break
		}
		owner = next
	}
	if y.rcode != 0 {
		r.Rcode, r.Answer = y.rcode, nil
	}
	if y.mangle == nil {
		if network == "udp" {
			r.Truncate(1232)
		}
		_ = w.WriteMsg(r)
		return
	}
	for _, packet := range y.mangle(network, q, r) {
		_, _ = w.Write(packet)
	}
}

func packMsg(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	out, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// addrs parses addresses, and sorts them.
func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}
