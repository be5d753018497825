package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/veerdns/veer/cmd/internal/pages"
)

// repository is the root, as seen from this package.
const repository = "../.."

// index leads to all pages; its last table has the decisions.
const index = "docs/README.md"

// readPages are the pages of the repository by their path in it.
func readPages(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	take := func(file string) {
		text, err := os.ReadFile(filepath.Join(repository, file))
		if err != nil {
			t.Fatal(err)
		}
		pages[file] = string(text)
	}
	take("README.md")
	take("SECURITY.md")
	take("CHANGELOG.md")
	for _, folder := range []string{"docs", "terraform"} {
		err := fs.WalkDir(os.DirFS(repository), folder, func(file string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && path.Ext(file) == ".md" {
				take(file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return pages
}

func inRepository(file string) bool {
	_, err := os.Stat(filepath.Join(repository, filepath.FromSlash(file)))
	return err == nil
}

// TestLinksOfPages: every relative link leads to a file, and its anchor to a
// heading there.
func TestLinksOfPages(t *testing.T) {
	pages := readPages(t)
	broken := brokenLinks(pages, inRepository)
	for _, problem := range broken {
		t.Error(problem)
	}
	// The check sees what it must.
	pages["docs/planted.md"] = "# Planted\n\n[no file](nowhere.md), [no heading](cli.md#veer-fly), [none here](#elsewhere)," +
		" [outside](../../outside.md), [good](#planted), [good](cli.md#veer-run), [elsewhere](https://example.org/x#y)\n\n```\n[code](nowhere.md)\n```\n"
	if found := brokenLinks(pages, inRepository); len(found) != len(broken)+4 {
		t.Errorf("the check proves nothing: of four planted links it finds %q", found)
	}
}

// TestIndexOfPages: docs/README.md leads to every other page; -update adds
// decisions at its end. Where another page belongs only its author knows.
func TestIndexOfPages(t *testing.T) {
	pages := readPages(t)
	if *update {
		pages[index] = withDecisions(pages)
		if err := os.WriteFile(filepath.Join(repository, index), []byte(pages[index]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, page := range notInIndex(pages) {
		t.Errorf("docs/README.md does not lead to %s: add it to the index", page)
	}
	pages["docs/planted.md"], pages["docs/adr/9999-planted.md"] = "# Planted\n", "# 9999. Planted\n"
	if found := notInIndex(pages); len(found) < 2 {
		t.Errorf("the check proves nothing: of two pages that are not in the index it sees %q", found)
	}
	if text := withDecisions(pages); !strings.HasSuffix(text, "\n| [9999](adr/9999-planted.md) | Planted |\n") {
		t.Error("a decision is not added")
	}
}

// decision is the title of a decision, without its number.
var decision = regexp.MustCompile(`^# [0-9]+[.:] *(.*)\n`)

func withDecisions(pages map[string]string) string {
	text := pages[index]
	for _, page := range notInIndex(pages) {
		if title := decision.FindStringSubmatch(pages[page]); title != nil && path.Dir(page) == "docs/adr" {
			text += fmt.Sprintf("| [%s](%s) | %s |\n", path.Base(page)[:4], strings.TrimPrefix(page, "docs/"), title[1])
		}
	}
	return text
}

// TestPagesNameTestsThatExist: so do those of docs/partitions.md and
// docs/dns-conformance.md, by tests of their own.
func TestPagesNameTestsThatExist(t *testing.T) {
	code := testCode(t)
	for page, text := range readPages(t) {
		if page == "docs/dns-conformance.md" || page == "docs/partitions.md" {
			continue
		}
		for _, name := range missingTests(text, code) {
			t.Errorf("%s names %s, which is no test", page, name)
		}
	}
}

func notInIndex(pages map[string]string) []string {
	listed := map[string]bool{index: true}
	for _, target := range links(pages[index]) {
		file, _, _ := strings.Cut(target, "#")
		listed[path.Join("docs", file)] = true
	}
	var missing []string
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		if strings.HasPrefix(page, "docs/") && !listed[page] {
			missing = append(missing, page)
		}
	}
	return missing
}

// brokenLinks says what is wrong with the relative links of pages.
func brokenLinks(pages map[string]string, exists func(string) bool) []string {
	var problems []string
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		for _, target := range links(pages[page]) {
			file, anchor, anchored := strings.Cut(target, "#")
			to := page
			if file != "" {
				to = path.Join(path.Dir(page), file)
			}
			text, known := pages[to]
			switch {
			case strings.HasPrefix(to, "../"):
				problems = append(problems, fmt.Sprintf("%s: the link %s leads out of the repository", page, target))
			case !known && !exists(to):
				problems = append(problems, fmt.Sprintf("%s: the link %s leads nowhere: there is no %s", page, target, to))
			case anchored && known && !slices.Contains(anchorsOf(text), anchor):
				problems = append(problems, fmt.Sprintf("%s: the link %s leads to no heading: %s has %s", page, target, to, strings.Join(anchorsOf(text), ", ")))
			}
		}
	}
	return problems
}

var (
	linkPattern   = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)(?:\s+"[^"]*")?\)`)
	codePattern   = regexp.MustCompile("`[^`]*`")
	schemePattern = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// links are the relative links of a page, those in code left out.
func links(text string) []string {
	var out []string
	for _, m := range linkPattern.FindAllStringSubmatch(codePattern.ReplaceAllString(prose(text), ""), -1) {
		if !schemePattern.MatchString(m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}

// anchorsOf are those that a page's headings get where it is shown: in lower
// case, blanks as hyphens, other signs left out, and numbered where they repeat.
func anchorsOf(text string) []string {
	var out []string
	seen := map[string]int{}
	for _, line := range strings.Split(prose(text), "\n") {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		title = linkPattern.ReplaceAllStringFunc(strings.TrimSpace(title), func(link string) string {
			return link[1:strings.Index(link, "]")]
		})
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title)
		if n := seen[anchor]; n > 0 {
			out = append(out, fmt.Sprintf("%s-%d", anchor, n))
		} else {
			out = append(out, anchor)
		}
		seen[anchor]++
	}
	return out
}

func prose(text string) string {
	out, _ := pages.Split(text)
	return out
}

// TestComparisonHasSources: each thing that docs/comparison.md says of another
// product leads to where it is said.
func TestComparisonHasSources(t *testing.T) {
	text := readPages(t)["docs/comparison.md"]
	for _, line := range withoutSource(text) {
		t.Errorf("docs/comparison.md says something of another product and not where it is from: %s", line)
	}
	// The check sees what it must.
	for _, planted := range []string{"- It is slow.\n", "- See [us](faq.md).\n", "| **Other** | its own probes | somebody |\n"} {
		if found := withoutSource(text + "\n" + planted); len(found) != 1 {
			t.Errorf("the check proves nothing: of one planted claim it finds %q", found)
		}
	}
}

// withoutSource are the points and rows of a comparison without a link to the
// outside; a row that is all about Veer needs none.
func withoutSource(text string) []string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		claim := strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "| **") && !strings.HasPrefix(line, "| **Veer**")
		if claim && !strings.Contains(line, "](https://") {
			out = append(out, line)
		}
	}
	return out
}
