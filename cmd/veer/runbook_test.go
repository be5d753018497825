package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/veerdns/veer/cmd/veer/api"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRunbookCommands: every command of the runbook is one of Veer's, with
// flags and arguments that it takes; those that ask a daemon are carried out
// by one that answers everything.
func TestRunbookCommands(t *testing.T) {
	page := readDoc(t, "runbook.md")
	lines := commandsOf(page)
	if len(lines) < 100 {
		t.Fatalf("only %d commands were found", len(lines))
	}
	for _, line := range lines {
		if err := takes(t, line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for line, want := range map[string]string{
		"veer undrian eu-west --reason x":         "undrian",
		"veer freeze --now app.example.test":      "--now",
		"veer drain eu-west --reason x":           "exit code 2",
		"veer force app.example.test/eu-west":     "exit code 2",
		"veer takeover --end":                     "exit code 2",
		"veer journal a b":                        "too many",
		"veer restore --over --reason x":          "FILE is missing",
		"veer drain eu-wst --for 1h --reason x":   "exit code 2",
		"veer certs isue eu-west":                 "isue",
		"veer member list --all":                  "--all",
		"veer unfreeze app --for 1h --reason x":   "--for",
		`veer freeze app.example.test --reason "`: "quote",
	} {
		if err := takes(t, line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

// TestRunbookShowsWhatIsPrinted: what stands below a command in the runbook is
// what Veer prints.
func TestRunbookShowsWhatIsPrinted(t *testing.T) {
	page := readDoc(t, "runbook.md")
	lost, orders := threeMembers(), noted()[:1]
	lost.Agreed = false
	for i := range lost.Members {
		lost.Members[i].Leader = false
		if i != 1 {
			lost.Members[i].Reachable, lost.Members[i].Why = false, "no answer in 2s"
		}
	}
	orders = append(orders, api.Note{Time: orders[0].Time.Add(time.Minute), Act: "ended", By: "bob", Why: "the disk is new", Order: orders[0].Order})
	d := &fake{status: failing(), explain: explained(), members: lost, notes: orders, takeover: takenOver()}
	for _, line := range []string{
		"veer status", "veer explain app.example.test", "veer member list", "veer journal --orders", `veer takeover --reason "two of three regions are lost"`,
	} {
		words, err := split(line)
		if err != nil {
			t.Fatal(err)
		}
		s := newSession(d, "y\n", nil)
		s.asks = true
		s.veer(t, words[1:]...)
		want := "$ " + line + "\n" + s.stdout.String()
		indented := strings.ReplaceAll(want, "\n", "\n   ")
		if !strings.Contains(page, want) && !strings.Contains(page, strings.TrimRight(indented, " ")) {
			t.Errorf("the runbook does not show:\n%s", want)
		}
	}
}

// commandsOf are the lines after a $ and the code spans that begin with veer.
func commandsOf(page string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?m)^ *\\$ (veer .*)$|`(veer [^`]*)`").FindAllStringSubmatch(page, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

// answered are the commands that a fake daemon can answer.
func answered() []string {
	return []string{"status", "explain", "journal", "drain", "undrain", "force", "freeze", "unfreeze", "failback", "takeover", "member"}
}

// takes says why Veer would not take a command line. A command that is only
// named needs no arguments.
func takes(t *testing.T, line string) error {
	words, err := split(line)
	if err != nil {
		return err
	}
	fake := &fake{status: healthy(), explain: explained(), notes: noted(), members: threeMembers(), result: moved(), takeover: takenOver()}
	s := newSession(fake, "y\n", nil)
	s.asks = true
	cmd, rest, err := s.root().Find(words[1:])
	if err != nil {
		return err
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.Contains(cmd.Use, "[") { // else it has arguments too
		return fmt.Errorf("%s has no command %s", cmd.CommandPath(), rest[0])
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if len(rest) == 0 && cmd.Name() != "status" {
		return nil
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	if slices.Contains(answered(), below(cmd)) {
		if code := s.veer(t, words[1:]...); code == exitUsage || code == exitFailed {
			return fmt.Errorf("exit code %d: %s", code, s.stderr.String())
		}
	}
	return nil
}

// below is the first word of a command after veer.
func below(cmd *cobra.Command) string { return strings.Fields(cmd.CommandPath() + " -")[1] }

// split takes a line apart as a shell does, which knows spaces and double
// quotes only.
func split(line string) ([]string, error) {
	parts := strings.Split(line, `"`)
	if len(parts)%2 == 0 {
		return nil, fmt.Errorf("a quote is not closed")
	}
	var out []string
	for i, part := range parts {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out, nil
}

// TestRunbookLinks: what the runbook links to is there.
func TestRunbookLinks(t *testing.T) {
	page := readDoc(t, "runbook.md")
	links := regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(page, -1)
	if len(links) < 20 {
		t.Fatalf("only %d links were found", len(links))
	}
	for _, l := range links {
		file, anchor, _ := strings.Cut(l[1], "#")
		if file == "" {
			file = "runbook.md"
		}
		if strings.HasSuffix(file, "/") {
			if info, err := os.Stat(filepath.Join("..", "..", "docs", file)); err != nil || !info.IsDir() {
				t.Errorf("%s is no folder", file)
			}
			continue
		}
		if text := readDoc(t, file); anchor != "" && !slices.Contains(anchors(text), anchor) {
			t.Errorf("%s has no heading for #%s", file, anchor)
		}
	}
	if got := anchors("# It's a `x-y` Z.\n"); !slices.Equal(got, []string{"its-a-x-y-z"}) {
		t.Errorf("anchors are %q", got)
	}
}

// anchors are the places in a page that a link can name.
func anchors(page string) []string {
	var out []string
	for _, h := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		kept := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		out = append(out, strings.ReplaceAll(kept, " ", "-"))
	}
	return out
}
