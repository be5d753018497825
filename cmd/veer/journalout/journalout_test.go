package journalout

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type at struct {
	Revision int `json:"revision"`
}

func origin(kept *Head) Origin { return Origin{Owner: "lab", Region: "eu-west", Kept: kept} }

// fill writes records from to to, and returns the head.
func fill(t testing.TB, f Output, from, to int) Head {
	t.Helper()
	for i := from; i < to; i++ {
		if err := f.Append(t.Context(), KindDecision, at{i}, map[string]any{"n": i, "text": strings.Repeat("x", 200)}); err != nil {
			t.Fatal(err)
		}
	}
	st, err := f.Settle()
	if err != nil {
		t.Fatal(err)
	}
	return st.Head
}

func open(t testing.TB, c FileConfig, kept *Head) *File {
	t.Helper()
	f, err := OpenFile(c, origin(kept))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func shut(t testing.TB, f *File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// written writes records into a file of one chain: its config, its head, and
// what is in it.
func written(t testing.TB, records int) (FileConfig, Head, []byte) {
	t.Helper()
	c := FileConfig{Path: filepath.Join(t.TempDir(), "journal.jsonl")}
	f := open(t, c, nil)
	head := fill(t, f, 0, records)
	shut(t, f)
	return c, head, read(t, c.Path)
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t testing.TB, path string, lines ...[]byte) {
	t.Helper()
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

func all(t testing.TB, c FileConfig) []string {
	t.Helper()
	list, err := filepath.Glob(c.Path + "*")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(p string) bool { return strings.HasSuffix(p, ".lock") })
}

func verify(t testing.TB, files []string, heads ...Head) Verified {
	t.Helper()
	by := map[string]Head{}
	for _, h := range heads {
		by[h.Chain] = h
	}
	v, err := Verify(files, by, false)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sound(t testing.TB, v Verified, lines int) {
	t.Helper()
	if v.Finding != nil || v.Lines != lines || !v.Proven || len(v.Chains) != 1 {
		t.Errorf("found %+v (%v), expected %d lines of one chain, proven", v, v.Finding, lines)
	}
}

// TestChainGoesOnOverRotationAndRestarts: three processes write, into several
// files, one chain.
func TestChainGoesOnOverRotationAndRestarts(t *testing.T) {
	c := FileConfig{Path: filepath.Join(t.TempDir(), "sub", "journal.jsonl"), Size: 64 << 10, Keep: 50}
	f := open(t, c, nil)
	if f.Place() != nil {
		t.Errorf("a new chain goes on from %s", f.Place())
	}
	head := fill(t, f, 0, 300)
	shut(t, f)
	for from := 300; from < 900; from += 300 {
		f = open(t, c, &head)
		if string(f.Place()) != fmt.Sprintf(`{"revision":%d}`, from-1) {
			t.Errorf("it goes on from %s", f.Place())
		}
		head = fill(t, f, from, from+300)
		shut(t, f)
	}
	files := all(t, c)
	if len(files) < 4 {
		t.Errorf("only %d files: %v", len(files), files)
	}
	for range 3 {
		slices.Reverse(files[:len(files)/2+1])
		sound(t, verify(t, files, head), 901)
	}
	if v := verify(t, files); v.Finding != nil || v.Proven {
		t.Errorf("without a head: %+v", v)
	}
	c.Keep = 2
	f = open(t, c, &head)
	head = fill(t, f, 900, 1200)
	shut(t, f)
	if left := all(t, c); len(left) != 3 {
		t.Errorf("%d files are left of 2 kept and 1 written", len(left))
	} else if v := verify(t, left, head); v.Finding != nil || v.Chains[0].First == 0 {
		t.Errorf("without the oldest files: %+v", v)
	}
}

// TestOneWriter: a second process may not write the same file.
func TestOneWriter(t *testing.T) {
	c := FileConfig{Path: filepath.Join(t.TempDir(), "journal-{region}.jsonl")}
	f := open(t, c, nil)
	defer shut(t, f)
	if _, err := OpenFile(c, origin(nil)); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	if _, err := os.Stat(strings.ReplaceAll(c.Path, "{region}", "eu-west")); err != nil {
		t.Error(err)
	}
}

// TestHalfALine: what a stop of the machine left of a line is cut off, and a
// file that was just put aside is gone on from.
func TestHalfALine(t *testing.T) {
	c, head, whole := written(t, 5)
	for _, half := range []string{"{", `{"veer":1,"chain":"` + strings.Repeat("x", 100_000)} {
		write(t, c.Path, whole, []byte(half))
		if v := verify(t, all(t, c), head); v.Finding == nil || !strings.Contains(v.Finding.Found, "half a line") {
			t.Errorf("half a line: %+v", v.Finding)
		}
		shut(t, open(t, c, &head))
		sound(t, verify(t, all(t, c), head), 6)
	}
	f := open(t, c, &head)
	if err := f.rotate(); err != nil {
		t.Fatal(err)
	}
	shut(t, f)
	f = open(t, c, &head)
	head = fill(t, f, 5, 8)
	shut(t, f)
	sound(t, verify(t, all(t, c), head), 9)
}

// TestTruncatedFileIsNotGoneOnFrom: a writer that finds less than the ledger has
// seen begins a chain that says so, and Verify finds it without any head.
func TestTruncatedFileIsNotGoneOnFrom(t *testing.T) {
	for what, spoil := range map[string]func(lines [][]byte) [][]byte{
		"end cut":   func(l [][]byte) [][]byte { return l[:10] },
		"last line": func(l [][]byte) [][]byte { return replaced(l, 20, bytes.Replace(l[20], []byte("x"), []byte("y"), 1)) },
		"removed":   func([][]byte) [][]byte { return nil },
		"made anew": func(l [][]byte) [][]byte { return forged(t, l) },
	} {
		c, head, whole := written(t, 20)
		write(t, c.Path, spoil(bytes.SplitAfter(whole, []byte("\n")))...)
		f := open(t, c, &head)
		if f.Place() != nil {
			t.Errorf("%s: it goes on from %s", what, f.Place())
		}
		after := fill(t, f, 0, 3)
		shut(t, f)
		if after.Chain == head.Chain {
			t.Errorf("%s: the chain goes on", what)
		}
		v := verify(t, all(t, c))
		switch {
		case what == "removed":
			if v.Finding != nil || len(v.Chains) != 1 {
				t.Errorf("%s: %+v", what, v)
			}
		case v.Finding == nil:
			t.Errorf("%s: not found", what)
		}
		first, _, _ := bytes.Cut(read(t, c.Path), []byte("\n"))
		l, err := ParseLine(first)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := beginningOf(l); err != nil || b.Before == nil || *b.Before != head || b.Why == "" {
			t.Errorf("%s: the chain begins with %+v, %v", what, b, err)
		}
	}
}

// TestFullDisk: what a full disk refuses leaves nothing behind, and is written
// when there is room.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Fatal("this test needs /dev/full")
	}
	c := FileConfig{Path: filepath.Join(t.TempDir(), "journal.jsonl")}
	f := open(t, c, nil)
	head := fill(t, f, 0, 3)
	real := f.f
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.f = full
	if err := f.Append(t.Context(), KindDecision, at{3}, "x"); err == nil {
		t.Error("a full disk took a line")
	}
	_ = full.Close()
	f.f = real
	shut(t, f)
	f = open(t, c, &head)
	if string(f.Place()) != `{"revision":2}` {
		t.Errorf("it goes on from %s", f.Place())
	}
	head = fill(t, f, 3, 6)
	shut(t, f)
	sound(t, verify(t, all(t, c), head), 7)
}
