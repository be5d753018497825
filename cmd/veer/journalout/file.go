package journalout

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// File writes lines into a file, which is put aside when it is full.
type File struct {
	c FileConfig
	o Origin

	mu    sync.Mutex
	lock  *os.File
	f     *os.File
	size  int64
	first uint64 // number of the file's first line
	at    State  // of the last line that was written
	sync  State  // what is on the disk
}

var _ Output = (*File)(nil)

// OpenFile opens the file and goes on after its last whole line: half a line,
// as a stop of the machine leaves, is cut off, and comes again from the ledger.
// Where the file does not go on from what the ledger has seen of it, a chain
// begins that says so.
func OpenFile(c FileConfig, o Origin) (*File, error) {
	if c.Size == 0 {
		c.Size = defaultSize
	}
	if c.Keep == 0 {
		c.Keep = defaultKeep
	}
	c.Path = strings.ReplaceAll(c.Path, "{region}", o.Region)
	f := &File{c: c, o: o}
	if err := f.open(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *File) open() error {
	if err := os.MkdirAll(filepath.Dir(f.c.Path), 0o700); err != nil {
		return fmt.Errorf("make the journal's folder: %w", err)
	}
	var err error
	if f.lock, err = os.OpenFile(f.c.Path+".lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("lock the journal: %w", err)
	}
	if err := unix.Flock(int(f.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("another process writes the journal %s: give each its own, as by {region} in the path: %w", f.c.Path, err)
	}
	if err := f.openCurrent(); err != nil {
		return err
	}
	last, why, err := f.last()
	if err != nil {
		return err
	}
	if why == "" {
		f.at = last.state()
		if why = f.behind(last); why == "" {
			f.sync = f.at
			return nil
		}
	}
	return f.begin(why)
}

func (f *File) openCurrent() error {
	var err error
	if f.f, err = os.OpenFile(f.c.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	info, err := f.f.Stat()
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("the journal %s is not a regular file", f.c.Path)
	}
	f.size = info.Size()
	return nil
}

// last is the last line there is, in the file or in the one that was put aside
// before it. why says why there is none to go on from.
func (f *File) last() (l Line, why string, err error) {
	line, whole, err := lastLine(f.f, f.size)
	if err != nil {
		return l, "", fmt.Errorf("read the journal: %w", err)
	}
	if whole != f.size {
		if err := f.cutTo(whole); err != nil {
			return l, "", err
		}
	}
	if f.size == 0 {
		aside, err := f.aside()
		if err != nil || len(aside) == 0 {
			return l, "there is no file", err
		}
		if line, err = lastOf(aside[len(aside)-1]); err != nil {
			return l, "", err
		}
	}
	if l, err = ParseLine(line); err != nil {
		return l, "the last line of the file is " + err.Error(), nil
	}
	if f.size > 0 {
		first, _, err := readLine(bufio.NewReader(io.NewSectionReader(f.f, 0, f.size)))
		if err != nil {
			return l, "", fmt.Errorf("read the journal: %w", err)
		}
		if of, err := ParseLine(first); err == nil {
			f.first = of.N
		}
	} else {
		f.first = l.N + 1
	}
	return l, "", nil
}

// lastOf is the last whole line of a file.
func lastOf(path string) ([]byte, error) {
	g, err := os.Open(path) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer g.Close() //nolint:errcheck // it was only read
	info, err := g.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	line, _, err := lastLine(g, info.Size())
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return line, nil
}

// lastLine is the last whole line of what has size bytes, and where that ends.
func lastLine(r io.ReaderAt, size int64) (line []byte, end int64, err error) {
	var tail []byte
	for at, block := size, int64(64<<10); at > 0; block *= 2 {
		n := min(block, at)
		at -= n
		more := make([]byte, n)
		if _, err := r.ReadAt(more, at); err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		tail = append(more, tail...)
		stop := bytes.LastIndexByte(tail, '\n')
		if stop < 0 {
			if len(tail) > MaxLine {
				return nil, 0, fmt.Errorf("its end is no line: there is no line feed in the last %d bytes", len(tail))
			}
			continue
		}
		start := bytes.LastIndexByte(tail[:stop], '\n')
		if start < 0 && at > 0 {
			continue
		}
		return tail[start+1 : stop], at + int64(stop) + 1, nil
	}
	return nil, 0, nil
}

// behind says why the chain cannot go on after its last line: the ledger has
// seen more of it, or another one.
func (f *File) behind(last Line) string {
	switch k := f.o.Kept; {
	case k == nil || k.Chain == last.Chain && k.N < last.N:
		return ""
	case k.Chain != last.Chain:
		return "the ledger knows another chain of this output"
	case k.N > last.N:
		return fmt.Sprintf("the file ends with line %d, and the ledger has seen line %d", last.N, k.N)
	case k.Hash != last.Hash:
		return fmt.Sprintf("line %d of the file is not the one that the ledger has seen", last.N)
	}
	return ""
}

// begin begins a chain. What was in the file is put aside.
func (f *File) begin(why string) error {
	if f.size > 0 {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	f.at, f.first = State{Head: NewChain()}, 0
	return f.write(KindBegin, nil, f.o.beginning(OutputFile, f.o.Kept, why))
}

// Place implements Output.
func (f *File) Place() json.RawMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at.Place
}

// Append implements Output.
func (f *File) Append(_ context.Context, kind string, place, record any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.write(kind, place, record)
}

func (f *File) write(kind string, place, record any) error {
	line, at, err := next(f.at.Head, kind, place, record)
	if err != nil {
		return err
	}
	if f.size > 0 && f.size+int64(len(line))+1 > f.c.Size {
		if err := f.rotate(); err != nil {
			return err
		}
		f.first = at.Head.N
	}
	if _, err := f.f.Write(append(line, '\n')); err != nil {
		// Half a line would stand before the next one.
		return errors.Join(fmt.Errorf("write the journal: %w", err), f.cutTo(f.size))
	}
	f.size += int64(len(line)) + 1
	f.at = at
	return nil
}

func (f *File) cutTo(size int64) error {
	if err := f.f.Truncate(size); err != nil {
		return fmt.Errorf("cut half a line off the journal: %w", err)
	}
	f.size = size
	return nil
}

// rotate puts the file aside and begins an empty one.
func (f *File) rotate() error {
	name := fmt.Sprintf("%s.%s-%012d", f.c.Path, time.Now().UTC().Format("20060102T150405Z"), f.first)
	if _, err := os.Lstat(name); err == nil {
		name += "-" + f.at.Head.Chain
	}
	err := f.f.Sync()
	if err == nil {
		err = os.Rename(f.c.Path, name)
	}
	if err == nil {
		err = f.f.Close()
	}
	if err != nil {
		return fmt.Errorf("put the journal's file aside: %w", err)
	}
	if err := f.openCurrent(); err != nil {
		return err
	}
	if err := flushFolder(filepath.Dir(f.c.Path)); err != nil {
		return fmt.Errorf("put the journal's file aside: %w", err)
	}
	aside, err := f.aside()
	if err != nil {
		return err
	}
	for _, old := range aside[:max(0, len(aside)-f.c.Keep)] {
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an old file of the journal: %w", err)
		}
	}
	return nil
}

// aside lists the files that were put aside, the oldest first.
func (f *File) aside() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(f.c.Path))
	if err != nil {
		return nil, fmt.Errorf("list the journal's files: %w", err)
	}
	var out []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(f.c.Path)+".")
		if ok && len(rest) > len("20060102T150405Z-") && rest[8] == 'T' && rest[15] == 'Z' && rest[16] == '-' {
			out = append(out, filepath.Join(filepath.Dir(f.c.Path), e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}

// Settle implements Output: it flushes to the disk.
func (f *File) Settle() (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.Head == f.sync.Head {
		return f.sync, nil
	}
	if err := f.f.Sync(); err != nil {
		return f.sync, fmt.Errorf("flush the journal: %w", err)
	}
	f.sync = f.at
	return f.sync, nil
}

// Close implements Output.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close()
}

func (f *File) close() error {
	var err error
	if f.f != nil {
		err = errors.Join(f.f.Sync(), f.f.Close())
	}
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}

// flushFolder makes what was renamed in dir durable.
func flushFolder(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the operator names it
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
