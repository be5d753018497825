package tutorial

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// width is how wide text gets.
const width = 80

// paint adds colour, unless it is plain.
type paint struct{ plain bool }

func (p paint) good(s string) string { return p.in("32", s) }
func (p paint) bad(s string) string  { return p.in("31", s) }
func (p paint) bold(s string) string { return p.in("1", s) }
func (p paint) code(s string) string { return p.in("36", s) }

func (p paint) in(code, s string) string {
	if p.plain {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (g *game) say(format string, args ...any) { fmt.Fprintf(g.o.Out, format+"\n", args...) }

// para says text in lines of the width; a line that begins with two blanks
// stands for itself, as a command to type.
func (g *game) para(text string) {
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "  ") {
			g.say("%s", g.paint.code(line))
			continue
		}
		n := 0
		for i, word := range strings.Fields(line) {
			size := utf8.RuneCountInString(word)
			switch {
			case i == 0:
			case n+1+size > width:
				fmt.Fprintln(g.o.Out)
				n = 0
			default:
				fmt.Fprint(g.o.Out, " ")
				n++
			}
			fmt.Fprint(g.o.Out, word)
			n += size
		}
		fmt.Fprintln(g.o.Out)
	}
}

// conclude says what was done and measured.
func (g *game) conclude(s Summary) {
	g.say("\n%s", g.paint.bold("Summary"))
	for _, r := range s.Chapters {
		more := ""
		if r.Hints > 0 || r.Wrong > 0 {
			more = fmt.Sprintf(" (hints %d, wrong answers %d)", r.Hints, r.Wrong)
		}
		g.say("  %-11s %s%s", r.State, r.Title, more)
	}
	if len(s.Measured) > 0 {
		g.say("\nMeasured, from the act to the event:")
	}
	for _, m := range s.Measured {
		limit := ""
		if m.Limit > 0 {
			word := "within"
			if m.Took > m.Limit {
				word = g.paint.bad("OVER")
			}
			limit = fmt.Sprintf(", %s rto: %s", word, m.Limit)
		}
		g.say("  %6.2f s  %s%s", m.Took.Truncate(time.Millisecond).Seconds(), m.What, limit)
	}
	g.say("\nMeanwhile the name server was asked %d times: %d answers were empty, %d queries\nlost, %d failed.", s.Queries, s.Empty, s.Lost, s.Failed)
}
