package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/cmd/veer/config"
)

const tutorials = repository + "/docs/tutorials"

// TestTutorials follows each tutorial: its files are on the page as they are,
// its certificates can be issued, its config is valid on every host, with the
// output that the page shows, and no loss of a place leaves traffic where it is.
func TestTutorials(t *testing.T) {
	pages, err := filepath.Glob(tutorials + "/*.md")
	if err != nil || len(pages) < 3 {
		t.Fatalf("found %d tutorials: %v", len(pages), err)
	}
	for _, path := range pages {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		t.Run(name, func(t *testing.T) {
			page, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			path, err = filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			files := readTutorial(t, name)
			for _, problem := range notQuoted(string(page), files) {
				t.Error(problem)
			}
			followTutorial(t, path, string(page), files)
		})
	}
}

func readTutorial(t *testing.T, name string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(tutorials, name))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(tutorials, name, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

// notQuoted says which files a page does not show as they are.
func notQuoted(page string, files map[string]string) []string {
	_, fences := proseAndFences(page)
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !slices.ContainsFunc(fences, func(f fence) bool { return strings.Join(f.lines, "\n")+"\n" == files[name] }) {
			problems = append(problems, fmt.Sprintf("the page does not show %s as it is", name))
		}
	}
	return problems
}

var (
	shownHost     = regexp.MustCompile("(?s)```yaml\n(# host.yaml[^\n]*\nregion: ([a-z0-9-]+)\n.*?)```")
	shownValidity = regexp.MustCompile("(?s)(```\n\\$ veer validate\n)(.*?)(```)")
)

func followTutorial(t *testing.T, path, page string, files map[string]string) {
	t.Chdir(t.TempDir())
	for name, text := range files {
		write(t, name, text)
	}
	host := shownHost.FindStringSubmatch(page)
	if host == nil {
		t.Fatal("the page shows no host.yaml")
	}
	// What comes from elsewhere: of a database its password and its CA.
	write(t, "db.password", "change-me\n")
	write(t, "db-ca.pem", anyCA(t))
	ran(t, exitDone, "certs", "init", "--dir", ".")
	places := loaded(t).Vantages
	for _, place := range places {
		ran(t, exitDone, "certs", "issue", string(place), "--dir", ".")
	}
	for _, place := range places {
		write(t, "host.yaml", strings.ReplaceAll(host[1], host[2], string(place)))
		text := ran(t, exitDone, "validate")
		for _, loss := range loaded(t).RegionLoss() {
			if !loss.Holds {
				t.Errorf("on the host in %s: %s, when %s is lost: %s", place, loss.Service, loss.Region, loss.Why)
			}
		}
		if string(place) == host[2] {
			showValidity(t, path, page, text)
		}
	}
	// The check sees what it must.
	write(t, "veer.yaml", strings.Replace(files["veer.yaml"], "rto: ", "rtoo: ", 1))
	ran(t, exitUsage, "validate")
}

// anyCA is a certificate.
func anyCA(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// hash is another with each key that the config gets.
var hash = regexp.MustCompile("config hash [0-9a-f]+")

// showValidity compares what validate says with the page; -update writes it.
func showValidity(t *testing.T, path, page, text string) {
	shown := shownValidity.FindStringSubmatch(page)
	switch {
	case shown == nil:
		t.Error("the page does not show what veer validate says")
	case hash.ReplaceAllString(shown[2], "") == hash.ReplaceAllString(text, ""):
	case *update:
		write(t, path, strings.Replace(page, shown[0], shown[1]+text+shown[3], 1))
	default:
		t.Errorf("the page shows another output of veer validate, write it with -update:\n%s\nIt is:\n%s", shown[2], text)
	}
}

func loaded(t *testing.T) *config.Config {
	t.Helper()
	c, err := config.Load("veer.yaml", func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ran(t *testing.T, exit int, args ...string) string {
	t.Helper()
	s := newSession(nil, "", nil)
	if got := s.run(t.Context(), args); got != exit {
		t.Fatalf("veer %s: exit code %d, expected %d:\n%s%s", strings.Join(args, " "), got, exit, s.stdout.String(), s.stderr.String())
	}
	return s.stdout.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The check of the quotes sees what it must.
func TestTutorialsAreQuoted(t *testing.T) {
	page := "```yaml\nowner: shop\n```\n"
	if problems := notQuoted(page, map[string]string{"veer.yaml": "owner: shop\n"}); len(problems) != 0 {
		t.Errorf("a file that is shown: %q", problems)
	}
	if problems := notQuoted(page, map[string]string{"veer.yaml": "owner: shop2\n", "a.zone": "owner: shop"}); len(problems) != 2 {
		t.Errorf("two files that are not shown: found %q", problems)
	}
}
