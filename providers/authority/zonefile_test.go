package authority

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cockroachdb/datadriven"
)

// TestZoneFiles runs the tables in testdata/zonefile. Directives: zone NAME
// (the file's text) prints the zone or every problem; service NAME TYPES...
// says whether a service can be laid over the last zone.
func TestZoneFiles(t *testing.T) {
	datadriven.Walk(t, "testdata/zonefile", func(t *testing.T, path string) {
		var last *ZoneFile
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "zone":
				z, err := zoneText(d.CmdArgs[0].Key, d.Input, map[string]string{
					"hosts.inc":   "a 60 A 192.0.2.10\nb 60 A 192.0.2.11\n",
					"broken.inc":  "a 60 A 192.0.2.10\n\nb 60 A not-an-address\n",
					"self.inc":    "$INCLUDE self.inc\n",
					"foreign.inc": "\n\nwww.elsewhere.example. 60 A 192.0.2.12\n",
				})
				if err != nil {
					return err.Error() + "\n"
				}
				last = z
				return strings.ReplaceAll(z.String(), "\t", " ")
			case "service":
				var types []string
				for _, a := range d.CmdArgs[1:] {
					types = append(types, a.Key)
				}
				if err := last.CheckService(d.CmdArgs[0].Key, types...); err != nil {
					return err.Error() + "\n"
				}
				return "ok\n"
			}
			return fmt.Sprintf("unknown directive %q", d.Cmd)
		})
	})
}

func TestIncludeStaysBelowTheFolder(t *testing.T) {
	dir := t.TempDir()
	zones := filepath.Join(dir, "zones")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, at string) {
		t.Helper()
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "secret"), "s 60 A 192.0.2.66\n")
	write(filepath.Join(zones, "inner", "hosts"), "$INCLUDE more\n")
	write(filepath.Join(zones, "inner", "more"), "h 60 A 192.0.2.2\n")
	link("inner/hosts", filepath.Join(zones, "near"))
	link("../secret", filepath.Join(zones, "far"))
	link(filepath.Join(dir, "secret"), filepath.Join(zones, "absolute"))
	link("..", filepath.Join(zones, "up"))
	file := filepath.Join(zones, "zone")
	for include, ok := range map[string]bool{
		"inner/hosts": true, "inner/../inner/more": true, "/inner/more": true, "inner/more": true,
		"far": false, "absolute": false, "up/secret": false, "../secret": false, "../../../../../etc/hostname": false,
		"inner": false, "missing": false, filepath.Join(dir, "secret"): false,
	} {
		write(file, smallHead+"$INCLUDE "+include+"\n")
		z, err := ReadZone(Zone{Name: "example.test", File: file})
		if (err == nil) != ok {
			t.Errorf("$INCLUDE %s: error %v, want ok %v", include, err, ok)
		}
		if err == nil && !strings.Contains(z.String(), "h.example.test.") {
			t.Errorf("$INCLUDE %s: its record is missing:\n%s", include, z)
		}
		if err != nil && !strings.Contains(err.Error(), "zone:5") {
			t.Errorf("$INCLUDE %s: the error does not name the line: %v", include, err)
		}
	}
	link("zones/zone", filepath.Join(dir, "other-name"))
	write(file, smallHead+"$INCLUDE inner/more\n")
	if _, err := ReadZone(Zone{Name: "example.test", File: filepath.Join(dir, "other-name")}); err != nil {
		t.Errorf("a link to the zone's file itself: %v", err)
	}
	if _, err := ReadZone(Zone{Name: "example.test", File: filepath.Join(dir, "nothing")}); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestZoneBounds(t *testing.T) {
	parse := func(text string) error {
		_, err := parseZone("example.test", "zone", fstest.MapFS{
			"zone": {Data: []byte(smallHead + text)},
			"inc":  {Data: []byte("; " + strings.Repeat("x", 400) + "\n")},
		}, bounds{bytes: 1000, records: 10})
		return err
	}
	for text, want := range map[string]string{
		strings.Repeat("; "+strings.Repeat("x", 97)+"\n", 10): "zone:14: more than 1000 bytes",
		strings.Repeat("$INCLUDE inc\n", 3):                   "inc:1: more than 1000 bytes",
		"$GENERATE 1-65535 h$ A 192.0.2.1\n":                  "zone:5: more than 10 records",
		"$GENERATE 1-7 h$ A 192.0.2.1\n$INCLUDE inc\n":        "",
	} {
		err := parse(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40q: got error %v, want %q", text, err, want)
		}
	}
}
