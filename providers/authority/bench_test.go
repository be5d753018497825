package authority

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/veerdns/veer/regions/steering"
)

var benchQueries = []struct {
	name string
	q    dns.Question
}{
	{"service", dns.Question{Name: "app.example.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}},
	{"timer", dns.Question{Name: "timer.example.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}},
	{"file", dns.Question{Name: "www.example.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}},
	{"wildcard", dns.Question{Name: "a.wild.example.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}},
	{"chain", dns.Question{Name: "alias3.example.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}},
	{"referral", dns.Question{Name: "x.sub.example.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}},
	{"nxdomain", dns.Question{Name: "nowhere.example.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}},
}

func benchTable(b *testing.B) *Table {
	return exampleTable(b, mustAnswers(b, "app.example.test. A 30 192.0.2.1 192.0.2.2", "timer.example.test. A 30 min=5 left=1h 192.0.2.1")...)
}

// BenchmarkLookup is the table alone: no packet.
func BenchmarkLookup(b *testing.B) {
	table := benchTable(b)
	for _, bench := range benchQueries {
		b.Run(bench.name, func(b *testing.B) {
			k, err := keyOf(bench.q.Name)
			if err != nil {
				b.Fatal(err)
			}
			var r Reply
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup(Query{Name: k, As: bench.q.Name, Type: bench.q.Qtype, Now: epoch, Draw: 1}, &r)
			}
		})
	}
}

// BenchmarkRespond is a whole query: unpack, look up, pack.
func BenchmarkRespond(b *testing.B) {
	r := responderOf(benchTable(b))
	for _, bench := range benchQueries {
		b.Run(bench.name, func(b *testing.B) {
			m := new(dns.Msg)
			m.Question = []dns.Question{bench.q}
			m.SetEdns0(1232, false)
			packet, err := m.Pack()
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, dns.MaxMsgSize)
			b.ReportAllocs()
			for b.Loop() {
				if r.respond(packet, buf, true) == nil {
					b.Fatal("no answer")
				}
			}
		})
	}
}

// BenchmarkUpdate is one shard of many that changes: compile, build, swap.
func BenchmarkUpdate(b *testing.B) {
	for _, services := range []int{64, 1000, 10000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			st, err := newState([]*ZoneFile{exampleFile(b)}, nil, quiet(), time.Now())
			if err != nil {
				b.Fatal(err)
			}
			var answers [steering.Shards][]steering.Answer
			for i := range services {
				name := fmt.Sprintf("s%d.example.test.", i)
				id := steering.ShardOf(name)
				answers[id] = append(answers[id], mustAnswers(b, name+" A 30 192.0.2.1 192.0.2.2")...)
			}
			for id := range answers {
				st.take(steering.Shard{ID: id, Term: 1, Seq: 1, Answers: answers[id]}, epoch)
			}
			seq := uint64(1)
			b.ReportAllocs()
			for b.Loop() {
				seq++
				st.take(steering.Shard{ID: 7, Term: 1, Seq: seq, Answers: answers[7]}, epoch)
				st.build(true)
			}
		})
	}
}

// TestLookupAllocatesNothing: what a query of the table costs the heap.
func TestLookupAllocatesNothing(t *testing.T) {
	table := exampleTable(t, mustAnswers(t, "app.example.test. A 30 min=5 left=1h 192.0.2.1")...)
	var r Reply
	for _, bench := range benchQueries {
		k, err := keyOf(bench.q.Name)
		if err != nil {
			t.Fatal(err)
		}
		q := Query{Name: k, As: bench.q.Name, Type: bench.q.Qtype, Now: epoch, Draw: 1}
		if n := testing.AllocsPerRun(100, func() { table.Lookup(q, &r) }); n > 0 {
			t.Errorf("%s: %v allocations a lookup, want none", bench.name, n)
		}
	}
}

// BenchmarkRead is what the fast path reads of a query, without its answer.
func BenchmarkRead(b *testing.B) {
	m := new(dns.Msg)
	m.SetQuestion("n0123.bench.example.", dns.TypeA)
	packet, err := m.Pack()
	if err != nil {
		b.Fatal(err)
	}
	var q question
	b.ReportAllocs()
	for b.Loop() {
		if !q.read(packet) {
			b.Fatal("not read")
		}
	}
}
