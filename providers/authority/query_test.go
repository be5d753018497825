package authority

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions/steering"
)

// TestQueries runs the tables in testdata/query. Directives: zone NAME (file
// text, or file=PATH), services (lines of parseAnswer), wait D, query (lines
// "NAME TYPE [CLASS] [do] [rd] [cd] [udp=SIZE] [tcp] [version=N]"), serve
// (shard text as services, with term and seq), wire (hexadecimal).
func TestQueries(t *testing.T) {
	datadriven.Walk(t, "testdata/query", func(t *testing.T, path string) {
		synctest.Test(t, func(t *testing.T) {
			b := &queryBench{start: time.Now()}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				out, err := b.run(t, d)
				if err != nil {
					return "error: " + err.Error() + "\n"
				}
				return out
			})
		})
	})
}

type queryBench struct {
	files []*ZoneFile
	state *state
	start time.Time
}

func (b *queryBench) run(t *testing.T, d *datadriven.TestData) (string, error) {
	switch d.Cmd {
	case "zone":
		return b.zone(t, d)
	case "services":
		var answers []steering.Answer
		for line := range strings.Lines(d.Input) {
			a, err := parseAnswer(line)
			if err != nil {
				return "", err
			}
			answers = append(answers, a)
		}
		st, err := newState(b.files, answers, quiet(), time.Now())
		if err != nil {
			return "", err
		}
		b.state = st
		return "", nil
	case "wait":
		wait, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			return "", err
		}
		<-time.After(wait) // in the bubble's time
		return "", nil
	case "query":
		var out strings.Builder
		for line := range strings.Lines(d.Input) {
			one, err := b.query(strings.Fields(line))
			if err != nil {
				return "", err
			}
			out.WriteString(one)
		}
		return out.String(), nil
	}
	return "", fmt.Errorf("unknown directive %q", d.Cmd)
}

func (b *queryBench) zone(t *testing.T, d *datadriven.TestData) (string, error) {
	text := d.Input
	if d.HasArg("file") {
		var path string
		d.ScanArgs(t, "file", &path)
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		text = string(content)
	}
	f, err := zoneText(d.CmdArgs[0].Key, text, nil)
	if err != nil {
		return "", err
	}
	b.files = append(b.files, f)
	b.state, err = newState(b.files, nil, quiet(), time.Now())
	return "", err
}

// query asks one question and shows the answer.
func (b *queryBench) query(words []string) (string, error) {
	m := new(dns.Msg)
	m.Id = 4711
	m.Question = []dns.Question{{Name: dns.Fqdn(words[0]), Qtype: typeOf(words[1]), Qclass: dns.ClassINET}}
	udp, size, edns, do, version := true, 0, false, false, 0
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		n, err := strconv.Atoi("0" + value)
		if err != nil {
			return "", err
		}
		switch key {
		case "CH", "HS", "ANY":
			m.Question[0].Qclass = dns.StringToClass[key]
		case "rd":
			m.RecursionDesired = true
		case "cd":
			m.CheckingDisabled = true
		case "tcp":
			udp = false
		case "do":
			edns, do = true, true
		case "udp":
			edns, size = true, n
		case "version":
			edns, version = true, n
		default:
			return "", fmt.Errorf("unknown word %q", w)
		}
	}
	if edns {
		opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		opt.SetUDPSize(uint16(size))
		opt.SetVersion(uint8(version))
		opt.SetDo(do)
		m.Extra = []dns.RR{opt}
	}
	packet, err := m.Pack()
	if err != nil {
		return "", err
	}
	table := b.state.build(false)
	if _, err := twoWays(table, packet, udp, 1); err != nil {
		return "", err
	}
	out := responderOf(table).respond(packet, make([]byte, dns.MaxMsgSize), udp)
	answer := new(dns.Msg)
	if err := answer.Unpack(out); err != nil {
		return "", err
	}
	if len(answer.Question) != 1 || answer.Question[0] != m.Question[0] || answer.Id != m.Id {
		return "", fmt.Errorf("the answer's question is %v, want %v", answer.Question, m.Question)
	}
	return show(answer), nil
}

// typeOf is the number of a type's name, TYPE123 included (RFC 3597, section 5).
func typeOf(name string) uint16 {
	if n, err := strconv.ParseUint(strings.TrimPrefix(name, "TYPE"), 10, 16); err == nil {
		return uint16(n)
	}
	return dns.StringToType[name]
}

// TestTruncate: what is left of an answer is its question.
func TestTruncate(t *testing.T) {
	r := responderOf(exampleTable(t))
	for _, q := range []string{"www.example.test.", "nowhere.example.test.", "x.sub.example.test.", "."} {
		m := new(dns.Msg).SetQuestion(q, dns.TypeA).SetEdns0(1232, false)
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out := r.respond(packet, make([]byte, dns.MaxMsgSize), true)
		var whole, got dns.Msg
		if err := whole.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if err := got.Unpack(out[:truncate(out, len(out))]); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		whole.Authoritative, whole.Truncated, whole.Answer, whole.Ns, whole.Extra = false, true, nil, nil, nil
		if whole.String() != got.String() {
			t.Errorf("%s: found\n%v\nwant\n%v", q, &got, &whole)
		}
	}
}
