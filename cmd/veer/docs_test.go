package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// docs/cli.md is what the command tree says of itself; -update writes it.
func TestDocumentationIsTheCommandTree(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "cli.md")
	text := page(newSession(nil, "", nil).root())
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(is), text); diff != "" {
		t.Errorf("docs/cli.md differs from the commands (-page +commands); write it with: go test ./cmd/veer -update\n%s", diff)
	}
}

// Every command explains itself, with an example, and says what -o json is.
func TestEveryCommandHasHelpAndAnExample(t *testing.T) {
	for _, c := range tree(newSession(nil, "", nil).root()) {
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s lacks a short text, a long text or an example", c.CommandPath())
		}
		for _, line := range strings.Split(c.Long, "\n") {
			if len(line) > width {
				t.Errorf("%s: a line of the help has %d characters: %s", c.CommandPath(), len(line), line)
			}
		}
		if c.Run == nil && c.RunE == nil {
			t.Errorf("%s does nothing", c.CommandPath())
		}
		if !c.HasSubCommands() && !strings.Contains(c.Long, "-o json") {
			t.Errorf("%s does not say what -o json prints", c.CommandPath())
		}
	}
}

// tree lists the commands that Veer has itself.
func tree(root *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.Name() != "help" && c.Name() != "completion" {
			list = append(list, tree(c)...)
		}
	}
	return list
}

func page(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nWritten from the commands' own help by `go test ./cmd/veer -update`.\n")
	for _, c := range tree(root) {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n```\n%s\n\n%s\n```\n", c.CommandPath(), c.Short, c.UseLine(), strings.TrimSpace(c.Long))
		if flags := c.NonInheritedFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(&b, "\nFlags:\n\n```\n%s```\n", flags)
		}
		fmt.Fprintf(&b, "\nExample:\n\n```sh\n%s\n```\n", unindented(c.Example))
	}
	b.WriteString(`
## veer completion

Print the completion script of a shell: bash, zsh, fish or powershell.

Example:

` + "```sh\nsource <(veer completion bash)\n```\n")
	return b.String()
}

func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "  ")
	}
	return strings.Join(lines, "\n")
}
