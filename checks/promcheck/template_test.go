package promcheck

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/veerdns/veer/checks"
)

func TestFill(t *testing.T) {
	v4, v6 := checks.Target{Host: "192.0.2.1", Port: 9100}, checks.Target{Host: "2001:db8::1", Port: 9100}
	for _, c := range []struct {
		query  string
		target checks.Target
		want   string
	}{
		{`up`, v4, `up`},
		{`up{instance="{{host}}:{{port}}"}`, v4, `up{instance="192.0.2.1:9100"}`},
		{`up{instance="{{address}}"}`, v6, `up{instance="[2001:db8::1]:9100"}`},
		{`up{instance="{{ address }}"} == {{port}}`, v4, `up{instance="192.0.2.1:9100"} == 9100`},
		{`up{instance=~"{{host}}:.*"}`, v4, `up{instance=~"192\\.0\\.2\\.1:.*"}`},
		{`up{instance !~ '{{host}}'}`, v4, `up{instance !~ '192\\.0\\.2\\.1'}`},
		{`up{a="\"",instance="{{host}}"}`, v4, `up{a="\"",instance="192.0.2.1"}`},
		{"up{a=`\\`,instance=\"{{host}}\"}", v4, "up{a=`\\`,instance=\"192.0.2.1\"}"},
		{"# it's {{odd}}\nup{instance=\"{{host}}\"} # \"", v4, "# it's {{odd}}\nup{instance=\"192.0.2.1\"} # \""},
		{`up{instance="{{host}}"}`, checks.Target{Host: `a"} or vector(1) #\`}, `up{instance="a\"} or vector(1) #\\"}`},
		{`up{instance='{{host}}'}`, checks.Target{Host: `a'"` + "\n\x00"}, `up{instance='a\'"\n\x00'}`},
		{`up{instance="{{host}}"}`, checks.Target{Host: `app.example.test.`}, `up{instance="app.example.test"}`},
	} {
		parsed, err := parseTemplate(c.query)
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if got := parsed.fill(c.target); got != c.want {
			t.Errorf("%s\n is %s\nnot %s", c.query, got, c.want)
		}
	}
}

func TestBadTemplate(t *testing.T) {
	for query, words := range map[string]string{
		"":                         "no query",
		strings.Repeat("a", 8193):  "at most 8192",
		`up{a="{{host}}`:           "never closed",
		`up{a="{{host"}`:           "begins no placeholder",
		`up{a="{{HOST}}"}`:         "begins no placeholder",
		`{{host}}`:                 "outside of a string",
		"up{a=`{{host}}`}":         "in backticks",
		`up{a="\"} + {{host}}`:     "never closed",
		`up # "` + "\n{{address}}": "outside of a string",
	} {
		if _, err := parseTemplate(query); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, expected %q", query, err, words)
		}
	}
}

// literals splits a query into what is outside of strings and the values of
// the strings, by Go's own reading of string literals.
func literals(query string) (outside, values []string, ok bool) {
	rest, text := query, ""
	for rest != "" {
		switch rest[0] {
		case '#':
			comment, _, _ := strings.Cut(rest, "\n")
			rest = rest[len(comment):]
		case '"', '\'', '`':
			literal := rest[:1]
			for i := 1; ; i++ {
				if i >= len(rest) {
					return nil, nil, false
				}
				literal += rest[i : i+1]
				if rest[i] == rest[0] {
					break
				}
				if rest[i] == '\\' && rest[0] != '`' && i+1 < len(rest) {
					i++
					literal += rest[i : i+1]
				}
			}
			outside, text, rest = append(outside, text), "", rest[len(literal):]
			values = append(values, unquoted(literal))
		default:
			text, rest = text+rest[:1], rest[1:]
		}
	}
	return append(outside, text), values, true
}

func unquoted(literal string) string {
	inner := literal[1 : len(literal)-1]
	if literal[0] == '`' {
		return inner
	}
	value := ""
	for inner != "" {
		r, multibyte, tail, err := strconv.UnquoteChar(inner, literal[0])
		if err != nil {
			return "malformed: " + err.Error()
		}
		if r < utf8.RuneSelf || multibyte {
			value += string(r)
		} else {
			value += string([]byte{byte(r)})
		}
		inner = tail
	}
	return value
}

// injects reports whether a host changes a query anywhere but in the value of
// the strings that it stands in, or is not itself there.
func injects(escape func(p piece, value string) string, host string) string {
	for _, query := range []string{`up{a="{{host}}"} > 1`, `up{a='{{host}}'} > 1`, `up{a=~"{{host}}",b='x'}`, `up{a!~'{{host}}'}`} {
		parsed, err := parseTemplate(query)
		if err != nil {
			return err.Error()
		}
		filled, regex := "", false
		for _, p := range parsed {
			if p.name != "" {
				filled, regex = filled+escape(p, host), p.regex
			}
			filled += p.text
		}
		harmless, _, _ := literals(parsed.fill(checks.Target{Host: "h"}))
		outside, values, ok := literals(filled)
		switch {
		case !ok || !slices.Equal(outside, harmless):
			return "changes " + query + " to " + filled
		case regex && !matches(values[0], host) || !regex && values[0] != host:
			return "is not itself in " + filled
		}
	}
	return ""
}

// matches reports whether a pattern matches all of a host, and not one that
// differs in a character.
func matches(pattern, host string) bool {
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	return err == nil && re.MatchString(host) && (host == "" || !re.MatchString("\x01"+host[1:]) || host[0] == 1)
}

// FuzzFill requires that no host gets out of its string, that any query is
// read without a crash, and that one where nothing stands for anything stays
// as it is.
func FuzzFill(f *testing.F) {
	queries := []string{`up{a="{{host}}"}`, "up # '\n", "`{{port}}`", `'\`, "{{", "}}", `"{{host}}{{port}}"`, `=~"{{address}}"`}
	for i, host := range []string{"192.0.2.1", "2001:db8::1", `"`, `'`, `\`, `\"`, `"} or vector(1) #`, "\n", "\x00", "`", "a.b", ".*", `\Q`, "é", "\u2028", "{{port}}", "\ufeff"} {
		f.Add(queries[i%len(queries)], host)
	}
	f.Fuzz(func(t *testing.T, query, host string) {
		if parsed, err := parseTemplate(query); err == nil && len(parsed) == 1 && parsed.fill(checks.Target{Host: host}) != query {
			t.Fatalf("%q became %q", query, parsed.fill(checks.Target{Host: host}))
		}
		if !utf8.ValidString(host) {
			return // No config and no target can hold one.
		}
		if found := injects(piece.escape, host); found != "" {
			t.Fatalf("%q %s", host, found)
		}
	})
}

// TestInjectionCatches plants faults in the escaping.
func TestInjectionCatches(t *testing.T) {
	for name, escape := range map[string]func(p piece, value string) string{
		"none": func(_ piece, value string) string { return value },
		"only quotes": func(p piece, value string) string {
			return strings.ReplaceAll(value, string(p.quote), `\`+string(p.quote))
		},
		"one quote only": func(p piece, value string) string { return piece{quote: '"', regex: p.regex}.escape(value) },
		"no regex":       func(p piece, value string) string { return piece{quote: p.quote}.escape(value) },
	} {
		caught := false
		for _, host := range []string{`a"b`, `a'b`, `a\`, "a+b"} {
			caught = caught || injects(escape, host) != ""
		}
		if !caught {
			t.Errorf("%s: not caught", name)
		}
	}
}

// FuzzReply requires that any body is read without a crash, and that what is
// accepted has values with names.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		`{"status":"success","data":{"resultType":"scalar","result":[1.5,"1"]}}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up"},"value":[1,"NaN"]}]},"warnings":["w"]}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1"}]}]}}`,
		`{"status":"success","data":{"resultType":"vector","result":null}}`,
		`{"status":"success","data":{"resultType":"matrix","result":[]}}`,
		`{"status":"error","errorType":"bad_data","error":"parse error"}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"value":[1,1]}]}}`, `[]`, `null`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseReply(body)
		if err != nil && len(got.samples) > 0 {
			t.Fatalf("%q gives both %v and %v", body, got, err)
		}
		for _, s := range got.samples {
			if s.name() == "" {
				t.Fatalf("%q gives a series without a name", body)
			}
		}
	})
}
