//go:build realservers

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReproducible releases twice: from this checkout, and from a copy of it
// elsewhere whose files are of today. Every file is the same.
func TestReproducible(t *testing.T) {
	first := of(t, "v1.0.0")
	if err := release(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := of(t, "v1.0.0")
	second.root = copyOf(t, first.root)
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("GOFLAGS", "-tags=nonsense")
	if err := release(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	a, b := hashes(t, first.out), hashes(t, second.out)
	if len(a) < 12 {
		t.Errorf("only %d files were made", len(a))
	}
	if different := differing(a, b); len(different) > 0 {
		t.Errorf("two releases of one commit differ in %s", different)
	}
	// The check sees what it must: other bytes, another mode, a file that is missing.
	third := of(t, "v1.0.0")
	third.date = commitTime.Add(time.Second)
	name, err := pack(third, host, "deb", prepared(t, "v1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(third.out, name), filepath.Join(second.out, name)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(second.out, "veer-v1.0.0-"+host.os+"-"+host.arch), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(second.out, "image/Containerfile")); err != nil {
		t.Fatal(err)
	}
	if different := differing(a, hashes(t, second.out)); len(different) != 3 {
		t.Errorf("the check proves nothing: of three changes it finds %s", different)
	}
}

// hashes are those of all files of a folder, with their modes.
func hashes(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum, _, err := hash(path)
		out[strings.TrimPrefix(path, dir)] = info.Mode().String() + " " + sum
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// differing are the files of a that b has not, or other ones.
func differing(a, b map[string]string) []string {
	var out []string
	for name, sum := range a {
		if b[name] != sum {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// copyOf copies what a release is built from.
func copyOf(t *testing.T, root string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "elsewhere")
	for _, name := range []string{"go.mod", "go.sum", "LICENSE", "README.md", "CHANGELOG.md"} {
		if err := copyFile(filepath.Join(root, name), filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"checks", "cmd", "providers", "regions"} {
		if err := os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
