package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// noEnv is an environment without variables.
func noEnv(string) (string, bool) { return "", false }

// environ is an environment of the given variables.
func environ(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// anyZone is a zone file that fits every zone.
const anyZone = `$TTL 300
@  IN SOA ns hostmaster 1 7200 900 1209600 300
   IN NS  ns
ns IN A   127.0.0.1
`

// folder makes a folder with the starter's zone file, secrets good and bad,
// and the given veer.yaml, and returns the path of that.
func folder(t testing.TB, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		StarterZoneFile: StarterZone(), "any.zone": anyZone, "broken.zone": "@ IN SOA ns\n",
		"cut.zone": anyZone + "app IN NS ns.example.net.\nwww IN CNAME ns\n", "dname.zone": anyZone + "old IN DNAME example.net.\n", "token": "s3cret\n", "cookies": "00112233445566778899aabbccddeeff\n", "empty": "", "ca.pem": "x", "cert.pem": "x", "key.pem": "x",
		StarterFile: text,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, StarterFile)
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func load(t testing.TB, text string) *Config {
	t.Helper()
	c, err := Load(folder(t, text), noEnv)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

// same compares two configs by what they say, not by where they lie.
func same() cmp.Options {
	return cmp.Options{cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty()}
}

func TestStarterAndMinimal(t *testing.T) {
	starter := load(t, Starter())
	if got := starter.Services[0].Name; got != "app.example.test." {
		t.Errorf("the starter steers %q", got)
	}
	for _, w := range starter.Warnings() {
		t.Log(w)
	}
	minimal := read(t, "testdata/minimal.yaml")
	if n := strings.Count(minimal, "\n"); n >= 20 {
		t.Errorf("the minimal config has %d lines, expected fewer than 20", n)
	}
	load(t, minimal)
}

func TestEffectiveRoundTrip(t *testing.T) {
	for name, text := range map[string]string{"starter": Starter(), "minimal": read(t, "testdata/minimal.yaml"), "full": read(t, "testdata/full.yaml")} {
		for _, defaults := range []bool{false, true} {
			c := load(t, text)
			shown := c.YAML(defaults)
			path := filepath.Join(c.dir, StarterFile)
			if err := os.WriteFile(path, shown, 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := Load(path, noEnv)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, shown)
			}
			if diff := cmp.Diff(c, again, same()); diff != "" {
				t.Errorf("%s: read back (-was +is):\n%s\n%s", name, diff, shown)
			}
			if c.Hash() != again.Hash() {
				t.Errorf("%s: the hash changed from %s to %s", name, c.Hash(), again.Hash())
			}
			if !bytes.Equal(shown, again.YAML(defaults)) {
				t.Errorf("%s: written again it differs", name)
			}
		}
	}
}
