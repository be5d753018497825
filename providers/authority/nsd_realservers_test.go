//go:build realservers

package authority

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nsdConfig: the zone as it is, all records that are asked for, and no more
// records than needed, as Table has it.
const nsdConfig = `server:
	ip-address: 127.0.0.1@%[1]d
	do-ip6: no
	server-count: 1
	username: ""
	chroot: ""
	database: ""
	zonesdir: %[2]q
	pidfile: "%[2]s/nsd.pid"
	xfrdfile: "%[2]s/xfrd.state"
	zonelistfile: "%[2]s/zone.list"
	minimal-responses: yes
	refuse-any: no
	round-robin: no
	ipv4-edns-size: 1232
	rrl-ratelimit: 0
	rrl-whitelist-ratelimit: 0
remote-control:
	control-enable: no
`

// startNSD serves zones by Debian's nsd on a free port of loopback, and stops
// it at the end of the test.
func startNSD(t *testing.T, zones map[string]string) string {
	t.Helper()
	return startPeer(t, zones, debian{
		program: "nsd", args: []string{"-d", "-c"}, config: nsdConfig, zone: "zone:\n\tname: %[1]s\n\tzonefile: %[1]szone\n",
		ready: func(line string) bool { return strings.Contains(line, "nsd started") },
	})
}

// debian is how a server of Debian's serves zones: config takes the port and a
// folder, zone the zone's name. It logs to its standard error.
type debian struct {
	program, config, zone string
	args                  []string // before the config's path
	ready, fails          func(line string) bool
}

func startPeer(t *testing.T, zones map[string]string, d debian) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "v")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port := freePort(t)
	config := filepath.Join(dir, "config")
	text := fmt.Appendf(nil, d.config, port, dir)
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		text = fmt.Appendf(text, d.zone, name)
		if err := os.WriteFile(filepath.Join(dir, name+"zone"), []byte(zones[name]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), d.program, append(d.args, config)...) // #nosec G204 -- the test's own file
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v; are the packages of .ci/packages installed?", d.program, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	var seen []string
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		line := lines.Text()
		if seen = append(seen, line); d.fails != nil && d.fails(line) {
			break
		}
		if d.ready(line) {
			go func() { // keeps its pipe empty; ends with the server
				for lines.Scan() {
				}
			}()
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		}
	}
	t.Fatalf("%s does not serve:\n%s", d.program, strings.Join(seen[max(0, len(seen)-20):], "\n"))
	return ""
}

// freePort returns a port that is free for UDP and TCP on loopback.
func freePort(t *testing.T) int {
	t.Helper()
	free, err := listen("127.0.0.1:0", binder{sockets: 1}.listenOn)
	if err != nil {
		t.Fatal(err)
	}
	port := free.tcp.Addr().(*net.TCPAddr).Port
	if err := free.close(); err != nil {
		t.Fatal(err)
	}
	return port
}

// difference is a class of answers that NSD gives otherwise, and why this
// server may, or must, answer as it does.
type difference struct {
	name, why string
	// want is what the reference answers.
	is func(want referred, ours, theirs *dns.Msg) bool
}

// copiedCD may come with any other class.
var copiedCD = difference{name: "cd", why: "RFC 4035, section 3.1.6: an authoritative answer has CD clear; BIND copies it from the query"}

// differences are tried in order. Whatever fits none fails the test.
// All but the first see names in data in lower case.
var differences = []difference{
	{
		"spelling", "RFC 4343, section 3: letters of names are equal in either case; NSD compresses names in data against the question's spelling (RFC 1035, section 4.1.4), ours keep the zone's",
		func(_ referred, ours, theirs *dns.Msg) bool { return equal(ours, theirs) == "" },
	},
	{
		"any", "RFC 8482, section 4.1: either answers ANY with one of the RRsets, or with more; ours is that of the lowest type, and a CNAME that a DNAME makes is one",
		func(want referred, ours, theirs *dns.Msg) bool {
			return ours.Question[0].Qtype == dns.TypeANY && want.compare(ours) == "" && len(ours.Answer) > 0 && len(theirs.Answer) > 0 &&
				(want.kinds["dname"] || sameBut(ours, theirs, func(m *dns.Msg) { m.Answer, m.Extra = nil, nil }))
		},
	},
	{
		"additional", "RFC 1035, section 3.3.9, RFC 2782 and RFC 9460, section 4.1: ours has the addresses of mail exchangers, services and name servers that the zone knows; NSD with minimal responses leaves them out, BIND leaves some out",
		func(want referred, ours, theirs *dns.Msg) bool {
			return len(ours.Answer) > 0 && want.compare(ours) == "" && subset(theirs.Extra, ours.Extra) &&
				sameBut(ours, theirs, func(m *dns.Msg) { m.Extra = nil })
		},
	},
	{
		"referral", "RFC 1034, section 4.3.2, step 3b: ours gives the addresses of all name servers that the zone knows; BIND those at and below the cut, without which there is no way on (RFC 9471, section 2.1)",
		func(want referred, ours, theirs *dns.Msg) bool {
			return want.kinds["delegation"] && want.compare(ours) == "" && subset(theirs.Extra, ours.Extra) && subset(inDomain(ours), theirs.Extra) &&
				sameBut(ours, theirs, func(m *dns.Msg) { m.Extra = nil })
		},
	},
	{
		"truncated", "RFC 2181, section 9: an answer with TC set is thrown away but for its header; ours is empty, BIND's has what fits, and BIND's does not fit where it compresses less (RFC 1035, section 4.1.4)",
		func(want referred, ours, theirs *dns.Msg) bool {
			return theirs.Truncated && ours.Rcode == theirs.Rcode && (ours.Truncated && len(ours.Answer)+len(ours.Ns) == 0 || want.compare(ours) == "")
		},
	},
	{
		"zones", "RFC 1034, section 4.3.2, step 3a: a chain goes on with step 1, in whichever zone; BIND without recursion ends it where it leaves the zone",
		func(want referred, ours, theirs *dns.Msg) bool {
			return want.kinds["crossed"] && want.compare(ours) == "" && theirs.Rcode == dns.RcodeSuccess && len(theirs.Answer) > 0 && len(theirs.Ns)+len(section(theirs.Extra)) == 0 &&
				subset(theirs.Answer, ours.Answer)
		},
	},
	{
		"aliased targets", "RFC 9460, section 4.1: the additional section has the A, AAAA and SVCB records of targets; BIND has those behind a CNAME too",
		func(want referred, ours, theirs *dns.Msg) bool {
			typ := ours.Question[0].Qtype
			return (typ == dns.TypeSVCB || typ == dns.TypeHTTPS) && want.compare(ours) == "" && subset(ours.Extra, theirs.Extra) &&
				slices.ContainsFunc(theirs.Extra, func(rr dns.RR) bool { return typed(rr, dns.TypeCNAME) }) &&
				sameBut(ours, theirs, func(m *dns.Msg) { m.Extra = nil })
		},
	},
	{
		"loop", "RFC 1034, section 3.6.2: a chain that does not end is cut off somewhere; ours has each link once and up to 11, NSD's ends where a DNAME comes again, BIND's rcode is SERVFAIL",
		func(want referred, ours, theirs *dns.Msg) bool {
			return want.kinds["loop"] && want.compare(ours) == "" && (theirs.Rcode == dns.RcodeServerFailure || theirs.Rcode == ours.Rcode) &&
				(theirs.Truncated || subset(theirs.Answer, ours.Answer) || subset(ours.Answer, theirs.Answer))
		},
	},
}

// subset reports whether each of a's records is one of b's.
func subset(a, b []dns.RR) bool {
	all := section(b)
	return !slices.ContainsFunc(section(a), func(line string) bool { return !slices.Contains(all, line) })
}

// inDomain is the glue of a referral without which there is no way on.
func inDomain(m *dns.Msg) []dns.RR {
	return slices.DeleteFunc(slices.Clone(m.Extra), func(rr dns.RR) bool {
		return !slices.ContainsFunc(m.Ns, func(ns dns.RR) bool { return dns.IsSubDomain(ns.Header().Name, rr.Header().Name) })
	})
}

// sameBut reports whether two answers say the same but for what clip cuts.
func sameBut(a, b *dns.Msg, clip func(*dns.Msg)) bool {
	x, y := a.Copy(), b.Copy()
	clip(x)
	clip(y)
	return equal(x, y) == ""
}

// lowered is the reference's answer after lowerData.
func lowered(want referred) referred {
	lower := func(lines []string) []string {
		m := new(dns.Msg)
		for _, l := range lines {
			rr, err := dns.NewRR(l)
			if err != nil {
				return lines
			}
			m.Answer = append(m.Answer, rr)
		}
		lowerData(m)
		return section(m.Answer)
	}
	want.Answer, want.Authority, want.Additional = lower(want.Answer), lower(want.Authority), lower(want.Additional)
	return want
}

// lowerData lowers the names in a message's data.
func lowerData(m *dns.Msg) {
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		lowerNames(rr)
	}
}

// equal reports whether two answers say the same: header, sections as sets,
// TTLs, EDNS(0).
func equal(a, b *dns.Msg) string {
	want := referred{Rcode: b.Rcode, Authoritative: b.Authoritative, Answer: section(b.Answer), Authority: section(b.Ns), Additional: section(b.Extra)}
	d := want.compare(a)
	ah, bh := a.MsgHdr, b.MsgHdr
	if ah != bh {
		d += fmt.Sprintf("header:\n got %+v\nwant %+v\n", ah, bh)
	}
	if !slices.Equal(a.Question, b.Question) {
		d += fmt.Sprintf("question:\n got %v\nwant %v\n", a.Question, b.Question)
	}
	ao, bo := a.IsEdns0(), b.IsEdns0()
	if (ao == nil) != (bo == nil) || ao != nil && (ao.Version() != bo.Version() || ao.Do() != bo.Do() || ao.UDPSize() != bo.UDPSize()) {
		d += fmt.Sprintf("edns:\n got %v\nwant %v\n", ao, bo)
	}
	return d
}

// ask sends a packet and reads the answer, over one kept connection.
func ask(t *testing.T, conn *dns.Conn, q *dns.Msg) *dns.Msg {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	m, err := conn.ReadMsg()
	if err != nil {
		t.Fatalf("%v: %v", q.Question, err)
	}
	return m
}

func TestAgainstNSD(t *testing.T) {
	const runs, seed = 10000, 20261120
	zone, err := os.ReadFile(exampleZone)
	if err != nil {
		t.Fatal(err)
	}
	addr := startNSD(t, map[string]string{"example.test.": string(zone)})
	server := startServer(t, Config{Listen: []string{"127.0.0.1:0"}, Zones: []Zone{{Name: "example.test", File: exampleZone}}}, Options{})
	conns := map[string][2]*dns.Conn{}
	for network, own := range map[string]string{"udp": server.Addrs()[0].String(), "tcp": server.Addrs()[1].String()} {
		var pair [2]*dns.Conn
		for i, to := range []string{own, addr} {
			c, err := dns.DialTimeout(network, to, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.UDPSize = dns.MaxMsgSize - 1
			pair[i] = c
		}
		conns[network] = pair
	}
	ref := exampleReference(t)
	g := newGenerator(seed, ref.rrs, ref.apex)
	kinds, classes, faults := map[string]int{}, map[string]int{}, 0
	for i := range runs {
		q := g.query()
		network := "udp"
		if i%5 == 0 {
			network = "tcp"
		}
		ours, theirs := ask(t, conns[network][0], q), ask(t, conns[network][1], q)
		want := ref.lookup(q.Question[0].Name, q.Question[0].Qtype)
		for k := range want.kinds {
			kinds[k]++
		}
		if ours.Truncated && theirs.Truncated {
			kinds["truncated"]++
		}
		d := equal(ours, theirs)
		if d == "" {
			continue
		}
		lowerData(ours)
		lowerData(theirs)
		at := slices.IndexFunc(differences, func(c difference) bool { return c.is(lowered(want), ours, theirs) })
		if at >= 0 {
			classes[differences[at].name]++
			continue
		}
		if faults++; faults <= 20 {
			t.Errorf("%s %v rd %v edns %v: unclassified difference:\n%s", network, q.Question[0], q.RecursionDesired, q.IsEdns0() != nil, d)
		}
	}
	fmt.Printf("seed %d: %d queries, of which", seed, runs)
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Printf(" %s %.1f %%", k, 100*float64(kinds[k])/runs)
	}
	fmt.Println()
	for _, k := range []string{"wildcard", "ent", "delegation", "cname", "nodata"} {
		if kinds[k]*50 < runs {
			t.Errorf("%s: %d of %d queries, want at least 2 %%", k, kinds[k], runs)
		}
	}
	for _, c := range differences {
		fmt.Printf("%d answers differ by class %q: %s\n", classes[c.name], c.name, c.why)
	}
	if faults > 0 {
		t.Errorf("%d unclassified differences", faults)
	}
}
