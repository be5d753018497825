package authority

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// searchMemo asks generated queries of two tables in turn, with a memo that is
// so small that many questions want the same place. It returns how many answers
// the memo held.
func searchMemo(t *testing.T, spoil func(*memo, *Table)) (held int, err error) {
	first, rrs := manyZones(t)
	second, _ := manyZones(t)
	m := newMemo(8)
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
		held, err := searchMemo(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		if least := 3 * 16; held < least { // of 64: which set a question has is drawn
			t.Errorf("the memo held %d answers after 4 rounds, want at least %d: it was nearly full every time", held, least)
		}
	})
}

// TestMutantMemo: what a memo must not do is found.
func TestMutantMemo(t *testing.T) {
	for name, spoil := range map[string]func(*memo, *Table){
		"the old table": func(m *memo, table *Table) { m.table = table },
		"other bytes": func(m *memo, _ *Table) {
			for i := range m.sets {
				m.sets[i][0].data[m.sets[i][0].name] ^= 1
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, err := searchMemo(t, spoil)
			if err == nil {
				t.Errorf("%s: the search proves nothing: it does not see the planted fault", name)
				return
			}
			t.Logf("%s: %v", name, err)
		})
	}
}
