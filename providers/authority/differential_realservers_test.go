//go:build realservers

package authority

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// bindConfig: as nsdConfig, but with the addresses in the additional section.
const bindConfig = `options {
	directory %[2]q;
	listen-on port %[1]d { 127.0.0.1; };
	listen-on-v6 { none; };
	pid-file none;
	session-keyfile none;
	recursion no;
	empty-zones-enable no;
	notify no;
	dnssec-validation no;
	allow-transfer { none; };
	answer-cookie no;
	minimal-responses no-auth;
	minimal-any yes;
	zero-no-soa-ttl no;
	edns-udp-size 1232;
	max-udp-size 1232;
	check-integrity no;
};
controls { };
`

// startBIND serves zones by Debian's named, as startNSD does.
func startBIND(t *testing.T, zones map[string]string) string {
	t.Helper()
	return startPeer(t, zones, debian{
		program: "named", args: []string{"-g", "-n", "1", "-c"}, config: bindConfig, zone: "zone %[1]q { type primary; file \"%[1]szone\"; check-names ignore; };\n",
		ready: func(line string) bool { return strings.HasSuffix(line, " running") },
		fails: func(line string) bool { return strings.Contains(line, "not loaded") },
	})
}

// rival is a server that ours is compared with, over kept connections.
type rival struct {
	name  string
	conns map[string]*dns.Conn // by network
}

func dialPeer(t *testing.T, name, udp, tcp string) rival {
	t.Helper()
	p := rival{name: name, conns: make(map[string]*dns.Conn)}
	for network, to := range map[string]string{"udp": udp, "tcp": tcp} {
		c, err := dns.DialTimeout(network, to, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		c.UDPSize = dns.MaxMsgSize - 1
		p.conns[network] = c
	}
	return p
}

// asked is one query with what a peer answered.
type asked struct {
	query   *dns.Msg
	network string
	theirs  *dns.Msg
	peer    string
	want    referred // the reference's answer, lowered
}

// verdict returns the classes by which ours differs from theirs, none where
// they say the same, and how it differs where no class allows it.
func (a asked) verdict(ours *dns.Msg) (classes []string, unclassified string) {
	ours, theirs := ours.Copy(), a.theirs.Copy()
	if a.query.CheckingDisabled && theirs.CheckingDisabled && !ours.CheckingDisabled {
		theirs.CheckingDisabled = false
		classes = append(classes, copiedCD.name)
	}
	d := equal(ours, theirs)
	if d == "" {
		return classes, ""
	}
	lowerData(ours)
	lowerData(theirs)
	if theirs.Truncated && a.query.AuthenticatedData {
		theirs.AuthenticatedData = false // BIND leaves the query's AD in what nobody will read
	}
	for _, c := range differences {
		if framed(ours, theirs) && c.is(a.want, ours, theirs) {
			return append(classes, c.name), ""
		}
	}
	return nil, fmt.Sprintf("%s %s %v rd %v edns %v:\n%s", a.peer, a.network, a.query.Question[0], a.query.RecursionDesired, a.query.IsEdns0() != nil, d)
}

// framed reports whether two answers agree on what no class of difference
// touches: the header but for TC and rcode, the question, EDNS(0).
func framed(ours, theirs *dns.Msg) bool {
	frame := func(m *dns.Msg) *dns.Msg {
		f := &dns.Msg{MsgHdr: m.MsgHdr, Question: m.Question, Extra: onlyOption(m.Extra)}
		f.Truncated, f.Rcode = false, dns.RcodeSuccess
		return f
	}
	return equal(frame(ours), frame(theirs)) == ""
}

// TestDifferential compares with NSD and BIND over generated zones. Every
// difference must be of one of at most ten classes.
func TestDifferential(t *testing.T) {
	const seed = 20261129
	started := time.Now()
	zones := makeZones(t, seed, differentialZones)
	texts := make(map[string]string)
	config := Config{Listen: []string{"127.0.0.1:0"}}
	var refs references
	dir := t.TempDir()
	for _, z := range zones {
		texts[z.apex] = z.text
		refs = append(refs, z.ref)
		file := filepath.Join(dir, z.apex+"zone")
		if err := os.WriteFile(file, []byte(z.text), 0o600); err != nil {
			t.Fatal(err)
		}
		config.Zones = append(config.Zones, Zone{Name: z.apex, File: file})
	}
	server := startServer(t, config, Options{})
	own := dialPeer(t, "veer", server.Addrs()[0].String(), server.Addrs()[1].String())
	nsd, bind := startNSD(t, texts), startBIND(t, texts)
	peers := []rival{dialPeer(t, "NSD", nsd, nsd), dialPeer(t, "BIND", bind, bind)}

	kinds, classified, faults, runs := map[string]int{}, map[string]map[string]int{}, 0, 0
	var kept []asked
	for i := range differentialQueries {
		n := i % len(zones)
		q := zones[n].queries(seed + uint64(n)).query()
		network := "udp"
		if i%5 == 0 {
			network = "tcp"
		}
		runs++
		ours := ask(t, own.conns[network], q)
		want := refs.lookup(q.Question[0].Name, q.Question[0].Qtype)
		for k := range want.kinds {
			kinds[k]++
		}
		want = lowered(want)
		for _, p := range peers {
			a := asked{q, network, ask(t, p.conns[network], q), p.name, want}
			if len(kept) < 6000 {
				kept = append(kept, a)
			}
			names, how := a.verdict(ours)
			for _, class := range names {
				if classified[class] == nil {
					classified[class] = make(map[string]int)
				}
				classified[class][p.name]++
			}
			if how != "" {
				if faults++; faults <= 20 {
					t.Errorf("unclassified difference from %s", how)
				}
			}
		}
	}
	fmt.Printf("seed %d: %d queries in %d zones, to NSD and BIND each, in %s, of which", seed, runs, len(zones), time.Since(started).Round(time.Second))
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Printf(" %s %.1f %%", k, 100*float64(kinds[k])/float64(runs))
	}
	fmt.Println()
	checkCoverage(t, kinds, runs)
	all := append([]difference{copiedCD}, differences...)
	if len(all) > 10 {
		t.Errorf("%d classes of difference, want at most 10", len(all))
	}
	page, err := os.ReadFile(conformancePage)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if !strings.Contains(string(page), "\n| "+c.name+" | RFC ") || !strings.HasPrefix(c.why, "RFC ") {
			t.Errorf("class %q lacks its RFC, or its row in %s", c.name, conformancePage)
		}
		fmt.Printf("%d answers differ from NSD's and %d from BIND's by class %q: %s\n", classified[c.name]["NSD"], classified[c.name]["BIND"], c.name, c.why)
	}
	if faults > 0 {
		t.Errorf("%d unclassified differences", faults)
	}
	checkMutants(t, zones, kept)
}

// checkMutants wants each planted fault to be found beside either server.
func checkMutants(t *testing.T, zones []madeZone, kept []asked) {
	t.Helper()
	buf := make([]byte, dns.MaxMsgSize)
	for _, u := range mutants {
		respond, found := u.of(t, zones), map[string]int{}
		for _, a := range kept {
			packet, err := a.query.Pack()
			if err != nil {
				t.Fatal(err)
			}
			var ours dns.Msg
			if err := ours.Unpack(respond(packet, buf, a.network == "udp")); err != nil {
				t.Fatal(err)
			}
			if _, how := a.verdict(&ours); how != "" {
				found[a.peer]++
			}
		}
		if found["NSD"] == 0 || found["BIND"] == 0 {
			t.Errorf("planted fault %q: found by %d answers of NSD and %d of BIND, want some of either", u.name, found["NSD"], found["BIND"])
		}
		fmt.Printf("planted fault %q: found by %d of %d answers\n", u.name, found["NSD"]+found["BIND"], len(kept))
	}
}
