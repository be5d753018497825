package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestCommandsOfPages: every command line of veer in the pages is one that the
// command tree takes.
func TestCommandsOfPages(t *testing.T) {
	lines := 0
	for page, text := range readPages(t) {
		n, problems := badCommands(text)
		lines += n
		for _, problem := range problems {
			t.Errorf("%s: %s", page, problem)
		}
	}
	if lines < 150 {
		t.Errorf("the check proves nothing: it finds only %d command lines", lines)
	}
}

// The check sees what it must, and nothing else.
func TestCommandsOfPagesAreSeen(t *testing.T) {
	for _, c := range []struct {
		what, text string
		problems   int
	}{
		{"a flag that does not exist", "```sh\nveer run --regoin eu\n```", 1},
		{"a command that does not exist", "```\n$ veer fly\n```", 1},
		{"a subcommand that does not exist", "```\nbin/veer certs revoke eu-west\n```", 1},
		{"too many arguments", "```\nveer status app.example.test\n```", 1},
		{"too few arguments", "```\nveer explain\n```", 1},
		{"a value of another type", "```\nveer journal --limit many\n```", 1},
		{"a reason that is missing", "```\nveer drain eu-west --for 2h\n```", 1},
		{"a duration that is missing", "```\nveer drain eu-west --reason \"kernel upgrade\"\n```", 1},
		{"behind a pipe", "```\ncat x | veer fly\n```", 1},
		{"behind sudo", "```\nsudo -u veer veer status --watched\n```", 1},
		{"in a unit", "```ini\nExecStart=/usr/bin/veer rum\n```", 1},
		{"in a crontab", "```\n* * * * *  veer  VEER_REGION=eu-west /usr/bin/veer onces\n```", 1},
		{"over two lines", "```\nveer run \\\n  --rolle prober\n```", 1},
		{"in the text, a flag", "as `veer run --usr` says", 1},
		{"in the text, a command", "as `veer fly` says", 1},
		{"good ones", "```sh\nVEER_REGION=eu veer once -o json | jq -r '.votes' # a comment | veer fly\nsource <(veer completion bash)\n" +
			"veer force TARGET --end --reason 'done'\n```\n```\nveer plan [flags]\n\nveer plan is help\n```\n`veer drain TARGET --local`, `veer takeover --end`", 0},
		{"output below a prompt", "```\n$ veer status\nveer is fine\n```", 0},
		{"another language", "```yaml\nveer: fly\n```", 0},
	} {
		if _, problems := badCommands(c.text); len(problems) != c.problems {
			t.Errorf("%s: %d problems expected, found %q", c.what, c.problems, problems)
		}
	}
}

var inlineCommand = regexp.MustCompile("`veer ([^`]+)`")

// badCommands says which of a page's command lines the tree does not take, and
// how many there are. Those in the text may be parts of lines: of them only
// the words are looked at.
func badCommands(text string) (lines int, problems []string) {
	prose, fences := proseAndFences(text)
	var usages []string
	for _, c := range tree(newSession(nil, "", nil).root()) {
		usages = append(usages, c.UseLine())
	}
	for _, m := range inlineCommand.FindAllStringSubmatch(prose, -1) {
		lines++
		if err := inTree(shellWords(m[1])[0]); err != nil {
			problems = append(problems, fmt.Sprintf("`veer %s`: %v", m[1], err))
		}
	}
	for _, f := range fences {
		if !slices.Contains([]string{"", "sh", "shell", "console", "ini"}, f.language) {
			continue
		}
		if len(f.lines) > 0 && slices.Contains(usages, f.lines[0]) {
			continue // the help of a command, as docs/cli.md has it
		}
		for _, line := range commandLines(f.lines) {
			for _, words := range shellWords(line) {
				args, ok := ofVeer(words)
				if !ok {
					continue
				}
				lines++
				if err := parses(args); err != nil {
					problems = append(problems, fmt.Sprintf("%q: %v", line, err))
				}
			}
		}
	}
	return lines, problems
}

// commandLines are the lines that a reader would type: all, or those with a
// prompt where one has it. A line that ends in a backslash goes on.
func commandLines(lines []string) []string {
	var out []string
	prompt := slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "$ ") })
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		typed := !prompt || strings.HasPrefix(line, "$ ")
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + lines[i]
		}
		if typed {
			out = append(out, strings.TrimPrefix(line, "$ "))
		}
	}
	return out
}

// shellWords are the words of each command of a line, up to a comment.
func shellWords(line string) [][]string {
	out := [][]string{nil}
	var word strings.Builder
	var quote rune
	begun := false
	end := func() {
		if begun {
			last := len(out) - 1
			out[last] = append(out[last], word.String())
		}
		word.Reset()
		begun = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, begun = r, true
		case r == '#' && !begun:
			return out
		case strings.ContainsRune(" \t\n", r):
			end()
		case strings.ContainsRune("|&;()<>", r):
			end()
			out = append(out, nil)
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	end()
	return out
}

var (
	assignment = regexp.MustCompile(`^[A-Z][A-Z0-9_]*=`)
	oneVeer    = regexp.MustCompile(`^(|ExecStart=)(|\./|(|.*/)bin/)veer$`)
)

// ofVeer returns the arguments of a command if it is one of veer.
func ofVeer(words []string) ([]string, bool) {
	if len(words) > 6 && words[0] == "*" {
		words = words[6:] // the times and the user of a crontab's line
	}
	if len(words) > 0 && words[0] == "sudo" {
		if words = words[1:]; len(words) > 1 && words[0] == "-u" {
			words = words[2:]
		}
	}
	for len(words) > 0 && assignment.MatchString(words[0]) {
		words = words[1:]
	}
	if len(words) == 0 || !oneVeer.MatchString(words[0]) {
		return nil, false
	}
	return words[1:], true
}

// parses says why the command tree does not take a command line.
func parses(args []string) error {
	root := newSession(nil, "", nil).root()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help := cmd.Flag("help"); help != nil && help.Changed {
		return nil
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	return lacks(cmd)
}

// lacks says which flag that a command calls needed is not there.
func lacks(cmd *cobra.Command) error {
	given := func(name string) bool { f := cmd.Flag(name); return f != nil && f.Changed }
	var missing []string
	for _, name := range []string{"reason", "for"} {
		switch f := cmd.Flag(name); {
		case f == nil || f.Changed:
		case strings.HasSuffix(f.Usage, "(needed)"):
			missing = append(missing, "--"+name)
		case strings.HasSuffix(f.Usage, "(needed, or --forever)") && !given("forever") && !given("end"):
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) > 0 {
		return errors.New("it needs " + strings.Join(missing, " and "))
	}
	return nil
}

// inTree says which word of a command in the text, which may be a part of one,
// is no command or flag.
func inTree(words []string) error {
	cmd := newSession(nil, "", nil).root()
	cmd.InitDefaultCompletionCmd()
	cmd.InitDefaultHelpFlag()
	for _, word := range words {
		name, isFlag := strings.CutPrefix(word, "-")
		if !isFlag {
			children := map[string]*cobra.Command{}
			for _, c := range cmd.Commands() {
				children[c.Name()] = c
			}
			switch child := children[word]; {
			case child != nil:
				cmd = child
			case len(children) > 0 && !strings.Contains(cmd.Use, "["): // else it has arguments too
				return fmt.Errorf("there is no %s %s, but %s", cmd.CommandPath(), word, strings.Join(slices.Sorted(maps.Keys(children)), ", "))
			}
			continue
		}
		name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
		flag := cmd.Flag(name)
		if len(name) == 1 {
			if flag = cmd.Flags().ShorthandLookup(name); flag == nil {
				flag = cmd.InheritedFlags().ShorthandLookup(name)
			}
		}
		if flag == nil && name != "help" {
			return fmt.Errorf("%s has no flag %s", cmd.CommandPath(), word)
		}
	}
	return nil
}
