package checks_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks"
)

// spellings are ways in which a remote may repeat what it was sent.
var spellings = map[string]func(string) string{
	"plain":     func(s string) string { return s },
	"query":     url.QueryEscape,
	"path":      url.PathEscape,
	"percent":   func(s string) string { return percent(s, "%%%02X") },
	"low":       func(s string) string { return percent(s, "%%%02x") },
	"quoted":    strconv.Quote,
	"ASCII":     strconv.QuoteToASCII,
	"JSON":      func(s string) string { out, _ := json.Marshal(s); return string(out) },
	"slashes":   func(s string) string { out, _ := json.Marshal(s); return strings.ReplaceAll(string(out), "/", `\/`) },
	"HTML":      html.EscapeString,
	"hex":       func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":       func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"base64":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64url": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"Basic":     func(s string) string { return base64.StdEncoding.EncodeToString([]byte("veer:" + s)) },
	"within":    func(s string) string { return base64.URLEncoding.EncodeToString([]byte("{\"token\":\"" + s + "\"}")) },
}

func percent(s, format string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// TestRedact: a secret of any characters is found however it is spelt and
// whatever stands beside it, and what stands beside it stays.
func TestRedact(t *testing.T) {
	for name, spell := range spellings {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			secret := rapid.StringMatching(`[!-~é ]{8,40}`).Draw(t, "secret")
			before := rapid.StringMatching(`[ -~]{0,8}`).Draw(t, "before") + " <"
			after := "> " + rapid.StringMatching(`[ -~]{0,8}`).Draw(t, "after")
			got := checks.Redact(before+spell(secret)+after, "", "another secret", secret)
			if !strings.Contains(got, checks.Redacted) {
				t.Fatalf("%q is not found in %q", secret, got)
			}
			if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) {
				t.Errorf("what is beside it is lost: %q", got)
			}
			if again := got[len(before) : len(got)-len(after)]; len(again) > len(checks.Redacted)+len(spell("veer:{\"token\":\"\"}")) {
				t.Errorf("of it is left %q", again)
			}
		}))
	}
}

func TestRedactLeaves(t *testing.T) {
	const text = `status 503, 100% of it; C:\temp & "more" \u00 &#; aGVsbG8= deadbeef %zz`
	for _, secrets := range [][]string{nil, {""}, {"not there"}, {"\x9d"}, {"hi"}, {"a\\b%c&d;e"}} {
		if got := checks.Redact(text, secrets...); got != text {
			t.Errorf("without %q it is %q", secrets, got)
		}
	}
}

// FuzzRedact: no text is too odd, and none has the secret after.
func FuzzRedact(f *testing.F) {
	f.Add(`GET /?token=%41 \u0041 \`, "A secret")
	f.Add("&#x41;&amp;%", "&%\\")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := checks.Redact(text, secret)
		if secret != "" && !strings.ContainsAny(secret, checks.Redacted) && strings.Contains(got, secret) {
			t.Errorf("%q has %q", got, secret)
		}
	})
}
