package config

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"github.com/veerdns/veer/providers"
)

func inZone(name, zone string) bool { return providers.InZone(name, zone) }

// canonical makes a DNS name absolute, lower case and ASCII (RFC 5891), and
// refuses what is no host name. Underscores are allowed, as in _service.
func canonical(text string) (string, error) {
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))
	name, err := profile.ToASCII(strings.TrimSuffix(text, "."))
	if err != nil {
		return "", fmt.Errorf("%s is not a DNS name (RFC 5891)", quote(text))
	}
	name = strings.ToLower(name)
	if name == "" || len(name) > 253 {
		return "", fmt.Errorf("%s is not a DNS name: it has %d characters, expected 1 to 253", quote(text), len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "", fmt.Errorf("%s has an empty label between two dots", quote(text))
		case label == "*":
			return "", fmt.Errorf("%s is a wildcard: a service is one name", quote(text))
		case len(label) > 63:
			return "", fmt.Errorf("%s has a label of %d characters, expected at most 63", quote(text), len(label))
		case strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			return "", fmt.Errorf("%s is not a DNS name: expected letters, digits, - and dots", quote(text))
		case label[0] == '-' || label[len(label)-1] == '-':
			return "", fmt.Errorf("%s has a label that begins or ends with -", quote(text))
		}
	}
	return name + ".", nil
}

// address is an endpoint's address in canonical form: an IP address as RFC
// 5952 writes it, or an absolute host name. Its type is A, AAAA or CNAME.
func address(text string) (canon, typ, problem string) {
	ip, err := netip.ParseAddr(text)
	switch {
	case err == nil && ip.Zone() != "":
		return "", "", fmt.Sprintf("%s has a zone, which has no meaning on another host", quote(text))
	case err == nil && ip.Is4In6():
		return "", "", fmt.Sprintf("%s is an IPv4 address in IPv6 form: write %s", quote(text), ip.Unmap())
	case err == nil && (ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255})):
		return "", "", fmt.Sprintf("%s is not the address of one host", quote(text))
	case err == nil && ip.Is4():
		return ip.String(), "A", ""
	case err == nil:
		return ip.String(), "AAAA", ""
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return "", "", fmt.Sprintf("%s has a port, which belongs to the monitor: write %s here and port: %d there", quote(text), ap.Addr(), ap.Port())
	}
	if strings.ContainsAny(text, ":/ ") || strings.Trim(text, "0123456789.") == "" {
		return "", "", fmt.Sprintf("%s is not an address", quote(text))
	}
	name, err := canonical(text)
	if err != nil {
		return "", "", err.Error()
	}
	return name, "CNAME", ""
}

// EndpointAddress is an address in the form in which the config has it; what is
// none is returned as it is.
func EndpointAddress(text string) string {
	if canon, _, problem := address(text); problem == "" {
		return canon
	}
	return text
}

// isLabel reports whether a text can name an owner, a region, a monitor or a
// provider: it is a DNS label in lower case.
func isLabel(text string) bool {
	return text != "" && len(text) <= 63 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		text[0] != '-' && text[len(text)-1] != '-'
}
