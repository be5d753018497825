package cloudflare_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/cloudflare"
	"github.com/veerdns/veer/providers/cloudflare/cloudflaretest"
)

// answers is a transport that answers by hand.
type answers func(n int, req *http.Request) (status int, header http.Header, body string)

func (a answers) transport() http.RoundTripper {
	var mu sync.Mutex
	n := 0
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		mu.Lock()
		n++
		status, header, body := a(n, req)
		mu.Unlock()
		if status == 0 {
			return nil, errors.New("the connection broke")
		}
		if header == nil {
			header = http.Header{"Content-Type": {"application/json"}}
		}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

const zoneID = "0123456789abcdef0123456789abcdef"

// failure is the body of a reply that refuses.
func failure(code int, message string) string {
	return fmt.Sprintf(`{"success":false,"errors":[{"code":%d,"message":%q}],"messages":[],"result":null}`, code, message)
}

// listing is the body of a page with records.
func listing(total int, records ...string) string {
	return fmt.Sprintf(`{"success":true,"errors":[],"messages":[],"result":[%s],"result_info":{"page":1,"per_page":5000,"count":%d,"total_count":%d,"total_pages":1}}`, strings.Join(records, ","), len(records), total)
}

func client(t *testing.T, transport http.RoundTripper, change func(*cloudflare.Config)) (*cloudflare.Provider, *bytes.Buffer) {
	t.Helper()
	c := cloudflaretest.Config(t, zone, zoneID)
	if change != nil {
		change(&c)
	}
	log := &bytes.Buffer{}
	p, err := cloudflare.New(c, cloudflare.Options{Owner: "shop", Log: zerolog.New(log), Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p, log
}

// TestErrorsAreExplained: what the API refuses is told with its code and what
// to do, and is an error of the kind that the controller answers rightly.
func TestErrorsAreExplained(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   error // nil: none of the errors that mean something
		says   []string
	}{
		{"record exists", 400, failure(81057, "The record already exists."), providers.ErrConflict, []string{"81057", "is read again"}},
		{"identical", 400, failure(81058, "An identical record already exists."), providers.ErrConflict, []string{"81058"}},
		{"missing", 404, failure(81044, "Record does not exist."), providers.ErrConflict, []string{"81044", "gone"}},
		{"CNAME beside A", 400, failure(81053, "An A, AAAA, or CNAME record with that host already exists."), providers.ErrConflict, []string{"81053", "a CNAME stands alone"}},
		{"A beside CNAME", 400, failure(81054, "A CNAME record with that host already exists."), providers.ErrConflict, []string{"81054"}},
		{"TTL", 400, `{"success":false,"errors":[{"code":1004,"message":"DNS Validation Error","error_chain":[{"code":9021,"message":"TTL must be between 60 and 86400 seconds, or 1 for Automatic."}]}]}`, providers.ErrRejected, []string{"1004", "9021", "min_ttl"}},
		{"authentication", 403, failure(10000, "Authentication error"), providers.ErrRejected, []string{"10000", `"Zone.DNS Edit"`}},
		{"not allowed", 403, failure(9109, "Unauthorized to access requested resource"), providers.ErrRejected, []string{"9109", `"Zone.DNS Edit"`}},
		{"headers", 400, failure(6003, "Invalid request headers"), providers.ErrRejected, []string{"6003", "API token"}},
		{"token", 401, failure(1000, "Invalid API Token"), providers.ErrRejected, []string{"1000", "not valid"}},
		{"zone id", 404, failure(7003, "Could not route"), providers.ErrRejected, []string{"7003", "zone's id"}},
		{"quota", 400, failure(81045, "Record quota exceeded."), providers.ErrRejected, []string{"81045", "plan"}},
		{"not said by a status", 200, failure(81058, "An identical record already exists."), providers.ErrConflict, []string{"81058"}},
		{"unknown code", 400, failure(4711, "Something"), providers.ErrRejected, []string{"4711", "Something"}},
		{"not JSON", 400, "<html>", providers.ErrRejected, []string{"no error of the API's", "<html>"}},
		{"server error", 502, "<html>bad gateway", nil, []string{"502"}},
		{"redirect", 302, "", providers.ErrRejected, []string{"302"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t)
				s.must(s.write(s.read(), a("app", "192.0.2.1")))
				var broken answers = func(_ int, req *http.Request) (int, http.Header, string) {
					return c.status, http.Header{"Content-Type": {"application/json"}, "Location": {"https://elsewhere.test/"}}, c.body
				}
				stop := false
				p, err := cloudflare.New(s.Config, cloudflare.Options{Owner: "shop", Log: zerolog.Nop(), Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
					if stop && cloudflaretest.IsWrite(req) {
						return broken.transport().RoundTrip(req)
					}
					if req.URL.Host != "api.cloudflare.com" {
						t.Errorf("a request went to %s", req.URL)
					}
					return s.Server.RoundTrip(req)
				})})
				s.must(err)
				s.must(p.Prove(t.Context(), zone))
				from, err := p.Read(t.Context(), zone)
				s.must(err)
				stop = true
				next := from.Fence
				next.Write++
				_, err = p.Apply(t.Context(), from, next, providers.Diff(from.Records, []providers.RRSet{a("app", "192.0.2.2")}))
				for _, kind := range []error{providers.ErrConflict, providers.ErrRejected, providers.ErrFenced} {
					if errors.Is(err, kind) != (kind == c.want) {
						t.Errorf("the error is %v: want kind %v", err, c.want)
					}
				}
				for _, text := range append(c.says, "example.test.") {
					if err == nil || !strings.Contains(err.Error(), text) {
						t.Errorf("the error does not say %q: %v", text, err)
					}
				}
				s.has("app.example.test A 192.0.2.1 60")
			})
		})
	}
}

// TestThrottled: after a 429 nothing is sent, of any zone, before the time that
// the API names.
func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.must(s.write(s.read(), a("app", "192.0.2.1")))
		other := s.Server.AddZone("other.test", "pro")
		c := s.Config
		c.Zones = append(c.Zones, cloudflare.Zone{Name: "other.test", ID: other})
		p, err := cloudflare.New(c, cloudflare.Options{Owner: "shop", Log: zerolog.Nop(), Transport: s.Server})
		s.must(err)
		s.must(p.Prove(t.Context(), zone))
		from, err := p.Read(t.Context(), zone)
		s.must(err)
		s.Server.SetRequests(1) // used up long ago
		begun := time.Now()
		next := from.Fence
		next.Write++
		_, err = p.Apply(t.Context(), from, next, nil)
		var busy *providers.BusyError
		if !errors.As(err, &busy) || busy.After != 5*time.Minute {
			t.Fatalf("a throttled write gave %v, want to be asked to wait 5 minutes", err)
		}
		throttled := s.Server.Calls()["throttled"]
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Read(soon, "other.test"); !errors.As(err, &busy) || busy.After != 5*time.Minute {
			t.Errorf("reading another zone gave %v, want to be asked to wait 5 minutes", err)
		}
		if _, err = p.Apply(soon, from, next, nil); !errors.As(err, &busy) {
			t.Errorf("writing again gave %v, want to be asked to wait", err)
		}
		if time.Since(begun) > 0 {
			t.Errorf("it took %s to say so", time.Since(begun))
		}
		s.Server.SetRequests(1200)
		if _, err := p.Read(t.Context(), "other.test"); err != nil {
			t.Errorf("with time, reading another zone gave %v", err)
		}
		if waited := time.Since(begun); waited != 5*time.Minute {
			t.Errorf("a request went after %s, want 5m0s", waited)
		}
		if got := s.Server.Calls()["throttled"]; got != throttled {
			t.Errorf("%d requests went too early", got-throttled)
		}
	})
}

// TestReadsAreTriedAgain: a read gets through what passes, and ends with what
// does not.
func TestReadsAreTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		first answers
		ok    bool
		tries int
	}{
		{"a broken connection", func(n int, _ *http.Request) (int, http.Header, string) { return 0, nil, "" }, false, 3},
		{"two broken connections", func(n int, _ *http.Request) (int, http.Header, string) {
			if n < 3 {
				return 0, nil, ""
			}
			return 200, nil, listing(0)
		}, true, 3},
		{"a server error", func(n int, _ *http.Request) (int, http.Header, string) { return 500, nil, "<html>" }, false, 3},
		{"a refusal", func(n int, _ *http.Request) (int, http.Header, string) {
			return 403, nil, failure(10000, "Authentication error")
		}, false, 1},
		{"a short wait", func(n int, _ *http.Request) (int, http.Header, string) {
			if n == 1 {
				return 429, http.Header{"Retry-After": {"3"}}, failure(971, "Please wait")
			}
			return 200, nil, listing(0)
		}, true, 2},
		{"a long wait", func(n int, _ *http.Request) (int, http.Header, string) {
			return 429, http.Header{"Retry-After": {"120"}}, failure(971, "Please wait")
		}, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				p, _ := client(t, answers(func(n int, req *http.Request) (int, http.Header, string) {
					if req.URL.Query().Get("type") == "TXT" && tries > 0 && c.ok && n > c.tries {
						return 200, nil, listing(0)
					}
					tries++
					return c.first(n, req)
				}).transport(), nil)
				_, err := p.Read(t.Context(), zone)
				if (err == nil) != c.ok {
					t.Errorf("Read gave %v, want it to work: %v", err, c.ok)
				}
				if !c.ok && tries != c.tries {
					t.Errorf("it was tried %d times, want %d", tries, c.tries)
				}
			})
		})
	}
}

// TestHostileReplies: whatever the API sends, an error tells what was wrong with
// it.
func TestHostileReplies(t *testing.T) {
	good := `{"id":"1","name":"app.example.test","type":"A","content":"192.0.2.1","ttl":60}`
	for name, c := range map[string]struct{ body, says string }{
		"not JSON":          {"surprise", "not JSON"},
		"no page":           {`{"success":true}`, "page 0"},
		"an address":        {listing(1, strings.Replace(good, "192.0.2.1", "host", 1)), `the API's record "1" ("app.example.test" "A"): its content`},
		"an id":             {listing(1, strings.Replace(good, `"1"`, `""`, 1)), "its id is not one"},
		"a type":            {listing(1, strings.Replace(good, `"A"`, `"a"`, 1)), "its type is not one"},
		"a TTL":             {listing(1, strings.Replace(good, `60`, `-1`, 1)), "its TTL is -1"},
		"a TTL of text":     {listing(1, strings.Replace(good, `60`, `"60"`, 1)), "ttl"},
		"a name":            {listing(1, strings.Replace(good, "app.example.test", "", 1)), "its name"},
		"another zone":      {listing(1, strings.Replace(good, "app.example.test", "app.example.org", 1)), "in zone example.test."},
		"a count":           {listing(-1, good), "counts -1 records"},
		"too many":          {listing(9_000_000, good), "counts 9000000 records"},
		"fewer than counts": {listing(3, good), "changed while they were listed"},
		"more than counts":  {listing(0, good), "changed while they were listed"},
		"one twice":         {listing(2, good, good), "changed while they were listed"},
		"a text too long":   {`{"success":true,"result":"` + strings.Repeat("x", 65<<20) + `"}`, "lower page_size"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := client(t, answers(func(n int, req *http.Request) (int, http.Header, string) {
					if req.URL.Query().Get("type") != "" {
						return 200, nil, listing(0)
					}
					return 200, nil, c.body
				}).transport(), nil)
				if _, err := p.Read(t.Context(), zone); err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 2000 {
					t.Errorf("Read gave %.300v, want it to say %q", err, c.says)
				}
			})
		})
	}
}

// TestTokenFile: a token that was replaced in its file is used as soon as the
// old one is refused, and none is ever told.
func TestTokenFile(t *testing.T) {
	s := cloudflaretest.New()
	id := s.AddZone(zone, "pro")
	c := cloudflaretest.Config(t, zone, id)
	log := &bytes.Buffer{}
	p, err := cloudflare.New(c, cloudflare.Options{Owner: "shop", Log: zerolog.New(log), Transport: s})
	if err != nil {
		t.Fatal(err)
	}
	read := func() error { _, err := p.Read(t.Context(), zone); return err }
	if err := read(); err != nil {
		t.Fatal(err)
	}
	const second = "the-second-token-0123456789abcdefghijkl"
	s.SetToken(cloudflaretest.Token)
	s.SetToken(second, cloudflaretest.DNSRead)
	refused := read()
	if refused == nil || !strings.Contains(refused.Error(), `"Zone.DNS Read"`) {
		t.Errorf("with a token that is refused, Read gave %v; want the permission named", refused)
	}
	if err := os.WriteFile(c.TokenFile, []byte(second+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read(); err != nil {
		t.Errorf("with another token in the file, Read gave %v", err)
	}
	if err := p.Prove(t.Context(), zone); err == nil || !strings.Contains(err.Error(), `"Zone.DNS Edit"`) {
		t.Errorf("writing with a token that only reads gave %v; want the permission named", err)
	}
	for _, text := range []string{log.String(), refused.Error()} {
		if strings.Contains(text, cloudflaretest.Token) || strings.Contains(text, second) {
			t.Errorf("a token is told: %s", text)
		}
	}
}

// TestReadsThatAreNotPermitted: such a read is told as one that no repetition
// mends, so that the account's limit is not spent on it; a lost write is not
// taken for one that was rejected by it.
func TestReadsThatAreNotPermitted(t *testing.T) {
	for status, rejected := range map[int]bool{403: true, 404: true, 500: false} {
		p, _ := client(t, answers(func(int, *http.Request) (int, http.Header, string) {
			return status, nil, failure(10000, "no")
		}).transport(), nil)
		if _, err := p.Read(t.Context(), zone); errors.Is(err, providers.ErrRejected) != rejected {
			t.Errorf("with status %d, Read gave %v", status, err)
		}
	}
}

// TestTokenIsNotEchoed: not even an API that repeats the token makes an error
// tell it.
func TestTokenIsNotEchoed(t *testing.T) {
	for _, reply := range []func(echo string) (int, string){
		func(echo string) (int, string) { return 403, failure(10000, echo) },
		func(echo string) (int, string) { return 200, "a portal: " + echo },
		func(echo string) (int, string) { return 403, strings.Repeat("x", 95) + " " + echo },
	} {
		p, log := client(t, answers(func(_ int, req *http.Request) (int, http.Header, string) {
			status, body := reply(req.Header.Get("Authorization"))
			return status, nil, body
		}).transport(), nil)
		_, err := p.Read(t.Context(), zone)
		if err == nil || strings.Contains(err.Error()+log.String(), cloudflaretest.Token[:8]) || !strings.Contains(err.Error(), "[secret]") {
			t.Errorf("the error is %v, the log %s", err, log)
		}
	}
}

func TestTokenSources(t *testing.T) {
	t.Setenv("VEER_TEST_CF", cloudflaretest.Token)
	t.Setenv("VEER_TEST_CF_BAD", "a token")
	dir := t.TempDir()
	for _, c := range []struct {
		name   string
		change func(*cloudflare.Config)
		says   string
	}{
		{"environment", func(c *cloudflare.Config) { c.TokenFile, c.TokenEnv = "", "VEER_TEST_CF" }, ""},
		{"unset", func(c *cloudflare.Config) { c.TokenFile, c.TokenEnv = "", "VEER_TEST_CF_NONE" }, "token_env VEER_TEST_CF_NONE: it is empty"},
		{"spaces", func(c *cloudflare.Config) { c.TokenFile, c.TokenEnv = "", "VEER_TEST_CF_BAD" }, "token_env VEER_TEST_CF_BAD: it has spaces"},
		{"no file", func(c *cloudflare.Config) { c.TokenFile = dir + "/none" }, "token_file: open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := client(t, answers(func(_ int, req *http.Request) (int, http.Header, string) {
				if got := req.Header.Get("Authorization"); got != "Bearer "+cloudflaretest.Token {
					t.Errorf("the request carries %q", got)
				}
				return 200, nil, listing(0)
			}).transport(), c.change)
			_, err := p.Read(t.Context(), zone)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "a token\"")) {
				t.Errorf("Read gave %v, want it to say %q", err, c.says)
			}
		})
	}
}

// TestZoneByName: a zone without an id in the config is looked up once, and
// again when the API does not know the id any more.
func TestZoneByName(t *testing.T) {
	s := cloudflaretest.New()
	c := cloudflaretest.Config(t, zone, "")
	p, err := cloudflare.New(c, cloudflare.Options{Owner: "shop", Log: zerolog.Nop(), Transport: s})
	if err != nil {
		t.Fatal(err)
	}
	read := func(says string) {
		t.Helper()
		_, err := p.Read(t.Context(), zone)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("Read gave %v, want it to say %q", err, says)
		}
	}
	read("no zone example.test. is seen with this token")
	id := s.AddZone(zone, "pro")
	read("")
	read("")
	if got := s.Calls()["zones"]; got != 2 {
		t.Errorf("the zone was looked up %d times, want 2", got)
	}
	s.DropZone(id)
	second := s.AddZone(zone, "pro")
	read("7003")
	read("")
	s.DropZone(second)
	read("7003")
	one, two := s.AddZone(zone, "pro"), s.AddZone(zone, "free")
	read("2 zones are named example.test.")
	_, err = p.Read(t.Context(), zone)
	if err == nil || !strings.Contains(err.Error(), one) || !strings.Contains(err.Error(), two) {
		t.Errorf("the error does not name the ids %s and %s: %v", one, two, err)
	}
	s.SetToken(cloudflaretest.Token, cloudflaretest.DNSEdit)
	read(`"Zone.Zone Read" (or give the zone's id in the config)`)
}

// TestListingThatMoves: records that change between two pages make the listing
// begin again, and an error when they never rest.
func TestListingThatMoves(t *testing.T) {
	w := cloudflaretest.NewWorld(t, zone)
	p := w.Provider(t, "shop", nil)
	for i := range 20 {
		if err := w.Server.Put(w.ZoneID, "", a(fmt.Sprintf("n%02d", i), "192.0.2.1")); err != nil {
			t.Fatal(err)
		}
	}
	moves, pages, remove := 0, 0, false
	w.Server.Before(func(r *http.Request) {
		if r.URL.Query().Get("page") != "2" || moves == 0 {
			return
		}
		moves--
		pages++
		if remove { // the second page begins one further, and nothing comes twice
			if err := w.Server.Delete(w.ZoneID, a("n00").Name, "A"); err != nil {
				t.Error(err)
			}
			return
		}
		if err := w.Server.Put(w.ZoneID, "", a(fmt.Sprintf("a%02d", pages), "192.0.2.1")); err != nil {
			t.Error(err)
		}
	})
	moves = 2
	snap, err := p.Read(t.Context(), zone)
	if err != nil || len(snap.Foreign) != 22 {
		t.Errorf("Read gave %d records, %v; want all 22", len(snap.Foreign), err)
	}
	moves, remove = 1, true
	snap, err = p.Read(t.Context(), zone)
	if err != nil || len(snap.Foreign) != 21 || slices.ContainsFunc(snap.Foreign, a("n00", "192.0.2.1").Equal) {
		t.Errorf("Read gave %v, %v; want the 21 that are left", snap.Foreign, err)
	}
	moves, remove = 100, false
	if _, err := p.Read(t.Context(), zone); err == nil || !strings.Contains(err.Error(), "changed while they were listed") {
		t.Errorf("a zone that never rests gave %v", err)
	}
}

// TestTimeout: a write that hangs ends with the timeout, and the fence tells
// that it was not done; the log is of one line.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.must(s.write(s.read(), a("app", "192.0.2.1")))
		from := s.read()
		s.line.Hold()
		begun := time.Now()
		err := s.write(from, a("app", "192.0.2.2"))
		if err == nil || errors.Is(err, providers.ErrConflict) || errors.Is(err, providers.ErrRejected) {
			t.Errorf("a write that hangs gave %v", err)
		}
		if took := time.Since(begun); took != 30*time.Second {
			t.Errorf("it took %s, want the timeout of 30s", took)
		}
		s.must(s.write(s.read(), a("app", "192.0.2.2")))
		s.line.Deliver()
		s.has("app.example.test A 192.0.2.2 60")
	})
}

// TestOverSockets: the whole of it over HTTP to a base URL of the config.
func TestOverSockets(t *testing.T) {
	s := cloudflaretest.New()
	server := httptest.NewServer(s)
	defer server.Close()
	id := s.AddZone(zone, "free")
	c := cloudflaretest.Config(t, zone, id)
	c.BaseURL = server.URL + "/client/v4/"
	p, err := cloudflare.New(c, cloudflare.Options{Owner: "shop", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	from, err := p.Read(t.Context(), zone)
	if err != nil {
		t.Fatal(err)
	}
	next := providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: 1}
	if _, err := p.Apply(t.Context(), from, next, providers.Diff(nil, []providers.RRSet{a("app", "192.0.2.1")})); err != nil {
		t.Fatal(err)
	}
	if after, err := p.Read(t.Context(), zone); err != nil || len(after.Records) != 1 {
		t.Errorf("Read gave %+v, %v", after.Records, err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
