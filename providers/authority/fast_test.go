package authority

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// Some draws ask a server with cookies.
const (
	withoutCookies   = 1
	someCookies      = 1<<58 | 1
	requiringCookies = 3 << 58
)

// twoWays answers a packet on the fast and on the general path, and returns
// how the answers differ, and whether the fast path gave one. Draws are alike.
func twoWays(table *Table, packet []byte, udp bool, draw uint64, plant ...func(*quick)) (answered bool, err error) {
	return twoTables(table, table, packet, udp, draw, plant...)
}

// twoTables is twoWays with a table for each path.
func twoTables(table, other *Table, packet []byte, udp bool, draw uint64, plant ...func(*quick)) (answered bool, err error) {
	room := max(len(packet), maxPacked) + 1024
	var p atomic.Pointer[Table]
	p.Store(table)
	draws := func() uint64 { return draw }
	// Some draws ask a server that tells who it is, some one that is cut off.
	identity, stale := "", new(atomic.Pointer[string])
	if draw>>60&1 == 1 {
		identity = "ns1"
	}
	if draw>>61&1 == 1 {
		reason := "cut off"
		stale.Store(&reason)
	}
	// Most have cookies, and some require them.
	var jar *cookies
	if draw&requiringCookies > 0 {
		jar = testCookies(draw&requiringCookies == requiringCookies)
	}
	from := peer{addr: testClient(draw)}
	if !udp {
		from.over = overTCP + transport(draw>>62&1) // TCP, or TLS
	}
	r := &responder{table: &p, udpSize: defaultUDPSize, identity: identity, stale: stale, draw: draws, cookies: jar, source: from.addr, over: from.over, idle: defaultTCPIdle}
	general := r.respond(packet, make([]byte, room), udp)
	buf := bytes.Repeat([]byte{0xee}, room) // what lies behind the query is anything
	n := copy(buf, packet)
	var q atomic.Pointer[Table]
	q.Store(other)
	f := &quick{table: &q, udpSize: defaultUDPSize, named: identity != "", stale: stale, draw: draws, cookies: jar, from: &from}
	for _, spoil := range plant {
		spoil(f)
	}
	size := f.respond(buf, n, udp)
	if size == 0 {
		if !bytes.Equal(buf[:n], packet) {
			return false, errors.New("the fast path leaves the query to the general one, but changed it")
		}
		return false, nil
	}
	if !bytes.Equal(buf[:size], general) {
		return true, fmt.Errorf("udp %v, to %x\nfast    %x\ngeneral %x", udp, packet, buf[:size], general)
	}
	if f.valid != r.valid {
		return true, fmt.Errorf("to %x the cookie is valid on the fast path: %v, on the general one: %v", packet, f.valid, r.valid)
	}
	return true, sameOutcome(f.was, r.reply.was, int(buf[3]&15))
}

// sameOutcome: one of the two may be remembered.
func sameOutcome(fast, general outcome, rcode int) error {
	if fast.zone != general.zone || fast.pick != general.pick || !fast.known && fast.node != general.node {
		return fmt.Errorf("the fast path's outcome is %+v, the general one's %+v", fast, general)
	}
	if fast, general := subjectOf(fast, rcode), subjectOf(general, rcode); fast != general {
		return fmt.Errorf("the fast path has the answer limited as %+v, the general one as %+v", fast, general)
	}
	if fast, general := fast.service(), general.service(); fast != general {
		return fmt.Errorf("the fast path has the answer counted in line %d, the general one in %d", fast, general)
	}
	return nil
}

// knots is a zone in which names in data share labels with names that are
// asked for, in several spellings.
const knots = `$TTL 60
@ SOA ns.Deep.knots.test. Host.master.deep 1 2 3 4 5
@ NS ns.deep
@ MX 10 mail
@ TXT "apex"
ns.deep A 192.0.2.1
mail A 192.0.2.2
mail AAAA 2001:db8::2
deep TXT "deep" "er"
UPPER A 192.0.2.3
*.wild A 192.0.2.4
*.wild MX 5 mail
*.wild TXT "wild"
*.alias CNAME outside.example.
*.here CNAME mail
out CNAME outside.example.
in CNAME mail
a\.b\000c A 192.0.2.5
srv SRV 1 2 3 mail
cut NS ns.cut
ns.cut A 192.0.2.6
caa CAA 0 issue "ca.example"
svcb SVCB 1 mail alpn=h2
long.a.b.c.d.e TXT "far"
moved DNAME elsewhere.example.
within DNAME here.knots.test.
*.wsvcb HTTPS 1 mail alpn=h2
`

// manyZones is a table of several zones with steered names of every kind.
func manyZones(t testing.TB) (*Table, []dns.RR) {
	t.Helper()
	files := []*ZoneFile{exampleFile(t)}
	for name, text := range map[string]string{
		"knots.test":       knots,
		"child.knots.test": "$TTL 30\n@ SOA ns.other.test. hostmaster.knots.test. 1 2 3 4 5\n@ NS ns.other.test.\nwww A 192.0.2.9\n",
		"org":              "$TTL 30\n@ SOA ns nic.test. 1 2 3 4 5\n@ NS ns\nns A 192.0.2.9\nx CNAME www.child.knots.test.\n",
	} {
		f, err := zoneText(name, text, nil)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	st, err := newFlatState(files, flatHosts(), mustAnswers(t,
		"flat.example.test. ALIAS 30 both.example.net.", "four.example.test. ALIAS 30 four.example.net.", "late.example.test. ALIAS 30 late.example.net.",
		"never.example.test. ALIAS 30 never.example.net.", "part.example.test. ALIAS 30 part.example.net.", "here.example.test. A 30 192.0.2.1", "here.example.test. ALIAS 30 both.example.net. never.example.net.",
		"share.example.test. A 30 set=a weight=1 192.0.2.1", "share.example.test. ALIAS 30 set=b weight=1 four.example.net.", "share.example.test. ALIAS 30 set=c weight=1 never.example.net.",
		"to.example.test. CNAME 30 never.example.test.",
		"app.example.test. A 30 192.0.2.1 192.0.2.2", "app.example.test. AAAA 30 2001:db8::1",
		"timer.example.test. A 30 min=5 left=17s 192.0.2.1 192.0.2.2",
		"w.example.test. A 30 set=a weight=1 192.0.2.1", "w.example.test. A 30 set=b weight=3 192.0.2.2 192.0.2.3",
		"c.example.test. CNAME 30 set=a weight=1 lb.outside.example.", "c.example.test. CNAME 30 set=b weight=1 app.example.test.",
		"much.example.test. A 30 min=5 left=17s"+manyAddresses(40), // more than 512 bytes
		"*.steered.knots.test. A 30 min=5 left=3s 192.0.2.7", "x.y.z.knots.test. A 30 192.0.2.8", "knots.test. A 20 192.0.2.10",
		"cloud.knots.test. CNAME 30 left=9s lb.outside.example."), quiet(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	// What is in org is for everybody, the rest for some.
	st.access = Config{Allow: []string{"192.0.2.0/24", "2001:db8::/32", "198.51.100.9"}, Zones: []Zone{
		{Name: "child.knots.test", Allow: []string{"192.0.2.0/24"}}, {Name: "org", Allow: []string{"0.0.0.0/0", "::/0"}},
	}}.access()
	var rrs []dns.RR
	for _, f := range files {
		for _, r := range f.records {
			rrs = append(rrs, r.rr)
		}
	}
	for _, s := range st.start {
		for _, set := range s.sets {
			rrs = append(rrs, set.picks[0].rrs...)
		}
	}
	return st.build(false), rrs
}

func manyAddresses(n int) (out string) {
	for i := range n {
		out += fmt.Sprintf(" 198.51.100.%d", i)
	}
	return out
}

// searchTwoWays asks generated queries both ways until they differ.
func searchTwoWays(t testing.TB, table *Table, rrs []dns.RR, runs int, plant ...func(*quick)) (fast int, err error) {
	g := newGenerator(11, rrs, ".")
	for range runs {
		m, draw := g.query(), g.rng.Uint64()
		if opt := m.IsEdns0(); opt != nil {
			switch g.rng.IntN(14) {
			case 13: // known to the library or not, and mostly malformed
				data := make([]byte, g.rng.IntN(6))
				for i := range data {
					data[i] = byte(g.rng.IntN(4))
				}
				opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: uint16(g.rng.IntN(22)), Data: data})
			case 0, 1, 2, 3, 9, 10:
				opt.Option = append(opt.Option, g.cookie(testClient(draw)))
				if g.rng.IntN(8) == 0 {
					opt.Option = append(opt.Option, g.cookie(testClient(draw)))
				}
			case 4, 5:
				opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_PADDING{Padding: make([]byte, g.rng.IntN(40))})
			case 6:
				opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE}, &dns.EDNS0_PADDING{Padding: make([]byte, g.rng.IntN(40))})
			case 7, 8:
				opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}})
			}
		}
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		answered, err := twoWays(table, packet, g.rng.IntN(4) > 0, draw, plant...)
		if err != nil {
			return fast, fmt.Errorf("%v: %w", m.Question[0], err)
		}
		if answered {
			fast++
		}
	}
	return fast, nil
}

func TestFastPathAnswersAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that no second passes between two answers
		const runs = 40_000
		table, rrs := manyZones(t)
		fast, err := searchTwoWays(t, table, rrs, runs)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d of %d generated queries on the fast path", fast, runs)
		if fast < runs/2 {
			t.Errorf("%d of %d queries on the fast path, want at least half", fast, runs)
		}
	})
}

// TestMutantFastPath: each fault in the prepacked bytes is found.
func TestMutantFastPath(t *testing.T) {
	each := func(table *Table, do func(*zone, *node)) {
		for _, z := range table.zones {
			for _, n := range z.base {
				do(z, n)
			}
			z.over.all(func(_ key, n *node) { do(z, n) })
		}
	}
	for name, plant := range map[string]func(*Table){
		"a TTL that is not patched": func(table *Table) {
			each(table, func(_ *zone, n *node) {
				for _, s := range n.sets {
					for i := range s.picks {
						s.picks[i].ttls = nil
					}
				}
			})
		},
		"a name in data behind a wildcard": func(table *Table) {
			each(table, func(_ *zone, n *node) {
				for _, s := range n.sets {
					for i := range s.picks {
						s.picks[i].moves = true
					}
				}
			})
		},
		"a name of the SOA's data in the question": func(table *Table) {
			for _, z := range table.zones {
				z.none.avoid = nil
			}
		},
		"a pointer that is not moved": func(table *Table) {
			for _, z := range table.zones {
				z.none.pointers = z.none.pointers[:len(z.none.pointers)-1]
			}
		},
		"an address": func(table *Table) {
			each(table, func(_ *zone, n *node) {
				if s := n.get(dns.TypeAAAA); s != nil && !s.picks[0].unknown() {
					s.picks[0].wire[len(s.picks[0].wire)-1] ^= 1
				}
			})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			table, rrs := manyZones(t)
			plant(table)
			time.Sleep(2 * time.Second) // in the bubble's time
			_, err := searchTwoWays(t, table, rrs, 100_000)
			if err == nil {
				t.Errorf("%s: the search proves nothing: it does not see the planted fault", name)
				return
			}
			t.Logf("%s: %v", name, err)
		})
	}
}

// TestMutantFastCookies: so is each fault of its cookies.
func TestMutantFastCookies(t *testing.T) {
	for name, plant := range map[string]func(*quick){
		"none":             func(f *quick) { f.cookies = nil },
		"another client":   func(f *quick) { f.from = &peer{addr: netip.MustParseAddr("192.0.2.77"), over: f.from.over} },
		"another secret":   func(f *quick) { f.cookies = &cookies{}; f.cookies.keys.Store(&[]sipKey{{1, 3}, {3, 4}}) },
		"no former secret": func(f *quick) { f.cookies = &cookies{}; f.cookies.keys.Store(&[]sipKey{{1, 2}}) },
		"always required":  func(f *quick) { f.cookies = testCookies(true) },
		"never required":   func(f *quick) { f.cookies = testCookies(false) },
		"another time":     func(f *quick) { f.clock.at = time.Now().Add(time.Second) },
	} {
		synctest.Test(t, func(t *testing.T) {
			table, rrs := manyZones(t)
			_, err := searchTwoWays(t, table, rrs, 100_000, plant)
			if err == nil {
				t.Errorf("%s: the search proves nothing: it does not see the planted fault", name)
			}
		})
	}
}

func TestFastPathAllocatesNothing(t *testing.T) {
	table := exampleTable(t, mustAnswers(t, "app.example.test. A 30 min=5 left=1h 192.0.2.1", "much.example.test. A 30"+manyAddresses(40),
		"w.example.test. A 30 set=a weight=1 192.0.2.1", "w.example.test. A 30 set=b weight=3 192.0.2.2")...)
	var p atomic.Pointer[Table]
	p.Store(table)
	f := &quick{table: &p, udpSize: defaultUDPSize}
	buf := make([]byte, dns.MaxMsgSize)
	for _, tt := range []struct {
		name string
		typ  uint16
	}{
		{"app.example.test.", dns.TypeA}, {"w.example.test.", dns.TypeA}, {"wWw.eXample.test.", dns.TypeA}, {"a.wild.example.test.", dns.TypeA},
		{"nowhere.example.test.", dns.TypeA}, {"elsewhere.example.", dns.TypeA}, {"much.example.test.", dns.TypeA}, {"app.example.test.", dns.TypeANY}, {"nowhere.example.test.", dns.TypeANY},
	} {
		m := new(dns.Msg)
		m.SetQuestion(tt.name, tt.typ).SetEdns0(600, true)
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			f.begin()
			if f.respond(buf, copy(buf, packet), true) == 0 {
				t.Fatalf("%v: not on the fast path", tt)
			}
		}); n > 0 {
			t.Errorf("%v: %v allocations an answer, want none", tt, n)
		}
	}
}
