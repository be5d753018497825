package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// badCase is a broken text, where it stands, and what corrects it.
type badCase struct {
	bad, fix string
	line     int    // of base.yaml, or
	host     bool   // host.yaml, or
	env      string // a variable, or
	flag     string // a flag
}

func parseCase(t *testing.T, d *datadriven.TestData) badCase {
	t.Helper()
	var c badCase
	bad, fix, ok := strings.Cut("\n"+d.Input+"\n", "\nfix\n")
	if !ok {
		d.Fatalf(t, "a case needs a fix")
	}
	// Every line begins with |, which keeps its indentation.
	c.bad = strings.ReplaceAll(strings.TrimPrefix(bad, "\n|"), "\n|", "\n")
	c.fix = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(fix, "|"), "\n"), "\n|", "\n")
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "line":
			arg.Scan(t, 0, &c.line)
		case "file":
			c.host = true
		case "env":
			arg.Scan(t, 0, &c.env)
		case "flag":
			arg.Scan(t, 0, &c.flag)
		case "quoted":
			text, err := strconv.Unquote(c.bad)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			c.bad = strings.TrimSuffix(text, "\n")
		default:
			d.Fatalf(t, "unknown argument %s", arg.Key)
		}
	}
	return c
}

// load loads base.yaml with a text in the case's place.
func (c badCase) load(t *testing.T, text string) (dir string, err error) {
	t.Helper()
	lines := strings.Split(read(t, "testdata/base.yaml"), "\n")
	if c.line > 0 {
		lines[c.line-1] = text
	}
	path := folder(t, strings.Join(lines, "\n"))
	dir = filepath.Dir(path)
	if c.host {
		if err := os.WriteFile(filepath.Join(dir, hostFile), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	vars := map[string]string{"VEER_TEST_SECRET": "s3cret"}
	if c.env != "" {
		vars[c.env] = text
	}
	var flags []Flag
	if c.flag != "" {
		flags = []Flag{{Name: c.flag, Env: "VEER_" + strings.ToUpper(strings.TrimLeft(c.flag, "-")), Value: text}}
	}
	_, err = Load(path, environ(vars), flags...)
	return dir, err
}

// TestBad is the golden table of broken configurations: the exact text of the
// errors, and that the corrected line makes the configuration valid.
func TestBad(t *testing.T) {
	counts := map[string]int{}
	datadriven.Walk(t, "testdata/bad", func(t *testing.T, path string) {
		category := filepath.Base(path)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			counts[category]++
			c := parseCase(t, d)
			if _, err := c.load(t, c.fix); err != nil {
				d.Fatalf(t, "corrected, it is still refused:\n%v", err)
			}
			dir, err := c.load(t, c.bad)
			var all Errors
			if !errors.As(err, &all) {
				d.Fatalf(t, "expected Errors, got %v", err)
			}
			complete(t, d, all)
			return strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "") + "\n"
		})
	})
	total := 0
	for _, category := range []string{"syntax", "typo", "type", "range", "missing", "duplicate", "unknown-reference", "cross-field", "secret", "budget"} {
		if counts[category] < 5 {
			t.Errorf("category %s has %d cases, expected at least 5", category, counts[category])
		}
		total += counts[category]
	}
	if total < 60 {
		t.Errorf("the table has %d cases, expected at least 60", total)
	}
	t.Log(fmt.Sprint(total, " cases ", counts))
}

// complete checks what every error must have.
func complete(t *testing.T, d *datadriven.TestData, all Errors) {
	t.Helper()
	for i, e := range all {
		switch {
		case e.File == "" || e.Line < 1 || e.Column < 1 || e.Problem == "" || e.Expected == "" && e.Hint == "":
			d.Fatalf(t, "incomplete error %+v", e)
		case i > 0 && e.File == all[i-1].File && e.Line < all[i-1].Line:
			d.Fatalf(t, "line %d comes after line %d", e.Line, all[i-1].Line)
		case strings.Contains(e.Error(), "hunter2"):
			d.Fatalf(t, "a secret is in the error:\n%v", e)
		}
	}
}
