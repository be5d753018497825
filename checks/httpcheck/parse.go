package httpcheck

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// codes is an inclusive range of status codes.
type codes struct{ low, high int }

// parseStatus reads "204" or "200-299".
func parseStatus(text string) (codes, error) {
	low, high, ranged := strings.Cut(text, "-")
	if !ranged {
		high = low
	}
	from, errFrom := statusCode(low)
	to, errTo := statusCode(high)
	if errFrom != nil || errTo != nil {
		return codes{}, fmt.Errorf("%q is not a status; expected a code such as 204 or a range such as 200-299, within 100 to 599", text)
	}
	if from > to {
		return codes{}, fmt.Errorf("%q runs backwards; expected %d-%d", text, to, from)
	}
	return codes{from, to}, nil
}

func statusCode(text string) (int, error) {
	code, err := strconv.Atoi(text)
	if err != nil || len(text) != 3 || code < 100 || code > 599 {
		return 0, errors.New("not a status code")
	}
	return code, nil
}

func (c codes) String() string {
	if c.low == c.high {
		return strconv.Itoa(c.low)
	}
	return fmt.Sprintf("%d-%d", c.low, c.high)
}

// statuses is what the config accepts, as ranges and as text for reasons.
type statuses []codes

func parseStatuses(texts []string) (statuses, error) {
	if len(texts) == 0 {
		return statuses{{200, 299}}, nil
	}
	all := make(statuses, 0, len(texts))
	for _, text := range texts {
		one, err := parseStatus(text)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (s statuses) accept(code int) bool {
	return slices.ContainsFunc(s, func(c codes) bool { return c.low <= code && code <= c.high })
}

func (s statuses) String() string {
	texts := make([]string, len(s))
	for i, c := range s {
		texts[i] = c.String()
	}
	return strings.Join(texts, " or ")
}

// parsePath reads an origin-form request target (RFC 9112 section 3.2.1).
func parsePath(text string) (*url.URL, error) {
	if !strings.HasPrefix(text, "/") {
		return nil, fmt.Errorf("%q does not start with /; expected a path such as /healthz", text)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || isControl(r) }) {
		return nil, fmt.Errorf("%q holds a space or a control character; write it as %%20 and the like", text)
	}
	if strings.Contains(text, "#") {
		return nil, fmt.Errorf("%q holds a fragment, which is never sent; remove # and what follows", text)
	}
	// A path of two slashes would be read as a host, so a base is put before it.
	parsed, err := url.Parse("http://h" + text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a path and query: %w", text, errors.Unwrap(err))
	}
	return parsed, nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// isToken reports whether text is a token of RFC 9110 section 5.6.2.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func isSecretHeader(canonical string) bool {
	return canonical == "Authorization" || canonical == "Proxy-Authorization" || canonical == "Cookie"
}

func isConnectionHeader(canonical string) bool {
	switch canonical {
	case "Connection", "Content-Length", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// isSafe reports whether sending a request of the method twice does no harm
// (RFC 9110 section 9.2.1): what a retry on a kept connection needs.
func isSafe(method string) bool {
	return method == "" || method == "GET" || method == "HEAD" || method == "OPTIONS"
}
