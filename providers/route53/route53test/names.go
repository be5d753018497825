package route53test

import (
	"fmt"
	"slices"
	"strings"
)

// labels splits a name as the API takes it into labels of plain bytes. Escapes
// are a backslash and three octal digits.
func labels(name string) ([]string, error) {
	if name == "" || name == "." {
		return nil, fmt.Errorf("DomainLabelEmpty (Domain label is empty) encountered with '%s'", name)
	}
	var out []string
	var label []byte
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			if len(label) == 0 {
				return nil, fmt.Errorf("DomainLabelEmpty (Domain label is empty) encountered with '%s'", name)
			}
			out, label = append(out, string(label)), nil
		case c == '\\':
			if i+3 >= len(name) || !isOctal(name[i+1:i+4]) {
				return nil, fmt.Errorf("UnsupportedCharacter (Value contains unsupported characters) encountered with '%s'", name)
			}
			label = append(label, (name[i+1]-'0')<<6|(name[i+2]-'0')<<3|(name[i+3]-'0'))
			i += 3
		case c <= ' ' || c > '~':
			return nil, fmt.Errorf("UnsupportedCharacter (Value contains unsupported characters) encountered with '%s'", name)
		default:
			label = append(label, c)
		}
	}
	if len(label) > 0 {
		out = append(out, string(label))
	}
	total := 1
	for _, l := range out {
		if len(l) > 63 {
			return nil, fmt.Errorf("DomainLabelTooLong (Domain label is too long) encountered with '%s'", name)
		}
		total += 1 + len(l)
	}
	if total > 255 {
		return nil, fmt.Errorf("DomainNameTooLong (Domain name is too long) encountered with '%s'", name)
	}
	return out, nil
}

func isOctal(text string) bool {
	return text[0] >= '0' && text[0] <= '3' && text[1] >= '0' && text[1] <= '7' && text[2] >= '0' && text[2] <= '7'
}

// normalize writes a name as listings do: lower case, escaped, with the dot.
func (s *Server) normalize(name string) (string, error) {
	if !s.on(OctalEscapes) {
		return strings.TrimSuffix(strings.ToLower(name), ".") + ".", nil
	}
	parts, err := labels(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, label := range parts {
		for i := range len(label) {
			c := label[i]
			if s.on(CaseFolding) && 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		}
		b.WriteByte('.')
	}
	return b.String(), nil
}

// order is what listings are sorted by: the labels reversed, com.example.www.
func (s *Server) order(name string) string {
	if !s.on(SortOrder) {
		return name
	}
	parts := strings.Split(strings.TrimSuffix(name, "."), ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".") + "."
}

// within reports whether a normalized name is in the zone.
func within(name, zone string) bool {
	return name == zone || strings.HasSuffix(name, "."+zone)
}
