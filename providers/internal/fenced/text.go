package fenced

import (
	"errors"
	"fmt"
	"strings"
)

// Quote writes one character-string in presentation form (RFC 1035, section
// 5.1): in quotes, quotes and backslashes escaped, and every byte that is not
// printable ASCII as \DDD.
func Quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Text reads the RDATA of a TXT record of one or several character-strings,
// quoted or not, and returns them joined.
func Text(data string) (string, error) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case c == '"':
			quoted = !quoted
			continue
		case c == ' ' && !quoted:
			continue
		case c != '\\':
			b.WriteByte(c)
			continue
		}
		if i+1 >= len(data) {
			return "", errors.New("its text ends in a backslash")
		}
		if n, ok := decimal(data[i+1:]); ok {
			b.WriteByte(n)
			i += 3
			continue
		}
		i++
		b.WriteByte(data[i])
	}
	if quoted {
		return "", errors.New("its text has a quote that is not closed")
	}
	return b.String(), nil
}

// decimal reads the three digits of a \DDD escape.
func decimal(text string) (byte, bool) {
	if len(text) < 3 {
		return 0, false
	}
	n := 0
	for i := range 3 {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		n = 10*n + int(text[i]-'0')
	}
	return byte(n), n < 256
}
