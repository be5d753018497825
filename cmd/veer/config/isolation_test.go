package config

import (
	"strings"
	"testing"
	"time"
)

// TestIsolation reads both forms, and says what local means.
func TestIsolation(t *testing.T) {
	for _, c := range []struct {
		text string
		want Isolation
		says string
	}{
		{"", Isolation{IsolationHold, time.Minute}, ""},
		{"isolation: hold\n", Isolation{IsolationHold, time.Minute}, ""},
		{"isolation: local\n", Isolation{IsolationLocal, time.Minute}, "cut off from the cluster for 1m"},
		{"isolation: {mode: local, after: 90s}\n", Isolation{IsolationLocal, 90 * time.Second}, "cut off from the cluster for 1m30s"},
		{"isolation: {after: 30s}\n", Isolation{IsolationHold, 30 * time.Second}, ""},
		{"isolation: local\ncluster: {vote_lease: 120s}\n", Isolation{IsolationLocal, 2 * time.Minute}, "for 2m"},
	} {
		l, err := Load(folder(t, c.text+read(t, "testdata/minimal.yaml")), environ(nil))
		if err != nil {
			t.Fatalf("%q: %v", c.text, err)
		}
		if l.Isolation != c.want {
			t.Errorf("%q: %+v, want %+v", c.text, l.Isolation, c.want)
		}
		said := strings.Join(l.Warnings(), "\n")
		if c.says == "" && strings.Contains(said, "isolation") || !strings.Contains(said, c.says) {
			t.Errorf("%q: the warnings are\n%s\nwant %q", c.text, said, c.says)
		}
	}
}
