package attempt

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Duration words a duration with about three digits: 850µs, 12.3ms, 2s.
func Duration(d time.Duration) string {
	unit := time.Microsecond
	for d >= 1000*unit && unit < time.Second {
		unit *= 10
	}
	return d.Round(unit).String()
}

// Clip makes hostile text fit for one line of a log or terminal: it replaces
// what is not printable by spaces, drops the spaces around, and cuts to at
// most limit bytes, of which the last three are then dots.
func Clip(text string, limit int) string {
	if len(text) > 4*limit {
		text = text[:4*limit]
	}
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
	if len(text) <= limit {
		return text
	}
	cut := limit - len("...")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}

// Bytes words a count of bytes.
func Bytes(n int) string {
	switch {
	case n == 1:
		return "1 byte"
	case n >= 1<<10 && n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + " KiB"
	}
	return strconv.Itoa(n) + " bytes"
}
