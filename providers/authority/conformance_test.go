package authority

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestMessageRules: what a message must be to be answered, and how it is
// refused otherwise.
func TestMessageRules(t *testing.T) {
	r := responderOf(exampleTable(t))
	for _, c := range []struct {
		rule   string
		change func(m *dns.Msg)
		bytes  func(p []byte) []byte
		want   string // "" for no answer
	}{
		{"a query (RFC 1035, 4.1.1)", nil, nil, "NOERROR"},
		{"a response is not answered (RFC 1035, 4.1.1)", func(m *dns.Msg) { m.Response = true }, nil, ""},
		{"nor is what has no whole header", nil, func(p []byte) []byte { return p[:headerSize-1] }, ""},
		{"a question that is cut off (RFC 1035, 4.1.2)", nil, func(p []byte) []byte { return p[:len(p)-1] }, "FORMERR"},
		{"a name that points to itself (RFC 1035, 4.1.4)", nil, func(p []byte) []byte { return append(p[:headerSize], 0xc0, 0x0c, 0, 1, 0, 1) }, "FORMERR"},
		{"no question (RFC 9619, 4)", func(m *dns.Msg) { m.Question = nil }, nil, "FORMERR"},
		{"two questions (RFC 9619, 4)", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, nil, "FORMERR"},
		{"records in the answer section", func(m *dns.Msg) {
			m.Answer = []dns.RR{&dns.NULL{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNULL, Class: 1}}}
		}, nil, "FORMERR"},
		{"NOTIFY (RFC 1035, 4.1.1)", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, nil, "NOTIMP"},
		{"UPDATE", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, nil, "NOTIMP"},
		{"two options (RFC 6891, 6.1.1)", func(m *dns.Msg) { m.SetEdns0(1232, false); m.Extra = append(m.Extra, m.Extra[0]) }, nil, "FORMERR"},
		{"an option of a name (RFC 6891, 6.1.2)", func(m *dns.Msg) { m.SetEdns0(1232, false); m.Extra[0].Header().Name = "x." }, nil, "FORMERR"},
		{"a type of additional records only (RFC 6895, 3.1)", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeOPT }, nil, "FORMERR"},
		{"a transfer (RFC 5936, 2.2.1)", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }, nil, "REFUSED"},
		{"another class", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassHESIOD }, nil, "REFUSED"},
		{"a name in no zone", func(m *dns.Msg) { m.Question[0].Name = "www.example.net." }, nil, "REFUSED"},
	} {
		m := new(dns.Msg)
		m.SetQuestion("www.example.test.", dns.TypeA)
		if c.change != nil {
			c.change(m)
		}
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if c.bytes != nil {
			packet = c.bytes(packet)
		}
		got := ""
		if out := r.respond(packet, make([]byte, dns.MaxMsgSize), true); out != nil {
			var a dns.Msg
			if err := a.Unpack(out); err != nil || !a.Response || a.Id != m.Id || a.Opcode != m.Opcode {
				t.Fatalf("%s: %v, %v", c.rule, &a, err)
			}
			got = dns.RcodeToString[a.Rcode]
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.rule, got, c.want)
		}
	}
}

// TestAnswersFromTheAskedAddress: on a socket of all addresses the answer
// leaves from the one that was asked (RFC 2181, section 4.1).
func TestAnswersFromTheAskedAddress(t *testing.T) {
	c := exampleConfig()
	c.Listen = []string{"0.0.0.0:0"}
	s := startServer(t, c, Options{})
	port := s.Addrs()[0].(*net.UDPAddr).Port
	from, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) // not connected: it hears every address
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if err := from.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	m.SetQuestion("www.example.test.", dns.TypeA)
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		to := &net.UDPAddr{IP: net.IPv4(127, 1, 0, byte(i+1)), Port: port}
		if _, err := from.WriteToUDP(packet, to); err != nil {
			t.Fatal(err)
		}
		_, peer, err := from.ReadFromUDP(make([]byte, 1232))
		if err != nil || peer.String() != to.String() {
			t.Errorf("asked %s, answered by %v, %v", to, peer, err)
		}
	}
}

// conformancePage is the table of rules and the tests that hold them.
const conformancePage = "../../docs/dns-conformance.md"

// mustConform are the RFCs that the table must speak of.
var mustConform = []int{1034, 1035, 2181, 2308, 3597, 4592, 6672, 6891, 7766, 7828, 7830, 7858, 7871, 7873, 8467, 8482, 8906, 9210, 9460}

// checkConformance returns what is wrong with the page: an RFC without a row,
// a row without a test, a test that is not there.
func checkConformance(page string, exists func(test, heading string) bool) []string {
	var problems []string
	rows := make(map[string]int)
	for _, line := range strings.Split(page, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		rfc, numbered := strings.CutPrefix(cells[0], "RFC ")
		if !strings.HasPrefix(line, "| ") || !numbered {
			continue
		}
		if len(cells) != 4 || cells[1] == "" || cells[2] == "" {
			problems = append(problems, "not a row of four cells: "+line)
			continue
		}
		rows[rfc]++
		tests := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 {
			problems = append(problems, "a row without a test: "+line)
		}
		for _, found := range tests {
			test, heading, _ := strings.Cut(found[1], ": ")
			if !exists(test, heading) {
				problems = append(problems, fmt.Sprintf("%s is no test: %s", found[1], line))
			}
		}
	}
	for _, n := range mustConform {
		if rows[fmt.Sprint(n)] == 0 {
			problems = append(problems, fmt.Sprintf("no row for RFC %d", n))
		}
	}
	return problems
}

// testExists finds a test function, or, for TestQueries/FILE and
// TestZoneFiles/FILE, the file's case with that heading.
func testExists(t *testing.T) func(test, heading string) bool {
	t.Helper()
	functions := make(map[string]bool)
	for _, pattern := range []string{"*_test.go", "../../cmd/veer/daemon/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(\w+ \*testing\.[TF]\)`).FindAllSubmatch(text, -1) {
				functions[string(m[1])] = true
			}
		}
	}
	folders := map[string]string{"TestQueries": "query", "TestZoneFiles": "zonefile"}
	return func(test, heading string) bool {
		name, file, table := strings.Cut(test, "/")
		if !functions[name] || table != (heading != "") {
			return false
		}
		if !table {
			return true
		}
		text, err := os.ReadFile(filepath.Join("testdata", folders[name], file+".txt"))
		return err == nil && strings.Contains("\n"+string(text), "\n# "+heading)
	}
}

// TestConformancePage: every row of docs/dns-conformance.md names a test that
// exists, and no RFC is missing.
func TestConformancePage(t *testing.T) {
	page, err := os.ReadFile(conformancePage)
	if err != nil {
		t.Fatal(err)
	}
	exists := testExists(t)
	for _, p := range checkConformance(string(page), exists) {
		t.Error(p)
	}
	// The check itself sees what it is for.
	for change, want := range map[[2]string]string{
		{"`TestRFC8906Probes`", "`TestRFC8906Probe`"}:          "is no test",
		{"`TestRFC8906Probes`", "soon"}:                        "a row without a test",
		{"| RFC 6672 ", "| RFC 6673 "}:                         "no row for RFC 6672",
		{"`TestQueries/dname: Names", "`TestQueries/dname: N"}: "is no test",
	} {
		spoiled := strings.ReplaceAll(string(page), change[0], change[1])
		if got := strings.Join(checkConformance(spoiled, exists), "\n"); spoiled == string(page) || !strings.Contains(got, want) {
			t.Errorf("%q: found %q, want %q", change, got, want)
		}
	}
}

// TestGlueThatDoesNotFit: a referral without all of its glue is truncated (RFC
// 9471, section 2.1); other additional records go without a word (RFC 2181,
// section 9).
func TestGlueThatDoesNotFit(t *testing.T) {
	var b strings.Builder
	b.WriteString(smallHead)
	for i := range 40 {
		fmt.Fprintf(&b, "sub NS ns%d.sub\nns%d.sub AAAA 2001:db8::%x\n", i%4, i%4, i+1)
		fmt.Fprintf(&b, "mail AAAA 2001:db8::%x\n", i+1)
	}
	b.WriteString("@ MX 10 mail\n")
	text := b.String()
	for i := range 4 { // each NS once
		line := fmt.Sprintf("sub NS ns%d.sub\n", i)
		first := strings.Index(text, line) + len(line)
		text = text[:first] + strings.ReplaceAll(text[first:], line, "")
	}
	f, err := zoneText("example.test", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := newState([]*ZoneFile{f}, nil, quiet(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	r := responderOf(st.build(false))
	for _, c := range []struct {
		name        string
		typ         uint16
		udp         bool
		tc          bool
		answer, ext int
	}{
		{"www.sub.example.test.", dns.TypeA, true, true, 0, 0},
		{"www.sub.example.test.", dns.TypeA, false, false, 0, 40},
		{"example.test.", dns.TypeMX, true, false, 1, 0},
		{"example.test.", dns.TypeMX, false, false, 1, 40},
	} {
		m := new(dns.Msg)
		m.SetQuestion(c.name, c.typ)
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var got dns.Msg
		if err := got.Unpack(r.respond(packet, make([]byte, dns.MaxMsgSize), c.udp)); err != nil {
			t.Fatal(err)
		}
		if got.Truncated != c.tc || len(got.Answer) != c.answer || len(got.Extra) != c.ext {
			t.Errorf("%s %s, udp %v: %d bytes, TC %v, %d answers, %d additional; want TC %v, %d, %d", c.name, dns.Type(c.typ), c.udp, got.Len(), got.Truncated, len(got.Answer), len(got.Extra), c.tc, c.answer, c.ext)
		}
	}
}

// TestZoneBelowARedirect: a zone below a DNAME of another is refused (RFC 6672,
// section 2.4), one at the DNAME's owner or beside it is not.
func TestZoneBelowARedirect(t *testing.T) {
	for name, refused := range map[string]bool{"sub.d.example.test": true, "a.b.d.example.test": true, "d.example.test": false, "e.example.test": false} {
		var files []*ZoneFile
		for zone, text := range map[string]string{"example.test": smallHead + "d DNAME other.example.\n", name: smallHead} {
			f, err := zoneText(zone, text, nil)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		_, err := newState(files, nil, quiet(), epoch)
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "lies below the DNAME record of zone:5") {
			t.Errorf("%s: error %v, want one: %v", name, err, refused)
		}
	}
}
