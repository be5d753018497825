// Package canary makes random secrets, of which nothing may come out anywhere,
// and searches what came out for them, however they are written:
//
//   - as they are
//   - in base64 of both alphabets, alone or within a longer text, such as
//     "user:secret"
//   - in hexadecimal
//   - in a URL, with what must be escaped or with everything
//   - in JSON, quoted by Go, in HTML, and in quoted-printable
//
// Half of a secret is as good as the whole: what an error cuts off is found, and
// what begins within. A text is also read without its line ends, as mail and PEM
// fold it.
//
// It is for tests, and knows nothing of how Veer hides secrets.
package canary

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The letters that canaries are made of.
const (
	Letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	// Header may stand in an HTTP header, and looks otherwise in each encoding.
	Header = Letters + `"%&+/<=\`
	Digits = "0123456789abcdef"
)

// least is how long half of a canary is at least, so that none is an accident.
const least = 10

// New returns n random letters, at least twenty.
func New(letters string, n int) string {
	if n < 2*least {
		panic(fmt.Sprintf("a canary of %d letters: half of it could be an accident", n))
	}
	out := make([]byte, n)
	for i := range out {
		at, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic(err) // crypto/rand does not fail
		}
		out[i] = letters[at.Int64()]
	}
	return string(out)
}

// Find is a canary that was found.
type Find struct {
	Kind string // the canary's
	Form string // how it is written
	Text string // where: it, and what stands around it
}

func (f Find) String() string { return fmt.Sprintf("%s in %s: %q", f.Kind, f.Form, f.Text) }

// needle is half of a canary, as it is written.
type needle struct {
	kind, form string
	text       []byte
}

const (
	// window is how many bytes of a needle are looked up at once.
	window = 8
	// sieve is how many bits of them are looked at first.
	sieve = 16
)

// Search finds canaries. It is safe for concurrent use.
type Search struct {
	needles map[uint64][]needle // by the first bytes
	maybe   [1 << sieve]bool
}

// NewSearch makes a search for canaries by their kinds.
func NewSearch(canaries map[string]string) *Search {
	s := &Search{needles: map[uint64][]needle{}}
	for kind, text := range canaries {
		for _, half := range []string{text[:len(text)/2], text[len(text)/2:]} {
			if len(half) < least {
				panic(fmt.Sprintf("the canary %s has only %d bytes", kind, len(text)))
			}
			for form, written := range forms(half) {
				s.add(needle{kind, form, []byte(written)})
			}
		}
	}
	return s
}

// forms are the ways to write a text, by their names.
func forms(text string) map[string]string {
	quoted := strconv.Quote(text)
	out := map[string]string{
		"plain text": text, "Go": quoted[1 : len(quoted)-1], "HTML": html.EscapeString(text),
		"JSON": inJSON(text, false), "JSON for HTML": inJSON(text, true),
		"hexadecimal": hex.EncodeToString([]byte(text)), "HEXADECIMAL": strings.ToUpper(hex.EncodeToString([]byte(text))),
		"a query": url.QueryEscape(text), "a path": url.PathEscape(text),
		"quoted-printable": escaped(text, "=%02X", func(c byte) bool { return c == '=' }),
		"%XX":              escaped(text, "%%%02X", func(byte) bool { return true }),
		"%xx":              escaped(text, "%%%02x", func(byte) bool { return true }),
		"a lower query":    escaped(text, "%%%02x", func(c byte) bool { return !strings.ContainsRune(Letters, rune(c)) }),
	}
	for before := range 3 { // bytes of its group that are something else's
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 for URLs": base64.RawURLEncoding} {
			whole := enc.EncodeToString([]byte("  "[:before] + text))
			// A letter has six bits; the first and the last may have some of others.
			first, end := (8*before+5)/6, 8*(before+len(text))/6
			out[fmt.Sprintf("%s after %d", name, before)] = whole[first:end]
		}
	}
	return out
}

func inJSON(text string, forHTML bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(forHTML)
	if err := enc.Encode(text); err != nil {
		panic(err) // a text is JSON
	}
	return strings.Trim(b.String(), "\n")[1 : b.Len()-2]
}

// escaped writes the bytes that must be by a format.
func escaped(text, format string, must func(c byte) bool) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if must(c) {
			fmt.Fprintf(&b, format, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (s *Search) add(n needle) {
	key := binary.LittleEndian.Uint64(n.text)
	if !slices.ContainsFunc(s.needles[key], func(o needle) bool { return o.kind == n.kind && bytes.Equal(o.text, n.text) }) {
		s.needles[key] = append(s.needles[key], n)
		s.maybe[sifted(key)] = true
	}
}

// sifted is a small hash (Knuth's multiplicative one).
func sifted(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> (64 - sieve) }

// folds are ends of lines that are no part of what was written.
var folds = strings.NewReplacer("=\r\n", "", "=\n", "", "\r\n", "", "\n", "")

// In returns what is found in a text, each canary once in each form.
func (s *Search) In(text []byte) []Find {
	found := s.in(text, nil)
	if bytes.IndexByte(text, '\n') >= 0 {
		found = s.in([]byte(folds.Replace(string(text))), found)
	}
	return found
}

func (s *Search) in(text []byte, found []Find) []Find {
	for i := 0; i+window <= len(text); i++ {
		key := binary.LittleEndian.Uint64(text[i:])
		if key == 0 { // much of a database's file is nothing but zeros
			i += window - 1
			continue
		}
		if !s.maybe[sifted(key)] {
			continue
		}
		for _, n := range s.needles[key] {
			if bytes.HasPrefix(text[i:], n.text) && !slices.ContainsFunc(found, func(f Find) bool { return f.Kind == n.kind && f.Form == n.form }) {
				around := text[max(0, i-120):min(len(text), i+len(n.text)+40)]
				found = append(found, Find{n.kind, n.form, string(around)})
			}
		}
	}
	return found
}
