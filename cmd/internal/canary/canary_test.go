package canary_test

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"mime/quotedprintable"
	"net/url"
	"strings"
	"testing"

	"github.com/veerdns/veer/cmd/internal/canary"
)

// TestPlanted: a canary of any letters is found in each form, whole, half and
// within something else.
func TestPlanted(t *testing.T) {
	for _, letters := range []string{canary.Letters, canary.Header, canary.Digits} {
		secret, other := canary.New(letters, 24), canary.New(letters, 24)
		s := canary.NewSearch(map[string]string{"planted": secret, "another": other})
		for _, text := range []string{secret, secret[:len(secret)/2], secret[len(secret)/2:], "user:" + secret, "x" + secret + "yz", "xy" + secret} {
			for name, written := range written(t, text) {
				found := s.In([]byte("before " + written + " after"))
				if len(found) == 0 {
					t.Errorf("%q is not found as %s: %s", text, name, written)
				}
				for _, f := range found {
					if f.Kind != "planted" || !strings.Contains(f.Text, "before ") && !strings.Contains(name, "fold") {
						t.Errorf("as %s it is found as %s", name, f)
					}
				}
			}
		}
		for name, written := range written(t, canary.New(letters, 24)) {
			if found := s.In([]byte(written)); len(found) > 0 {
				t.Errorf("another text, as %s, is taken for %s", name, found[0])
			}
		}
	}
}

// TestNotPlanted: what it does not look for, so that TestPlanted is known to be
// able to fail.
func TestNotPlanted(t *testing.T) {
	secret := canary.New(canary.Header, 24)
	s := canary.NewSearch(map[string]string{"planted": secret})
	for _, text := range []string{"", "short", secret[:9], base32.StdEncoding.EncodeToString([]byte(secret)), strings.Repeat("\x00", 4096) + "\n"} {
		if found := s.In([]byte(text)); len(found) > 0 {
			t.Errorf("%q is taken for %s", text, found[0])
		}
	}
	if found := s.In([]byte(strings.Repeat("\x00", 4091) + secret)); len(found) == 0 {
		t.Error("after many zeros it is not found")
	}
}

// written are the ways in which the standard library writes a text.
func written(t *testing.T, text string) map[string]string {
	out := map[string]string{
		"plain": text, "hex": hex.EncodeToString([]byte(text)), "HEX": fmt.Sprintf("%X", text),
		"query": url.QueryEscape(text), "path": url.PathEscape(text), "form": url.Values{"token": {text}}.Encode(), "Go": fmt.Sprintf("%q", text),
		"HTML": html.EscapeString(text), "PEM, folded": string(pem.EncodeToMemory(&pem.Block{Type: "KEY", Bytes: []byte(strings.Repeat("-", 40) + text)})),
	}
	for name, enc := range map[string]*base64.Encoding{"std": base64.StdEncoding, "raw": base64.RawStdEncoding, "URL": base64.URLEncoding, "raw URL": base64.RawURLEncoding} {
		out[name] = enc.EncodeToString([]byte(text))
	}
	in, err := json.Marshal(map[string]string{"token": text})
	if err != nil {
		t.Fatal(err)
	}
	out["JSON"] = string(in)
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(strings.Repeat("-", 60) + text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out["quoted-printable, folded"] = b.String()
	return out
}
