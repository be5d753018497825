package authority

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
)

// searchMemo asks generated queries of two tables in turn, with a memo that is
// so small that many questions want the same place. It returns how many answers
// the memo held.
func searchMemo(t *testing.T, sets int, spoil func(*memo, *Table)) (held int, err error) {
	first, rrs := manyZones(t)
	second, _ := manyZones(t)
	m := newMemo(sets)
	for round := range 4 {
		table := []*Table{first, second}[round%2]
		_, err := searchTwoWays(t, table, rrs, 4_000, func(f *quick) {
			f.memo = m
			if spoil != nil {
				spoil(m, table)
			}
		})
		for _, set := range m.sets {
			for _, e := range set {
				if e.hash != 0 {
					held++
				}
			}
		}
		if err != nil {
			return held, fmt.Errorf("round %d: %w", round, err)
		}
	}
	return held, nil
}

func TestMemoAnswersAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that no second passes between two answers
		held, err := searchMemo(t, 4, nil) // so few that every seed fills them
		if err != nil {
			t.Fatal(err)
		}
		if want := 4 * 8; held != want {
			t.Errorf("the memo held %d answers after 4 rounds, want %d: it was full every time", held, want)
		}
	})
}

// TestMutantMemo: what a memo must not do is found.
func TestMutantMemo(t *testing.T) {
	for name, spoil := range map[string]func(*memo, *Table){
		"the old table": func(m *memo, table *Table) { m.table = table },
		"other bytes": func(m *memo, _ *Table) {
			for i := range m.sets {
				m.sets[i][0].data[0] ^= 1
			}
		},
		"another's limit": func(m *memo, _ *Table) {
			for i := range m.sets {
				m.sets[i][0].id++
			}
		},
		"another type's limit": func(m *memo, _ *Table) {
			for i := range m.sets {
				m.sets[i][0].answers++
			}
		},
		"another's count": func(m *memo, _ *Table) {
			for i := range m.sets {
				m.sets[i][0].line++
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, err := searchMemo(t, 64, spoil) // so many that answers stay until the table changes
			if err == nil {
				t.Errorf("%s: the search proves nothing: it does not see the planted fault", name)
				return
			}
			t.Logf("%s: %v", name, err)
		})
	}
}

// A fault in the reading ahead is one of its query alone, which is read once more
// and answered with a failure; the next one is answered as ever.
func TestFaultInReadingAhead(t *testing.T) {
	table, _ := manyZones(t)
	var s Server
	s.table.Store(table)
	a := &answerer{fast: &quick{table: &s.table, udpSize: defaultUDPSize, memo: new(memo)}, anew: s.responder, clock: new(clock), log: zerolog.Nop()}
	a.fast.from, a.from.addr = &a.from, netip.MustParseAddr("192.0.2.1")
	ask := func() byte {
		m := new(dns.Msg).SetQuestion("app.example.test.", dns.TypeA)
		buf := make([]byte, 512)
		wire, err := m.PackBuffer(buf)
		if err != nil {
			t.Fatal(err)
		}
		q, d := new(quickQuery), new(draft)
		a.ahead(q, wire)
		a.fast.asked = q
		a.draft(d, buf, len(wire))
		return buf[3] & 15
	}
	if code := ask(); code != dns.RcodeServerFailure { // the memo has no seed
		t.Errorf("a query with a fault was answered with %d", code)
	}
	a.fast.memo = newMemo(2)
	if code := ask(); code != dns.RcodeSuccess {
		t.Errorf("the next query was answered with %d", code)
	}
}
