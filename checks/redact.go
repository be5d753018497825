package checks

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Redacted stands in a text where a secret stood.
const Redacted = "[secret]"

// Redact returns a text without secrets, which whoever wrote it may have been
// sent: a remote's error may repeat the request. A secret is found as it is, and
// as it stands in a URL (RFC 3986, section 2.1), in JSON or a quoted text of Go,
// in HTML or XML, in hexadecimal, and in base64 (RFC 4648), alone or within a
// longer text. An empty secret is none. What was cut before may hold the
// beginning of one: redact first.
func Redact(text string, secrets ...string) string {
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		text = strings.ReplaceAll(text, secret, Redacted)
		for _, w := range writings {
			if strings.Contains(text, w.mark) && len(secret) >= w.least {
				text = w.redact(text, secret)
			}
		}
		for _, form := range inBase64(secret) {
			text = strings.ReplaceAll(text, form, Redacted)
		}
	}
	return text
}

// writing is a way to write text.
type writing struct {
	mark  string // what there is no such text without
	least int    // shorter secrets are not looked for: anything might be one
	// next is the first character of a text that is not empty, and how much of
	// the text it takes; of a text that is written otherwise, 0.
	next func(text string) (char string, n int)
}

// leastCoded is how many letters of hexadecimal or base64 are no accident.
const leastCoded = 8

var writings = []writing{
	{mark: "%", next: inURL}, {mark: "+", next: inForm}, {mark: `\`, next: quoted}, {mark: "&", next: inHTML},
	{least: leastCoded / 2, next: inHex},
}

func (w writing) redact(text, secret string) string {
	var b strings.Builder
	done := 0
	for i := 0; i < len(text); {
		n := w.match(text[i:], secret)
		if n == 0 {
			i++
			continue
		}
		b.WriteString(text[done:i] + Redacted)
		i += n
		done = i
	}
	return b.String() + text[done:]
}

// match is how much of a text's beginning is the secret; 0: it is not.
func (w writing) match(text, secret string) int {
	at := 0
	for secret != "" {
		if at == len(text) {
			return 0
		}
		char, n := w.next(text[at:])
		rest, ok := strings.CutPrefix(secret, char)
		if n == 0 || !ok {
			return 0
		}
		secret, at = rest, at+n
	}
	return at
}

func inURL(text string) (string, int) {
	if char, n := inHex(text[1:]); text[0] == '%' && n > 0 {
		return char, 1 + n
	}
	return text[:1], 1
}

func inForm(text string) (string, int) {
	if text[0] == '+' {
		return " ", 1
	}
	return inURL(text)
}

func inHex(text string) (string, int) {
	if len(text) < 2 {
		return "", 0
	}
	v, err := strconv.ParseUint(text[:2], 16, 8)
	if err != nil {
		return "", 0
	}
	return string([]byte{byte(v)}), 2
}

func quoted(text string) (string, int) {
	if strings.HasPrefix(text, `\/`) { // of JSON alone
		return "/", 2
	}
	char, multi, rest, err := strconv.UnquoteChar(text, '"')
	switch {
	case err != nil && strings.HasPrefix(text, `\'`):
		return "'", 2
	case err != nil:
		return text[:1], 1
	case char < utf8.RuneSelf || !multi:
		return string([]byte{byte(char)}), len(text) - len(rest)
	}
	return string(char), len(text) - len(rest)
}

var entities = map[string]string{"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'"}

func inHTML(text string) (string, int) {
	end := strings.IndexByte(text[:min(len(text), 10)], ';')
	if text[0] != '&' || end < 0 {
		return text[:1], 1
	}
	name := text[1:end]
	if char, ok := entities[name]; ok {
		return char, end + 1
	}
	digits, numeric := strings.CutPrefix(name, "#")
	base := 10
	if hex, ok := strings.CutPrefix(strings.ToLower(digits), "x"); ok {
		digits, base = hex, 16
	}
	if code, err := strconv.ParseUint(digits, base, 21); numeric && err == nil {
		return string(rune(code)), end + 1
	}
	return text[:1], 1
}

// inBase64 is what base64 makes of the secret within any text, by the place of
// its first byte in a group of three: without the letters that hold bits of what
// is beside it.
func inBase64(secret string) []string {
	var out []string
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			coded := enc.EncodeToString([]byte("xx"[:before] + secret))
			first := (before*8 + 5) / 6
			last := (before + len(secret)) * 8 / 6
			if last-first >= leastCoded {
				out = append(out, coded[first:last])
			}
		}
	}
	return out
}
