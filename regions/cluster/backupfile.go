package cluster

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/veerdns/veer/regions"
)

const (
	// backupFormat is the version of a backup's file.
	backupFormat = 1
	// maxHeader bounds the first line, with the last one.
	maxHeader = 1 << 20
	// maxLine bounds each other line: a value of the largest request.
	maxLine = requestBytes/3*4 + 64<<10
)

// header is the first line of a backup's file. The values follow, one a line and
// sorted by key, and then a trailer.
type header struct {
	Format  int          `json:"veer_backup"`
	Owner   string       `json:"owner"`
	Term    regions.Term `json:"term"`
	Made    time.Time    `json:"made"`
	Version string       `json:"version"`
	Agreed  bool         `json:"agreed"`
	LeftOut int          `json:"left_out,omitempty"`
	Unread  []string     `json:"unread,omitempty"`
	Values  int          `json:"values"`
}

// trailer ends the file with the checksum of all lines before it.
type trailer struct {
	SHA256 string `json:"sha256"`
}

func (b *Backup) sort() {
	slices.SortFunc(b.kept, func(x, y kept) int { return cmp.Compare(x.Key, y.Key) })
}

// Write writes the backup's file.
func (b Backup) Write(to io.Writer) error {
	sum := sha256.New()
	w := bufio.NewWriter(to)
	line := func(v any, sums io.Writer) error {
		text, err := json.Marshal(v)
		if err == nil {
			_, err = io.MultiWriter(w, sums).Write(append(text, '\n'))
		}
		return err
	}
	unread := b.Unread[:min(len(b.Unread), 1000)]
	err := line(header{backupFormat, b.Owner, b.Term, b.Made, b.Version, b.Agreed, b.LeftOut, unread, len(b.kept)}, sum)
	for i := 0; err == nil && i < len(b.kept); i++ {
		err = line(b.kept[i], sum)
	}
	if err == nil {
		err = line(trailer{hex.EncodeToString(sum.Sum(nil))}, io.Discard)
	}
	if err = errors.Join(err, w.Flush()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// ReadBackup reads a backup's file, which is hostile until then. What it returns
// can be restored as it is.
func ReadBackup(from io.Reader) (Backup, error) {
	r := &backupReader{lines: bufio.NewReader(io.LimitReader(from, MaxBackup+1)), sum: sha256.New()}
	b, err := r.read()
	if r.size > MaxBackup {
		err = fmt.Errorf("it is larger than %d bytes", MaxBackup)
	}
	if err != nil {
		return Backup{}, fmt.Errorf("it is not a whole backup: %w", err)
	}
	return b, nil
}

// backupReader reads line by line.
type backupReader struct {
	lines *bufio.Reader
	sum   hash.Hash
	size  int
	line  int
}

func (r *backupReader) read() (Backup, error) {
	var h header
	if err := r.next(&h, maxHeader); err != nil {
		return Backup{}, err
	}
	switch {
	case h.Format != backupFormat:
		return Backup{}, fmt.Errorf("its format is %d, this version reads %d", h.Format, backupFormat)
	case h.Values < 0 || h.Values > maxKept || h.LeftOut < 0:
		return Backup{}, fmt.Errorf("%d values: expected from 0 to %d", h.Values, maxKept)
	case h.Term > maxTerm:
		return Backup{}, fmt.Errorf("term %d: expected at most %d", h.Term, maxTerm)
	}
	if err := checkName("owner", h.Owner); err != nil {
		return Backup{}, err
	}
	b := Backup{Owner: h.Owner, Term: h.Term, Made: h.Made, Version: h.Version, Agreed: h.Agreed, LeftOut: h.LeftOut, Unread: h.Unread}
	k := newKeys(h.Owner)
	for last := ""; len(b.kept) < h.Values; {
		var v kept
		if err := r.next(&v, maxLine); err != nil {
			return Backup{}, err
		}
		if v.Key <= last {
			return Backup{}, fmt.Errorf("line %d: key %.100q: expected one after %.100q", r.line, v.Key, last)
		}
		if err := k.checkKept(v.Key, v.Value); err != nil {
			return Backup{}, fmt.Errorf("line %d: key %.100q: %w", r.line, v.Key, err)
		}
		last = v.Key
		b.kept = append(b.kept, v)
	}
	return b, r.end()
}

// end holds the rest to the checksum.
func (r *backupReader) end() error {
	want := hex.EncodeToString(r.sum.Sum(nil))
	var t trailer
	if err := r.next(&t, maxHeader); err != nil {
		return err
	}
	if t.SHA256 != want {
		return fmt.Errorf("line %d: checksum %.100q, of what is above it %s: it was changed or cut", r.line, t.SHA256, want)
	}
	if n, err := r.lines.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("it goes on after its end with %q", n), err)
	}
	return nil
}

// next reads one line strictly.
func (r *backupReader) next(into any, most int) error {
	r.line++
	var text []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		r.size += len(part)
		if text = append(text, part...); len(text) > most {
			return fmt.Errorf("line %d: it is longer than %d bytes", r.line, most)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("line %d: the file ends here, before its end", r.line)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", r.line, err)
		}
		break
	}
	r.sum.Write(text) // a hash's Write never fails
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("line %d: %w", r.line, err)
	}
	if rest, _ := io.ReadAll(dec.Buffered()); len(bytes.TrimSpace(rest)) > 0 {
		return fmt.Errorf("line %d: it goes on after its value", r.line)
	}
	return nil
}
