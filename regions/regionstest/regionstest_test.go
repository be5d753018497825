package regionstest

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// below is a property that a number drawn from 0 to 1000 is below limit.
func below(limit int) Find {
	return func(rt *rapid.T) error {
		if n := rapid.IntRange(0, 1000).Draw(rt, "n"); n >= limit {
			return fmt.Errorf("%d is not below %d", n, limit)
		}
		return nil
	}
}

func TestSearchFinds(t *testing.T) {
	text, found := Search(t, 1000, "below 500", below(500))
	if !found || !strings.HasPrefix(text, "below 500: ") {
		t.Fatalf("Search = %q, %v: expected a counter-example", text, found)
	}
	again, _ := Search(t, 1000, "below 500", below(500))
	if again != text {
		t.Errorf("a second search found %q, the first %q: expected the same", again, text)
	}
	Caught(t, 1000, "below 900", below(900))
}

func TestSearchFindsNothing(t *testing.T) {
	if text, found := Search(t, 200, "below 1001", below(1001)); found || text != "" {
		t.Fatalf("Search = %q, %v: expected nothing", text, found)
	}
	Holds(t, below(1001))
}

func TestSearchTakesAPanic(t *testing.T) {
	text, found := Search(t, 10, "boom", func(*rapid.T) error { panic("no such vantage") })
	if !found || !strings.Contains(text, "no such vantage") {
		t.Fatalf("Search = %q, %v: expected the panic", text, found)
	}
}

func TestSearchWithoutDraws(t *testing.T) {
	if _, found := Search(t, 10, "fine", func(*rapid.T) error { return nil }); found {
		t.Fatal("found a counter-example where there is none")
	}
}

// recorder is a test whose failure is not ours.
type recorder struct {
	testing.TB
	cleanup func()
	errors  []string
	logs    []string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanup = f }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

func TestCoverage(t *testing.T) {
	r := &recorder{TB: t}
	c := NewCoverage(r, "failover", "all-down")
	for i := range 100 {
		switch {
		case i < 4:
			c.Run("failover", "all-down")
		case i < 50:
			c.Run("failover", "failover")
		default:
			c.Run()
		}
	}
	if got := c.Share("failover"); got != 50 {
		t.Errorf("failover share = %v, expected 50", got)
	}
	r.cleanup()
	if len(r.logs) != 2 || !strings.Contains(r.logs[0], "50.0 % of 100") {
		t.Errorf("logs %q: expected the share of both events", r.logs)
	}
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "all-down was seen in 4.0 %") {
		t.Errorf("errors %q: expected that all-down was seen too rarely", r.errors)
	}
}

func TestCoverageRefusesUnknownEvent(t *testing.T) {
	r := &recorder{TB: t}
	NewCoverage(r, "failover").Run("failovr")
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "failovr") {
		t.Errorf("errors %q: expected one that names the unknown event", r.errors)
	}
}

func TestCoverageWithoutRunsFails(t *testing.T) {
	r := &recorder{TB: t}
	NewCoverage(r, "failover")
	r.cleanup()
	if len(r.errors) != 1 {
		t.Errorf("errors %q: expected one, since nothing ran", r.errors)
	}
}
