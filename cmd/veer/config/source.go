package config

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// source is one text that settings come from: a file, a variable or a flag.
type source struct {
	name  string
	dir   string // what its relative paths are relative to
	lines []string
	errs  *Errors
}

func newSource(name, dir, text string, errs *Errors) *source {
	return &source{name: name, dir: dir, lines: strings.Split(text, "\n"), errs: errs}
}

// bad reports an error at a position.
func (s *source) bad(line, column int, e Error) {
	e.File, e.Line, e.Column = s.name, max(line, 1), max(column, 1)
	e.Source = s.masked(e.Line)
	*s.errs = append(*s.errs, e)
}

// secretKey matches a key whose value would be a secret, with the value.
var secretKey = regexp.MustCompile(`(?i)((?:^|[\s,{])["']?(?:key|[a-z0-9_.-]*(?:token|credentials?|password|passwd|passphrase|secret|api[-_]?key|private_?key|authorization|cookie))["']?\s*:)(\s*)(\S.*)?$`)

// urlToken matches a part of a URL's path that may be a secret, as the last one
// of Slack's (24 characters).
var urlToken = regexp.MustCompile(`(://[^\s"']+/)[A-Za-z0-9_-]{20,}`)

// urlUser matches the user and the password of a URL.
var urlUser = regexp.MustCompile(`://[^/\s"'@]*@`)

// masked returns a line with what may be a secret replaced: everything after
// a secret's key, every line of its block, and of a URL the user and what looks
// like a token.
func (s *source) masked(line int) string {
	if line > len(s.lines) {
		return ""
	}
	text := urlUser.ReplaceAllString(strings.TrimSuffix(s.lines[line-1], "\r"), "://***@")
	text = urlToken.ReplaceAllString(text, "$1***")
	if masked := secretKey.ReplaceAllString(text, "$1 ***"); masked != text {
		return masked
	}
	for i, depth := line-2, indent(text); i >= 0 && depth > 0; i-- {
		above := s.lines[i]
		if strings.TrimSpace(above) == "" || indent(above) >= depth {
			continue
		}
		if m := secretKey.FindStringSubmatch(above); m != nil && (m[3] == "" || strings.Trim(m[3], "|>+-0123456789") == "") {
			return strings.Repeat(" ", indent(text)) + "***"
		}
		depth = indent(above)
	}
	return text
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// visible makes a rune safe to print on a terminal.
func visible(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case r == utf8.RuneError, !allowed(r):
		return '?'
	}
	return r
}

// allowed reports whether a rune may stand in a configuration: no control
// characters, nothing that hides or reorders the text on a screen.
func allowed(r rune) bool {
	return r == '\t' || r == '\n' || unicode.IsPrint(r) || unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Co, r)
}
