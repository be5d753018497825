package providers

import (
	"fmt"
	"strings"
)

// CanonicalName returns the one spelling of an absolute name: ASCII letters in
// lower case (RFC 4343), the final dot, and each escape (RFC 1035, section
// 5.1) where it is needed and only there: "\042.Example.Test" is
// "*.example.test.".
func CanonicalName(name string) string {
	if plain(name) {
		if strings.HasSuffix(name, ".") {
			return name
		}
		return name + "."
	}
	var b strings.Builder
	b.Grow(len(name) + 1)
	ends := false // the name so far ends in an unescaped dot
	for i := 0; i < len(name); {
		c, size, escaped := unescape(name[i:])
		i += size
		if ends = c == '.' && !escaped; ends {
			b.WriteByte('.')
			continue
		}
		writeEscaped(&b, c)
	}
	if !ends {
		b.WriteByte('.')
	}
	return b.String()
}

// plain reports whether the name has only bytes that stay as they are.
func plain(name string) bool {
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '*':
		default:
			return false
		}
	}
	return true
}

// plainName reports whether the name needs no escape, nor has a * that is not
// the first label.
func plainName(name string) bool {
	name = CanonicalName(name)
	return plain(name) && !strings.Contains(strings.TrimPrefix(name, "*."), "*")
}

// unescape reads the byte that text begins with, how long it is written, and
// whether by an escape.
func unescape(text string) (c byte, size int, escaped bool) {
	if text[0] != '\\' || len(text) == 1 {
		return text[0], 1, false
	}
	if len(text) >= 4 && digit(text[1]) && digit(text[2]) && digit(text[3]) {
		if n := int(text[1]-'0')*100 + int(text[2]-'0')*10 + int(text[3]-'0'); n < 256 {
			return byte(n), 4, true
		}
	}
	return text[1], 2, true
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// writeEscaped writes a label's byte in presentation form, lowered.
func writeEscaped(b *strings.Builder, c byte) {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	switch {
	case strings.IndexByte(`."\;()@' `, c) >= 0:
		b.WriteByte('\\')
		b.WriteByte(c)
	case c < ' ' || c > '~':
		fmt.Fprintf(b, `\%03d`, c)
	default:
		b.WriteByte(c)
	}
}

// InZone reports whether name is the zone's apex or below it. Both are made
// canonical first.
func InZone(name, zone string) bool {
	name, zone = CanonicalName(name), CanonicalName(zone)
	if zone == "." || name == zone {
		return true
	}
	above, ok := strings.CutSuffix(name, "."+zone)
	// An escaped dot is part of a label: `a\.example.test.` is not below
	// "example.test.".
	return ok && (len(above)-len(strings.TrimRight(above, `\`)))%2 == 0
}
