package dial

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// HostName reads a host name or address, an IPv6 address in brackets, with or
// without a port, as in a Host header (RFC 9110 section 7.2), and returns it
// without the port and the brackets.
func HostName(text string) (string, error) {
	expected := fmt.Errorf("%q is not a host name or address, with or without a port", text)
	if len(text) > 255+6 {
		return "", fmt.Errorf("the host has %d bytes; expected at most 261", len(text))
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		address, rest, closed := strings.Cut(inner, "]")
		ip, err := netip.ParseAddr(address)
		if err != nil || !closed || !ip.Is6() || ip.Zone() != "" || (rest != "" && !isPort(rest)) {
			return "", expected
		}
		return address, nil
	}
	name, port, _ := strings.Cut(text, ":")
	if port != "" && !isPort(":"+port) || strings.HasSuffix(text, ":") {
		return "", expected
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notHostRune) {
			return "", expected
		}
	}
	return name, nil
}

func isPort(text string) bool {
	digits, ok := strings.CutPrefix(text, ":")
	port, err := strconv.ParseUint(digits, 10, 16)
	return ok && err == nil && port > 0
}

func notHostRune(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}
