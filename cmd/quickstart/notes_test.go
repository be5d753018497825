package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNotes(t *testing.T) {
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	var n notes
	n.add(acted, at(0), "killed")
	n.add(moved, at(241), "answer 2")
	n.add(plain, at(229), "vote") // heard of late
	n.add(plain, at(300), "late vote")
	got, wait := n.due(at(491))
	if wait != 59*time.Millisecond {
		t.Errorf("waits %s", wait)
	}
	n.add(acted, at(2000), "started")
	n.add(plain, at(2500), "vote up")
	n.add(moved, at(8000), "answer 1")
	n.add(moved, at(9500), "answer by an order")
	n.add(acted, at(20_000), "killed a spare")
	n.add(plain, at(51_000), "a warning")
	more, wait := n.due(at(60_000))
	if wait != 0 {
		t.Errorf("waits %s with nothing to print", wait)
	}
	var lines []string
	for _, l := range append(got, more...) {
		lines = append(lines, strings.TrimSpace(l[len("  15:04:05.000"):]))
	}
	want := []string{"+0.000 s  killed", "+0.229 s  vote", "+0.241 s  answer 2", "+0.300 s  late vote", "+0.000 s  started",
		"+0.500 s  vote up", "+6.000 s  answer 1", "answer by an order", "+0.000 s  killed a spare", "a warning"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestADecisionIsToldBeforeItsAnswer, although the leader writes of it later.
func TestADecisionIsToldBeforeItsAnswer(t *testing.T) {
	began := time.Now()
	s := &show{}
	s.notes.add(moved, began.Add(20*time.Millisecond), "the answer moved")
	s.tell(logged{Message: "answer moved", from: "a", Time: began.Add(30 * time.Millisecond), Committed: 12.5, Why: "so"})
	lines, _ := s.notes.due(began.Add(time.Second))
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "a decided, and the ledger agreed in 12.5 ms: so") {
		t.Errorf("%q", lines)
	}
}
