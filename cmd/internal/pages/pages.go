// Package pages reads pages of the documentation as somebody does who types
// what they show, for tests: the fenced blocks, the commands in them, and the
// output that stands below each. Pure.
package pages

import (
	"regexp"
	"strings"
)

// Fence is a fenced block of a page.
type Fence struct {
	Language string
	Lines    []string
}

// Text is the block's lines.
func (f Fence) Text() string { return strings.Join(f.Lines, "\n") + "\n" }

// Step is a command that a page shows with a prompt, and what it prints.
type Step struct {
	Command string
	Output  string
}

// Steps are the commands of a block, none where it has no prompt. A command
// that ends in a backslash goes on in the next line.
func (f Fence) Steps() []Step {
	var out []Step
	for i := 0; i < len(f.Lines); i++ {
		command, typed := strings.CutPrefix(f.Lines[i], "$ ")
		switch {
		case typed:
			for strings.HasSuffix(command, `\`) && i+1 < len(f.Lines) {
				i++
				command = strings.TrimSuffix(command, `\`) + strings.TrimLeft(f.Lines[i], " ")
			}
			out = append(out, Step{Command: command})
		case len(out) > 0:
			out[len(out)-1].Output += f.Lines[i] + "\n"
		}
	}
	// The empty line that parts one command's output from the next belongs to
	// neither.
	for i := range out {
		out[i].Output = strings.TrimSuffix(out[i].Output, "\n\n")
		if out[i].Output = strings.Trim(out[i].Output, "\n"); out[i].Output != "" {
			out[i].Output += "\n"
		}
	}
	return out
}

// Split parts a page into its prose and its fenced blocks. A fence may stand in
// a list, and is shown without its indentation.
func Split(text string) (prose string, fences []Fence) {
	var b strings.Builder
	inside, indent := false, ""
	for line := range strings.SplitSeq(text, "\n") {
		mark, opens := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case opens && !inside:
			inside, indent = true, line[:strings.Index(line, "`")]
			fences = append(fences, Fence{Language: mark})
		case opens && mark == "":
			inside = false
		case inside:
			f := &fences[len(fences)-1]
			f.Lines = append(f.Lines, strings.TrimPrefix(line, indent))
		default:
			b.WriteString(line + "\n")
		}
	}
	return b.String(), fences
}

// chances are all that may differ between what a page shows and what a command
// prints: times and what was counted in them, ports, ids and serials, and how
// wide they make a line.
var chances = []struct{ what, is, stands string }{
	{"an instant", `\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)?`, "INSTANT"},
	{"a time of day", `\b\d\d:\d\d:\d\d(\.\d+)?\b`, "TIME"},
	{"a duration", `[-+]?\b(\d+(\.\d+)?(ns|µs|ms|[smhd]))+\b|[-+]?\b\d+(\.\d+)? (ns|µs|ms|s)\b`, "DURATION"},
	{"the TTL that is left", `(\S\.) \d+ IN\b`, "$1 TTL IN"},
	{"a port that was free", `\b(127\.\d+\.\d+\.\d+|\[::1\]):\d{4,5}\b`, "$1:PORT"},
	{"the id of an order", `\b[0-9a-f]{12}-[0-9a-f]{8}\b`, "ID"},
	{"the id of a request", `\bRequestID: [^ ,]+`, "RequestID: ID"},
	{"the hash of a config", `\bconfig (hash )?[0-9a-f]{16}\b`, "config ID"},
	{"how many queries came, which is of a time", `(?m)^(\S+ +\S+ +)\d+\.\d +\d+$`, "$1 N N"},
	{"a version", `\b(daemon +)\S+ in\b`, "$1 VERSION in"},
	{"the serial of a zone", `\bserial \d+`, "serial N"},
	{"the number of a term", `\bterm \d+`, "term N"},
	{"a line that went on", `\n {10,}`, " "},
	{"the width of a column", `[ \t]+`, " "},
	{"the end of a line", `(?m) +$`, ""},
}

var patterns = func() []*regexp.Regexp {
	out := make([]*regexp.Regexp, len(chances))
	for i, c := range chances {
		out[i] = regexp.MustCompile(c.is)
	}
	return out
}()

// Same is a text without what differs from one run to the next: two outputs are
// alike when it is equal for both.
func Same(text string) string {
	for i, c := range chances {
		text = patterns[i].ReplaceAllString(text, c.stands)
	}
	return strings.Trim(text, "\n")
}
