package authority

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/regions/steering"
)

const exampleZone = "testdata/example.test.zone"

// zoneText parses a zone from text; other files are there to include.
func zoneText(name, text string, other map[string]string) (*ZoneFile, error) {
	fsys := fstest.MapFS{"zone": {Data: []byte(text)}}
	for file, content := range other {
		fsys[file] = &fstest.MapFile{Data: []byte(content)}
	}
	return ParseZone(name, "zone", fsys)
}

func exampleFile(t testing.TB) *ZoneFile {
	t.Helper()
	text, err := os.ReadFile(exampleZone)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zoneText("example.test", string(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func quiet() zerolog.Logger { return zerolog.Nop() }

// exampleTable is the example zone's table with answers laid over.
func exampleTable(t testing.TB, answers ...steering.Answer) *Table {
	t.Helper()
	st, err := newState([]*ZoneFile{exampleFile(t)}, answers, quiet(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return st.build(false)
}

// responderOf answers from one table.
func responderOf(table *Table) *responder {
	var p atomic.Pointer[Table]
	p.Store(table)
	return &responder{table: &p, udpSize: defaultUDPSize}
}

// parseAnswer reads "NAME TYPE TTL [min=N] [left=D] [set=S] [weight=N] DATA...".
func parseAnswer(line string) (steering.Answer, error) {
	words := strings.Fields(line)
	if len(words) < 4 {
		return steering.Answer{}, fmt.Errorf("%q: expected NAME TYPE TTL DATA", line)
	}
	ttl, err := strconv.ParseUint(words[2], 10, 32)
	if err != nil {
		return steering.Answer{}, err
	}
	a := steering.Answer{RRSet: providers.RRSet{Name: words[0], Type: words[1], TTL: uint32(ttl)}}
	for _, w := range words[3:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			a.Data = append(a.Data, w)
			continue
		}
		var n uint64
		switch key {
		case "set":
			a.SetID = value
		case "left":
			a.Left, err = time.ParseDuration(value)
		case "min":
			n, err = strconv.ParseUint(value, 10, 32)
			a.MinTTL = uint32(n)
		case "weight":
			n, err = strconv.ParseUint(value, 10, 32)
			a.Weight = uint32(n)
		default:
			err = fmt.Errorf("%q: unknown", w)
		}
		if err != nil {
			return steering.Answer{}, err
		}
	}
	return a, nil
}

func mustAnswers(t testing.TB, lines ...string) []steering.Answer {
	t.Helper()
	var out []steering.Answer
	for _, l := range lines {
		a, err := parseAnswer(l)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// show prints a message as the query tables have it.
func show(m *dns.Msg) string {
	var b strings.Builder
	rcode := dns.RcodeToString[m.Rcode]
	if m.Rcode == dns.RcodeBadVers {
		rcode = "BADVERS" // the map has TSIG's name of the same number
	}
	b.WriteString(rcode)
	for _, f := range []struct {
		on   bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.RecursionDesired, "rd"}, {m.RecursionAvailable, "ra"}, {m.CheckingDisabled, "cd"}, {m.AuthenticatedData, "ad"}} {
		if f.on {
			b.WriteString(" " + f.name)
		}
	}
	b.WriteByte('\n')
	for _, s := range []struct {
		name string
		rrs  []dns.RR
	}{{"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		for _, rr := range s.rrs {
			if opt, ok := rr.(*dns.OPT); ok {
				fmt.Fprintf(&b, "edns: version %d size %d do %v\n", opt.Version(), opt.UDPSize(), opt.Do())
				continue
			}
			fmt.Fprintf(&b, "%s: %.120s\n", s.name, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	return b.String()
}

// epoch is a moment for tests that need one.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// mustShards is one shard of the ledger with the answers.
func mustShards(t testing.TB, lines ...string) []steering.Shard {
	t.Helper()
	return []steering.Shard{{ID: 1, Term: 1, Seq: 1, Answers: mustAnswers(t, lines...)}}
}
