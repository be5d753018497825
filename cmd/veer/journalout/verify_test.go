package journalout

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestPlantedFaults: an edit, a removal, an addition, another order, a cut end
// and a chain that was made anew are each found, with file and line.
func TestPlantedFaults(t *testing.T) {
	_, head, whole := written(t, 20)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	lines = lines[:len(lines)-1] // nothing follows the last line feed
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
		"made anew":      {forged(t, lines), 21, "made anew"},
		"something else": {replaced(lines, 7, []byte("hello\n")), 8, ""},
		"an empty line":  {slices.Concat(lines[:7], [][]byte{[]byte("\n")}, lines[7:]), 8, ""},
	} {
		path := filepath.Join(t.TempDir(), "j")
		write(t, path, fault.lines...)
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

// forged has line 10 with another record, and all after it made anew.
func forged(t testing.TB, lines [][]byte) [][]byte {
	t.Helper()
	l, err := ParseLine(bytes.TrimSuffix(lines[9], []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	out, h := slices.Clone(lines[:10]), l.head()
	for i := 10; i < 21; i++ {
		line, to, err := next(h, KindDecision, at{i}, map[string]any{"n": i, "forged": true})
		if err != nil {
			t.Fatal(err)
		}
		out, h = append(out, append(line, '\n')), to.Head
	}
	return out
}

func replaced(lines [][]byte, i int, by []byte) [][]byte {
	out := slices.Clone(lines)
	out[i] = by
	return out
}

// TestRepeatedLines: what a syslog server got twice is no finding.
func TestRepeatedLines(t *testing.T) {
	_, head, whole := written(t, 3)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for what, again := range map[string][]byte{"one": lines[2], "several": slices.Concat(lines[1], lines[2])} {
		path := filepath.Join(t.TempDir(), "j")
		write(t, path, lines[0], lines[1], lines[2], again, lines[3])
		v, err := Verify([]string{path}, map[string]Head{head.Chain: head}, true)
		if err != nil || v.Finding != nil || !v.Proven {
			t.Errorf("%s: %+v, %v", what, v, err)
		}
		if v := verify(t, []string{path}, head); v.Finding == nil {
			t.Errorf("%s: a line that was added is not found in a file", what)
		}
	}
}

// TestAnyEditIsFound: whatever bytes are changed, added or removed, but whole
// files of the beginning.
func TestAnyEditIsFound(t *testing.T) {
	_, head, whole := written(t, 6)
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
		h = to.Head
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
