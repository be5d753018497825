package cloudflare

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// FuzzRecord: whatever a record of a reply holds, it is refused, or read as a
// name and data that have one spelling and that lead back to what was sent.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{
		`{"id":"1","name":"app.example.test","type":"A","content":"192.0.2.1","ttl":60,"proxied":false,"tags":[],"settings":{},"comment":null}`,
		`{"id":"1","name":"*.example.test","type":"AAAA","content":"2001:db8::1","ttl":1,"proxied":true}`,
		`{"id":"1","name":"xn--bcher-kva.example.test","type":"CNAME","content":"Other.Test.","ttl":86400}`,
		`{"id":"1","name":"_veer.app.example.test","type":"TXT","content":"\"veer-owner owner=shop\"","ttl":60}`,
		`{"id":"1","name":"t.example.test","type":"TXT","content":"no \\\"quotes\" ","ttl":60}`,
		`{"id":"1","name":"a\\.b.example.test","type":"MX","content":"10 mail.test","ttl":60,"priority":10}`,
		`{"id":1}`, `[]`, `{"id":"1","name":"a","type":"A","content":"::ffff:192.0.2.1","ttl":1e3}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRecord(json.RawMessage(text))
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Fatalf("an error of %d characters", len(err.Error()))
			}
			return
		}
		if providers.CanonicalName(r.name) != r.name {
			t.Fatalf("%q was read as the name %q, which has another spelling", r.Name, r.name)
		}
		one := set([]record{r}, "latch")
		if len(one.Data) != 1 || !one.Equal(one.RRSet) {
			t.Fatalf("%s was read as %+v", text, one)
		}
		if !providers.Steered(r.Type) {
			return
		}
		content, err := contentOf(r.Type, r.data)
		if err != nil {
			return // a name that only others have
		}
		if again, err := dataOf(r.Type, content); err != nil || again != r.data {
			t.Fatalf("%q was read as %q, and what is sent for that, %q, as %q, %v", r.Content, r.data, content, again, err)
		}
	})
}

// FuzzText: what Veer writes into a TXT record is what it reads again.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "veer-fence owner=shop term=1 holder=x write=2", `a"b\c`, "\x00\xff", " ", strings.Repeat("x", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		content, err := contentOf("TXT", fenced.Quote(text))
		if err != nil {
			t.Fatal(err)
		}
		data, err := dataOf("TXT", content)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fenced.Text(data); err != nil || got != text {
			t.Fatalf("%q was sent as %q and read as %q, %v", text, content, got, err)
		}
	})
}

// FuzzName: a name that is taken is sent and read as itself, and has nothing
// that the API would take for something else.
func FuzzName(f *testing.F) {
	for _, s := range []string{"app.example.test", "*.example.test", `a\.b.test`, ".", "", "a..b", "@", `\042.test`, strings.Repeat("a.", 130)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name := providers.CanonicalName(text)
		host, err := toAPI(name)
		if err != nil {
			return
		}
		if strings.ContainsAny(host, "\\@\"/?# ") || strings.HasSuffix(host, ".") || len(host) > maxName {
			t.Fatalf("%q is sent as %q", name, host)
		}
		if again, err := fromAPI(host); err != nil || again != name {
			t.Fatalf("%q is sent as %q and read as %q, %v", name, host, again, err)
		}
	})
}

// FuzzError: whatever a reply that refuses holds, the error is short, and its
// wait is within bounds.
func FuzzError(f *testing.F) {
	for _, s := range []string{
		`{"success":false,"errors":[{"code":81058,"message":"An identical record already exists."}]}`,
		`{"errors":[{"code":1004,"message":"DNS Validation Error","error_chain":[{"code":9021,"message":"TTL"}]}]}`,
		`<html>`, `{"errors":[{"code":"x"}]}`, `{"errors":[]}`, `null`,
	} {
		f.Add(400, "30", s)
		f.Add(429, "Mon, 02 Jan 2006 15:04:05 GMT", s)
	}
	f.Fuzz(func(t *testing.T, status int, after, body string) {
		e := newError(status, http.Header{"Retry-After": {after}}, []byte(body), scopeEdit, "the-token")
		if e == nil || len(e.Text) > 8000 || e.After < 0 || e.After > maxQuiet || len(e.Codes) > maxProblems {
			t.Fatalf("%d %q: %+v", status, body, e)
		}
		if err := classify(e); err == nil {
			t.Fatalf("%d %q became no error", status, body)
		}
	})
}
