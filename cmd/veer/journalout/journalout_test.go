package journalout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type at struct {
	Revision int `json:"revision"`
}

func origin(kept *Head) Origin { return Origin{Owner: "lab", Region: "eu-west", Kept: kept} }

// fill writes records from to to, and returns the head.
func fill(t testing.TB, f Output, from, to int) Head {
	t.Helper()
	for i := from; i < to; i++ {
		if err := f.Append(KindDecision, at{i}, map[string]any{"n": i, "text": strings.Repeat("x", 200)}); err != nil {
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
	c := FileConfig{Path: filepath.Join(t.TempDir(), "journal.jsonl")}
	f := open(t, c, nil)
	head := fill(t, f, 0, 5)
	shut(t, f)
	whole, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, half := range []string{"{", `{"veer":1,"chain":"` + strings.Repeat("x", 100_000)} {
		if err := os.WriteFile(c.Path, append(slices.Clone(whole), half...), 0o600); err != nil {
			t.Fatal(err)
		}
		if v := verify(t, all(t, c), head); v.Finding == nil || !strings.Contains(v.Finding.Found, "half a line") {
			t.Errorf("half a line: %+v", v.Finding)
		}
		f = open(t, c, &head)
		shut(t, f)
		sound(t, verify(t, all(t, c), head), 6)
	}
	f = open(t, c, &head)
	if err := f.rotate(); err != nil {
		t.Fatal(err)
	}
	shut(t, f)
	f = open(t, c, &head)
	head = fill(t, f, 5, 8)
	shut(t, f)
	sound(t, verify(t, all(t, c), head), 9)
}

// TestPlantedFaults: an edit, a removal, an addition, another order, a cut end
// and a chain that was made anew are each found, with file and line.
func TestPlantedFaults(t *testing.T) {
	c := FileConfig{Path: filepath.Join(t.TempDir(), "journal.jsonl")}
	f := open(t, c, nil)
	head := fill(t, f, 0, 20)
	shut(t, f)
	whole, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	forged := func() [][]byte { // line 10 with another record, and all after it made anew
		l, err := ParseLine(bytes.TrimSuffix(lines[9], []byte("\n")))
		if err != nil {
			t.Fatal(err)
		}
		out, h := slices.Clone(lines[:10]), l.Head()
		for i := 10; i < 21; i++ {
			line, next, err := next(h, KindDecision, at{i}, map[string]any{"n": i, "forged": true})
			if err != nil {
				t.Fatal(err)
			}
			out, h = append(out, append(line, '\n')), next
		}
		return out
	}
	for what, fault := range map[string]struct {
		lines  [][]byte
		line   int
		expect string
	}{
		"edited":         {replaced(lines, 7, bytes.Replace(lines[7], []byte(`"n":6,"text"`), []byte(`"n":5,"text"`), 1)), 8, "edited"},
		"a space":        {replaced(lines, 7, bytes.Replace(lines[7], []byte(`,"kind"`), []byte(`, "kind"`), 1)), 8, "edited"},
		"hash edited":    {replaced(lines, 7, bytes.Replace(lines[7], []byte(`,"hash":"`), []byte(`,"hash":"0`), 1)), 8, ""},
		"first removed":  {lines[1:], 0, ""},
		"removed":        {slices.Concat(lines[:7], lines[8:]), 8, "removed"},
		"two removed":    {slices.Concat(lines[:7], lines[9:]), 8, "removed"},
		"swapped":        {slices.Concat(lines[:7], lines[8:9], lines[7:8], lines[9:]), 8, "moved"},
		"added":          {slices.Concat(lines[:7], lines[3:4], lines[7:]), 8, "added"},
		"end cut":        {lines[:15], 0, "cut off"},
		"all but one":    {lines[:1], 0, "cut off"},
		"made anew":      {forged(), 21, "made anew"},
		"something else": {replaced(lines, 7, []byte("hello\n")), 8, ""},
		"an empty line":  {slices.Concat(lines[:7], [][]byte{[]byte("\n")}, lines[7:]), 8, ""},
	} {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, bytes.Join(fault.lines, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		v := verify(t, []string{path}, head)
		switch f := v.Finding; {
		case what == "first removed": // as when old files are gone: it says where it begins
			if f != nil || v.Chains[0].First != 1 {
				t.Errorf("%s: %+v", what, v)
			}
		case f == nil:
			t.Errorf("%s: not found", what)
		case f.Line != fault.line || f.File != path || !strings.Contains(f.Error(), fault.expect) || f.Found == "" || f.Expected == "":
			t.Errorf("%s: %v, expected line %d, %q", what, f, fault.line, fault.expect)
		}
	}
}

func replaced(lines [][]byte, i int, by []byte) [][]byte {
	out := slices.Clone(lines)
	out[i] = by
	return out
}

// TestRepeatedLines: what a syslog server got twice is no finding.
func TestRepeatedLines(t *testing.T) {
	c := FileConfig{Path: filepath.Join(t.TempDir(), "journal.jsonl")}
	f := open(t, c, nil)
	head := fill(t, f, 0, 3)
	shut(t, f)
	whole, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for what, again := range map[string][]byte{"one": lines[2], "several": slices.Concat(lines[1], lines[2])} {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, slices.Concat(lines[0], lines[1], lines[2], again, lines[3]), 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := Verify([]string{path}, map[string]Head{head.Chain: head}, true)
		if err != nil || v.Finding != nil || !v.Proven {
			t.Errorf("%s: %+v, %v", what, v, err)
		}
		if v := verify(t, []string{path}, head); v.Finding == nil {
			t.Errorf("%s: a line that was added is not found in a file", what)
		}
	}
}

// TestTruncatedFileIsNotGoneOnFrom: a writer that finds less than the ledger has
// seen begins a chain that says so, and Verify finds it without any head.
func TestTruncatedFileIsNotGoneOnFrom(t *testing.T) {
	for what, spoil := range map[string]func(lines [][]byte) [][]byte{
		"end cut":   func(l [][]byte) [][]byte { return l[:10] },
		"last line": func(l [][]byte) [][]byte { return replaced(l, 20, bytes.Replace(l[20], []byte("x"), []byte("y"), 1)) },
		"removed":   func([][]byte) [][]byte { return nil },
	} {
		c := FileConfig{Path: filepath.Join(t.TempDir(), "journal.jsonl")}
		f := open(t, c, nil)
		head := fill(t, f, 0, 20)
		shut(t, f)
		whole, err := os.ReadFile(c.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.Path, bytes.Join(spoil(bytes.SplitAfter(whole, []byte("\n"))), nil), 0o600); err != nil {
			t.Fatal(err)
		}
		f = open(t, c, &head)
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
		text, err := os.ReadFile(c.Path)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := bytes.Cut(text, []byte("\n"))
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
	if err := f.Append(KindDecision, at{3}, "x"); err == nil {
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

// TestAnyEditIsFound: whatever bytes are changed, added or removed, but whole
// files of the beginning.
func TestAnyEditIsFound(t *testing.T) {
	c := FileConfig{Path: filepath.Join(t.TempDir(), "journal.jsonl")}
	f := open(t, c, nil)
	head := fill(t, f, 0, 6)
	shut(t, f)
	whole, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "j")
	rapid.Check(t, func(t *rapid.T) {
		is := slices.Clone(whole)
		i := rapid.IntRange(0, len(is)-2).Draw(t, "at")
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			is[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		case 1:
			is = slices.Delete(is, i, min(i+rapid.IntRange(1, 900).Draw(t, "cut"), len(is)))
		case 2:
			is = slices.Insert(is, i, byte(rapid.IntRange(0, 255).Draw(t, "byte")))
		}
		if err := os.WriteFile(path, is, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := Verify([]string{path}, map[string]Head{head.Chain: head}, false)
		if err != nil {
			t.Fatal(err)
		}
		whole := len(v.Chains) == 1 && v.Chains[0].First == 0 && v.Lines == 7 && v.Proven
		if v.Finding == nil && whole {
			t.Fatalf("an edit at %d was not found", i)
		}
	})
}

// FuzzLine: a line is refused, or is just as its writer would have made it.
func FuzzLine(f *testing.F) {
	h := NewChain()
	for i, kind := range []string{KindBegin, KindDecision, KindNote, KindGap} {
		line, to, err := next(h, kind, at{i}, map[string]string{"why": "<&>"})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
		h = to
	}
	f.Add([]byte(`{"veer":1,"hash":"` + strings.Repeat("0", 64) + `"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := ParseLine(line)
		if err != nil {
			if !errors.Is(err, ErrLine) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if l.Hash != hashOf(line[:len(line)-hashTail]) {
			t.Errorf("the hash %s is not that of %q", l.Hash, line)
		}
		if !json.Valid(l.Record) || !json.Valid(l.Place) {
			t.Errorf("a record that is no JSON: %q", line)
		}
	})
}
