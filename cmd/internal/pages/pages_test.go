package pages

import (
	"slices"
	"testing"
)

func TestSplit(t *testing.T) {
	prose, fences := Split("# A\n\n```\n$ veer status -c \\\n  veer.yaml\nfine\n\n$ veer version\n```\n\n1. one\n   ```yaml\n   a: 1\n     b: 2\n   ```\nend\n")
	if prose != "# A\n\n\n1. one\nend\n\n" {
		t.Errorf("the prose is %q", prose)
	}
	if len(fences) != 2 {
		t.Fatalf("found %d blocks", len(fences))
	}
	want := []Step{{"veer status -c veer.yaml", "fine\n"}, {"veer version", ""}}
	if got := fences[0].Steps(); !slices.Equal(got, want) {
		t.Errorf("the steps are %q", got)
	}
	if got := fences[1].Text(); got != "a: 1\n  b: 2\n" || fences[1].Language != "yaml" || fences[1].Steps() != nil {
		t.Errorf("the second block is %q", got)
	}
}

// What may differ does, and nothing else.
func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"  13:16:04.893  +0.000 s  killed", "  01:02:03.000  +0.217 s  killed", true},
		{"in force after 1.8 ms.", "in force after 12 ms.", true},
		{"failed after 184µs while", "failed after 1.05ms while", true},
		{"up 11s", "up 1m0s", true},
		{"daemon    dev in eu-west, roles a,\n          up 11s\nleader", "daemon    2c0d891-dirty in eu-west, roles\n          a, up 9s\nleader", true},
		{"order 01a1f915fb93-f08c024d ends", "order 01a1f9161a04-00000000 ends", true},
		{"app.example.test. 5 IN A 127.0.0.11", "app.example.test. 4 IN A 127.0.0.11", true},
		{"from 127.0.0.1:5300 over udp", "from 127.0.0.1:41234 over udp", true},
		{"example.test      NOERROR  79.3      2727", "example.test      NOERROR  8.0  12", true},
		{"config hash e130f95479b3c831", "config hash e130f95479b3c832", true},
		{"example.test      NOERROR  79.3      2727", "example.test      SERVFAIL  79.3      2727", false},
		{"127.0.0.11", "127.0.0.12", false},
		{"3 votes, 1 down", "3 votes, 2 down", false},
		{"eu-west DOWN 0/1", "eu-west DOWN 1/1", false},
		{"NOERROR, flags qr aa", "SERVFAIL, flags qr aa", false},
		{"exit 2", "exit 3", false},
		{"one\ntwo", "one", false},
		{"one\n\ntwo", "one\ntwo", false},
		{"listens on 10.0.0.1:53", "listens on 10.0.0.1:54", false},
	} {
		if got := Same(c.a) == Same(c.b); got != c.same {
			t.Errorf("%q and %q: %v, expected %v\n%q\n%q", c.a, c.b, got, c.same, Same(c.a), Same(c.b))
		}
	}
}
