package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/internal/pages"
)

// TestCapacityQuotesBenchmarks: the figures of docs/capacity.md are in the
// files that it names; -update takes those of a newer run.
func TestCapacityQuotesBenchmarks(t *testing.T) {
	const name = "docs/capacity.md"
	page := readPages(t)[name]
	kept := func(file string) string {
		text, err := os.ReadFile(filepath.Join(repository, "docs", file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if *update {
		page = requoted(page, kept)
		if err := os.WriteFile(filepath.Join(repository, name), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n, wrong := misquoted(page, kept)
	for _, line := range wrong {
		t.Errorf("%s quotes what its file has not; take the newer figures with -update: %s", name, line)
	}
	if n < 10 {
		t.Errorf("the check proves nothing: it finds only %d quotes", n)
	}
}

// The check sees what it must, and -update mends it.
func TestMisquotesAreSeen(t *testing.T) {
	file := func(string) string { return "    a_test.go:7: 20 names: 12 requests,  3.5 MiB\n" }
	for page, wrong := range map[string]int{
		"```\n# benchmarks/a.txt\n20 names: 12 requests, 3.5 MiB\n```\n":                       0,
		"```\n# benchmarks/a.txt\n20 names: 11 requests, 3.5 MiB\n```\n":                       1,
		"```\n# benchmarks/a.txt\n20 names: 12 requests, 3.5 MiB\nand another\n```\n":          1,
		"```\nno quote: 11 requests\n```\n":                                                    0,
		"```\n# benchmarks/a.txt\n0 names: 12 requests\n```\n":                                 1,
		"```\n# benchmarks/a.txt\n20 names: 12 requests, 3.5 MiB\n2 names: 12 requests\n```\n": 1,
	} {
		if _, found := misquoted(page, file); len(found) != wrong {
			t.Errorf("%q: expected %d, found %q", page, wrong, found)
		}
	}
	old := "```\n# benchmarks/a.txt\n19 names: 8 requests, 10 MiB\n```\n20 names: 9 requests\n"
	if _, found := misquoted(requoted(old, file), file); len(found) != 0 {
		t.Errorf("not mended: %q", found)
	}
	if !strings.Contains(requoted(old, file), "```\n20 names: 9 requests\n") {
		t.Error("what is no quote was changed")
	}
}

// misquoted are the lines of blocks that begin with a benchmark's name and
// whose file does not have them, and how many lines there are in all.
func misquoted(page string, kept func(string) string) (lines int, wrong []string) {
	_, fences := pages.Split(page)
	for _, f := range fences {
		file, quotes := quoted(f)
		for _, line := range quotes {
			lines++
			if !has(kept(file), line) {
				wrong = append(wrong, line)
			}
		}
	}
	return lines, wrong
}

func quoted(f pages.Fence) (file string, lines []string) {
	if len(f.Lines) == 0 || !strings.HasPrefix(f.Lines[0], "# benchmarks/") {
		return "", nil
	}
	return strings.TrimPrefix(f.Lines[0], "# "), f.Lines[1:]
}

// has says whether a text has a line that is another, or that and what go test
// puts before it.
func has(text, quote string) bool {
	for _, line := range strings.Split(text, "\n") {
		if said(line) == said(quote) {
			return true
		}
	}
	return false
}

var (
	testPrefix = regexp.MustCompile(`^\s*[a-z_]+_test\.go:\d+: `)
	figure     = regexp.MustCompile(`\d+(\.\d+)?`)
)

func said(line string) string {
	return strings.Join(strings.Fields(testPrefix.ReplaceAllString(line, "")), " ")
}

// requoted is the page with lines of the files in the place of those that are
// the same but for their figures.
func requoted(page string, kept func(string) string) string {
	_, fences := pages.Split(page)
	for _, f := range fences {
		file, quotes := quoted(f)
		if file == "" {
			continue
		}
		renewed := f.Lines[0] + "\n"
		used := map[string]bool{}
		for _, quote := range quotes {
			for _, line := range strings.Split(kept(file), "\n") {
				line = testPrefix.ReplaceAllString(line, "")
				if !used[line] && figure.ReplaceAllString(said(line), "0") == figure.ReplaceAllString(said(quote), "0") {
					quote = line
					break
				}
			}
			used[quote] = true
			renewed += quote + "\n"
		}
		page = strings.Replace(page, strings.Join(f.Lines, "\n")+"\n", renewed, 1)
	}
	return page
}
