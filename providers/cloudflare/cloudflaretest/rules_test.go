package cloudflaretest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veerdns/veer/providers/cloudflare/cloudflaretest"
)

// caller asks a server as any HTTP client would.
type caller struct {
	t     *testing.T
	s     *cloudflaretest.Server
	zone  string
	token string
}

// said is a reply.
type said struct {
	status int
	header http.Header
	Result json.RawMessage `json:"result"`
	Errors []struct {
		Code  int `json:"code"`
		Chain []struct {
			Code int `json:"code"`
		} `json:"error_chain"`
	} `json:"errors"`
	Info struct {
		Count      int `json:"count"`
		TotalCount int `json:"total_count"`
	} `json:"result_info"`
}

// code is the innermost code of the first error, 0 for success.
func (s said) code() int {
	if len(s.Errors) == 0 {
		return 0
	}
	if chain := s.Errors[0].Chain; len(chain) > 0 {
		return chain[0].Code
	}
	return s.Errors[0].Code
}

func (c caller) do(method, path, body string) said {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, "https://api.test/client/v4"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := c.s.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	out := said{status: res.StatusCode, header: res.Header}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&out); err != nil {
		c.t.Fatalf("%s %s: %v in %q", method, path, err, raw)
	}
	return out
}

func (c caller) batch(body string) said {
	return c.do(http.MethodPost, "/zones/"+c.zone+"/dns_records/batch", body)
}

// post makes one record, and returns its id.
func (c caller) post(record string) string {
	c.t.Helper()
	got := c.batch(`{"posts":[` + record + `]}`)
	var result struct{ Posts []struct{ ID string } }
	if err := json.Unmarshal(got.Result, &result); err != nil || len(result.Posts) != 1 {
		c.t.Fatalf("making %s: %+v, %v", record, got, err)
	}
	return result.Posts[0].ID
}

// names lists the records, each as "name type content ttl".
func (c caller) names() []string {
	var out []string
	for _, r := range c.s.All(c.zone) {
		out = append(out, fmt.Sprintf("%s %s %s %d", r.Name, r.Type, r.Content, r.TTL))
	}
	return out
}

func a(name, content string) string {
	return fmt.Sprintf(`{"name":%q,"type":"A","content":%q,"ttl":60}`, name, content)
}

func txt(name, text string) string {
	return fmt.Sprintf(`{"name":%q,"type":"TXT","content":%q,"ttl":60}`, name, text)
}

// refuses wants the reply to have the code, and no record but those given.
func (c caller) refuses(got said, code int, left ...string) error {
	if got.code() != code {
		return fmt.Errorf("the API replied %d with code %d, want %d", got.status, got.code(), code)
	}
	if names := c.names(); !slices.Equal(names, left) {
		return fmt.Errorf("the zone has %q, want %q", names, left)
	}
	return nil
}

// keeps says of each rule how it shows: nil while the server keeps it.
var keeps = map[cloudflaretest.Rule]func(c caller) error{
	cloudflaretest.Order: func(c caller) error {
		id := c.post(txt("x.example.test", `"same"`))
		got := c.batch(`{"posts":[` + txt("x.example.test", `"same"`) + `],"deletes":[{"id":"` + id + `"}]}`)
		return c.refuses(got, 0, `x.example.test TXT "same" 60`)
	},
	cloudflaretest.Transaction: func(c caller) error {
		id := c.post(a("x.example.test", "192.0.2.1"))
		got := c.batch(`{"deletes":[{"id":"` + id + `"}],"posts":[` + a("y.example.test", "192.0.2.2") + `,` + a("z.example.test", "nowhere") + `]}`)
		return c.refuses(got, 9005, "x.example.test A 192.0.2.1 60")
	},
	cloudflaretest.Missing: func(c caller) error {
		for _, op := range []string{"deletes", "patches"} {
			got := c.batch(`{"` + op + `":[{"id":"0123456789abcdef0123456789abcdef","content":"192.0.2.9"}],"posts":[` + a("y.example.test", "192.0.2.2") + `]}`)
			if err := c.refuses(got, 81044); err != nil {
				return err
			}
		}
		return nil
	},
	cloudflaretest.Limit: func(c caller) error {
		var posts []string
		for i := range 201 {
			posts = append(posts, a(fmt.Sprintf("n%d.example.test", i), "192.0.2.1"))
		}
		if err := c.refuses(c.batch(`{"posts":[`+strings.Join(posts, ",")+`]}`), 1004); err != nil {
			return err
		}
		if got := c.batch(`{"posts":[` + strings.Join(posts[1:], ",") + `]}`); got.code() != 0 {
			return fmt.Errorf("a batch of 200 was refused with %d", got.code())
		}
		return nil
	},
	cloudflaretest.Keep: func(c caller) error {
		id := c.post(`{"name":"x.example.test","type":"A","content":"192.0.2.1","ttl":1,"proxied":true,"comment":"ours"}`)
		c.batch(`{"patches":[{"id":"` + id + `","content":"192.0.2.2"}]}`)
		r := c.s.All(c.zone)[0]
		if r.Content != "192.0.2.2" || !r.Proxied || r.Comment == nil || *r.Comment != "ours" {
			return fmt.Errorf("after a patch of its content the record is %+v", r)
		}
		return nil
	},
	cloudflaretest.Identical: func(c caller) error {
		c.post(txt("x.example.test", `"same"`))
		return c.refuses(c.batch(`{"posts":[`+txt("x.example.test", `"same"`)+`]}`), 81058, `x.example.test TXT "same" 60`)
	},
	cloudflaretest.Alone: func(c caller) error {
		cname := func(name string) string {
			return fmt.Sprintf(`{"name":%q,"type":"CNAME","content":"other.test","ttl":60}`, name)
		}
		c.post(a("x.example.test", "192.0.2.1"))
		c.post(cname("y.example.test"))
		left := []string{"x.example.test A 192.0.2.1 60", "y.example.test CNAME other.test 60"}
		if err := c.refuses(c.batch(`{"posts":[`+cname("x.example.test")+`]}`), 81053, left...); err != nil {
			return err
		}
		return c.refuses(c.batch(`{"posts":[`+a("y.example.test", "192.0.2.1")+`]}`), 81054, left...)
	},
	cloudflaretest.Throttle: func(c caller) error {
		c.s.SetRequests(2)
		for range 2 {
			if got := c.batch(`{}`); got.status != http.StatusOK {
				return fmt.Errorf("a request within the limit got %d", got.status)
			}
		}
		got := c.batch(`{}`)
		if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "300" {
			return fmt.Errorf("a request beyond the limit got %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
		}
		time.Sleep(4 * time.Minute)
		if got := c.batch(`{}`); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "60" {
			return fmt.Errorf("after 4 minutes: %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
		}
		time.Sleep(time.Minute)
		if got := c.batch(`{}`); got.status != http.StatusOK {
			return fmt.Errorf("after 5 minutes: %d", got.status)
		}
		return nil
	},
	cloudflaretest.TTLs: func(c caller) error {
		for ttl, ok := range map[int]bool{0: false, 1: true, 2: false, 59: false, 60: true, 86400: true, 86401: false} {
			got := c.batch(fmt.Sprintf(`{"posts":[{"name":"n%d.example.test","type":"A","content":"192.0.2.1","ttl":%d}]}`, ttl, ttl))
			if (got.code() == 0) != ok || !ok && got.code() != 9021 {
				return fmt.Errorf("TTL %d: code %d", ttl, got.code())
			}
		}
		e := c
		e.zone = c.s.AddZone("enterprise.test", "enterprise")
		if got := e.batch(`{"posts":[{"name":"x.enterprise.test","type":"A","content":"192.0.2.1","ttl":30}]}`); got.code() != 0 {
			return fmt.Errorf("TTL 30 in an enterprise zone: code %d", got.code())
		}
		return nil
	},
	cloudflaretest.Proxied: func(c caller) error {
		c.post(`{"name":"x.example.test","type":"A","content":"192.0.2.1","ttl":120,"proxied":true}`)
		if r := c.s.All(c.zone)[0]; r.TTL != 1 {
			return fmt.Errorf("a proxied record has TTL %d", r.TTL)
		}
		return nil
	},
	cloudflaretest.Proxiable: func(c caller) error {
		return c.refuses(c.batch(`{"posts":[{"name":"x.example.test","type":"TXT","content":"\"a\"","ttl":1,"proxied":true}]}`), 9041)
	},
	cloudflaretest.Content: func(c caller) error {
		for typ, bad := range map[string][]string{
			"A": {"2001:db8::1", "1.1", "", "host.test"}, "AAAA": {"192.0.2.1", "fe80::1%eth0"},
			"CNAME": {"", "a b"}, "TXT": {"", `"open`, `a"b"c"`},
		} {
			for _, content := range bad {
				got := c.batch(fmt.Sprintf(`{"posts":[{"name":"x.example.test","type":%q,"content":%q,"ttl":60}]}`, typ, content))
				if got.code() < 9000 {
					return fmt.Errorf("%s %q: code %d", typ, content, got.code())
				}
			}
		}
		return nil
	},
	cloudflaretest.Canonical: func(c caller) error {
		c.post(`{"name":"x.example.test","type":"AAAA","content":"fe80::0:0:1","ttl":60}`)
		return c.refuses(said{}, 0, "x.example.test AAAA fe80::1 60")
	},
	cloudflaretest.Names: func(c caller) error {
		for _, name := range []string{`a\.b.example.test`, "a b.example.test", "x.*.example.test", "a..b.example.test", strings.Repeat("a", 64) + ".example.test"} {
			if err := c.refuses(c.batch(`{"posts":[`+a(name, "192.0.2.1")+`]}`), 9000); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		c.post(a("*.example.test", "192.0.2.1"))
		return nil
	},
	cloudflaretest.Append: func(c caller) error {
		c.post(a("www", "192.0.2.1"))
		c.post(a("other.test", "192.0.2.1"))
		c.post(a("@", "192.0.2.1"))
		return c.refuses(said{}, 0, "www.example.test A 192.0.2.1 60", "other.test.example.test A 192.0.2.1 60", "example.test A 192.0.2.1 60")
	},
	cloudflaretest.Fold: func(c caller) error {
		c.post(a("WWW.Example.Test", "192.0.2.1"))
		return c.refuses(said{}, 0, "www.example.test A 192.0.2.1 60")
	},
	cloudflaretest.Scopes: func(c caller) error {
		list := "/zones/" + c.zone + "/dns_records"
		for _, try := range []struct {
			may                []cloudflaretest.Permission
			list, batch, zones int
		}{
			{[]cloudflaretest.Permission{cloudflaretest.DNSRead}, 0, 10000, 10000},
			{[]cloudflaretest.Permission{cloudflaretest.DNSEdit}, 0, 0, 10000},
			{[]cloudflaretest.Permission{cloudflaretest.ZoneRead}, 10000, 10000, 0},
			{nil, 1000, 1000, 1000},
		} {
			c.s.SetToken("small", try.may...)
			c.token = "small"
			for what, got := range map[string][2]int{
				"list":  {c.do(http.MethodGet, list, "").code(), try.list},
				"batch": {c.batch(`{}`).code(), try.batch},
				"zones": {c.do(http.MethodGet, "/zones", "").code(), try.zones},
			} {
				if got[0] != got[1] {
					return fmt.Errorf("a token with %v may %s: code %d, want %d", try.may, what, got[0], got[1])
				}
			}
		}
		c.token = ""
		if got := c.batch(`{}`); got.code() != 6003 {
			return fmt.Errorf("without a token: code %d", got.code())
		}
		return nil
	},
	cloudflaretest.Paging: func(c caller) error {
		for i := range 101 {
			c.post(a(fmt.Sprintf("n%03d.example.test", i), "192.0.2.1"))
		}
		list := "/zones/" + c.zone + "/dns_records"
		for query, want := range map[string]int{"": 100, "?page=2": 1, "?page=3": 0, "?per_page=50&page=2": 50, "?per_page=5000000": 101} {
			if got := c.do(http.MethodGet, list+query, ""); got.Info.Count != want || got.Info.TotalCount != 101 {
				return fmt.Errorf("%q lists %d of %d, want %d of 101", query, got.Info.Count, got.Info.TotalCount, want)
			}
		}
		if got := c.do(http.MethodGet, list+"?per_page=5000001", ""); got.code() == 0 {
			return fmt.Errorf("a page of 5,000,001 was listed")
		}
		return nil
	},
	cloudflaretest.Filters: func(c caller) error {
		c.post(a("x.example.test", "192.0.2.1"))
		c.post(txt("x.example.test", `"a"`))
		c.post(a("y.x.example.test", "192.0.2.1"))
		if got := c.do(http.MethodGet, "/zones/"+c.zone+"/dns_records?name.exact=x.example.test&type=A", ""); got.Info.TotalCount != 1 {
			return fmt.Errorf("%d records of one name and type, want 1", got.Info.TotalCount)
		}
		return nil
	},
	cloudflaretest.Fresh: func(c caller) error {
		seen := map[string]bool{}
		for range 3 {
			id := c.post(a("x.example.test", "192.0.2.1"))
			if seen[id] || len(id) != 32 {
				return fmt.Errorf("id %q was given twice, or is none", id)
			}
			seen[id] = true
			c.batch(`{"deletes":[{"id":"` + id + `"}]}`)
		}
		return nil
	},
}

// TestRules: every rule is kept, and shows to be kept by a difference when it
// is switched off.
func TestRules(t *testing.T) {
	for _, rule := range cloudflaretest.AllRules {
		t.Run(string(rule), func(t *testing.T) {
			check := keeps[rule]
			if check == nil {
				t.Fatal("nothing shows that the rule is kept")
			}
			run := func(off ...cloudflaretest.Rule) (err error) {
				synctest.Test(t, func(t *testing.T) {
					s := cloudflaretest.New().Without(off...)
					err = check(caller{t, s, s.AddZone("example.test", "free"), cloudflaretest.Token})
				})
				return err
			}
			if err := run(); err != nil {
				t.Errorf("the rule is not kept: %v", err)
			}
			err := run(rule)
			if err == nil {
				t.Error("with the rule off nothing is different")
			}
			t.Logf("off: %v", err)
		})
	}
}
