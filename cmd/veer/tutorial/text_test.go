package tutorial

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                                  nil,
		"veer  status\t-o json":             {"veer", "status", "-o", "json"},
		`veer drain eu --reason "a b" -y`:   {"veer", "drain", "eu", "--reason", "a b", "-y"},
		`veer drain --reason='it is "so"' `: {"veer", "drain", `--reason=it is "so"`},
		`x ""`:                              {"x", ""},
	} {
		if got, problem := split(line); problem != "" || !cmp.Equal(got, want) {
			t.Errorf("%s: %q, %s; want %q", line, got, problem, want)
		}
	}
	if _, problem := split(`veer "status`); problem == "" {
		t.Error("an open quote is taken")
	}
}

// What leads out of the tutorial's scene is refused, in every way to write it.
func TestRefuses(t *testing.T) {
	for line, refused := range map[string]bool{
		"":       false,
		"status": false,
		"--help": false,
		"drain eu-west --reason x --for 1m --yes":   false,
		"drain eu-west --reason x --for 1m -y":      false,
		"explain app -o json":                       false,
		"status -c /etc/veer/veer.yaml":             true,
		"status -c/etc/veer/veer.yaml":              true,
		"status --config=/etc/veer/veer.yaml":       true,
		"drain eu-west -yc /etc/veer/veer.yaml":     true,
		"status --data-dir /var/lib/veer":           true,
		"status --socket /var/lib/veer/veer.sock":   true,
		"--config /etc/veer/veer.yaml drain eu":     true,
		"run":                                       true,
		"certs init --dir /etc":                     true,
		"init":                                      true,
		"takeover --reason x":                       true,
		"tutorial":                                  true,
		"restore x":                                 true,
		"-o json run":                               true,
		"drain eu --reason run --for 1m":            false,
		"drain eu-west --reason=status --for 1m -y": false,
	} {
		if got := refuses(strings.Fields(line)); (got != "") != refused {
			t.Errorf("veer %s: %q", line, got)
		}
	}
}

func TestText(t *testing.T) {
	text := "A line of words that is so long that it does not fit, and goes on in the next line.\n  veer drain eu-west --reason \"it is a command, and is never broken, however long\" --for 30m"
	var plain, colour strings.Builder
	for _, c := range []struct {
		out   *strings.Builder
		plain bool
	}{{&plain, true}, {&colour, false}} {
		g := &game{o: Options{Out: c.out, Plain: c.plain}, paint: paint{c.plain}}
		g.para(text)
		g.conclude(Summary{Chapters: []Result{{Name: "one", Title: "One", State: Done, Hints: 1}}, Measured: []Measure{{What: "late", Took: 3e9, Limit: 2e9}}, Queries: 7})
	}
	want := "A line of words that is so long that it does not fit, and goes on in the next\nline.\n" + text[strings.Index(text, "  veer"):] + `

Summary
  done        One (hints 1, wrong answers 0)

Measured, from the act to the event:
    3.00 s  late, OVER rto: 2s

Meanwhile the name server was asked 7 times: 0 answers were empty, 0 queries
lost, 0 failed.
`
	if diff := cmp.Diff(want, plain.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	bare := strings.NewReplacer("\x1b[1m", "", "\x1b[31m", "", "\x1b[36m", "", "\x1b[0m", "").Replace(colour.String())
	if bare != want || bare == colour.String() {
		t.Errorf("with colour it is\n%q", colour.String())
	}
}

// Every chapter can be begun with, and its name is in no other's way.
func TestChapters(t *testing.T) {
	all, seen := chapters(), map[string]bool{}
	for i, c := range all {
		if n, err := chapterOf(all, c.name); err != nil || n != i || seen[c.name] || len(c.steps) == 0 {
			t.Errorf("%s: %d, %v", c.name, n, err)
		}
		seen[c.name] = true
	}
	if _, err := chapterOf(all, "nothing"); err == nil || !strings.Contains(err.Error(), "known: start, ") {
		t.Errorf("an unknown chapter: %v", err)
	}
}
