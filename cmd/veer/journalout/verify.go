package journalout

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Verified is what Verify found.
type Verified struct {
	Files int `json:"files"`
	Lines int `json:"lines"`
	// Chains are those of the files, in order. Of a chain whose first line is
	// not 0 the beginning was not among the files.
	Chains []Span `json:"chains"`
	// Proven: the ends of all chains were compared with heads that are kept
	// elsewhere. Without, an end that was cut off is not found.
	Proven bool `json:"proven"`
	// Finding is the first thing that is wrong; nil: nothing is.
	Finding *Finding `json:"finding,omitempty"`
}

// Span is what of a chain was found.
type Span struct {
	Chain string `json:"chain"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	Gaps  int    `json:"gaps,omitempty"`
}

// Finding is where files are not what was written.
type Finding struct {
	File string `json:"file"`
	// Line counts from 1; 0: it is about the file's end.
	Line     int    `json:"line"`
	Found    string `json:"found"`
	Expected string `json:"expected"`
}

func (f *Finding) Error() string {
	at := f.File
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return fmt.Sprintf("%s: found %s; expected %s", at, f.Found, f.Expected)
}

// Verify checks the chains of files, which may be given in any order: each file
// is put where its first line belongs. Heads are those that are kept elsewhere,
// by chain; a chain must have the line of its head, and that hash. With repeats
// a line that comes again just as it was, as a syslog server gets it after a
// broken connection, is no finding. The error is of reading.
func Verify(files []string, heads map[string]Head, repeats bool) (Verified, error) {
	v := &verifier{heads: heads, repeats: repeats, recent: map[lineID]string{}}
	order, err := inOrder(files)
	if err != nil {
		return v.out, err
	}
	for _, f := range order {
		if err := v.file(f); err != nil || v.out.Finding != nil {
			return v.out, err
		}
	}
	v.end()
	return v.out, nil
}

// opening is a file with its first line.
type opening struct {
	path  string
	line  Line
	ok    bool
	given int
}

// maxRecent is how far back a line may come again: more than are under way to a
// server when its connection breaks.
const maxRecent = 10_000

// inOrder sorts files by their first lines; those of one chain by number, the
// chains as they were given, but one that tells which it follows after that one.
func inOrder(files []string) ([]string, error) {
	var all []opening
	firstOf := map[string]int{}
	for i, path := range files {
		f, err := os.Open(path) // #nosec G304 -- the caller names it
		if err != nil {
			return nil, fmt.Errorf("open the journal: %w", err)
		}
		line, _, err := readLine(bufio.NewReaderSize(f, 64<<10))
		if closed := f.Close(); closed != nil {
			return nil, fmt.Errorf("close the journal: %w", closed)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		o := opening{path: path, given: i}
		if l, err := ParseLine(line); err == nil {
			o.line, o.ok = l, true
			if at, known := firstOf[l.Chain]; !known || i < at {
				firstOf[l.Chain] = i
			}
		}
		all = append(all, o)
	}
	before := map[string]string{}
	for _, o := range all {
		if b, err := beginningOf(o.line); o.ok && err == nil && b.Before != nil {
			before[o.line.Chain] = b.Before.Chain
		}
	}
	// A chain comes after the one that it followed; those without such a relation
	// as they were given.
	root := func(chain string) (first, depth int) {
		for {
			was, known := before[chain]
			if _, given := firstOf[was]; !known || !given || depth > len(all) {
				return firstOf[chain], depth
			}
			chain, depth = was, depth+1
		}
	}
	slices.SortStableFunc(all, func(a, b opening) int {
		if !a.ok || !b.ok {
			return cmp.Compare(a.given, b.given)
		}
		first, depth := root(a.line.Chain)
		other, deep := root(b.line.Chain)
		return cmp.Or(cmp.Compare(first, other), cmp.Compare(depth, deep), cmp.Compare(a.line.N, b.line.N), cmp.Compare(a.given, b.given))
	})
	out := make([]string, len(all))
	for i, o := range all {
		out[i] = o.path
	}
	return out, nil
}

// lineID is a line's place in its chain.
type lineID struct {
	chain string
	n     uint64
}

// verifier goes through the files.
type verifier struct {
	heads map[string]Head
	out   Verified
	last  Head // of the line before
	began bool
	// recent are the hashes of lines; with repeats such a line may come again.
	repeats bool
	recent  map[lineID]string
	// where the line before stands
	lastAt string
	lastN  int
}

// readLine reads up to a line feed. whole is false for a last line without one.
func readLine(r *bufio.Reader) (line []byte, whole bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > MaxLine+1 {
			return line[:MaxLine+1], false, nil // ParseLine says how long it is
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, false, nil
		case err != nil:
			return nil, false, err
		}
		return bytes.TrimSuffix(line, []byte("\n")), true, nil
	}
}

func (v *verifier) file(path string) error {
	f, err := os.Open(path) // #nosec G304 -- the caller names it
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	v.out.Files++
	r := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		text, whole, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if v.line(path, n, text, whole); v.out.Finding != nil {
			return nil
		}
		v.out.Lines++
		v.lastAt, v.lastN = path, n
	}
}

func (v *verifier) bad(path string, n int, found, expected string) {
	v.out.Finding = &Finding{File: path, Line: n, Found: found, Expected: expected}
}

func (v *verifier) line(path string, n int, text []byte, whole bool) {
	l, err := ParseLine(text)
	if err != nil {
		found, expected, ok := strings.Cut(strings.TrimPrefix(err.Error(), ErrLine.Error()+": "), "; expected ")
		if !whole {
			found = "half a line at the end of the file: " + found
		}
		if !ok {
			expected = "a line of the journal as it was written"
		}
		v.bad(path, n, strings.TrimPrefix(found, "found "), expected)
		return
	}
	switch {
	case !v.began:
	case v.repeats && v.recent[lineID{l.Chain, l.N}] == l.Hash:
		return
	case l.Chain != v.last.Chain:
		v.follows(path, n, l)
	case l.N != v.last.N+1:
		v.bad(path, n, fmt.Sprintf("line %d of chain %s", l.N, l.Chain), fmt.Sprintf("line %d after %s:%d: lines were removed, added or moved", v.last.N+1, v.lastAt, v.lastN))
	case l.Prev != v.last.Hash:
		v.bad(path, n, "that the hash before is "+l.Prev, fmt.Sprintf("%s, the hash of line %d at %s:%d: a line was edited or replaced", v.last.Hash, v.last.N, v.lastAt, v.lastN))
	}
	if v.out.Finding != nil {
		return
	}
	if !v.began || l.Chain != v.last.Chain {
		v.out.Chains = append(v.out.Chains, Span{Chain: l.Chain, First: l.N})
	}
	span := &v.out.Chains[len(v.out.Chains)-1]
	span.Last = l.N
	if l.Kind == KindGap {
		span.Gaps++
	}
	v.began, v.last = true, l.head()
	v.recent[lineID{l.Chain, l.N}] = l.Hash
	delete(v.recent, lineID{l.Chain, l.N - maxRecent})
	if h, ok := v.heads[l.Chain]; ok && h.N == l.N && h.Hash != l.Hash {
		v.bad(path, n, fmt.Sprintf("the hash %s of line %d", l.Hash, l.N), h.Hash+", as it is kept elsewhere: the chain was made anew from some line on")
	}
}

// follows checks the first line of another chain.
func (v *verifier) follows(path string, n int, l Line) {
	if l.N != 0 && !v.unmet(l.Chain) {
		v.bad(path, n, fmt.Sprintf("line %d of the chain %s", l.N, l.Chain), fmt.Sprintf("line %d of the chain %s, or the beginning of another", v.last.N+1, v.last.Chain))
		return
	}
	b, err := beginningOf(l)
	if err != nil || b.Before == nil || b.Before.Chain != v.last.Chain {
		return // another output's, or another host's
	}
	switch hash, recent := v.recent[lineID{b.Before.Chain, b.Before.N}]; {
	case b.Before.N > v.last.N:
		v.bad(path, n, fmt.Sprintf("that the chain %s before ends with line %d (%s)", v.last.Chain, v.last.N, b.Why), fmt.Sprintf("line %d, as the ledger had it: its end was cut off", b.Before.N))
	case recent && hash != b.Before.Hash:
		v.bad(path, n, fmt.Sprintf("that line %d of the chain %s before has the hash %s (%s)", b.Before.N, v.last.Chain, hash, b.Why), b.Before.Hash+", as the ledger had it: the chain was made anew from some line on")
	}
}

// unmet reports that a chain is one that was not met so far: the caller gave
// files of several outputs.
func (v *verifier) unmet(chain string) bool {
	return !slices.ContainsFunc(v.out.Chains, func(s Span) bool { return s.Chain == chain })
}

// end checks that the heads were met.
func (v *verifier) end() {
	if !v.began {
		return
	}
	v.out.Proven = true
	for _, s := range v.out.Chains {
		h, ok := v.heads[s.Chain]
		switch {
		case !ok:
			// A chain that another followed in these files ended with it.
			if s.Chain == v.last.Chain || len(v.heads) == 0 {
				v.out.Proven = false
			}
		case h.N > s.Last:
			v.bad(v.lastAt, 0, fmt.Sprintf("line %d as the last one of chain %s", s.Last, s.Chain), fmt.Sprintf("line %d, as it is kept elsewhere: the end was cut off", h.N))
			return
		case h.N < s.First:
			v.out.Proven = false
		}
	}
}
