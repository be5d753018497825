package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzConfig holds that whatever Load accepts, it reads back equal from the
// effective configuration that it prints, with and without defaults, and that
// whatever it refuses has complete errors. testdata/fuzz keeps what it found.
func FuzzConfig(f *testing.F) {
	base := read(f, "testdata/base.yaml")
	for _, seed := range []string{Starter(), base, read(f, "testdata/minimal.yaml"), read(f, "testdata/full.yaml"), read(f, "testdata/called.yaml"), "", "#", "a: b: c", "- a", "\tx: y"} {
		f.Add(seed)
	}
	lines := strings.Split(base, "\n")
	for _, change := range []struct {
		line int
		text string
	}{
		{1, `owner: "\x65xample"`}, {5, "references: []"}, {9, `    listen: ["[::1]:0"]`}, {11, "      - name: ëxample.test"},
		{17, "    interval: 1m0.5s"}, {19, "    fall: 03"}, {20, `    headers: {"a b": "c\td", X: 'it''s'}`}, {21, `  other: {kind: tcp, port: 1, send: "\0\u00e9\U0001F600\r\n"}`},
		{24, "    damping: off"}, {43, "panic: off"}, {43, "panic: {share: 60%, hold: 1m}"}, {43, "velocity: {share: 1%, shifts: 240}"}, {29, `        endpoints: ["::ffff:192.0.2.1"]`}, {34, "    quorum: {need: 51%}"}, {35, "    ttl: {max: 2s}"},
		{36, "    rto: 1h"}, {37, `    failback: {window: {from: "23:59", to: "00:01", days: [sat-mon]}}`}, {43, `reconcile: "TZ=Asia/Tokyo 1 2 3 4 5"`}, {44, "host:\n  data_dir: ../x"},
	} {
		changed := slices.Clone(lines)
		changed[change.line-1] = change.text
		f.Add(strings.Join(changed, "\n"))
	}
	dir := filepath.Dir(folder(f, ""))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := loadIn(t, dir, text)
		if err != nil {
			refused(t, err)
			return
		}
		c.Policy()
		c.Quorums()
		c.Warnings()
		for _, defaults := range []bool{false, true} {
			shown := c.YAML(defaults)
			again, err := loadIn(t, dir, string(shown))
			if err != nil {
				t.Fatalf("its own print is refused: %v\n%s", err, shown)
			}
			if diff := cmp.Diff(c, again, same()); diff != "" {
				t.Fatalf("read back (-was +is):\n%s\n%s", diff, shown)
			}
			if c.Hash() != again.Hash() {
				t.Fatalf("the hash changed:\n%s", shown)
			}
		}
	})
}

func loadIn(t *testing.T, dir, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(dir, StarterFile)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, environ(map[string]string{"VEER_TEST_SECRET": "s3cret"}))
}

func refused(t *testing.T, err error) {
	t.Helper()
	var all Errors
	if !errors.As(err, &all) || len(all) == 0 || len(all) > maxErrors {
		t.Fatalf("expected 1 to %d Errors, got %v", maxErrors, err)
	}
	for _, e := range all {
		if e.File == "" || e.Line < 1 || e.Column < 1 || e.Problem == "" || e.Expected == "" && e.Hint == "" {
			t.Fatalf("incomplete error %+v", e)
		}
		if strings.ContainsFunc(e.Error(), func(r rune) bool { return r != '\n' && !allowed(r) }) {
			t.Fatalf("the error holds what a terminal might obey: %q", e.Error())
		}
	}
	if _, err := all.JSON(); err != nil {
		t.Fatal(err)
	}
}
