package cluster

import (
	"errors"
	"testing"

	"github.com/veerdns/veer/regions/controller"
)

// TestOnlyTheLeaderPrunes: neither one that knows that its lead is over, nor one
// that does not.
func TestOnlyTheLeaderPrunes(t *testing.T) {
	c := filled(t)
	count := func() int {
		keys, err := c.journalKeys(c.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	all := c.keys.entry(journalKey{term: 99})
	for name, end := range map[string]func(l *lead){
		"it resigned": func(l *lead) {
			if err := l.Resign(c.ctx); err != nil {
				t.Fatal(err)
			}
		},
		"another raised the term": func(*lead) { c.put(c.keys.term(), `{"term":50,"holder":"other","name":"b"}`) },
	} {
		won, err := c.Campaign(c.ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		l := won.(*lead)
		end(l)
		if err := l.journal.deleteBefore(all); !errors.Is(err, controller.ErrNotLeader) || count() != 3 {
			t.Errorf("%s: %v, and %d decisions are left of 3", name, err, count())
		}
		_ = l.Resign(c.ctx) // its lease may be gone already
	}
	won, err := c.Campaign(c.ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := won.(*lead).journal.deleteBefore(all); err != nil || count() != 0 {
		t.Errorf("who leads: %v, and %d decisions are left", err, count())
	}
}
