package promcheck

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/veerdns/veer/checks"
)

// template is a query with the places where something of the endpoint goes.
type template []piece

// piece is a text of the query, or a placeholder and the string it stands in.
type piece struct {
	text  string
	name  string // host, port or address; "" for a text
	quote byte   // of the string: ", ' or `; 0 outside of one
	regex bool   // the string is matched as a regular expression
}

// parseTemplate finds the placeholders of a query.
func parseTemplate(query string) (template, error) {
	if strings.TrimSpace(query) == "" {
		return nil, errors.New(`no query; expected PromQL such as up{instance="{{address}}"}`)
	}
	if len(query) > maxQuery {
		return nil, fmt.Errorf("the query has %d bytes; expected at most %d", len(query), maxQuery)
	}
	s := scanner{query: query}
	for s.at < len(query) {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	if s.in.quote != 0 {
		return nil, fmt.Errorf("a string of the query is never closed; expected a second %c", s.in.quote)
	}
	return append(s.pieces, piece{text: query[s.start:]}), nil
}

// scanner goes through a query. It knows as much of PromQL as placeholders
// need: strings, in which a backslash escapes, raw strings in backticks,
// comments, and the matchers =~ and !~
// (https://prometheus.io/docs/prometheus/latest/querying/basics/).
type scanner struct {
	query  string
	at     int
	start  int    // of the text since the last placeholder
	in     piece  // the string that at is in
	before string // the last two characters outside of strings, without spaces
	pieces template
}

func (s *scanner) step() error {
	rest := s.query[s.at:]
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "{{"):
		return s.placeholder()
	case s.in.quote != 0 && c == s.in.quote:
		s.in, s.before = piece{}, ""
	case s.in.quote != 0 && s.in.quote != '`' && c == '\\':
		s.at++ // and what it escapes
	case s.in.quote != 0:
	case c == '#':
		comment, _, _ := strings.Cut(rest, "\n")
		s.at += len(comment) - 1
	case c == '"' || c == '\'' || c == '`':
		s.in = piece{quote: c, regex: s.before == "=~" || s.before == "!~"}
	case c != ' ' && c != '\t' && c != '\n' && c != '\r':
		s.before = s.before[max(len(s.before)-1, 0):] + string(rune(c))
	}
	s.at++
	return nil
}

func (s *scanner) placeholder() error {
	name, _, closed := strings.Cut(s.query[s.at+len("{{"):], "}}")
	p := s.in
	p.name = strings.TrimSpace(name)
	switch {
	case !closed || !slices.Contains([]string{"host", "port", "address"}, p.name):
		return errors.New("{{ begins no placeholder; expected {{host}}, {{port}} or {{address}}")
	case p.name == "port": // digits, which are harmless anywhere
	case p.quote == 0:
		return fmt.Errorf("{{%s}} stands outside of a string; expected it in double or single quotes", p.name)
	case p.quote == '`':
		return fmt.Errorf("{{%s}} stands in backticks, where nothing can be escaped; expected it in double or single quotes", p.name)
	}
	s.pieces = append(s.pieces, piece{text: s.query[s.start:s.at]}, p)
	s.at += len("{{") + len(name) + len("}}")
	s.start = s.at
	return nil
}

func (t template) usesPort() bool {
	return slices.ContainsFunc(t, func(p piece) bool { return p.name == "port" || p.name == "address" })
}

// fill writes the query for a target, whose host name it writes without the
// final dot.
func (t template) fill(target checks.Target) string {
	host, port := strings.TrimSuffix(target.Host, "."), strconv.Itoa(int(target.Port))
	var b strings.Builder
	for _, p := range t {
		value := p.text
		switch p.name {
		case "host":
			value = p.escape(host)
		case "port":
			value = port
		case "address":
			value = p.escape(net.JoinHostPort(host, port))
		}
		b.WriteString(value)
	}
	return b.String()
}

// escape makes a value stand for itself in the piece's string, whose rules
// are Go's.
func (p piece) escape(value string) string {
	if p.regex {
		value = regexp.QuoteMeta(value)
	}
	var b strings.Builder
	for _, r := range value {
		switch {
		case r == rune(p.quote) || r == '\\':
			b.WriteString(`\` + string(r))
		case !unicode.IsPrint(r):
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
