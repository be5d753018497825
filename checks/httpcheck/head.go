package httpcheck

import "bytes"

// head is what an engine needs of an answer's head.
type head struct {
	size   int // bytes, with the empty line
	proto  string
	status int
	length int  // of the body; -1: as long as the connection
	close  bool // the server closes the connection behind it
}

// form tells what the bytes that came so far are.
type form uint8

const (
	partial form = iota // the start of what may become a plain head
	simple              // a plain head, and all of it
	odd                 // whatever else: net/http reads and judges it
)

// maxLength is the most that a Content-Length may say in a plain head.
const maxLength = 1 << 30

// parseHead reads the head of a final answer, where it is so plain that there
// is nothing to interpret: HTTP/1.0 or 1.1, lines that end in CR LF, one value
// for each header that means something to the message. What it takes for
// simple, net/http reads alike; all else is odd.
func parseHead(b []byte, method string) (head, form) {
	line, rest, ok := cutLine(b)
	if !ok {
		return head{}, started(line)
	}
	h := head{length: -1}
	if h.proto, h.status, ok = statusLine(line); !ok {
		return head{}, odd
	}
	length, connection := -1, ""
	for {
		if line, rest, ok = cutLine(rest); !ok {
			return head{}, started(line)
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := header(line)
		switch {
		case !ok:
			return head{}, odd
		case equal(name, "content-length"):
			n, ok := decimal(value)
			if !ok || length >= 0 {
				return head{}, odd
			}
			length = n
		case equal(name, "connection"):
			if connection != "" {
				return head{}, odd
			}
			switch {
			case equal(value, "close"):
				connection = "close"
			case equal(value, "keep-alive"):
				connection = "keep-alive"
			default:
				return head{}, odd
			}
		case equal(name, "transfer-encoding"), equal(name, "trailer"):
			return head{}, odd
		}
	}
	h.size = len(b) - len(rest)
	h.close = connection == "close" || h.proto == "HTTP/1.0" && connection == ""
	switch {
	case method == "HEAD" || h.status == 204 || h.status == 304:
		h.length = 0
	case length >= 0:
		h.length = length
	default:
		h.close = true
	}
	return h, simple
}

// cutLine cuts b behind its first line feed. Without one, line is b.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil, false
	}
	if i == 0 || b[i-1] != '\r' {
		return []byte{0}, b[i+1:], true // no line that is plain
	}
	return b[:i-1], b[i+1:], true
}

// started tells what a line without an end may become.
func started(line []byte) form {
	if len(line) > maxHead {
		return odd
	}
	return partial
}

// statusLine reads a status line (RFC 9112 section 4) of a final answer.
func statusLine(line []byte) (proto string, status int, ok bool) {
	const before = len("HTTP/1.1 ")
	if len(line) < before+3 || len(line) > before+3 && line[before+3] != ' ' {
		return "", 0, false
	}
	switch string(line[:before]) {
	case "HTTP/1.1 ":
		proto = "HTTP/1.1"
	case "HTTP/1.0 ":
		proto = "HTTP/1.0"
	default:
		return "", 0, false
	}
	status, ok = decimal(line[before : before+3])
	return proto, status, ok && status >= 200
}

// header reads a header line (RFC 9112 section 5).
func header(line []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 {
		return nil, nil, false
	}
	for _, c := range name {
		if !isNameByte(c) {
			return nil, nil, false
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c > '~' {
			return nil, nil, false
		}
	}
	return name, bytes.Trim(value, " \t"), true
}

// isNameByte holds for the bytes of names as they are met: fewer than RFC 9110
// allows in a token.
func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// decimal reads a number of digits only, up to maxLength.
func decimal(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, n <= maxLength
}

// equal compares with a word in lower case, without regard to case.
func equal(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
