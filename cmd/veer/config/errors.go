package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// maxErrors bounds how many errors one Load reports.
const maxErrors = 100

// Error is one thing wrong with the configuration, and where.
type Error struct {
	// File is the path as it was given, or "environment" or "command line".
	File string `json:"file"`
	// Line and Column count from 1, the column in characters.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Source is the line itself, secrets masked; for an environment variable
	// NAME=value.
	Source string `json:"source"`
	// Path is the key, e.g. services[0].pools[1].region.
	Path string `json:"path,omitempty"`
	// Problem says what was found, Expected what belongs there, Hint what to
	// do, with the nearest word for a typo.
	Problem  string `json:"problem"`
	Expected string `json:"expected,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

// Error is the whole message, over several lines.
func (e Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	b.WriteString(e.Problem)
	line, column := window(e.Source, e.Column)
	fmt.Fprintf(&b, "\n%5d | %s\n      | %s^", e.Line, line, strings.Repeat(" ", column-1))
	if e.Expected != "" {
		fmt.Fprintf(&b, "\n      expected %s", e.Expected)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "\n      %s", e.Hint)
	}
	return b.String()
}

// window cuts a long source line around the column, and returns the column
// within what is left. Tabs and anything a terminal might obey become spaces.
func window(line string, column int) (string, int) {
	const before, width = 60, 120
	runes := []rune(line)
	column = min(max(column, 1), len(runes)+1)
	start := 0
	if len(runes) > width && column > before {
		start = column - before
	}
	end := min(len(runes), start+width)
	shown := []rune(strings.Map(visible, string(runes[start:end])))
	column -= start
	if start > 0 {
		shown = append([]rune("…"), shown...)
		column++
	}
	if end < len(runes) {
		shown = append(shown, '…')
	}
	return string(shown), column
}

// Errors is every error found in one Load, sorted by file and position.
type Errors []Error

// Error joins the messages and counts them.
func (e Errors) Error() string {
	parts := make([]string, 0, len(e)+1)
	for _, one := range e {
		parts = append(parts, one.Error())
	}
	if len(e) == 1 {
		return parts[0]
	}
	return strings.Join(append(parts, fmt.Sprintf("%d errors in the configuration", len(e))), "\n")
}

// JSON is the form that `-o json` prints: {"errors": [...]}.
func (e Errors) JSON() ([]byte, error) {
	out, err := json.MarshalIndent(struct {
		Errors Errors `json:"errors"`
	}{e}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %d errors as JSON: %w", len(e), err)
	}
	return append(out, '\n'), nil
}

// finish sorts, keeps one error for each place, and bounds the number. An
// error that was found first says more than those that follow from it.
func (e Errors) finish() error {
	if len(e) == 0 {
		return nil
	}
	type place struct {
		file         string
		line, column int
	}
	seen := make(map[place]bool, len(e))
	kept := make(Errors, 0, len(e))
	for _, one := range e {
		at := place{one.File, one.Line, one.Column}
		if !seen[at] {
			kept = append(kept, one)
		}
		seen[at] = true
	}
	slices.SortStableFunc(kept, func(a, b Error) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if more := len(kept) - maxErrors; more > 0 {
		kept = kept[:maxErrors]
		kept[maxErrors-1].Hint = strings.TrimSpace(kept[maxErrors-1].Hint + fmt.Sprintf(" (%d more errors are not shown)", more))
	}
	return kept
}
