package powerdns

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/providers/internal/fenced"
)

func TestCheck(t *testing.T) {
	good := Config{URL: "http://127.0.0.1:8081", APIKeyFile: "key", Zones: []Zone{{"example.test"}}}
	for _, c := range []struct {
		want string
		with func(*Config)
	}{
		{"", func(*Config) {}},
		{"url is missing: expected the address", func(c *Config) { c.URL = "" }},
		{"url is not an address like", func(c *Config) { c.URL = "127.0.0.1:8081" }},
		{"url is not an address like", func(c *Config) { c.URL = "ftp://127.0.0.1" }},
		{"url holds a user or password", func(c *Config) { c.URL = "http://u:hunter2@127.0.0.1" }},
		{`server found "a/b"`, func(c *Config) { c.Server = "a/b" }},
		{"api_key_file is missing", func(c *Config) { c.APIKeyFile = "" }},
		{"api_key_env is given beside", func(c *Config) { c.APIKeyEnv = "KEY" }},
		{"timeout found 1h0m0s: expected 1ms to 10m0s", func(c *Config) { c.Timeout = time.Hour }},
		{"queue found -1s", func(c *Config) { c.Queue = -time.Second }},
		{"zones is empty", func(c *Config) { c.Zones = nil }},
		{"zones found a zone without a name", func(c *Config) { c.Zones[0].Name = "" }},
		{"zones example.test. is listed twice", func(c *Config) { c.Zones = append(c.Zones, Zone{"EXAMPLE.test."}) }},
	} {
		bad := good
		bad.Zones = slices.Clone(good.Zones)
		c.with(&bad)
		var got []string
		bad.Check(func(field, format string, args ...any) { got = append(got, field+" "+fmt.Sprintf(format, args...)) })
		if text := strings.Join(got, "; "); c.want == "" && text != "" || !strings.Contains(text, c.want) || strings.Contains(text, "hunter2") {
			t.Errorf("found %q, want %q", text, c.want)
		}
	}
}

func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VEER_TEST_PDNS_EMPTY", " ")
	for _, c := range []Config{{APIKeyFile: path}, {APIKeyFile: filepath.Join(t.TempDir(), "gone")}, {APIKeyEnv: "VEER_TEST_PDNS_EMPTY"}} {
		if key, err := c.key(); err == nil || strings.Contains(err.Error(), "two") {
			t.Errorf("%+v: key %q, error %v", c, key, err)
		}
	}
	t.Setenv("VEER_TEST_PDNS_KEY", "secret")
	if key, err := (Config{APIKeyEnv: "VEER_TEST_PDNS_KEY"}).key(); err != nil || key != "secret" {
		t.Errorf("key %q, error %v", key, err)
	}
}

// TestLock: a request that insists on one count passes for that count alone,
// on a server that knows only that a CNAME excludes other types.
func TestLock(t *testing.T) {
	types := map[string]string{} // what a name has
	apply := func(sets []rrset) bool {
		next := map[string]string{}
		for k, v := range types {
			next[k] = v
		}
		for _, s := range sets {
			switch has := next[s.Name]; {
			case s.ChangeType == "DELETE" && has == s.Type:
				delete(next, s.Name)
			case s.ChangeType == "REPLACE" && has != "" && has != s.Type:
				return false
			case s.ChangeType == "REPLACE":
				next[s.Name] = s.Type
			}
		}
		types = next
		return true
	}
	const last = 300
	// Nothing stands for 0 only to the request that makes the lock: every later
	// one finds all bits there.
	if !apply((lock{"f.example.test.", 0}).step(1)) || len(types) != bits {
		t.Fatalf("the first request made %v", types)
	}
	for now := uint32(1); now < last; now++ {
		for try := range uint32(last + 1) {
			if try != now && apply((lock{"f.example.test.", try}).step(try+1)) {
				t.Fatalf("a request on count %d passed at count %d", try, now)
			}
		}
		if !apply((lock{"f.example.test.", now}).step(now + 1)) {
			t.Fatalf("a request on count %d was refused at that count", now)
		}
	}
	if apply((lock{"f.example.test.", last - 1}).remove()) || !apply((lock{"f.example.test.", last}).remove()) || len(types) != 0 {
		t.Fatalf("removing the lock left %v", types)
	}
}

func FuzzUncounted(f *testing.F) {
	for _, s := range []string{`"veer-fence owner=a" "lock=7"`, `"x"`, `"x" "lock=4294967296"`, `"x" "lock=7" "y"`, `" "lock=7"`, ``, `"lock=1"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		text, n := uncounted(data)
		if n != 0 && counted(text, n) != data && !strings.Contains(data, `"lock=0`) {
			t.Fatalf("%q was read as %q and %d", data, text, n)
		}
		if again, m := uncounted(counted(fenced.Quote(data), 9)); again != fenced.Quote(data) || m != 9 {
			t.Fatalf("%q does not survive", data)
		}
	})
}
