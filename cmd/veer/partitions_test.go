package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/partitions.md names the test that shows each cell: they exist.
func TestPartitionsNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(repository, "docs", "partitions.md"))
	if err != nil {
		t.Fatal(err)
	}
	code := testCode(t)
	if missing := missingTests(string(page), code); len(missing) > 0 {
		t.Errorf("docs/partitions.md names tests that do not exist: %v", missing)
	}
	for _, row := range regexp.MustCompile(`(?m)^\| [a-z]+ \|.*$`).FindAllString(string(page), -1) {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) != 3 || !strings.Contains(cells[2], "`Test") && cells[2] != "not shown by a test yet" {
			t.Errorf("a row of docs/partitions.md has no test, and does not say so: %s", row)
		}
	}
	// The check sees what it must.
	if missing := missingTests("`TestThatNobodyWrote` and `TestThreeMembers/suite/ThatNobodyWrote`", code); len(missing) != 2 {
		t.Errorf("the check proves nothing: it misses %v", missing)
	}
}

// testCode is the text of all tests.
func testCode(t *testing.T) string {
	t.Helper()
	var code strings.Builder
	for _, folder := range []string{"checks", "cmd", "providers", "regions"} {
		err := filepath.WalkDir(filepath.Join(repository, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || !strings.Contains(path, "test") {
				return err
			}
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return code.String()
}

// missingTests are the tests of a page that the code has not.
func missingTests(page, code string) []string {
	var missing []string
	for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9_/ ]+)`").FindAllStringSubmatch(page, -1) {
		parts := strings.Split(m[1], "/")
		found := strings.Contains(code, "func "+parts[0]+"(t *testing.T)")
		for _, part := range parts[1:] {
			found = found && strings.Contains(code, `"`+part+`"`)
		}
		if !found {
			missing = append(missing, m[1])
		}
	}
	return missing
}
