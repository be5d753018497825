package cloudflare

import (
	"fmt"
	"strings"

	"github.com/veerdns/veer/providers"
)

const (
	maxName  = 253 // characters of a name in text (RFC 1035, section 2.3.4: 255 octets)
	maxLabel = 63  // RFC 1035, section 2.3.4
)

// checkHost says why the API could not express a canonical name, "" if it can:
// it knows no escapes, and labels have letters, digits, hyphens and
// underscores only, but for a wildcard
// (https://developers.cloudflare.com/dns/manage-dns-records/reference/dns-record-types/
// and .../wildcard-dns-records/).
func checkHost(name string) string {
	host, ok := strings.CutSuffix(name, ".")
	if !ok || host == "" {
		return "a name has at least one label"
	}
	if len(host) > maxName {
		return fmt.Sprintf("it has %d characters; Cloudflare takes %d", len(host), maxName)
	}
	for i, label := range strings.Split(host, ".") {
		switch {
		case label == "":
			return "it has an empty label"
		case len(label) > maxLabel:
			return fmt.Sprintf("a label has %d characters; DNS takes %d", len(label), maxLabel)
		case i == 0 && label == "*":
		case strings.ContainsFunc(label, func(r rune) bool { return !plain(r) }):
			return "Cloudflare takes letters, digits, hyphens and underscores only, and a * as the first label"
		}
	}
	return ""
}

func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}

// toAPI writes a canonical name as the API does: without the final dot.
func toAPI(name string) (string, error) {
	if why := checkHost(name); why != "" {
		return "", fmt.Errorf("%s: %s", name, why)
	}
	return strings.TrimSuffix(name, "."), nil
}

// fromAPI reads a name as the API has it: without the final dot, in Punycode
// (https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/create/).
// A foreign record may have a name of any kind, so that only what cannot be a
// name at all is refused.
func fromAPI(name string) (string, error) {
	if name == "" || len(name) > 4*maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return "", fmt.Errorf("%.100q is not a name", name)
	}
	return providers.CanonicalName(name), nil
}
