//go:build realservers

package powerdns_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/powerdns"
	"github.com/veerdns/veer/providers/providertest"
)

const zone = "example.test."

const pdnsConfig = `launch=%[5]s
gsqlite3-database=%[1]s/pdns.db
gsqlite3-pragma-synchronous=0
local-address=127.0.0.1
local-port=%[2]d
webserver=yes
webserver-address=127.0.0.1
webserver-port=%[3]d
api=yes
api-key=%[4]s
socket-dir=%[1]s
daemon=no
guardian=no
`

const apiKey = "not-a-secret-of-anybody"

// schema is where Debian's pdns-backend-sqlite3 keeps it.
const schema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"

// startPowerDNS runs Debian's server with the backends, of which gsqlite3 has
// an empty database, and returns its address.
func startPowerDNS(t *testing.T, launch string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "v") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if out, err := exec.Command("sqlite3", filepath.Join(dir, "pdns.db"), ".read "+schema).CombinedOutput(); err != nil {
		t.Fatalf("making the database: %v: %s", err, out)
	}
	ports := [2]int{freePort(t), freePort(t)}
	config := fmt.Sprintf(pdnsConfig, dir, ports[0], ports[1], apiKey, launch)
	if err := os.WriteFile(filepath.Join(dir, "pdns.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("pdns_server", "--config-dir="+dir)
	log := &tail{ready: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	select {
	case <-log.ready:
	case <-ended:
		t.Fatalf("pdns_server ended: %s", log)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", ports[1])
}

// tail keeps a server's log, and tells when it is ready.
type tail struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ready chan struct{}
	told  bool
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if !l.told && strings.Contains(l.text.String(), "ready to distribute questions") {
		l.told = true
		close(l.ready)
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// admin is somebody with the API key and no manners.
type admin struct {
	t   *testing.T
	url string
}

func (a admin) do(method, path, body string) (int, []byte) {
	req, err := http.NewRequest(method, a.url+"/api/v1/servers/localhost"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", apiKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, b
}

func (a admin) must(method, path, body string) []byte {
	a.t.Helper()
	code, b := a.do(method, path, body)
	if code/100 != 2 {
		a.t.Fatalf("%s %s: %d %s", method, path, code, b)
	}
	return b
}

func (a admin) empty() {
	a.do("DELETE", "/zones/"+zone, "")
	a.must("POST", "/zones", `{"name":"`+zone+`","kind":"Native","nameservers":["ns.`+zone+`"]}`)
}

func (a admin) put(set providers.RRSet) {
	var records []string
	for _, d := range set.Data {
		records = append(records, fmt.Sprintf(`{"content":%q,"disabled":false}`, d))
	}
	a.must("PATCH", "/zones/"+zone, fmt.Sprintf(`{"rrsets":[{"name":%q,"type":%q,"ttl":%d,"changetype":"REPLACE","records":[%s]}]}`,
		set.Name, set.Type, set.TTL, strings.Join(records, ",")))
}

func (a admin) remove(key providers.Key) {
	a.must("PATCH", "/zones/"+zone, fmt.Sprintf(`{"rrsets":[{"name":%q,"type":%q,"changetype":"DELETE"}]}`, key.Name, key.Type))
}

// rrset is a set as the API has it.
type rrset struct {
	Name, Type string
	TTL        uint32
	Records    []struct{ Content string }
	Comments   []struct{ Content string }
}

func (a admin) list() []rrset {
	var z struct{ RRsets []rrset }
	if err := json.Unmarshal(a.must("GET", "/zones/"+zone, ""), &z); err != nil {
		a.t.Fatal(err)
	}
	return z.RRsets
}

func (a admin) setComment(key providers.Key, text string) {
	a.must("PATCH", "/zones/"+zone, fmt.Sprintf(`{"rrsets":[{"name":%q,"type":%q,"changetype":"REPLACE","comments":[{"content":%q,"account":"web"}]}]}`, key.Name, key.Type, text))
}

func (a admin) comment(key providers.Key) string {
	for _, s := range a.list() {
		if s.Name == key.Name && s.Type == key.Type && len(s.Comments) == 1 {
			return s.Comments[0].Content
		}
	}
	return ""
}

func (a admin) all() []providers.RRSet { return a.sets(providers.Steered) }

// sets returns those of certain types, without Veer's own.
func (a admin) sets(typ func(string) bool) []providers.RRSet {
	var out []providers.RRSet
	for _, s := range a.list() {
		lock := s.Type == "CNAME" && strings.Contains(s.Name, "._veer")
		if !typ(s.Type) || lock {
			continue
		}
		set := providers.RRSet{Name: s.Name, Type: s.Type, TTL: s.TTL}
		for _, r := range s.Records {
			set.Data = append(set.Data, r.Content)
		}
		out = append(out, set.Canonical())
	}
	return out
}

func newProvider(t *testing.T, url, owner string, transport http.RoundTripper) *powerdns.Provider {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(apiKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := powerdns.Config{URL: url, APIKeyFile: key, Zones: []powerdns.Zone{{Name: "Example.Test"}}}
	c.Check(func(field, format string, args ...any) { t.Errorf(field+": "+format, args...) })
	p, err := powerdns.New(c, powerdns.Options{Owner: owner, Log: zerolog.New(zerolog.NewTestWriter(t)), Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestContract(t *testing.T) {
	url := startPowerDNS(t, "gsqlite3")
	providertest.Run(t, func(t *testing.T) providertest.World {
		a := admin{t, url}
		a.empty()
		wire := providertest.NewWire(http.DefaultTransport, func(r *http.Request) bool { return r.Method == http.MethodPatch })
		return providertest.World{
			Zone: zone, Owner: "shop", Plain: true, Provider: newProvider(t, url, "shop", wire),
			Put: func(owner string, set providers.RRSet) error {
				if owner != "" {
					a.put(providers.RRSet{Name: providers.OwnerName(set.Name), Type: "TXT", TTL: 60, Data: []string{`"` + providers.OwnerText(owner) + `"`}})
				}
				a.put(set.Canonical())
				return nil
			},
			Remove: func(key providers.Key) error { a.remove(key); return nil },
			All:    func() ([]providers.RRSet, error) { return a.all(), nil },
			Types: func() ([]providers.RRSet, error) {
				return a.sets(func(typ string) bool { return !providers.Steered(typ) }), nil
			},
			Attribute:    func(key providers.Key) (string, error) { return a.comment(key), nil },
			SetAttribute: func(key providers.Key) error { a.setComment(key, "ask the web team"); return nil },
			Other:        func(owner string) providers.Provider { return newProvider(t, url, owner, wire) },
			Line:         wire.Line,
			Throttle:     func() { wire.Answer(http.StatusTooManyRequests, nil, "one too many") },
			Lacks: map[string]string{
				"Page":  "the API lists a zone in one reply",
				"Parts": "a request carries megabytes",
			},
		}
	})
}

// TestOneWins: of many requests with one precondition at the same moment the
// server does one.
func TestOneWins(t *testing.T) {
	url := startPowerDNS(t, "gsqlite3")
	admin{t, url}.empty()
	const rivals, rounds = 6, 40
	var clients [rivals]*powerdns.Provider
	for i := range clients {
		clients[i] = newProvider(t, url, "shop", nil)
		if err := clients[i].Prove(t.Context(), zone); err != nil {
			t.Fatal(err)
		}
	}
	for round := range uint64(rounds) {
		from, err := clients[0].Read(t.Context(), zone)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		errs := make([]error, rivals)
		for i, c := range clients {
			own, err := c.Read(t.Context(), zone)
			if err != nil {
				t.Fatal(err)
			}
			next := providers.Fence{Owner: "shop", Term: round + 1, Holder: fmt.Sprintf("h%d", i), Write: from.Fence.Write + 1}
			set := providers.RRSet{Name: "app." + zone, Type: "A", TTL: 60, Data: []string{fmt.Sprintf("192.0.2.%d", i+1)}}
			wg.Go(func() {
				_, errs[i] = c.Apply(t.Context(), own, next, providers.Diff(own.Records, []providers.RRSet{set}))
			})
		}
		wg.Wait()
		now, err := clients[0].Read(t.Context(), zone)
		if err != nil {
			t.Fatal(err)
		}
		winners := 0
		for i, err := range errs {
			if err != nil {
				continue
			}
			winners++
			if holder := fmt.Sprintf("h%d", i); now.Fence.Holder != holder || now.Records[0].Data[0] != fmt.Sprintf("192.0.2.%d", i+1) {
				t.Fatalf("round %d: %s was told that it wrote, the zone has %s and %v", round, holder, now.Fence, now.Records)
			}
		}
		if winners > 1 || winners == 0 && now.Fence != from.Fence {
			t.Fatalf("round %d: %d of %d were told that they wrote: %v", round, winners, rivals, errs)
		}
	}
}

// TestOneOwner: of two Veers that want one new name, one gets it.
func TestOneOwner(t *testing.T) {
	url := startPowerDNS(t, "gsqlite3")
	a := admin{t, url}
	a.empty()
	shop, blog := newProvider(t, url, "shop", nil), newProvider(t, url, "blog", nil)
	name := "app." + zone
	var snaps [2]providers.Snapshot
	for i, p := range []*powerdns.Provider{shop, blog} { // both read before either writes
		var err error
		if snaps[i], err = p.Read(t.Context(), zone); err != nil {
			t.Fatal(err)
		}
	}
	write := func(p *powerdns.Provider, owner, address string, from providers.Snapshot) error {
		set := providers.RRSet{Name: name, Type: "A", TTL: 60, Data: []string{address}}
		_, err := p.Apply(t.Context(), from, providers.Fence{Owner: owner, Term: 1, Holder: "h", Write: from.Fence.Write + 1}, []providers.Change{{After: &set}})
		return err
	}
	if err := write(shop, "shop", "192.0.2.1", snaps[0]); err != nil {
		t.Fatal(err)
	}
	if err := write(blog, "blog", "192.0.2.2", snaps[1]); !errors.Is(err, providers.ErrConflict) {
		t.Errorf("the second owner got %v, want a conflict", err)
	}
	if all := a.all(); len(all) != 1 || all[0].Data[0] != "192.0.2.1" {
		t.Errorf("the zone has %v, want the first owner's record alone", all)
	}
	if now, err := shop.Read(t.Context(), zone); err != nil || len(now.Records) != 1 {
		t.Errorf("the first owner reads %+v, %v: want its record as its own", now, err)
	}
}

// TestKeeps: comments and records that the server does not serve stay.
func TestKeeps(t *testing.T) {
	url := startPowerDNS(t, "gsqlite3")
	a := admin{t, url}
	a.empty()
	a.must("PATCH", "/zones/"+zone, `{"rrsets":[{"name":"app.example.test.","type":"A","ttl":60,"changetype":"REPLACE",
		"records":[{"content":"192.0.2.1","disabled":false},{"content":"192.0.2.99","disabled":true}],
		"comments":[{"content":"ask the web team","account":"web"}]}]}`)
	p := newProvider(t, url, "shop", nil)
	from, err := p.Read(t.Context(), zone)
	if err != nil || len(from.Foreign) != 1 || len(from.Foreign[0].Data) != 1 {
		t.Fatalf("read %+v, %v: want the one record that is served as foreign", from, err)
	}
	fence := providers.Fence{Owner: "shop", Term: 1, Holder: "h", Write: 1}
	if _, err := p.Own(t.Context(), from, fence, []string{"app." + zone}, nil); err != nil {
		t.Fatal(err)
	}
	if from, err = p.Read(t.Context(), zone); err != nil {
		t.Fatal(err)
	}
	want := providers.RRSet{Name: "app." + zone, Type: "A", TTL: 60, Data: []string{"192.0.2.2"}}
	if _, err := p.Apply(t.Context(), from, fence.Next(), providers.Diff(from.Records, []providers.RRSet{want})); err != nil {
		t.Fatal(err)
	}
	got := string(a.must("GET", "/zones/"+zone, ""))
	for _, text := range []string{`"content": "192.0.2.2", "disabled": false`, `"content": "192.0.2.99", "disabled": true`, "ask the web team"} {
		if !strings.Contains(got, text) {
			t.Errorf("after a change the zone lacks %s: %s", text, got)
		}
	}
	if strings.Contains(got, `"192.0.2.1"`) {
		t.Error("the old record is still there")
	}
}

// TestErrors: what an operator reads, and that nothing was written.
func TestErrors(t *testing.T) {
	url, other := startPowerDNS(t, "gsqlite3"), startPowerDNS(t, "bind,gsqlite3")
	for _, a := range []admin{{t, url}, {t, other}} {
		a.empty()
	}
	file := func(key string) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name string
		c    powerdns.Config
		want string
	}{
		{"wrong key", powerdns.Config{URL: url, APIKeyFile: file("wrong-key-of-mine")}, "PowerDNS answered 401: Unauthorized; is the API key that of the server's api-key"},
		{"no such server", powerdns.Config{URL: url, APIKeyFile: file(apiKey), Server: "elsewhere"}, "PowerDNS answered 404: Not Found; does the zone exist there"},
		{"a backend that is not safe", powerdns.Config{URL: other, APIKeyFile: file(apiKey)}, "backend is bind, on which two requests at the same moment can both pass"},
	} {
		c.c.Zones = []powerdns.Zone{{Name: zone}}
		p, err := powerdns.New(c.c, powerdns.Options{Owner: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		err = p.Prove(t.Context(), zone)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "wrong-key-of-mine") {
			t.Errorf("%s: the error holds the key", c.name)
		}
	}
	if err := newProvider(t, url, "shop", nil).Prove(t.Context(), "other.test."); err == nil {
		t.Error("a zone that is not in the config was proven")
	}
}
