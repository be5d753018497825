package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/veerdns/veer/providers"
)

// width is how wide text output gets.
const width = 80

// paint adds colour, unless it is plain.
type paint struct{ plain bool }

func (p paint) good(s string) string { return p.in("32", s) }
func (p paint) warn(s string) string { return p.in("33", s) }
func (p paint) bad(s string) string  { return p.in("31", s) }
func (p paint) bold(s string) string { return p.in("1", s) }

func (p paint) in(code, s string) string {
	if p.plain || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// elide shortens s to n characters, keeping both ends: names differ at the
// start, addresses at the end.
func elide(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	if n <= 3 {
		return string(runes[:n])
	}
	tail := (n - 2) / 3
	return string(runes[:n-2-tail]) + ".." + string(runes[len(runes)-tail:])
}

// clean makes text from elsewhere safe for a terminal: one line, no control
// characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// short writes a duration in at most two units, for reading at a glance.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return d.Truncate(100 * time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return two(d/time.Minute, "m", d%time.Minute/time.Second, "s")
	case d < day:
		return two(d/time.Hour, "h", d%time.Hour/time.Minute, "m")
	}
	return two(d/day, "d", d%day/time.Hour, "h")
}

// taken writes how long something took, as in a sentence.
func taken(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// stamp writes a time of RFC 3339 to the millisecond, and any other text as it
// is.
func stamp(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return clean(text)
	}
	return t.Format("2006-01-02T15:04:05.000Z07:00")
}

func two(a time.Duration, unitA string, b time.Duration, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, unitA)
	}
	return fmt.Sprintf("%d%s%d%s", a, unitA, b, unitB)
}

// cut shortens a sentence to n characters.
func cut(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return strings.TrimRight(string(runes[:max(n-2, 0)]), " ") + ".."
	}
	return s
}

// nbsp is a space at which wrap does not break.
const nbsp = "\u00a0"

// wrap breaks text at spaces into lines of at most n characters; a longer word
// is elided.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.FieldsFunc(clean(text), func(r rune) bool { return r == ' ' }) {
		word = elide(strings.ReplaceAll(word, nbsp, " "), n)
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= n:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// para writes text after a label, wrapped, with the further lines below the
// text's start.
func para(w io.Writer, label, text string) {
	indent := utf8.RuneCountInString(label)
	for i, line := range wrap(text, max(width-indent, 20)) {
		if i > 0 {
			label = strings.Repeat(" ", indent)
		}
		fmt.Fprintln(w, strings.TrimRight(label+line, " "))
	}
}

// table writes rows in columns two spaces apart. Cells are elided to the
// column's limit (0: none), and the last column is wrapped to the width. mark
// may colour a cell after it was padded; it may be nil.
type table struct {
	limits []int
	rows   [][]string
	mark   func(row, column int, cell string) string
	// below may write lines after a row; it may be nil.
	below func(w io.Writer, row int)
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer, indent string) {
	widths := make([]int, len(t.limits))
	for _, row := range t.rows {
		for i := range row[:len(row)-1] {
			row[i] = clean(row[i])
			if t.limits[i] > 0 {
				row[i] = elide(row[i], t.limits[i])
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for r, row := range t.rows {
		used := len(indent)
		fmt.Fprint(w, indent)
		last := len(row) - 1
		for i, cell := range row[:last] {
			padded := cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			used += widths[i] + 2
			fmt.Fprint(w, t.painted(r, i, padded))
		}
		for n, line := range wrap(row[last], max(width-used, 16)) {
			if n > 0 {
				fmt.Fprint(w, strings.Repeat(" ", used))
			}
			fmt.Fprintln(w, t.painted(r, last, line))
		}
		if t.below != nil {
			t.below(w, r)
		}
	}
}

func (t *table) painted(row, column int, cell string) string {
	if t.mark == nil {
		return cell
	}
	return t.mark(row, column, cell)
}

// data writes what RRsets answer, in one line.
func data(sets []providers.RRSet) string {
	var parts []string
	for _, s := range sets {
		text := strings.Join(s.Data, ", ")
		if s.SetID != "" {
			text = fmt.Sprintf("%s (weight %d)", text, s.Weight)
		}
		if s.Location != "" {
			text += " for " + s.Location
		}
		if s.Type != "A" && s.Type != "AAAA" {
			text = s.Type + " " + text
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// names joins names of any string type, sorted.
func names[S ~string](list []S) string {
	if len(list) == 0 {
		return "none"
	}
	text := make([]string, len(list))
	for i, n := range list {
		text[i] = string(n)
	}
	slices.Sort(text)
	return strings.Join(text, ", ")
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
